"""`rutile txn`: transactions by commands on standard input."""
import re

from harness import ClusterTest, endpoints, run


class Shell(ClusterTest):
    def script(self, *lines, at, flags=()):
        return run('txn', *flags, at=at, stdin='\n'.join(lines) + '\n')

    def test_writes_are_seen_when_they_are_committed(self):
        at = self.serving().address
        result = self.assert_ok(self.script(
            'begin', 'put alice 90', 'put bob 110 and a half', 'get bob', 'delete carol', 'commit', at=at))
        begun, own, committed = result.stdout.splitlines()
        self.assertEqual(own, '110 and a half')
        self.assertLess(int(re.fullmatch(r'begun at (\d+)', begun)[1]),
                        int(re.fullmatch(r'committed at (\d+)', committed)[1]))
        self.assert_ok(self.script('scan', at=at), 'alice\t90\nbob\t110 and a half\n')
        self.assert_ok(self.script('scan b', at=at), 'bob\t110 and a half\n')
        self.assert_ok(self.script('scan a b', at=at), 'alice\t90\n')
        self.assert_ok(self.script('rscan', at=at), 'bob\t110 and a half\nalice\t90\n')
        self.assert_ok(self.script('rscan a b', at=at), 'alice\t90\n')

        # What is rolled back, or was left when the input ended, is not written.
        self.assert_ok(self.script('begin', 'put alice 0', 'rollback', at=at))
        self.assert_ok(self.script('begin', 'put alice 0', at=at))
        self.assert_ok(self.script('get alice', at=at), '90\n')
        self.assert_error(self.script('get dave', at=at), 1, 'not found', 'dave')

    def test_a_pessimistic_transaction_has_what_it_locks(self):
        at = self.serving().address
        self.assert_ok(self.script('put k v', at=at))
        lines = self.assert_ok(self.script(
            'begin pessimistic', 'lock k', 'lock absent', 'put k w', 'commit', 'get k', at=at)).stdout.splitlines()
        self.assertEqual(lines[1:3], ['locked\tv', 'locked'])
        self.assertRegex(lines[3], r'^committed at \d+$')
        self.assertEqual(lines[4], 'w')
        # What it leaves locked when the input ends is given up.
        self.assert_ok(self.script('begin pessimistic', 'lock k', at=at))
        self.assert_ok(self.script('begin pessimistic', 'lock k', 'rollback', 'put k x', at=at))

    def test_outside_of_a_transaction_a_command_is_one_of_its_own(self):
        at = self.serving().address
        self.assertRegex(self.assert_ok(self.script('put k v', at=at)).stdout, r'^committed at \d+\n$')
        self.assert_error(self.script('insert k w', at=at), 1, 'already-exists', 'key k')
        self.assert_ok(self.script('delete k', 'insert k w', at=at))
        self.assert_ok(self.script('get k', at=at), 'w\n')

    def test_transactions_of_a_keyspace(self):
        at = self.serving('data', '--api-version', 'v2').address
        self.assert_ok(run('keyspace', 'create', 'a', at=at), 'keyspace a has id 1\n')
        self.assert_ok(run('put', '--keyspace', 'a', 'k', 'raw', at=at))
        here, there = ('--keyspace', 'a'), ('--keyspace', 'DEFAULT')
        self.assert_ok(self.script('begin', 'put k v', 'put l w', 'scan', 'rscan', 'commit',
                                   at=at, flags=here))
        self.assert_ok(self.script('scan', at=at, flags=here), 'k\tv\nl\tw\n')
        self.assert_ok(self.script('rscan', at=at, flags=here), 'l\tw\nk\tv\n')
        self.assert_error(self.script('insert k x', at=at, flags=here), 1, 'already-exists', 'key k')
        self.assert_ok(self.script('scan', at=at, flags=there), '')
        self.assert_ok(run('scan', '--keyspace', 'a', at=at), 'k\traw\n')
        self.assert_error(self.script('get k', at=at, flags=('--keyspace', 'b')), 1,
                          'keyspace does not exist: b')
        self.assert_error(self.script('get k', at=at), 2, 'ApiVersionNotMatched', '--keyspace')

    def test_a_script_ends_with_its_first_mistake(self):
        at = self.serving().address
        for line, words in {'frobnicate k': ("unknown command 'frobnicate'", 'help'),
                            'get': ('get needs a key',),
                            'put k': ('put needs a value',),
                            'delete k v': ('nothing but a key',),
                            'begin optimistically': ("nothing but 'pessimistic'",),
                            'commit': ('no transaction',),
                            'rollback': ('no transaction',)}.items():
            self.assert_error(self.script(line, 'put k v', at=at), 2, *words)
        self.assert_error(self.script('begin', 'begin', at=at), 2, 'a transaction already')
        self.assert_error(self.script('get k', at=at), 1, 'not found')
        self.assertIn('insert KEY VALUE', self.assert_ok(self.script('help', at=at)).stdout)

    def test_over_three_nodes_and_values_of_any_size(self):
        nodes = self.cluster()
        for node in nodes:
            node.start()
        for node in nodes:
            node.await_listening()
        at = endpoints(nodes)
        self.assert_ok(self.script('begin', 'put short 1', 'put long ' + 'x' * 5000, 'commit', at=at))
        self.assert_ok(self.script('get long', 'get short', at=at), 'x' * 5000 + '\n1\n')
        self.assert_ok(self.script(r'put a\x00b \xff', r'scan a\x00 a\x01', at=at, flags=('--format', 'escaped')))
        result = self.script(r'get a\x00b', at=at, flags=('--format', 'escaped'))
        self.assert_ok(result, '\\xff\n')

    def test_without_a_server(self):
        self.assert_error(run('txn', '--timeout-ms', '500', at='127.0.0.1:1', stdin='begin\n'), 3, 'unavailable')
