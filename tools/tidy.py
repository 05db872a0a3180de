#!/usr/bin/env python3
"""The parts of the style guide that a machine can check. A test; tidy_test.py shows that each rule bites.

    tools/tidy.py [ROOT]     prints one line a problem; exit code 1 if there is any
"""
import pathlib
import re
import sys
from typing import NamedTuple

# Room -> the rooms that it may include. Adding an arrow is an architectural decision: do it in its
# own commit, and say why. The DEPS in src/*/CMakeLists.txt must stay within these.
BELOW_NODE = {'base', 'codec', 'env', 'raft', 'wal', 'engine', 'mvcc', 'txn', 'store', 'placement'}
LAYERS = {
    'base': set(),
    'codec': {'base'},
    'env': {'base'},
    'raft': {'base'},
    'wal': {'base', 'codec', 'env'},
    'engine': {'base', 'codec', 'env'},
    'mvcc': {'base', 'codec', 'engine'},
    'txn': {'base', 'codec', 'engine', 'mvcc'},
    'store': {'base', 'codec', 'env', 'raft', 'wal', 'engine', 'mvcc', 'txn'},
    'placement': {'base', 'codec', 'env', 'raft', 'engine', 'store'},
    'client': {'base', 'codec', 'env', 'proto'},
    'client_grpc': {'base', 'client', 'env', 'rpc_wire'},
    'node': BELOW_NODE,
    'rpc_seam': {'base', 'client'},
    'rpc_wire': {'base', 'env', 'client', 'proto', 'rpc_seam'},
    'rpc_services': {'base', 'codec', 'env', 'mvcc', 'txn', 'store', 'placement', 'proto', 'rpc_seam'},
    'rpc': BELOW_NODE | {'client', 'node', 'proto', 'rpc_seam', 'rpc_services', 'rpc_wire'},
    'cmd': BELOW_NODE | {'client', 'client_grpc', 'node', 'proto', 'rpc', 'rpc_services', 'rpc_wire', 'bench', 'sim'},
    'sim': BELOW_NODE | {'client', 'node', 'proto', 'rpc_services', 'testing', 'raft_testing', 'sim_oracle', 'sim_picture'},
    'bench': BELOW_NODE | {'client', 'node', 'proto', 'rpc', 'testing'},
    'testing': set(),
}

# Rooms without I/O, threads, clocks, chance of their own or serialization libraries.
PURE = ('raft',)
IMPURE = re.compile(r'thread|mutex|shared_mutex|atomic|future|condition_variable|semaphore|chrono|ctime|time\.h'
                    r'|cstdio|fstream|iostream|filesystem|random|sys/.*|unistd\.h|fcntl\.h|grpc.*|google/.*'
                    r'|rocksdb/.*|spdlog/.*|fmt/.*|base/mutex\.h|proto/.*')
HEAVY = re.compile(r'iostream|regex|filesystem|future|ranges|fstream')
FOREIGN = re.compile(r'(grpc|grpcpp|google|rocksdb|spdlog|fmt|CLI|toml\+\+|nlohmann|httplib|prometheus)[/.].*')
DOUBLE = re.compile(r'env/sim/.*|.*testing[/.].*')

# Where the machine is touched for real, or another's library is wrapped that touches it. All else
# runs in the simulated world too, where one seed must give one run.
REAL = ('src/env/posix/', 'src/rpc/', 'src/rpc/wire/', 'src/cmd/', 'src/engine/rocks/', 'bench/', 'tests/', 'fuzz/')
MACHINE = re.compile(r'thread|future|condition_variable|semaphore|latch|barrier|stop_token|random|ctime|time\.h'
                     r'|fstream|filesystem|csignal|signal\.h|sys/.*|unistd\.h|fcntl\.h|poll\.h|dirent\.h|pthread\.h'
                     r'|sched\.h|netdb\.h|netinet/.*|arpa/.*|net/.*')
MACHINE_ALLOWED = REAL + ('src/base/mutex.h', 'src/testing/', 'fuzz/')
# Rooms of their own inside another, by how their paths begin.
INNER_ROOMS = {'src/client/client.': 'client_grpc', 'src/rpc/seam/': 'rpc_seam', 'src/rpc/services/': 'rpc_services', 'src/rpc/wire/': 'rpc_wire'}


class Rule(NamedTuple):
    name: str
    pattern: str
    why: str
    allowed: tuple = ()   # Path prefixes.
    tests: bool = True    # Holds for tests too.


BANNED = (
    Rule('clock', r'_clock::now\b|\bgettimeofday\b|(?<!\w)(std)?::time\(|(?<![\w.>:])time\((nullptr|NULL|0|&\w+)\)'
         r'|\bclock_gettime\b|\btimespec_get\b|\bstd::clock\(|\b__rdtsc\b|\b(local|gm)time(_r)?\(',
         'take an env Clock', REAL),
    Rule('sleep', r'\bsleep_(for|until)\b|\b(u|nano)?sleep\(', 'post to an Executor later',
         REAL),
    Rule('thread', r'\bstd::(thread|jthread|async|promise|packaged_task|latch|barrier|condition_variable(_any)?'
         r'|(counting|binary)_semaphore)\b|\bthis_thread::(yield|get_id)\b|\bpthread_create\b', 'take an env Executor',
         REAL + ('src/base/mutex.h',), tests=False),
    Rule('mutex', r'\bstd::(recursive_|shared_|timed_)?mutex\b', 'use Mutex (base/mutex.h)',
         REAL + ('src/base/mutex.h',), tests=False),
    Rule('chance', r'\bstd::random_device\b|\bs?rand\(|\bstd::(mt19937|minstd_rand|default_random_engine'
         r'|ranlux|knuth_b)|\b[dejlmn]rand48\b|\barc4random', 'take a Random (base/random.h)'),
    Rule('distribution', r'\bstd::(uniform_\w+|normal|bernoulli|poisson)_distribution\b|\bstd::shuffle\b',
         'differs between libraries: use base/random.h'),
    Rule('file', r'\bstd::[io]?fstream\b|\bstd::filesystem\b|\bfopen\(|\bf(d|re)open\(|\bopendir\(|\bmkstemp\('
         r'|(?<![\w>])::(open|read|write|pread|pwrite|fsync|unlink|mkdir|rename|stat|connect|bind|listen|accept)\('
         r'|(?<![\w.>:])(::)?socket\(',
         'take an env FileSystem or Transport', REAL + ('src/testing/',), tests=False),
    Rule('exception', r'\bthrow\b|\bcatch \(', 'return a Status', REAL, tests=False),
    Rule('unordered', r'\bstd::unordered_(multi)?(map|set)<', 'its order is not ours: use std::map, or say "Looked up only"'),
    Rule('addresses', r'\bstd::(multi)?(map|set)<\s*(const\s+)?[\w:]+(\s+const)?\s*\*'
         r'|\bstd::(hash|less|greater)<[^<>]*\*\s*>',
         'addresses differ from run to run: order by an id', REAL),
    Rule('environment', r'\b(std::)?(secure_)?getenv\(|\bgetpid\(|\bgethostname\(', 'take it as an option',
         REAL, tests=False),
    Rule('console', r'\bstd::(cout|cerr|clog|endl)\b|\bf?printf\(', 'use RUTILE_LOG, or return it',
         ('src/cmd/', 'bench/', 'tests/', 'fuzz/', 'src/base/check.cc'), tests=False),
    Rule('simulated', r'(?i)\bif \(.*(simulat|is_sim\b)', 'the code must not know where it runs', ('sim/', 'src/env/sim/')),
    Rule('namespace', r'\busing namespace (?!std::\w*literals\b)', 'name what you use'),
    Rule('unfinished', r'\b(TODO|FIXME|XXX|HACK)\b', 'finish it'),
)
BANNED_PATTERNS = tuple((rule, re.compile(rule.pattern)) for rule in BANNED)
IN_COMMENTS = ('unfinished',)  # The other rules are about code.

# What a project says of how it came about: its history has that.
HISTORY = re.compile(r'\bissues? #?\d+\b|\b(this|an?|the|last|next|later|earlier|previous) (coding )?(agent|agents|'
                     r'(coding|developer|work) session)\b|\bAI[- ](agent|assistant|generated)\b', re.I)
LINE_MAX, FILE_MAX, HEADER_MAX, FUNCTION_MAX = 100, 800, 300, 70


def without_text(text):
    """The code alone: comments gone, literals empty, every line where it was."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^\s()\\]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
                       r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'", re.S)

    def empty(match):
        quote = '' if match[0][0] == '/' else "''" if match[0][0] == "'" else '""'
        return quote + '\n' * match[0].count('\n')
    return token.sub(empty, text)


def functions(code):
    """(first line, lines, name) of each function, lambdas and local classes counted into theirs."""
    code = re.sub(r'^[ \t]*#(?:\\\n|[^\n])*', lambda m: '\n' * m[0].count('\n'), code, flags=re.M)
    template = re.compile(r'template\s*<(?:[^<>]|<(?:[^<>]|<[^<>]*>)*>)*>')
    blocks, head = [], 0  # What the open braces are, and where the text before the next one begins.
    for match in re.finditer(r'[{};]', code):
        at = match.start()
        within = blocks[-1][0] if blocks else 'scope'
        if match[0] == '{':
            before = re.sub(r'^\s*((public|private|protected)\s*:\s*)+', '', template.sub('', code[head:at])).strip()
            if within != 'scope' or not code[at - 1].isspace() or before.endswith(('=', ',', '(')):
                kind = 'inner'
            elif not before or re.match(r'(inline\s+)?(namespace|class|struct|union|enum|extern)\b', before):
                kind = 'scope'
            else:
                kind = 'function' if '(' in before else 'inner'
            begin = head + len(code[head:at]) - len(code[head:at].lstrip())
            blocks.append((kind, begin, ' '.join(before.split())))
            if kind != 'inner':
                head = at + 1
        elif match[0] == '}' and blocks:
            kind, begin, before = blocks.pop()
            if kind == 'function':
                first = code.count('\n', 0, begin) + 1
                yield first, code.count('\n', 0, at) + 2 - first, before.split('(')[0].split(' ')[-1] or before
            if kind != 'inner':
                head = at + 1
        elif match[0] == ';' and within == 'scope':
            head = at + 1


def room_of(path):
    for folder, room in INNER_ROOMS.items():
        if path.as_posix().startswith(folder):
            return room
    return path.parts[1] if path.parts[0] == 'src' and len(path.parts) > 2 else path.parts[0]


def is_allowed(path, prefixes):
    """Whether what `prefixes` may do is allowed here: an inner room may only what names it."""
    own = next((folder for folder in INNER_ROOMS if path.as_posix().startswith(folder)), '')
    return path.as_posix().startswith(tuple(prefix for prefix in prefixes if len(prefix) >= len(own)))


def is_test(path):
    return path.stem.endswith('_test') or 'testing' in path.parts or path.stem.endswith('testing')


def is_double(path):
    return is_test(path) or path.as_posix().startswith(('sim/', 'src/env/sim/'))


def check_includes(path, lines):
    room = room_of(path)
    for i, line in enumerate(lines, 1):
        include = re.match(r'#include ([<"])([^>"]+)[>"]', line)
        if not include:
            continue
        named, top = include[2], room_of(pathlib.PurePath('src', include[2]))
        if include[1] == '"' and room in LAYERS and not is_test(path):
            if '/' not in named:
                yield i, f'say it from the root: "{room}/{named}"'
            elif top in LAYERS and top != room and top not in LAYERS[room]:
                yield i, f'{room}/ may not include {top}/'
            elif top == 'proto' and 'proto' not in LAYERS[room]:
                yield i, f'{room}/ may not include proto/'
        if room in PURE and IMPURE.fullmatch(named) and not is_test(path):
            yield i, f'{room}/ is pure: it may not include {named}'
        elif MACHINE.fullmatch(named) and not is_test(path) and not is_allowed(path, MACHINE_ALLOWED):
            yield i, f'{room}/ runs simulated too: <{named}> is for {", ".join(REAL)}'
        if DOUBLE.fullmatch(named) and not is_double(path) and room not in ('bench', 'testing'):
            yield i, f'{named} is a double: for tests and the simulated world only'
        if path.suffix == '.h' and not is_test(path):
            if HEAVY.fullmatch(named) and room != 'cmd':
                yield i, f'<{named}> is too heavy for a header'
            if FOREIGN.fullmatch(named) and room != 'rpc':
                yield i, f'{named} belongs into a .cc file'


def unordered_names(code):
    """What is declared as an unordered container, by a type in full or by a name given to one."""
    declared = re.compile(r'\bstd::unordered_(?:multi)?(?:map|set)<')
    names, types = set(), set()
    for match in declared.finditer(code):
        at, depth = match.end(), 1
        while depth and at < len(code):
            depth += {'<': 1, '>': -1}.get(code[at], 0)
            at += 1
        name = re.match(r'[\s&]*(?:const\s*)?[\s&]*(\w+)\s*(?:[;,)={]|\w*_?GUARDED_BY)', code[at:])
        if name:
            names.add(name[1])
        alias = re.search(r'\busing\s+(\w+)\s*=\s*$', code[:match.start()])
        if alias:
            types.add(alias[1])
    for kind in types:
        names |= set(re.findall(rf'\b{kind}\b[\s&]*(\w+)\s*[;,)={{]', code))
    return names


def check_walks(code, names):
    """Walks through the containers of these names: their order is the library's."""
    for name in sorted(names):
        walk = re.compile(rf'\bfor\s*\([^;()]*:[^;:]*\b{name}\s*\)|\b{name}\s*(?:\.|->)\s*c?begin\(\s*\)'
                          rf'|\bstd::(?:ranges::)?c?begin\(\s*{name}\s*\)')
        for match in walk.finditer(code):
            yield code.count('\n', 0, match.start()) + 1, f'{name} is unordered, and walked through: use std::map'


def check_source(path, text, header=''):
    """Problems of one C++ file, as (line, what). `header` is the text of the header that goes with it."""
    room, lines, code = room_of(path), text.split('\n'), without_text(text).split('\n')
    limit = HEADER_MAX if path.suffix == '.h' else FILE_MAX
    if len(lines) > limit + 1:
        yield 1, f'{len(lines) - 1} lines, {limit} at most: split it along its meaning'
    if path.suffix == '.h' and '#pragma once' not in text:
        yield 1, 'no #pragma once'
    yield from check_includes(path, lines)
    for i, (line, bare) in enumerate(zip(lines, code), 1):
        if len(line) > LINE_MAX:
            yield i, f'{len(line)} columns, {LINE_MAX} at most'
        for rule, pattern in BANNED_PATTERNS:
            found = pattern.search(line if rule.name in IN_COMMENTS else bare)
            if not found or is_allowed(path, rule.allowed) or (is_test(path) and not rule.tests):
                continue
            if rule.name == 'unordered' and 'Looked up only' in '\n'.join(lines[max(0, i - 4):i]):
                continue
            yield i, f'{found[0].strip()} is banned: {rule.why}'
        if room in PURE and not is_test(path) and re.search(r'\b(float|double)\b', bare):
            yield i, 'no floating point where replicas must agree'
        if HISTORY.search(line):
            yield i, 'the project speaks of itself only'
    bare = '\n'.join(code)
    if not is_allowed(path, REAL):
        yield from check_walks(bare, unordered_names(bare) | unordered_names(without_text(header)))
    for first, length, name in functions(bare):
        if length > FUNCTION_MAX:
            yield first, f'{length} lines in {name}, {FUNCTION_MAX} at most'


def library_deps(text, room):
    library = re.search(r'rutile_library\(\s*' + room + r'\b(.*?)\)', text, re.S)
    deps = re.search(r'\bDEPS\b(.*?)(?:\bLIBS\b|\bSOURCES\b|$)', library[1], re.S) if library else None
    return deps[1].split() if deps else []


def check_build(root):
    """Sources that no CMakeLists.txt names, and what a room links against its place in the layers."""
    for cmake in sorted([*root.glob('src/*/CMakeLists.txt'), *root.glob('sim/CMakeLists.txt'),
                         *root.glob('bench/CMakeLists.txt')]):
        room, text = cmake.parent.name, re.sub(r'#[^\n]*', '', cmake.read_text())
        for source in sorted(cmake.parent.rglob('*.cc')):
            relative = source.relative_to(cmake.parent).as_posix()
            if not re.search(rf'(?<![\w/]){re.escape(relative)}(?!\w)', text):
                yield source.relative_to(root), 1, 'no CMakeLists.txt names this file'
        for dep in library_deps(text, room):
            if room in LAYERS and dep not in LAYERS[room]:
                yield cmake.relative_to(root), 1, f'{room} may not depend on {dep}'


class Names:
    """What the tree defines, for the pages that speak of it."""

    def __init__(self, root):
        texts = [path.read_text() for top in ('src', 'sim', 'bench', 'fuzz', 'tests', 'proto')
                 for path in (root / top).rglob('*') if path.suffix in ('.h', '.cc', '.go', '.rs', '.proto')]
        everything = '\n'.join(texts)
        self.words = set(re.findall(r'[A-Za-z_]\w*', everything))
        self.tests = set(re.findall(r'\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)', everything))
        self.flags = set(re.findall(r'--[a-z][a-z-]+', '\n'.join(
            path.read_text() for top in ('src/cmd', 'scripts', 'tests/clients', 'bench', 'sim', 'tools', 'cmake')
            for path in (root / top).rglob('*') if path.is_file() and path.suffix in ('', '.h', '.cc', '.py', '.txt'))))


def anchors(text):
    """The names by which a page's headings can be linked to."""
    titles = re.findall(r'^#+ (.*)$', text, re.M)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


def check_links(root, path, line):
    for target in re.findall(r'\]\(([^)\s]+)\)', line):
        if re.match(r'[a-z]+:', target):
            continue
        file, _, anchor = target.partition('#')
        page = (path.parent / file).resolve() if file else path
        if not page.exists():
            yield f'{target} does not exist'
        elif anchor and page.suffix == '.md' and anchor not in anchors(page.read_text()):
            yield f'{target}: no such heading'


def check_names(root, path, line, names):
    for quoted in re.findall(r'`([^`]+)`', line):
        word = quoted.split('(')[0].strip()
        if re.fullmatch(r'(src|docs|tests|scripts|tools|proto|bench|sim|fuzz|cmake|\.ci)/[\w./-]*', word):
            if not (root / word).exists() and not list(root.glob(word.rstrip('/') + '.*')):
                yield f'{word} does not exist'
        elif re.fullmatch(r'[A-Z]\w*[a-z]\w*\.[A-Z]\w*', word):
            if word != 'Suite.Name' and tuple(word.split('.')) not in names.tests:
                yield f'there is no test {word}'
        elif re.fullmatch(r'\w+(::~?\w+)+|(?:[A-Z][a-z0-9]+){2,}|k[A-Z]\w+', word):
            missing = [part for part in word.split('::') if part.lstrip('~') not in names.words]
            if missing:
                yield f'nothing in the code is called {missing[0]}'
        elif 'operations' in path.parts:
            for flag in re.findall(r'(?<![\w-])--[a-z][a-z-]+', quoted):
                if flag not in names.flags:
                    yield f'there is no {flag}'


def check_docs(root):
    """Links, paths, types, tests and flags on the pages; and what the scripts and the build say."""
    names = Names(root)
    for path in sorted([*root.glob('*.md'), *root.glob('docs/**/*.md'), *root.glob('*/README.md'),
                        *root.glob('tests/*/README.md')]):
        fenced = False
        for i, line in enumerate(path.read_text().split('\n'), 1):
            fenced ^= line.startswith('```')
            found = list(check_links(root, path, line)) if not fenced else []
            if not fenced and not line.startswith('    '):
                found += check_names(root, path, line, names)
            if HISTORY.search(line):
                found.append('the project speaks of itself only')
            for problem in found:
                yield path.relative_to(root), i, problem
    for path in sorted([*root.glob('scripts/*'), *root.glob('.ci/*'), *root.glob('**/CMakeLists.txt'),
                        *root.glob('cmake/*'), *root.glob('proto/**/*.proto')]):
        if 'build' in path.relative_to(root).parts or not path.is_file():
            continue
        for i, line in enumerate(path.read_text().split('\n'), 1):
            if HISTORY.search(line) or re.search(r'\b(TODO|FIXME)\b', line):
                yield path.relative_to(root), i, 'the project speaks of itself only, and finishes what it begins'


def problems(root):
    for top in ('src', 'sim', 'bench', 'fuzz', 'tests'):
        for path in sorted((root / top).rglob('*')):
            if path.suffix in ('.h', '.cc'):
                relative = path.relative_to(root)
                header = path.with_name(re.sub(r'_test$', '', path.stem) + '.h')
                beside = header.read_text() if header != path and header.exists() else ''
                for line, problem in check_source(relative, path.read_text(), beside):
                    yield relative, line, problem
    yield from check_build(root)
    yield from check_docs(root)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else '.').resolve()
    count = 0
    for path, line, problem in problems(root):
        print(f'{path}:{line}: {problem}')
        count += 1
    return 1 if count else 0


if __name__ == '__main__':
    sys.exit(main())
