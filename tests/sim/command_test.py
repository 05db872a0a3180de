"""`rutile sim` as people meet it: what it says, what it refuses, and that what it prints can be played again.

    tests/sim/command_test.py RUTILE
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUTILE = pathlib.Path(sys.argv.pop(1)).resolve()


def sim(*words, cwd=None):
    done = subprocess.run([RUTILE, 'sim', *words], capture_output=True, text=True, cwd=cwd, timeout=200)
    return done.returncode, done.stdout, done.stderr


def trace(text):
    return re.search(r'trace (\w+), state (\w+)', text).groups()


class SimCommand(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_bad_input_is_named(self):
        bad = self.folder / 'bad.sim'
        bad.write_text('seed 1\nset nodes=3\n\n1.0 burn n1 for 1\n')
        seeds = self.folder / 'seeds'
        seeds.write_text('# none\n12\n1x\n')
        for words, expected in (
                (('--seed', '1x'), "expected a seed (a number from 0 to 2^64 - 1), found '1x'"),
                (('--seeds', '9..2'), 'expected A..B with A at most B'),
                (('--seeds', 'a..2'), "found 'a'"),
                (('--seed', '1', '--set', 'speed=1'), "unknown option 'speed', expected one of nodes"),
                (('--seed', '1', '--set', 'nodes=0'), '0 is out of range'),
                (('--seed', '1', '--set', 'nodes'), "expected NAME=NUMBER, found 'nodes'"),
                (('--seed', '1', '--history', 'h.txt'), 'ends in .edn or .json'),
                (('--script', str(bad)), f"{bad}:4: expected a fault (one of loss"),
                (('--script', str(self.folder)), ': the file cannot be read: Is a directory'),
                (('--script', '/none'), '/none: the file cannot be read: No such file or directory'),
                (('--seeds-file', str(seeds)), f"{seeds}:3: expected a seed"),
                (('--scenario', str(self.folder), '--html', 'x.html'), 'expected one scenario to draw'),
                (('--svg', 'x.svg'), '--svg requires --scenario'),
                (('--html', 'x.html'), 'are for --seed or --script'),
                (('--minimize',), 'are for --seed or --script')):
            with self.subTest(words=words):
                code, _, error = sim(*words)
                self.assertEqual(code, 2)
                self.assertIn(expected, error)
        self.assertEqual(sim('--time', '-1')[0], 2)
        self.assertEqual(sim('--seed', '1', '--script', 'x')[0], 2)

    def test_printed_run_is_the_run(self):
        words = ('--seed', '3', '--set', 'faulty-us=5000000')
        code, text, _ = sim(*words, '--print-script')
        self.assertEqual(code, 0)
        script = self.folder / 'run.sim'
        script.write_text(text)
        code, drawn, _ = sim(*words)
        self.assertEqual(code, 0, drawn)
        code, played, _ = sim('--script', str(script))
        self.assertEqual(code, 0, played)
        self.assertEqual(trace(drawn), trace(played))

    def test_failure_is_shortened_to_what_still_fails(self):
        # Two of three nodes never come back.
        words = ('--seed', '5', '--set', 'nodes=3', '--set', 'dead=3', '--set', 'faulty-us=3000000')
        code, text, _ = sim(*words)
        self.assertEqual(code, 1)
        self.assertIn('repeat: rutile sim --seed 5 --set nodes=3 --set dead=3 --set faulty-us=3000000', text)
        code, text, _ = sim(*words, '--minimize', cwd=self.folder)
        self.assertEqual(code, 1, text)
        left = (self.folder / 'failure.sim').read_text().splitlines()
        self.assertEqual([line for line in left if not line.startswith(('seed', 'set'))], [])
        self.assertIn('set dead=3', left)
        self.assertEqual(sim('--script', 'failure.sim', cwd=self.folder)[0], 1)

    def test_picture_is_the_one_of_the_documentation(self):
        picture = self.folder / 'picture.svg'
        story = ROOT / 'tests/scenarios/rejoining-leader-replaces-and-commits-cached-entry.scenario'
        code, _, error = sim('--scenario', str(story), '--svg', str(picture))
        self.assertEqual(code, 0, error)
        kept = ROOT / 'docs/pictures/cut-append-commit-hand-out.svg'
        self.assertEqual(picture.read_text(), kept.read_text(), 'tests/scenarios/pictures draws it anew')

    def test_page_changes_nothing_of_the_run(self):
        words = ('--seed', '3', '--set', 'faulty-us=3000000')
        page = self.folder / 'page.html'
        code, drawn, _ = sim(*words, '--html', str(page))
        self.assertEqual(code, 0)
        self.assertEqual(trace(drawn), trace(sim(*words)[1]))
        first = page.read_text()
        sim(*words, '--html', str(page))
        self.assertEqual(page.read_text(), first)
        code, text, _ = sim(*words, '--html', '/none/page.html')
        self.assertEqual(code, 1)
        self.assertIn('/none/page.html: cannot be written', text)

    def test_histories_are_what_others_read(self):
        words = ('--seed', '3', '--set', 'faulty-us=3000000')
        files = [self.folder / 'h.json', self.folder / 'h.edn']
        for file in files:
            self.assertEqual(sim(*words, '--history', str(file))[0], 0)
        events = json.loads(files[0].read_text())
        self.assertEqual(len(events), len(files[1].read_text().splitlines()))
        open_calls = {}
        for event in events:
            process = event['process']
            if event['type'] == 'invoke':
                self.assertNotIn(process, open_calls, 'one call at a time')
                open_calls[process] = event
            else:
                begun = open_calls.pop(process)
                self.assertEqual((begun['f'], begun['value'][0]), (event['f'], event['value'][0]))
                if event['type'] == 'info':
                    open_calls[process] = event  # It must not call again.
        self.assertGreater(len(events), 100)

    def test_many_seeds_are_counted(self):
        code, text, _ = sim('--seeds', '100..103', '--jobs', '2', '--set', 'faulty-us=2000000')
        self.assertEqual(code, 0, text)
        self.assertIn('4 seeds, 0 failed', text)
        self.assertRegex(text, r'runs compared +1\n')  # Seed 100.
        self.assertRegex(text, r'calls of registers +\d{2,}')


if __name__ == '__main__':
    unittest.main()
