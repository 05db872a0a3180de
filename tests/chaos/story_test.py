#!/usr/bin/env python3
"""What the story holds against nodes: one test for each thing that must never be told, and one for what may."""
import importlib.machinery
import importlib.util
import pathlib
import unittest

FILE = pathlib.Path(__file__).resolve().parent / 'story'
loader = importlib.machinery.SourceFileLoader('story', str(FILE))
story = importlib.util.module_from_spec(importlib.util.spec_from_loader('story', loader))
loader.exec_module(story)

MEMBERS = [{'peer': 101, 'store': 1}, {'peer': 102, 'store': 2}, {'peer': 103, 'store': 3}]


def told(leader=101, terms=((1, 1),), peers=(), **fields):
    """A replica's status: a follower in term 1 with ten entries, all of them applied."""
    return {'role': 'follower', 'leader': leader, 'term': 1, 'base': 0, 'applied': 10, 'durable': 10, 'committed': 10,
            'last': 10, 'members': MEMBERS, 'terms': [{'from': start, 'term': term} for start, term in terms],
            'peers': [{'store': store, 'match': match} for store, match in peers], **fields}


class WitnessTest(unittest.TestCase):
    def setUp(self):
        self.witness = story.Witness(net=None)

    def accepts(self, name, **fields):
        self.witness.judged(name, told(**fields))

    def refuses(self, why, name, **fields):
        with self.assertRaisesRegex(story.Broken, why):
            self.witness.judged(name, told(**fields))

    def test_cursors_are_in_order(self):
        self.accepts('n1', last=12, durable=11)
        self.refuses('out of order', 'n1', committed=9)
        self.refuses('out of order', 'n1', last=9)
        self.refuses('out of order', 'n1', durable=11)
        self.refuses('out of order', 'n1', base=11)

    def test_a_replica_has_not_stopped(self):
        self.refuses('has stopped', 'n1', poisoned='see the log')

    def test_one_leader_a_term(self):
        self.accepts('n1', leader=101)
        self.accepts('n2', leader=0)
        self.refuses('lead in one term', 'n3', leader=102)
        self.accepts('n3', leader=102, term=2)

    def test_committed_logs_agree(self):
        self.accepts('n1', terms=((1, 1), (10, 2)), term=2)
        self.accepts('n2', last=12, terms=((1, 1), (10, 2), (11, 3)), term=3)
        self.accepts('n3', last=12, terms=((1, 1), (10, 2), (11, 4)), term=4)  # Not committed: may differ.
        self.refuses('differ at 10', 'n2', terms=((1, 1),))

    def test_only_its_leader_applies_an_entry_before_it_is_durable(self):
        self.accepts('n1', role='leader', durable=8)
        self.accepts('n1', leader=102, term=2, durable=8)  # It was one.
        self.refuses('of n1', 'n2', durable=8)

    def test_a_log_writer_that_stands_still_makes_nothing_durable(self):
        self.witness.stuck = 'n1', 8
        self.accepts('n1', role='leader', durable=8)
        self.accepts('n2', role='leader', leader=102, term=2, peers=((1, 8), (3, 10)))
        self.refuses('more than 8', 'n2', role='leader', leader=102, term=2, peers=((1, 9), (3, 10)))
        self.refuses('more than 8', 'n1', durable=9)

    def test_a_cut_lowers_what_is_durable(self):
        self.witness.stuck = 'n1', 10
        self.accepts('n1', applied=5, committed=5, durable=5, last=6, terms=((1, 1), (6, 2)), leader=102, term=2)
        self.refuses('more than 5', 'n2', role='leader', leader=102, term=2, terms=((1, 1), (6, 2)), peers=((1, 6),))


class ViewTest(unittest.TestCase):
    def view(self, last, *terms):
        return story.View('n1', 'follower', 1, 0, 0, 0, 0, last, list(terms), {})

    def test_the_term_at_an_index(self):
        view = self.view(10, (4, 1), (7, 3))
        self.assertEqual([view.term_at(index) for index in (3, 4, 6, 7, 10, 11)], [None, 1, 1, 3, 3, None])

    def test_where_two_logs_part(self):
        one = self.view(10, (4, 1), (7, 3))
        self.assertIsNone(story.first_difference(one, self.view(6, (5, 1))))
        self.assertEqual(story.first_difference(one, self.view(10, (4, 1), (8, 2))), 7)
        self.assertEqual(story.first_difference(one, self.view(10, (4, 1), (7, 3), (9, 4))), 9)


class TallyTest(unittest.TestCase):
    def test_a_story_that_is_not_told_is_a_problem(self):
        tally = story.Tally()
        for _ in range(4):
            tally.add('CHR', story.KEPT, set(), 1)
            tally.add('HCR', story.KEPT, set(), 1)
            tally.add_void('RCH', 'the leader gave up')
        self.assertEqual(len(tally.problems()), 2)
        tally.add('CHR', story.REPLACED, set(), 1)
        tally.add('RCH', story.REPLACED, set(), 1)
        self.assertEqual(tally.problems(), [])


if __name__ == '__main__':
    unittest.main()
