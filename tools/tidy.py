#!/usr/bin/env python3
"""The parts of the style guide that a machine can check. Runs as a test, from the root of the tree.

    tools/tidy.py [ROOT]     prints one line a problem; exit code 1 if there is any
"""
import pathlib
import re
import sys

# Room -> the rooms that it may include. Adding an arrow is an architectural decision: do it in its
# own commit, and say why. The DEPS in src/*/CMakeLists.txt must stay within these.
LAYERS = {
    'base': set(),
    'codec': {'base'},
    'env': {'base'},
    'raft': {'base'},
    'wal': {'base', 'codec', 'env'},
    'engine': {'base', 'codec', 'env'},
    'mvcc': {'base', 'codec', 'engine'},
    'txn': {'base', 'codec', 'engine', 'mvcc'},
    'store': {'base', 'codec', 'env', 'raft', 'wal', 'engine'},
    'placement': {'base', 'codec', 'env', 'raft', 'engine', 'store'},
    'client': {'base', 'env', 'proto'},
    'node': {'base', 'codec', 'env', 'raft', 'wal', 'engine', 'mvcc', 'txn', 'store', 'placement'},
    'rpc': {'base', 'codec', 'env', 'raft', 'wal', 'engine', 'mvcc', 'txn', 'store', 'placement', 'client',
            'node', 'proto'},
    'cmd': {'base', 'codec', 'env', 'raft', 'wal', 'engine', 'mvcc', 'txn', 'store', 'placement', 'client',
            'node', 'rpc', 'proto', 'bench', 'sim'},
    'testing': set(),
}

# Rooms without I/O, threads, clocks or serialization libraries: what they include from outside.
PURE = ('raft',)
IMPURE = re.compile(r'#include <(thread|mutex|atomic|future|condition_variable|chrono|fstream|iostream|filesystem'
                    r'|random|sys/.*|unistd\.h|grpc.*|google/.*|rocksdb/.*|spdlog/.*)>')

# (pattern, why, path prefixes where it is allowed)
REAL = ('src/env/posix/', 'src/rpc/', 'src/cmd/', 'src/engine/rocks/', 'bench/')
BANNED = [
    (r'_clock::now\(\)|\bsleep_for\b|\busleep\(|\bgettimeofday\b|\btime\(nullptr\)|\bclock_gettime\b',
     'take an env Clock or Executor', REAL),
    (r'\bstd::(thread|jthread|async)\b', 'take an env Executor', REAL),
    (r'\bstd::random_device\b|\brand\(\)|std::mt19937', 'take a Random (base/random.h)', ()),
    (r'std::uniform_\w+_distribution|std::shuffle', 'differs between libraries: use base/random.h', ()),
    (r'#include <(fstream|filesystem)>|\bfopen\(|::open\(', 'take an env FileSystem', REAL + ('src/testing/',)),
    (r'\bthrow\b|\bcatch \(', 'return a Status', REAL),
    (r'std::unordered_(map|set)<', 'its order is not ours: use std::map, or say "Looked up only"', ()),
    (r'\bstd::(cout|cerr|endl)\b', 'use RUTILE_LOG', ('src/cmd/', 'bench/')),
    (r'if \(.*simulat', 'the code must not know where it runs', ('sim/', 'src/env/sim/')),
    (r'\b(TODO|FIXME|XXX|HACK)\b', 'finish it', ()),
]
BANNED = [(re.compile(p, re.I if 'simulat' in p else 0), why, where) for p, why, where in BANNED]
HISTORY = re.compile(r'\bissue #?\d+\b|\bthis session\b|\bAI agent\b|\bthe agent\b', re.I)
LINE_MAX, FILE_MAX, FUNCTION_MAX = 100, 800, 70
DOC_PATH = re.compile(r'`((?:src|docs|tests|scripts|tools|proto|bench|sim|fuzz)/[A-Za-z0-9_./-]+)`')


def functions(lines):
    """(name, first line, length) of each function body at namespace or class level, by our brace style."""
    start = None
    for i, line in enumerate(lines, 1):
        if start is None and re.match(r'^( {2})?[A-Za-z~].*\) ?(const|noexcept|override|final|\s)*\{$', line) \
                and not re.match(r'^\s*(namespace|if|for|while|switch|TEST|TEST_P|TEST_F|TYPED_TEST)\b', line):
            start, name, indent = i, line.strip(), len(line) - len(line.lstrip())
        elif start is not None and line.rstrip() == ' ' * indent + '}':
            yield name, start, i - start + 1
            start = None


def room_of(path):
    return path.parts[1] if path.parts[0] == 'src' and len(path.parts) > 2 else path.parts[0]


def is_test(path):
    return path.stem.endswith('_test') or 'testing' in path.parts


def check_lines(path, lines, room):
    name = path.as_posix()
    before = ''
    for i, line in enumerate(lines, 1):
        code = re.sub(r'"(\\.|[^"\\])*"', '""', line.split('//')[0])
        if len(line) > LINE_MAX:
            yield i, f'{len(line)} columns'
        include = re.match(r'#include "([a-z_]+)/', line)
        if include and room in LAYERS and not is_test(path):
            if include[1] != room and include[1] not in LAYERS[room]:
                yield i, f'{room}/ may not include {include[1]}/'
        if room in PURE and IMPURE.match(line) and not is_test(path):
            yield i, f'{room}/ is pure'
        for pattern, why, where in BANNED:
            if not pattern.search(line if line.startswith('#') else code):
                continue
            if any(name.startswith(prefix) for prefix in where):
                continue
            if 'Looked up only' in why and ('Looked up only' in line or 'Looked up only' in before):
                continue
            if is_test(path) and 'Clock' not in why:
                continue
            yield i, f'{pattern.search(line)[0].strip() if pattern.search(line) else pattern.pattern!r} is banned: {why}'
        if HISTORY.search(line):
            yield i, 'the project speaks of itself only'
        before = line


def check_source(path, text):
    room = room_of(path)
    lines = text.split('\n')
    if len(lines) > FILE_MAX:
        yield 1, f'{len(lines)} lines: split it along its meaning'
    if path.suffix == '.h' and '#pragma once' not in text:
        yield 1, 'no #pragma once'
    yield from check_lines(path, lines, room)
    if not is_test(path):
        for name, start, length in functions(lines):
            if length > FUNCTION_MAX:
                yield start, f'{length} lines in one function: {name}'


def check_build(root):
    """Sources that no CMakeLists.txt names, and DEPS outside the layers."""
    for cmake in sorted(root.glob('src/*/CMakeLists.txt')):
        room = cmake.parent.name
        text = cmake.read_text()
        for source in sorted(cmake.parent.rglob('*.cc')):
            relative = source.relative_to(cmake.parent).as_posix()
            if not re.search(rf'(?<![\w/]){re.escape(relative)}\b', text):
                yield source.relative_to(root), 1, 'no CMakeLists.txt names this file'
        library = re.search(r'rutile_library\(\s*' + room + r'\b(.*?)\)', text, re.S)
        deps = re.search(r'\bDEPS\b(.*?)(?:\bLIBS\b|$)', library[1], re.S) if library else None
        for dep in (deps[1].split() if deps else []):
            if room in LAYERS and dep not in LAYERS[room]:
                yield cmake.relative_to(root), 1, f'{room} may not depend on {dep}'


def check_docs(root):
    for path in sorted(list(root.glob('*.md')) + list(root.glob('docs/**/*.md'))):
        for i, line in enumerate(path.read_text().split('\n'), 1):
            for named in DOC_PATH.findall(line):
                if '<' in named or '*' in named or (root / named.rstrip('/')).exists():
                    continue
                if list(root.glob(named + '.*')) or list(root.glob(named + '*')):
                    continue
                yield path.relative_to(root), i, f'{named} does not exist'
            if HISTORY.search(line):
                yield path.relative_to(root), i, 'the project speaks of itself only'


def problems(root):
    for top in ('src', 'sim', 'bench', 'fuzz', 'tests/cluster'):
        for path in sorted((root / top).rglob('*')):
            if path.suffix in ('.h', '.cc'):
                relative = path.relative_to(root)
                for line, problem in check_source(relative, path.read_text()):
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
