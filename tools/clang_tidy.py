#!/usr/bin/env python3
"""clang-tidy over the sources of the project, past those that it has already found nothing in.

    tools/clang_tidy.py [--all | FILE...] [--deep] [--seconds S] [--build DIR] [--cache DIR] [--jobs N]

--all: every source under src/, sim/ and bench/ but the tests and their doubles. --deep: the analyzer
follows calls further, at three times the cost. --seconds: begins with what was changed last, begins
nothing after that time, and says how many files it has not looked at. Prints the findings; exit code 1 if there are any, or
if a file is not built by anything.

Remembered is only that a file had no finding, under a digest of all that the answer can depend on:
the version of clang-tidy, its arguments, its configuration, the file's compiler command and the
contents of the file and of every header that it includes, the system's too, as the preprocessor
finds them in this very run. What was found is never remembered, so it is found again.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMPILER, LINTER = 'clang++-16', 'clang-tidy-16'
KEPT_DAYS = 30
SHALLOW = ['-Xclang', '-analyzer-config', '-Xclang', 'mode=shallow']


def default_cache():
    home = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    return pathlib.Path(home) / 'rutile-clang-tidy'


def preprocessor_flags(arguments):
    """Those that say what is included; a flag and its value may be one word or two."""
    words, kept = iter(arguments), []
    for word in words:
        if word in ('-isystem', '-I', '-D', '-U', '-include'):
            kept += [word, next(words)]
        elif word.startswith(('-isystem', '-I', '-D', '-U', '-std=')):
            kept.append(word)
    return kept


def without_precompiled(arguments):
    """A header that gcc has compiled ahead is nothing for clang; every file includes what it uses anyway."""
    kept = []
    for word in arguments:
        if word.endswith('/cmake_pch.hxx') and kept and kept[-1] == '-include':
            kept.pop()
        else:
            kept.append(word)
    return kept


class Files:
    """Digests of files' contents, each read once in a run."""

    def __init__(self):
        self._lock = threading.Lock()
        self._digests = {}

    def digest(self, path):
        with self._lock:
            known = self._digests.get(path)
        if known is None:
            known = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
            with self._lock:
                self._digests[path] = known
        return known


class Linter:
    def __init__(self, root, build, cache, deep=False, seconds=None):
        self.root, self.build, self.cache = root, build, cache
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.skipped = 0
        self.commands, entries = {}, []
        for entry in json.loads((build / 'compile_commands.json').read_text()):
            path = os.path.normpath(os.path.join(entry['directory'], entry['file']))
            command = without_precompiled(shlex.split(entry['command']))
            self.commands[path] = (entry['directory'], command)
            entries.append({**entry, 'command': shlex.join(command)})
        commands = build / 'clang-tidy' / 'compile_commands.json'
        commands.parent.mkdir(exist_ok=True)
        commands.write_text(json.dumps(entries))
        self.arguments = ['-p', str(commands.parent), '--quiet', '--extra-arg=-Wno-unknown-warning-option']
        if not deep:
            self.arguments += ['--extra-arg=' + argument for argument in SHALLOW]
        self.files = Files()
        self.constants = [self._relative(' '.join(self.arguments)), self._version(),
                          *self._configurations()]
        cache.mkdir(parents=True, exist_ok=True)

    def _version(self):
        return subprocess.run([LINTER, '--version'], capture_output=True, text=True, check=True).stdout

    def _configurations(self):
        """Where each configuration lies and what it says: the nearest above a file holds for it."""
        found = [self.root / '.clang-tidy']
        for top in ('src', 'sim', 'bench'):
            found += sorted((self.root / top).rglob('.clang-tidy'))
        return [f'{path.relative_to(self.root)}\n{path.read_text()}' for path in found if path.exists()]

    def _relative(self, text):
        """A checkout elsewhere has the same answers."""
        return text.replace(str(self.root), '<root>')

    def _includes(self, path):
        """Every file that the preprocessor opens for this one, itself included."""
        directory, command = self.commands[path]
        flags = preprocessor_flags(command[1:])
        done = subprocess.run([COMPILER, '-w', *flags, '-M', '-MT', 'x', path], cwd=directory,
                              capture_output=True, text=True)
        if done.returncode != 0:
            return None
        names = shlex.split(done.stdout.replace('\\\n', ' '))[1:]
        return sorted({os.path.normpath(os.path.join(directory, name)) for name in names})

    def key(self, path, files=None):
        """The digest of all that the answer depends on; None when the file cannot be preprocessed."""
        included = self._includes(path)
        if included is None:
            return None
        digest = hashlib.sha256()
        directory, command = self.commands[path]
        for part in (*self.constants, self._relative(directory), self._relative(shlex.join(command)),
                     self._relative(path)):
            digest.update(part.encode() + b'\0')
        for name in included:
            digest.update(f'{self._relative(name)}\0{(files or self.files).digest(name)}\0'.encode())
        return digest.hexdigest()

    def check(self, path):
        """(what was found, whether it had to be run)"""
        path = str(path)
        if path not in self.commands:
            return f'{path}: no target builds this file, so nobody knows its flags\n', False
        key = self.key(path)
        marker = self.cache / key if key else None
        if marker and marker.exists():
            marker.touch()
            return '', False
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.skipped += 1
            return '', False
        done = subprocess.run([LINTER, *self.arguments, path], capture_output=True, text=True)
        if done.returncode == 0 and not done.stdout.strip():
            # The same digest after the run as before it: nobody edited what was read meanwhile.
            if marker and self.key(path, Files()) == key:
                marker.touch()
            return '', True
        return done.stdout + ('' if done.stdout.strip() else done.stderr), True

    def prune(self):
        oldest = time.time() - KEPT_DAYS * 86400
        for marker in self.cache.iterdir():
            try:
                if marker.stat().st_mtime < oldest:
                    marker.unlink()
            except FileNotFoundError:
                pass  # Another run's.


def product(root):
    names = subprocess.run(['git', 'ls-files', '-z', 'src/*.cc', 'sim/*.cc', 'bench/*.cc'], cwd=root,
                           capture_output=True, text=True, check=True).stdout.split('\0')
    return [root / name for name in names if name and (root / name).exists()
            and not name.endswith('_test.cc') and '/testing/' not in name]


def newest_first(root, paths):
    """In the order in which they were changed: what was just edited is where findings are."""
    names = subprocess.run(['git', 'log', '--format=', '--name-only', '-n', '300'], cwd=root,
                           capture_output=True, text=True, check=True).stdout.split('\n')
    rank = {}
    for name in names:
        rank.setdefault(root / name, len(rank))
    return sorted(paths, key=lambda path: rank.get(path, len(rank)))


def run(linter, paths, jobs):
    """Checks the files and prints what is found. Returns how many had findings, and how many ran."""
    bad = ran = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for found, fresh in pool.map(linter.check, paths):
            ran += fresh
            bad += bool(found)
            if found:
                print(found, end='', flush=True)
    return bad, ran


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('files', nargs='*', type=pathlib.Path)
    parser.add_argument('--all', action='store_true')
    parser.add_argument('--deep', action='store_true')
    parser.add_argument('--seconds', type=float)
    parser.add_argument('--root', type=pathlib.Path, default=ROOT)
    parser.add_argument('--build', type=pathlib.Path)
    parser.add_argument('--cache', type=pathlib.Path, default=default_cache())
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    linter = Linter(root, (arguments.build or root / 'build/dev').resolve(), arguments.cache, arguments.deep,
                    arguments.seconds)
    paths = product(root) if arguments.all else [path.resolve() for path in arguments.files]
    if arguments.seconds is not None:
        paths = newest_first(root, paths)
    begin = time.monotonic()
    bad, ran = run(linter, paths, arguments.jobs)
    linter.prune()
    print(f'clang-tidy: {len(paths)} files, {len(paths) - ran - linter.skipped} as when nothing was found in them, '
          f'{bad} with findings, {time.monotonic() - begin:.0f} s')
    if linter.skipped:
        print(f'clang-tidy: NOT LOOKED AT for want of time: {linter.skipped} files')
    return 1 if bad or not paths else 0


if __name__ == '__main__':
    sys.exit(main())
