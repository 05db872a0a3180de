#!/usr/bin/env python3
"""The page that `rutile sim --html` writes, opened in a real browser.

    tests/sim/page_test.py RUTILE [--screenshots FOLDER] [--planted]

With --planted also what a program that fails a check leaves behind, which is compiled for it; RUTILE must then be that of
a build which is up to date. Exits with 77 where there is no browser. What is displayed is compared with the data of the page, read here in another way.
"""
import argparse
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'scenarios'))
import browser  # noqa: E402
import planting  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
STORY = ROOT / 'tests/scenarios/rejoining-leader-replaces-and-commits-cached-entry.scenario'
# Whatever else a seed comes to draw.
RUN = '''seed 3
set nodes=3
set faulty-us=8000000
set buggify=0
set loss=0
set sync-us=200
set delay-us=2000
set clients=4
0.8 isolate leader for 1.4
2.4 kill n1 for 0.3
3.0 pause n2 for 0.5
'''
CURSORS = ('base', 'applied', 'applying', 'committed', 'durable', 'submitted', 'last')
PLACES = dict(zip(CURSORS, (4, 6, 7, 8, 9, 10, 11)))  # In a state, as sim/page.cc writes it.
# All cursors that the page shows, by node; of one that is down null.
SHOWN = '''return [...document.querySelectorAll('#tails tr.node')].map((row) => {
  const line = document.querySelector(`[data-cursors-of="${row.dataset.node}"]`);
  return line && Object.fromEntries([...line.querySelectorAll('[data-cursor]')].map(
    (cursor) => [cursor.dataset.cursor, Number(cursor.textContent)]));
});'''
ARGUMENTS = argparse.Namespace()


def data_of(page):
    text = page.read_text()
    return json.loads(re.search(r'<script type="application/json" id="run">(.*?)</script>', text, re.S)[1])


def cursors_at(data, group, number):
    """Of each node after the step, by replaying all steps up to it."""
    now = [None] * len(data['nodes'])

    def become(node, state):
        array = data['states'][state]
        now[node] = {name: array[place] for name, place in PLACES.items()} if array else None

    for of, node, state in data['before']:
        if of == group:
            become(node, state)
    for _, kind, node, of, _, state in data['steps'][:number + 1]:
        if kind == 'down':
            now[node] = None
        elif of == group and state >= 0:
            become(node, state)
    return now


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.browser = cls.enterClassContext(browser.Browser())

    def show(self, name, *words, code=0, rutile=None):
        """Writes a page and opens it. Its data."""
        page = self.folder / f'{name}.html'
        done = subprocess.run([rutile or ARGUMENTS.rutile, 'sim', *words, '--html', str(page)], capture_output=True, text=True,
                              timeout=120)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for outside in ('src=', 'href="http', '@import', 'url('):
            self.assertNotIn(outside, re.sub(r'<script type="application/json".*?</script>', '', page.read_text(), flags=re.S))
        self.browser.open(page)
        self.addCleanup(lambda: self.assertEqual(self.browser.console(), []))
        self.name = name
        return data_of(page)

    def show_run(self, name, *words):
        script = self.folder / f'{name}.sim'
        script.write_text(RUN)
        return self.show(name, '--script', str(script), *words)

    def keep(self, what):
        if ARGUMENTS.screenshots:
            ARGUMENTS.screenshots.mkdir(parents=True, exist_ok=True)
            self.browser.screenshot(ARGUMENTS.screenshots / f'{self.name}-{what}.png')

    def step(self):
        return int(self.browser.run('return document.body.dataset.step'))

    def shown(self):
        return self.browser.run(SHOWN)

    def assert_shown(self, data, group):
        """What is displayed is what the data says of the step."""
        self.assertEqual(self.shown(), cursors_at(data, group, self.step()))

    def text(self, selector):
        return self.browser.run('return document.querySelector(arguments[0]).textContent', selector)

    def count(self, selector):
        return self.browser.run('return document.querySelectorAll(arguments[0]).length', selector)

    def test_story_is_stepped_through(self):
        data = self.show('story', '--scenario', str(STORY))
        self.assertEqual(data['nodes'], ['A', 'B', 'C'])
        self.assertEqual(self.count('#lanes text.lane'), 3)
        self.assertEqual(self.text('#verdict'), 'passed')
        self.assertEqual(self.step(), 0)
        walked = [(self.step(), self.shown())]
        while len(walked) < 200:
            self.assert_shown(data, 1)
            self.browser.press('ArrowRight')
            if self.step() == walked[-1][0]:
                break
            walked.append((self.step(), self.shown()))
        self.assertGreater(len(walked), 25)
        self.assertEqual(sorted({step for step, _ in walked}), [step for step, _ in walked], 'one after another')
        # The message that replaces and commits: its step is one change, and the disk has none of it yet.
        moved = [now[0] for _, now in walked]
        at = next(i for i, a in enumerate(moved) if a['committed'] == 11)
        self.assertEqual({**moved[at - 1], 'committed': 11, 'durable': 10}, moved[at])
        self.assertEqual((moved[at]['last'], moved[at]['applying']), (11, 10))
        # And back again.
        self.browser.press('ArrowLeft')
        self.assertEqual((self.step(), self.shown()), walked[-2])
        self.browser.press('Home')
        self.assertEqual((self.step(), self.shown()), walked[0])
        self.browser.press('End')
        self.assertEqual((self.step(), self.shown()), walked[-1])
        self.browser.press('Home', *['n'] * 12)
        self.keep('step')

    def test_marks_are_faults_starts_and_elections(self):
        data = self.show_run('seed', '--html-from', '0', '--html-for', '4')
        nodes = len(data['nodes'])
        self.assertEqual(self.count('#lanes text.lane'), nodes)
        self.assertGreater(len(data['steps']), 50)
        self.assertLess(data['steps'][-1][0], 4e6)
        self.assertIn('From 0 s on, 4 s of', self.text('#window'))
        reached = []
        for key in ('n', 'ArrowDown', 'n', 'n'):
            self.browser.press(key)
            self.assert_shown(data, 2)
            reached.append(self.step())
        self.assertEqual(reached, sorted(set(reached)))
        for number in reached:
            kind, text = data['steps'][number][1], data['steps'][number][4]
            self.assertTrue(kind != 'input' or ' in term ' in text, text)
        self.browser.press('p', 'ArrowUp')
        self.assertEqual(self.step(), reached[-3])
        self.keep('mark')

    def test_controls_choose_what_is_shown(self):
        data = self.show_run('controls')
        order = 'return view.order.length'
        quiet = self.browser.run(order)
        self.browser.press('h')
        self.assertGreater(self.browser.run(order), quiet, 'heartbeats')
        self.browser.press('h')
        self.assertEqual(self.browser.run(order), quiet)
        wide = self.count('#lanes .dot')
        self.browser.press('+')
        self.assertLess(self.count('#lanes .dot'), wide)
        self.browser.press('-', 't', 'End')
        self.assert_shown(data, 2)
        self.browser.press('g')
        self.assertEqual(self.browser.run('return view.group.id'), 1)
        self.assert_shown(data, 1)
        self.browser.run('''const scrubber = document.getElementById('scrubber');
                            scrubber.value = 7; scrubber.dispatchEvent(new Event('input'));''')
        self.assertEqual(self.browser.run('return view.at'), 7)
        self.assert_shown(data, 1)
        self.browser.run("document.querySelector('#events li:last-child').click()")
        self.assertGreater(self.browser.run('return view.at'), 7)
        self.assert_shown(data, 1)
        self.keep('controls')

    def test_failure_ends_the_page(self):
        # Two of three nodes never come back.
        words = ('--seed', '5', '--set', 'nodes=3', '--set', 'dead=3', '--set', 'faulty-us=3000000')
        data = self.show('failure', *words, code=1)
        self.assertEqual(self.text('#verdict'), 'FAILED')
        self.assertIn('although all faults are over', self.text('#violations'))
        self.assertEqual(data['steps'][-1][1], 'verdict')
        self.assertEqual(self.step(), len(data['steps']) - 1, 'it begins where it ends')
        self.assertIn('although all faults are over', self.text('#now'))
        self.assert_shown(data, 2)
        self.assertEqual([bool(node) for node in self.shown()].count(False), 2)
        self.assertIn('rutile sim --seed 5 --set nodes=3', self.text('#window code'))
        self.keep('end')

    def test_check_that_fails_ends_the_page(self):
        if not ARGUMENTS.planted:
            self.skipTest('only with --planted')
        old = '  if (!tail_.Append(std::move(message.slice))) {'
        edits = [('src/raft/raft_append.cc', old, f'  RUTILE_CHECK(verified.index < Index(20));\n{old}')]
        with tempfile.TemporaryDirectory() as folder:
            planter = planting.Planter(ARGUMENTS.rutile.resolve().parents[2], 'rutile')
            rutile, misfit = planter.plant(edits, pathlib.Path(folder))
            self.assertIsNone(misfit)
            data = self.show('check', '--seed', '3', code=-signal.SIGABRT, rutile=rutile)
        self.assertEqual(self.text('#verdict'), 'FAILED')
        self.assertIn('a check failed', self.text('#violations'))
        self.assertEqual(data['steps'][-1][1], 'verdict')
        self.assertRegex(data['steps'][-2][4], r'^gets from n\d: Append .*comes to no end$')
        self.browser.press('ArrowLeft')
        self.assertIn('comes to no end', self.text('#now'))
        self.keep('end')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('rutile', type=pathlib.Path)
    parser.add_argument('--screenshots', type=pathlib.Path)
    parser.add_argument('--planted', action='store_true')
    _, words = parser.parse_known_args(namespace=ARGUMENTS)
    if browser.find() is None:
        return 77
    unittest.main(argv=[sys.argv[0], *words])


if __name__ == '__main__':
    sys.exit(main())
