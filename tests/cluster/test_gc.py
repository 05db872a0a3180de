"""How far old versions may be removed: `rutile gc`, and the rounds that nodes make by themselves."""
import re
import urllib.request

import wire
from harness import ClusterTest, endpoints, free_port, run, wait_until

NEVER = 2**63 - 1


class Rounds(ClusterTest):
    def begun(self, at):
        """The timestamp of a transaction that begins now."""
        result = self.assert_ok(run('txn', at=at, stdin='begin\n'))
        return int(re.fullmatch(r'begun at (\d+)\n', result.stdout)[1])

    def leave_locks(self, at, node, start, ttl_ms, *keys):
        """What a client leaves that dies before its commit; the first key is the primary."""
        def route():
            answer = wire.fields(wire.call(node, '/pdpb.PD/GetRegion', b''))
            return answer if 3 in answer else None
        found = wait_until('placement to know who leads the region', route)
        region = wire.fields(found[2][0])
        context = wire.message((1, region[1][0]), (2, region[4][0]), (3, found[3][0]))
        address = self.address_of(at, wire.fields(found[3][0])[2][0])
        mutations = [(2, wire.message((2, key.encode()), (3, b'never committed'))) for key in keys]
        answer = wire.fields(wire.call(address, '/tikvpb.Tikv/KvPrewrite', wire.message(
            (1, context), *mutations, (3, keys[0].encode()), (4, start), (5, ttl_ms))))
        self.assertEqual(answer, {})

    @staticmethod
    def address_of(at, store):
        answer = wire.call(at.split(',')[0], '/pdpb.PD/GetStore', wire.message((2, store)))
        return wire.fields(wire.fields(answer)[2][0])[2][0].decode()

    def round(self, at, life_ms=1000):
        """(safe point, whether it was raised, what holds it back, locks, regions) of one by hand."""
        text = self.assert_ok(run('gc', '--life-ms', str(life_ms), at=at)).stdout
        match = re.fullmatch(r'(the safe point was raised to|nothing to do: the safe point stays at) (\d+)'
                             r'(?:; held back by (.*))?\nlocks resolved: (\d+), regions: (\d+)\n', text)
        self.assertIsNotNone(match, text)
        return int(match[2]), not match[1].startswith('nothing'), match[3], int(match[4]), int(match[5])

    def round_above(self, at, timestamp):
        """The first round that raises the safe point at least so far."""
        def above():
            outcome = self.round(at)
            return outcome if outcome[0] >= timestamp else None
        return wait_until(f'a safe point of {timestamp}', above)

    def test_locks_of_a_dead_client_are_resolved_first(self):
        at = self.serving().address
        self.assert_ok(run('txn', at=at, stdin='put a 1\n'))
        start = self.begun(at)
        self.leave_locks(at, at, start, 1, 'a', 'b')
        safe_point, raised, held_by, locks, regions = self.round_above(at, start)
        self.assertTrue(raised)
        self.assertIsNone(held_by)
        self.assertEqual((locks, regions), (2, 1))
        self.assert_ok(run('txn', at=at, stdin='get a\n'), '1\n')
        # Nodes hear of it by and by.
        wait_until('status to tell of it', lambda: re.search(
            r'\ngarbage of transactions: up to \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC; \d+ records removed since the nodes '
            r'started, \d+ regions to go\n', self.assert_ok(run('status', at=at)).stdout))
        # It never goes back, whatever is asked for.
        self.assertEqual(self.round(at, life_ms=600_000), (safe_point, False, None, 0, 0))

    def test_a_transaction_that_lives_holds_it_back(self):
        at = self.serving().address
        start = self.begun(at)
        self.leave_locks(at, at, start, 600_000, 'k')
        safe_point, _, held_by, locks, _ = wait_until('the lock to be old enough', lambda: (
            lambda outcome: outcome if outcome[2] else None)(self.round(at)))
        self.assertEqual(safe_point, start - 1)
        self.assertEqual(held_by, f'transaction {start}, which has a lock on key k')
        self.assertEqual(locks, 0)

    def test_a_service_holds_it_back_until_it_withdraws(self):
        at = self.serving().address
        wanted = self.begun(at)

        def wish(ttl):
            wire.call(at, '/pdpb.PD/UpdateServiceGCSafePoint',
                      wire.message((2, b'backup'), (3, ttl), (4, wanted)))
        wish(NEVER)
        safe_point, _, held_by, _, _ = self.round_above(at, wanted)
        self.assertEqual((safe_point, held_by), (wanted, 'service backup'))
        self.assertEqual(self.round(at)[:3], (wanted, False, 'service backup'))
        wish(0)
        self.assertEqual(self.round(at)[1:3], (True, None))

    def test_nodes_make_rounds_by_themselves(self):
        nodes = self.cluster('--gc-interval-ms', '200', '--gc-life-ms', '1000')
        pages = {}
        for node in nodes:
            pages[node.name] = f'127.0.0.1:{free_port()}'
            node.flags = (*node.flags, '--status-listen', pages[node.name])
            node.start()
        for node in nodes:
            node.await_listening()
        at = endpoints(nodes)
        start = self.begun(at)
        self.leave_locks(at, nodes[0].address, start, 1, 'a', 'b')

        def numbers(name):
            with urllib.request.urlopen(f'http://{pages[name]}/metrics') as page:
                text = page.read().decode()
            return {sample: float(value) for sample, value in
                    re.findall(r'^((?:rutile_gc|tikv_gcworker)\S+) (\S+)$', text, re.M)}
        wait_until('the locks to be resolved', lambda: sum(
            numbers(node.name)['rutile_gc_locks_resolved_total'] for node in nodes) == 2)
        wait_until('the safe point on all nodes', lambda: all(
            numbers(node.name)['tikv_gcworker_autogc_safe_point'] >= start for node in nodes))
        self.assertTrue(any(numbers(node.name)['rutile_gc_rounds_total{outcome="raised"}'] for node in nodes))
        self.assertTrue(any('the safe point was raised' in node.output() for node in nodes))
        # And it ends, in the middle of a round or not.
        for node in nodes:
            self.assertEqual(node.stop(), 0, node.output())

    def test_wrong_times(self):
        for flags, words in ((('--gc-life-ms', '999'), ('--gc-life-ms 999', '1000 milliseconds')),
                             (('--gc-interval-ms', '99'), ('--gc-interval-ms 99', '100 milliseconds')),
                             (('--gc-interval-ms', '-1'), ('--gc-interval-ms -1',)),
                             (('--gc-life-ms', '9999999999999'), ('30 days',))):
            with self.subTest(flags=flags):
                self.assert_error(self.refused(*flags), 2, *words)
        self.assert_error(run('gc', '--life-ms', '5', at='127.0.0.1:1'), 2, '--life-ms 5')
        config = self.path('config.toml')
        for line, code in (('gc-life-ms = 2000\ngc-interval-ms = 0', 0), ('gc-life-ms = 2', 2)):
            with open(config, 'w', encoding='utf-8') as file:
                file.write(line + '\n')
            self.assertEqual(run('serve', '--config', config, '--check-config').returncode, code, line)

    def test_without_a_server(self):
        self.assert_error(run('gc', '--timeout-ms', '500', at='127.0.0.1:1'), 3, 'a timestamp')
