"""`rutile sim --scenario`: what its user is told, and with which exit code."""
import pathlib
import subprocess
import tempfile
import unittest

import harness

SCENARIOS = pathlib.Path(__file__).resolve().parents[1] / 'scenarios'
HEADERS = 'what: a test\nmuseum: none\nbug: none\noracle: none\nlevel: core\n'


def sim(*arguments):
    return subprocess.run([harness.binary, 'sim', *map(str, arguments)], capture_output=True, text=True,
                          timeout=harness.PATIENCE_SECONDS)


class Scenarios(unittest.TestCase):
    def play(self, statements, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'x.scenario'
            path.write_text(HEADERS + statements)
            return sim('--scenario', path, *arguments)

    def test_all_files_play(self):
        played = sim('--scenario', SCENARIOS)
        self.assertEqual(played.returncode, 0, played.stderr)
        count = len(list(SCENARIOS.glob('*.scenario')))
        self.assertIn(f'{count} scenarios, 0 failed', played.stdout)

    def test_all_files_are_listed(self):
        listed = sim('--list', '--scenario', SCENARIOS)
        self.assertEqual(listed.returncode, 0, listed.stderr)
        for path in SCENARIOS.glob('*.scenario'):
            self.assertIn(path.stem, listed.stdout)

    def test_a_failure_names_its_line(self):
        played = self.play('cluster A B\nexpect A.term = 7\n')
        self.assertEqual(played.returncode, 1)
        self.assertRegex(played.stderr, r'x\.scenario:7: A\.term is 0, expected = 7')

    def test_a_mistake_names_its_line_and_what_was_expected(self):
        played = self.play('cluster A B\nisolate Z\n')
        self.assertEqual(played.returncode, 2)
        self.assertRegex(played.stderr, r"x\.scenario:7: expected a node \(A, B\), found 'Z'")

    def test_the_story_is_told_when_asked_for(self):
        self.assertIn('A->B Vote term 1', self.play('cluster A B\nelect A\n', '--log').stdout)
        self.assertNotIn('Vote', self.play('cluster A B\nelect A\n').stdout)

    def test_a_place_without_scenarios_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            for path, why in ((folder, 'found none'), (folder + '/nowhere', 'found nothing')):
                played = sim('--scenario', path)
                self.assertEqual(played.returncode, 2)
                self.assertIn(why, played.stderr)
