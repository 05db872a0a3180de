#!/usr/bin/env python3
"""Each rule of tidy.py against a tree that breaks it, and against one that does not."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tidy  # noqa: E402

GOOD_HEADER = '''// A thing, for the pages to speak of.
#pragma once

#include <string>

#include "base/status.h"

namespace rutile::raft {

class LogTail {
 public:
  // http://not.a.comment is "one", and 1'000'000 is a number.
  int Last() const { return last_; }

 private:
  int last_ = 1'000;
};

}  // namespace rutile::raft
'''
GOOD_TEST = '#include <gtest/gtest.h>\nTEST(LogTail, Cuts) {}\n'
GOOD_CMAKE = 'rutile_library(raft SOURCES log.cc DEPS base)\nrutile_test(raft SOURCES log_test.cc DEPS raft)\n'


def body(lines):
    return ''.join(f'  Step({i});\n' for i in range(lines))


class TidyTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        self.plant('src/raft/log_tail.h', GOOD_HEADER)
        self.plant('src/raft/log.cc', '#include "raft/log_tail.h"\n')
        self.plant('src/raft/log_test.cc', GOOD_TEST)
        self.plant('src/raft/CMakeLists.txt', GOOD_CMAKE)
        self.plant('src/cmd/serve.cc', 'const char* kFlag = "--listen";\n')
        self.plant('src/cmd/CMakeLists.txt', 'rutile_library(cmd SOURCES serve.cc DEPS raft)\n')

    def plant(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def found(self):
        return [f'{path}:{line}: {problem}' for path, line, problem in tidy.problems(self.root)]

    def assert_finds(self, *expected):
        """Exactly these, each given by a part of its line."""
        found = self.found()
        self.assertEqual(len(found), len(expected), found)
        for part, problem in zip(expected, found):
            self.assertIn(part, problem)

    def plant_code(self, code, name='src/raft/log.cc'):
        self.plant(name, code)

    # The tree as it should be.

    def test_a_good_tree_has_no_problem(self):
        self.assert_finds()

    def test_the_program_says_so_by_its_exit_code(self):
        argv, sys.argv = sys.argv, ['tidy.py', str(self.root)]
        self.addCleanup(setattr, sys, 'argv', argv)
        self.assertEqual(tidy.main(), 0)
        self.plant_code('int x;  // TODO\n')
        self.assertEqual(tidy.main(), 1)

    # Calls that are not ours to make.

    BAD = {
        'clock': ('auto t = std::chrono::steady_clock::now();', 'env Clock'),
        'sleep': ('std::this_thread::sleep_for(ms);', 'post to an Executor'),
        'thread': ('std::thread worker(Run);', 'env Executor'),
        'mutex': ('std::mutex mutex_;', 'base/mutex.h'),
        'chance': ('std::mt19937_64 engine(seed);', 'base/random.h'),
        'distribution': ('std::uniform_int_distribution<int> dice(1, 6);', 'base/random.h'),
        'file': ('std::ofstream out(path);', 'env FileSystem'),
        'exception': ('throw std::runtime_error(what);', 'return a Status'),
        'unordered': ('std::unordered_map<int, int> peers_;', 'std::map'),
        'addresses': ('std::map<const Peer*, int> peers_;', 'order by an id'),
        'environment': ('const char* home = std::getenv("HOME");', 'as an option'),
        'console': ('std::cout << 1;', 'RUTILE_LOG'),
        'simulated': ('if (env.IsSimulated()) Skip();', 'must not know'),
        'namespace': ('using namespace std;', 'name what you use'),
        'unfinished': ('// TODO: the rest', 'finish it'),
    }

    def test_each_banned_call_is_found(self):
        self.assertEqual({rule.name for rule in tidy.BANNED}, set(self.BAD))
        for name, (code, why) in self.BAD.items():
            with self.subTest(name):
                self.plant_code(f'void F() {{\n  {code}\n}}\n')
                self.assert_finds(f'src/raft/log.cc:2: ')
                self.assertIn(why, self.found()[0])

    def test_each_banned_call_may_be_made_where_it_belongs(self):
        for rule in tidy.BANNED:
            for prefix in rule.allowed:
                with self.subTest(rule=rule.name, prefix=prefix):
                    name = prefix if prefix.endswith('.cc') else f'{prefix}real.cc'
                    self.plant_code(f'  {self.BAD[rule.name][0]}\n', name)
                    self.assertFalse([line for line in self.found() if rule.why in line])
                    (self.root / name).unlink()

    def test_tests_may_use_threads_but_neither_sleep_nor_roll_dice(self):
        for rule in tidy.BANNED:
            with self.subTest(rule.name):
                self.plant_code(f'{GOOD_TEST}  {self.BAD[rule.name][0]}\n', 'src/raft/log_test.cc')
                self.assertEqual(bool(self.found()), rule.tests)

    def test_what_only_comments_and_literals_say_is_not_code(self):
        self.plant_code('// throw, std::thread and steady_clock::now() are for others\n'
                        'const char* kA = "std::cout"; /* std::mutex\n std::mutex */ char b = \'"\';\n'
                        'const char* kC = R"(rand() "quoted" std::thread)"; int d = 1\'000;\n')
        self.assert_finds()

    def test_code_behind_a_literal_is_still_code(self):
        self.plant_code('F("http://x", \'"\', 1\'000, "\\""); throw 1;\n')
        self.assert_finds('throw is banned')

    def test_an_unordered_map_that_is_looked_up_only_says_so(self):
        self.plant_code('// Looked up only.\nstd::unordered_map<int, int> peers_;\n')
        self.assert_finds()

    def assert_each(self, rule, found, not_found):
        for code in found:
            with self.subTest(code):
                self.plant_code(f'{code}\n')
                self.assertTrue([line for line in self.found() if self.BAD[rule][1] in line], self.found())
        for code in not_found:
            with self.subTest(code):
                self.plant_code(f'{code}\n')
                self.assertFalse([line for line in self.found() if self.BAD[rule][1] in line])

    def test_every_way_to_ask_for_the_time(self):
        self.assert_each('clock',
                         ('auto now = std::chrono::system_clock::now;', 'x = std::time(&t);', 'x = time(nullptr);',
                          'x = ::time(0);', 'std::clock();', 'clock_gettime(CLOCK_REALTIME, &t);', 'localtime(&t);'),
                         ('x = clock.Now();', 'set_time(nullptr);', 'entry.time(0);', 'int time;', 'lifetime(now);'))

    def test_every_way_to_run_or_wait_elsewhere(self):
        self.assert_each('thread',
                         ('std::jthread a(F);', 'auto f = std::async(F);', 'std::condition_variable wake;',
                          'std::promise<int> p;', 'std::this_thread::yield();', 'std::counting_semaphore<3> s(0);'),
                         ('ThreadsOf(node);', 'executor.Post(F);', 'int thread = 0;'))
        self.assert_each('sleep', ('std::this_thread::sleep_until(t);', 'usleep(1);'), ('Oversleep(1);',))
        self.assert_each('mutex', ('std::shared_mutex m;', 'std::recursive_mutex m;'), ('Mutex mutex_;',))

    def test_every_dice(self):
        self.assert_each('chance', ('std::random_device d;', 'x = rand();', 'std::default_random_engine e;', 'drand48();'),
                         ('random.Next();', 'Operand();', 'strand();'))

    def test_every_way_to_files_and_sockets(self):
        self.assert_each('file',
                         ('std::ifstream in(path);', 'FILE* f = fopen(a, b);', 'int fd = ::open(path, 0);',
                          'int fd = socket(1, 2, 3);', '::fsync(fd);', 'opendir(path);', 'std::filesystem::path p;'),
                         ('files.Open(path);', 'Reopen(path);', 'wal::open(path);', 'file->write(bytes);'))

    def test_what_is_ordered_by_address(self):
        self.assert_each('addresses',
                         ('std::set<Peer*> all;', 'std::map<raft::Peer*, int> all;', 'std::hash<const Peer*> h;',
                          'std::multimap<const char *, int> m;'),
                         ('std::map<int, Peer*> all;', 'std::set<PeerId> all;', 'std::hash<std::uint64_t> h;'))

    def test_headers_of_the_machine_stay_out_of_what_is_simulated(self):
        for named in ('<thread>', '<condition_variable>', '<sys/socket.h>', '<unistd.h>', '<fstream>', '<random>'):
            for room, count in (('store', 1), ('env/sim', 1), ('engine/rocks', 0), ('rpc', 0), ('rpc/services', 1),
                                ('cmd', 0)):
                with self.subTest(room=room, named=named):
                    top = room.split('/')[0]
                    within = f'{room[len(top) + 1:]}/x.cc'.lstrip('/')
                    self.plant(f'src/{room}/x.cc', f'#include {named}\n')
                    self.plant(f'src/{top}/CMakeLists.txt', f'rutile_library({top} SOURCES serve.cc {within})\n')
                    self.assertEqual(len([line for line in self.found() if 'runs simulated too' in line]), count)
                    (self.root / f'src/{room}/x.cc').unlink()

    DECLARED = '// Looked up only.\nstd::unordered_map<int, std::set<int>> peers_;\n'

    def test_a_walk_through_what_is_unordered(self):
        for walk in ('for (const auto& [id, peer] : peers_) F(id);', 'auto it = peers_.begin();',
                     'for (auto& peer : this->peers_) F(peer);', 'auto it = std::begin(peers_);',
                     'std::sort(peers_.cbegin(), last);'):
            with self.subTest(walk):
                self.plant_code(f'{self.DECLARED}{walk}\n')
                self.assert_finds('log.cc:3: peers_ is unordered, and walked through')

    def test_a_walk_through_what_the_header_declares_unordered(self):
        self.plant('src/raft/log.h', '#pragma once\n' + self.DECLARED)
        for name in ('src/raft/log.cc', 'src/raft/log_test.cc'):
            with self.subTest(name):
                self.plant_code(f'{GOOD_TEST}for (auto& peer : peers_) F(peer);\n', name)
                self.assert_finds('peers_ is unordered, and walked through')
                self.plant_code(GOOD_TEST, name)

    def test_a_walk_through_a_type_that_has_another_name(self):
        self.plant_code('// Looked up only.\nusing Peers = std::unordered_map<int, int>;\n'
                        'void F(const Peers& peers) {\n  for (auto& peer : peers) G(peer);\n}\n')
        self.assert_finds('log.cc:4: peers is unordered')

    def test_looking_up_is_no_walk(self):
        self.plant_code(self.DECLARED + 'auto it = peers_.find(1);\nif (it == peers_.end()) return;\n'
                        'for (int i : ordered_) F(peers_.at(i));\nfor (int i : Sorted(peers_.size())) F(i);\n')
        self.assert_finds()

    # Layers and purity.

    def test_an_include_upwards(self):
        self.plant_code('#include "store/store.h"\n')
        self.assert_finds('raft/ may not include store/')

    def test_an_include_without_its_room(self):
        self.plant_code('#include "log_tail.h"\n')
        self.assert_finds('from the root')

    def test_a_dependency_upwards_in_the_build(self):
        self.plant('src/raft/CMakeLists.txt', GOOD_CMAKE.replace('DEPS base)', 'DEPS base wal LIBS fmt::fmt)'))
        self.assert_finds('raft may not depend on wal')

    def test_messages_stay_where_they_are_spoken(self):
        self.plant('src/store/a.cc', '#include "proto/kvrpcpb.pb.h"\n')
        self.plant('src/store/CMakeLists.txt', 'rutile_library(store SOURCES a.cc)\n')
        self.assert_finds('store/ may not include proto/')

    def test_simulated_nodes_have_services_and_no_wire(self):
        self.plant('sim/CMakeLists.txt', 'rutile_library(sim SOURCES a.cc)\n')
        self.plant('sim/a.cc', '#include "rpc/h2_server.h"\n')
        self.assert_finds('sim/ may not include rpc/')
        self.plant('sim/a.cc', '#include "rpc/services/methods.h"\n')
        self.assertEqual(self.found(), [])
        self.plant('src/rpc/services/a.cc', '#include "rpc/h2_server.h"\n')
        self.plant('src/rpc/CMakeLists.txt', 'rutile_library(rpc_services SOURCES services/a.cc)\n')
        self.assert_finds('rpc_services/ may not include rpc/')
        self.plant('src/rpc/services/a.cc', '#include "rpc/wire/h2_channel.h"\n')
        self.assert_finds('rpc_services/ may not include rpc_wire/')

    def test_the_wire_of_clients_has_nothing_of_a_store(self):
        self.plant('src/rpc/CMakeLists.txt', 'rutile_library(rpc_wire SOURCES wire/a.cc)\n')
        self.plant('src/rpc/wire/a.cc', '#include "rpc/seam/channel.h"\n')
        self.assertEqual(self.found(), [])
        for named, room in {'rpc/services/methods.h': 'rpc_services', 'rpc/h2_server.h': 'rpc', 'store/store.h': 'store'}.items():
            self.plant('src/rpc/wire/a.cc', f'#include "{named}"\n')
            self.assert_finds(f'rpc_wire/ may not include {room}/')

    def test_a_pure_room_takes_nothing_impure(self):
        for named in ('<thread>', '<mutex>', '<chrono>', '<random>', '<atomic>', '<fstream>', '<sys/socket.h>',
                      '<google/protobuf/message.h>', '<rocksdb/db.h>', '<grpcpp/grpcpp.h>', '"base/mutex.h"'):
            with self.subTest(named):
                self.plant_code(f'#include {named}\n')
                self.assert_finds('raft/ is pure')

    def test_a_pure_room_has_no_floating_point(self):
        self.plant_code('double rate = 0.5;\n')
        self.assert_finds('no floating point')

    def test_production_includes_no_double(self):
        for named in ('env/sim/world.h', 'raft/testing/test_cluster.h', 'rpc/node_testing.h'):
            with self.subTest(named):
                self.plant('src/node/a.cc', f'#include "{named}"\n')
                self.plant('src/node/CMakeLists.txt', 'rutile_library(node SOURCES a.cc)\n')
                self.assertTrue([line for line in self.found() if 'is a double' in line])

    def test_headers_stay_light(self):
        self.plant('src/wal/a.h', '#pragma once\n#include <regex>\n#include <rocksdb/db.h>\n')
        self.assert_finds('too heavy', 'into a .cc file')

    def test_every_layer_is_below_itself_nowhere(self):
        closed = {room: set(below) for room, below in tidy.LAYERS.items()}
        for _ in closed:
            for room in closed:
                closed[room] |= {far for near in closed[room] for far in closed.get(near, ())}
        self.assertFalse([room for room, below in closed.items() if room in below])

    # Sizes and shape.

    def test_long_lines(self):
        self.plant_code('// ' + 'x' * 97 + '\n// ' + 'x' * 98 + '\n')
        self.assert_finds('src/raft/log.cc:2: 101 columns')

    def test_long_files(self):
        self.plant_code('\n' * 800)
        self.assert_finds()
        self.plant_code('\n' * 801)
        self.assert_finds('801 lines, 800 at most')

    def test_long_headers(self):
        self.plant('src/raft/log_tail.h', '#pragma once\n' + '\n' * 300)
        self.assertIn('301 lines, 300 at most', self.found()[0])

    def test_a_header_guards_itself(self):
        self.plant('src/raft/log_tail.h', 'class LogTail;\n')
        self.assert_finds('no #pragma once')

    def test_long_functions_of_every_shape(self):
        for head in ('void F() {', 'Status Raft::Step(const Message& message,\n                  int x) {',
                     'Raft::Raft(int a)\n    : a_(a), b_{1}, c_{2} {', 'template <class T>\nT F(T x = {}) {',
                     'bool operator==(const A& a, const A& b) {', 'TEST(LogTail, Grows) {',
                     'auto F() const noexcept -> int {', 'class A {\n public:\n  void F() const {\n  }\n  int G() {'):
            with self.subTest(head):
                before = head.count('\n')
                fits = 68 - (0 if head.startswith('class') else before)
                closing = '}\n}\n' if head.startswith('class') else '}\n'
                self.plant_code(f'namespace rutile {{\n#define X {{\n{head}\n{body(fits)}{closing}}}\n')
                self.assertEqual(self.found(), [])
                self.plant_code(f'namespace rutile {{\n#define X {{\n{head}\n{body(fits + 1)}{closing}}}\n')
                self.assert_finds('71 lines in')

    def test_long_tables_and_classes_are_no_functions(self):
        self.plant_code('const Row kRows[] = {\n' + '    {F(1), 2},\n' * 100 + '};\n'
                        'enum class E {\n' + '  kA,\n' * 100 + '};\nstruct S {\n' + '  int a = {};\n' * 100 + '};\n')
        self.assert_finds()

    # The build.

    def test_a_source_that_is_not_built(self):
        self.plant('src/raft/forgotten.cc', '')
        self.plant('src/raft/log_test.cc', GOOD_TEST)
        self.assert_finds('src/raft/forgotten.cc:1: no CMakeLists.txt')

    def test_a_source_that_only_a_comment_or_a_longer_name_mentions(self):
        self.plant('src/raft/CMakeLists.txt', GOOD_CMAKE.replace('log.cc', 'x_log.cc') + '# log.cc\n')
        self.assert_finds('src/raft/log.cc:1: no CMakeLists.txt')

    # The pages.

    def page(self, text, name='docs/a.md'):
        self.plant(name, text)

    def test_a_page_that_is_true(self):
        self.page('# A page\n`src/raft/log_tail.h` has `raft::LogTail` (`LogTail::Last()`), tested by `LogTail.Cuts`; see\n'
                  '[this](a.md#a-page), [that](../src/raft/log.cc) and [them](https://example.org/x).\n')
        self.page('`rutile serve --listen ADDRESS`\n', 'docs/operations/running.md')
        self.assert_finds()

    def test_a_path_that_does_not_exist(self):
        self.page('`src/raft/unstable.h`\n')
        self.assert_finds('docs/a.md:1: src/raft/unstable.h does not exist')

    def test_a_link_that_leads_nowhere(self):
        self.page('[b](b.md)\n[c](a.md#no-such)\n')
        self.assert_finds('b.md does not exist', 'no such heading')

    def test_a_type_that_does_not_exist(self):
        self.page('`raft::Unstable`, `LogTail::Shrink()`, `EntryCache`, `kLimit`\n')
        self.assert_finds('Unstable', 'Shrink', 'EntryCache', 'kLimit')

    def test_a_test_that_does_not_exist(self):
        self.page('`LogTail.Grows`\n')
        self.assert_finds('no test LogTail.Grows')

    def test_a_flag_that_does_not_exist(self):
        self.page('`rutile serve --lisen`\n', 'docs/operations/running.md')
        self.assert_finds('there is no --lisen')

    def test_history_belongs_to_git(self):
        self.page('As issue #12 says\n')
        self.plant_code('// An agent wrote this.\n')
        self.plant('scripts/x', '# for this coding session\n')
        self.assert_finds('src/raft/log.cc:1: the project', 'docs/a.md:1: the project', 'scripts/x:1: the project')

    def test_unfinished_scripts(self):
        self.plant('scripts/x', '# TODO\n')
        self.assert_finds('finishes what it begins')


if __name__ == '__main__':
    unittest.main()
