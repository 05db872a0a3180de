"""Keys, values, ranges and commands that are wrong: what is said, and that nothing is lost."""
from harness import ClusterTest, free_port, run


class KeysAndValues(ClusterTest):
    def test_limits_are_configuration_and_their_violation_changes_nothing(self):
        node = self.serving('data', '--max-key-bytes', '100', '--max-value-bytes', '1000')
        at = node.address
        self.assert_ok(run('put', 'kept', 'before', at=at))

        self.assert_error(run('put', '', 'x', at=at), 2, 'key is empty')
        self.assert_error(run('get', '', at=at), 2, 'key is empty')
        self.assert_error(run('delete', '', at=at), 2, 'key is empty')
        self.assert_error(run('put', 'k' * 101, 'x', at=at), 2,
                          '101 bytes', 'limit is 100', 'max-key-bytes')
        self.assert_error(run('put', 'kept', '', at=at), 2, 'value is empty', 'allow-empty-values')
        self.assert_error(run('put', 'kept', 'v' * 1001, at=at), 2,
                          '1001 bytes', 'limit is 1000', 'max-value-bytes')
        self.assert_error(run('cas', 'kept', 'v' * 1001, '--expect', 'before', at=at), 2,
                          '1001 bytes', 'limit is 1000')
        # One bad pair, and none of the batch is written.
        batch = 'a\tgood\n' + 'b\t' + 'v' * 1001 + '\n'
        self.assert_error(run('batch-put', at=at, stdin=batch), 2, '1001 bytes', 'limit is 1000')

        self.assert_ok(run('scan', at=at), 'kept\tbefore\n')
        # What is just within the limits goes.
        self.assert_ok(run('put', 'k' * 100, 'v' * 1000, at=at))
        self.assert_ok(run('get', 'k' * 100, at=at), 'v' * 1000 + '\n')

    def test_a_request_larger_than_an_entry_may_be(self):
        node = self.serving('data', '--max-entry-bytes', '2000')
        self.assert_ok(run('put', 'kept', 'before', at=node.address))
        self.assert_error(run('put', 'kept', 'v' * 3000, at=node.address), 2,
                          'too large', 'limit is 2000')
        self.assert_ok(run('get', 'kept', at=node.address), 'before\n')

    def test_empty_values_where_they_are_allowed(self):
        node = self.serving('data', '--allow-empty-values', 'true')
        self.assert_ok(run('put', 'k', '', at=node.address))
        self.assert_ok(run('get', 'k', at=node.address), '\n')

    def test_text_hex_and_escaped(self):
        at = self.serving().address
        self.assert_ok(run('put', '00ff', '0a5c41', '--format', 'hex', at=at))
        self.assert_ok(run('get', r'\x00\xff', '--format', 'escaped', at=at), '\\x0a\\\\A\n')
        self.assert_ok(run('put', r'tab\x09', r'back\\slash', '--format', 'escaped', at=at))
        self.assert_ok(run('get', 'tab\t', at=at), 'back\\slash\n')
        self.assert_ok(run('scan', '--format', 'hex', at=at),
                       '00ff\t0a5c41\n74616209\t6261636b5c736c617368\n')
        self.assert_ok(run('batch-put', '--format', 'hex', at=at, stdin='01 02\n'),
                       '1 pairs written\n')
        self.assert_ok(run('cas', '01', '03', '--expect', '02', '--format', 'hex', at=at),
                       'swapped\n')
        self.assert_ok(run('get', '01', '--format', 'hex', at=at), '03\n')

        self.assert_error(run('put', '6b7', 'x', '--format', 'hex', at=at), 2,
                          "'6b7' at character 3", 'two hexadecimal digits')
        self.assert_error(run('put', r'a\q', 'x', '--format', 'escaped', at=at), 2,
                          'at character 2', 'expected')
        self.assert_error(run('put', r'a\x0', 'x', '--format', 'escaped', at=at), 2,
                          'at character 2', 'two hexadecimal digits')
        self.assert_error(run('put', 'k', 'x', '--format', 'morse', at=at), 2,
                          "unknown format 'morse'", 'text, hex and escaped')


class Commands(ClusterTest):
    def test_read_write_delete(self):
        at = self.serving().address
        self.assert_error(run('get', 'k', at=at), 1, 'not found', 'k')
        self.assert_ok(run('put', 'k', 'v', at=at))
        self.assert_ok(run('get', 'k', at=at), 'v\n')
        self.assert_ok(run('delete', 'k', at=at))
        self.assert_error(run('get', 'k', at=at), 1, 'not found')
        self.assert_ok(run('delete', 'k', at=at))  # What is not there can be deleted.

    def test_compare_and_swap(self):
        at = self.serving().address
        self.assert_error(run('cas', 'k', 'new', '--expect', 'old', at=at), 1, 'absent')
        self.assert_error(run('get', 'k', at=at), 1, 'not found')
        self.assert_ok(run('cas', 'k', 'one', at=at), 'swapped\n')
        self.assert_error(run('cas', 'k', 'two', at=at), 1, 'the value is one')
        self.assert_ok(run('cas', 'k', 'two', '--expect', 'one', at=at), 'swapped\n')
        self.assert_ok(run('get', 'k', at=at), 'two\n')

    def test_ranges(self):
        at = self.serving().address
        pairs = ''.join(f'k{i}\tv{i}\n' for i in range(6))
        self.assert_ok(run('batch-put', at=at, stdin=pairs), '6 pairs written\n')

        self.assert_error(run('scan', 'k5', 'k1', at=at), 2, 'range is empty')
        self.assert_error(run('scan', 'k1', 'k5', '--reverse', at=at), 2, 'range is empty')
        self.assert_error(run('delete-range', 'k5', 'k1', at=at), 2, 'reversed')
        self.assert_error(run('delete-range', 'k1', 'k1', at=at), 2, 'empty')
        self.assert_ok(run('scan', at=at), pairs)

        self.assert_ok(run('scan', 'k1', 'k3', at=at), 'k1\tv1\nk2\tv2\n')
        self.assert_ok(run('scan', 'k3', 'k1', '--reverse', '--key-only', at=at), 'k2\nk1\n')
        self.assert_ok(run('scan', '--limit', '2', '--key-only', at=at), 'k0\nk1\n')
        self.assert_ok(run('delete-range', 'k1', 'k5', at=at))
        self.assert_ok(run('scan', '--key-only', at=at), 'k0\nk5\n')

    def test_files_of_pairs_that_cannot_be_read(self):
        at = self.serving().address
        self.assert_error(run('batch-put', self.path('absent'), at=at), 2,
                          self.path('absent'), 'cannot be read')
        self.assert_error(run('batch-put', self.scratch, at=at), 2, self.scratch, 'cannot be read')
        self.assert_error(run('batch-put', at=at, stdin='a 1\nlonely\n'), 2, '-:2', 'expected a key')
        self.assert_ok(run('scan', at=at), '')

    def test_nobody_at_the_endpoint(self):
        nobody = f'127.0.0.1:{free_port()}'
        self.assert_error(run('get', 'k', '--timeout-ms', '500', at=nobody), 3,
                          'gave up after', nobody)
        self.assert_error(run('status', '--timeout-ms', '500', at=nobody), 3, 'no node answered')
        self.assert_error(run('get', 'k', '--timeout-ms', '-5', at=nobody), 2, '--timeout-ms')
        self.assert_error(run('put', 'k', 'v', '--ttl', '-1', at=nobody), 2, '--ttl')

    def test_one_dead_endpoint_of_two_is_no_error(self):
        at = f'127.0.0.1:{free_port()},{self.serving().address}'
        self.assert_ok(run('put', 'k', 'v', at=at))
        self.assert_ok(run('get', 'k', at=at), 'v\n')
