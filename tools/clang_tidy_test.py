#!/usr/bin/env python3
"""What clang_tidy.py remembers, and what makes it look again. The linter itself is a stand-in that
finds the word BAD in a file or in what it includes and writes down that it was asked."""
import io
import json
import pathlib
import sys
import tempfile
import unittest
from contextlib import redirect_stdout

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import clang_tidy  # noqa: E402

LINTER = '''#!/usr/bin/env python3
import pathlib, sys
here = pathlib.Path(__file__).resolve().parent
if '--version' in sys.argv:
    print((here / 'version').read_text())
    sys.exit()
with open(here / 'asked', 'a') as asked:
    asked.write(pathlib.Path(sys.argv[-1]).name + '\\n')
text = ''.join(path.read_text() for path in (here / 'src').glob('*') if path.is_file())
if 'EDITED' in text:
    (here / 'src/a.cc').write_text('int b;')
if 'BAD' in text:
    print('found BAD')
    sys.exit(1)
'''
# Names the file and every header beside it, as -M does.
COMPILER = '''#!/usr/bin/env python3
import pathlib, sys
here = pathlib.Path(__file__).resolve().parent
if 'BROKEN' in pathlib.Path(sys.argv[-1]).read_text():
    sys.exit(1)
print('x: ' + ' '.join([sys.argv[-1], *map(str, (here / 'src').glob('*.h'))]))
'''


class ClangTidyTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name).resolve()
        for name, script in (('LINTER', LINTER), ('COMPILER', COMPILER)):
            self.plant(name.lower(), script).chmod(0o755)
            self.addCleanup(setattr, clang_tidy, name, getattr(clang_tidy, name))
            setattr(clang_tidy, name, str(self.root / name.lower()))
        self.plant('version', '16')
        self.plant('.clang-tidy', 'Checks: all')
        self.source = self.plant('src/a.cc', 'int a;')
        self.plant('src/a.h', '// Good.')
        self.build()

    def plant(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def build(self, *flags):
        self.plant('build/compile_commands.json', json.dumps([
            {'directory': str(self.root / 'build'), 'file': str(self.source),
             'command': ' '.join(['c++', *flags, '-c', str(self.source)])}]))

    def run_on(self, *paths, deep=False, seconds=None):
        linter = clang_tidy.Linter(self.root, self.root / 'build', self.root / 'cache', deep, seconds)
        with redirect_stdout(io.StringIO()) as out:
            bad, ran = clang_tidy.run(linter, paths or [self.source], 1)
        return bad, ran, out.getvalue()

    def assert_looks(self, times, **named):
        self.assertEqual(self.run_on(**named)[1], times)

    def test_headers_that_gcc_has_compiled_are_left_out(self):
        self.build('-Iinclude', '-include', '/x/cmake_pch.hxx', '-include', 'config.h')
        self.run_on()
        commands = json.loads((self.root / 'build/clang-tidy/compile_commands.json').read_text())
        self.assertEqual(commands[0]['command'], f'c++ -Iinclude -include config.h -c {self.source}')

    def test_what_was_good_is_not_looked_at_again(self):
        self.assert_looks(1)
        self.assert_looks(0)
        self.assertEqual((self.root / 'asked').read_text(), 'a.cc\n')

    def test_a_finding_is_found_every_time(self):
        self.plant('src/a.cc', 'BAD')
        for _ in range(3):
            self.assertEqual(self.run_on(), (1, 1, 'found BAD\n'))

    def test_a_finding_that_comes_with_a_header(self):
        self.assert_looks(1)
        self.plant('src/a.h', 'BAD')
        self.assertEqual(self.run_on()[:2], (1, 1))
        self.plant('src/a.h', '// Good.')
        self.assert_looks(0)

    def test_a_header_that_is_new(self):
        self.assert_looks(1)
        self.plant('src/b.h', 'BAD')
        self.assertEqual(self.run_on()[:2], (1, 1))

    def test_everything_that_the_answer_depends_on(self):
        self.assert_looks(1)
        for change in (lambda: self.plant('src/a.cc', 'int a;  // NOLINT is gone'),
                       lambda: self.plant('src/a.h', '// Good again.'),
                       lambda: self.plant('.clang-tidy', 'Checks: more'),
                       lambda: self.plant('src/deeper/.clang-tidy', 'Checks: others'),
                       lambda: self.plant('version', '17'),
                       lambda: self.build('-DNEW')):
            change()
            self.assert_looks(1)
            self.assert_looks(0)
        self.assert_looks(1, deep=True)
        self.assert_looks(0, deep=True)

    def test_a_file_that_is_edited_while_it_is_looked_at(self):
        self.plant('src/a.cc', 'EDITED')
        self.assert_looks(1)
        self.plant('src/a.cc', 'EDITED')
        self.assert_looks(1)

    def test_a_file_that_cannot_be_preprocessed_is_always_looked_at(self):
        self.plant('src/a.cc', 'BROKEN')
        self.assert_looks(1)
        self.assert_looks(1)

    def test_without_time_only_what_is_known_counts(self):
        self.assert_looks(0, seconds=-1)
        self.assert_looks(1)
        self.plant('src/a.cc', 'BAD')
        self.assertEqual(self.run_on(seconds=-1)[:2], (0, 0))
        self.assertEqual(self.run_on(seconds=100)[:2], (1, 1))

    def test_a_file_that_nothing_builds(self):
        bad, ran, said = self.run_on(self.plant('src/b.cc', ''))
        self.assertEqual((bad, ran), (1, 0))
        self.assertIn('no target builds this file', said)

    def test_flags_that_say_what_is_included(self):
        self.assertEqual(clang_tidy.preprocessor_flags(
            ['-O2', '-Isrc', '-isystem', 'gen', '-D', 'A', '-DB', '-Wall', '-std=c++20', '-o', 'x', '-c', 'a.cc']),
            ['-Isrc', '-isystem', 'gen', '-D', 'A', '-DB', '-std=c++20'])

    def test_a_checkout_elsewhere_has_the_same_answers(self):
        self.assert_looks(1)
        cache = self.root / 'cache'
        keys = sorted(path.name for path in cache.iterdir())
        first = clang_tidy.Linter(self.root, self.root / 'build', cache).key(str(self.source))
        self.assertEqual(keys, [first])
        old = self.root
        other = tempfile.TemporaryDirectory()
        self.addCleanup(other.cleanup)
        self.root = pathlib.Path(other.name).resolve()
        for name in ('linter', 'compiler', 'version', '.clang-tidy', 'src/a.cc', 'src/a.h'):
            self.plant(name, (old / name).read_text()).chmod(0o755)
        clang_tidy.LINTER, clang_tidy.COMPILER = str(self.root / 'linter'), str(self.root / 'compiler')
        self.source = self.root / 'src/a.cc'
        self.build()
        self.assertEqual(clang_tidy.Linter(self.root, self.root / 'build', cache).key(str(self.source)), first)


if __name__ == '__main__':
    unittest.main()
