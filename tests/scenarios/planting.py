"""Deliberate changes of the code, for showing that tests can fail.

Nothing of the tree is touched: changed files are compiled aside, with the commands of a build that is up to date, and
linked before its libraries. So the product has no switch for them, and nothing of them in it.
"""
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHANGES = pathlib.Path(__file__).resolve().parent / 'planted.txt'


def read_changes(path):
    """{name: [(file, old, new)]}"""
    changes, file, edits = {}, None, None
    lines = iter(path.read_text().split('\n'))
    for number, line in enumerate(lines, 1):
        if line.startswith('change: '):
            edits = changes.setdefault(line[8:], [])
        elif line.startswith('file: '):
            file = line[6:]
        elif line == '<<<<':
            old, new = [], []
            for part, end in ((old, '===='), (new, '>>>>')):
                for text in lines:
                    if text == end:
                        break
                    part.append(text)
            edits.append((file, '\n'.join(old), '\n'.join(new)))
        elif line and not line.startswith('#'):
            sys.exit(f'{path}:{number}: expected change:, file: or <<<<, found {line!r}')
    return changes


def changed(edits):
    """{file: its text with the edits in it}, and what does not fit, if anything does not."""
    texts = {}
    for file, old, new in edits:
        text = texts.get(file) or (ROOT / file).read_text()
        if old not in text:
            return {}, f'{file} no longer has {old.strip().splitlines()[0]!r}'
        texts[file] = text.replace(old, new, 1)
    return texts, None


def commands(build, target):
    found = subprocess.run(['ninja', '-C', build, '-t', 'commands', target], capture_output=True, text=True, check=True)
    return found.stdout.strip().split('\n')


class Planter:
    """Builds a program of a tree with changes in it, beside the tree's own."""

    def __init__(self, build, target):
        """`target` is up to date in `build`."""
        self.build, self.target = build, target
        self.commands = commands(build, target)
        self.link = self.commands[-1].replace(': && ', '', 1).removesuffix(' && :')

    def compile(self, source, changed, objects):
        """The object of one changed file, with the command that made the real one."""
        for command in self.commands:
            words = shlex.split(command)
            if '-c' in words and (self.build / words[words.index('-c') + 1]).resolve() == (ROOT / source).resolve():
                break
        else:
            sys.exit(f'{source}: no part of {self.target}')
        output = changed / (source.replace('/', '_') + '.o')
        words[words.index('-c') + 1] = str(changed / source)
        words[words.index('-o') + 1] = str(output)
        if '-MF' in words:
            words[words.index('-MF') + 1] = str(output) + '.d'
        words = [word for word in words if word != '-Werror'] + ['-w']
        at = next(i for i, word in enumerate(words) if word.startswith('-I'))
        words.insert(at, f'-I{changed}/src')
        subprocess.run(words, cwd=self.build, check=True)
        objects.append(str(output))

    def plant(self, edits, folder):
        """The program with the change in it, or what does not fit."""
        texts, misfit = changed(edits)
        if misfit:
            return None, misfit
        objects = []
        for file, text in texts.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        for file in texts:
            if file.endswith('.cc'):
                self.compile(file, folder, objects)
        binary = folder / pathlib.Path(self.target).name
        words = shlex.split(self.link)
        words[words.index('-o') + 1] = str(binary)
        first = next(i for i, word in enumerate(words) if word.endswith('.o'))
        words[first:first] = objects
        subprocess.run(words, cwd=self.build, check=True)
        return binary, None
