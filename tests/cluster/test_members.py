"""Replicas are moved between nodes while the data are there."""
import re

from harness import ClusterTest, endpoints, run, wait_until

REGION = '2'


class Members(ClusterTest):
    def start(self):
        """Four nodes, the first three with the data."""
        nodes = self.cluster('--replicas', '3', names=('n1', 'n2', 'n3', 'n4'))
        for node in nodes:
            node.start()
        for node in nodes:
            node.await_listening()
        self.at = endpoints(nodes)
        self.pairs = ''.join(f'key{i:04}\tvalue{i}\n' for i in range(300))
        self.assert_ok(run('batch-put', '-', stdin=self.pairs, at=self.at))
        return nodes

    def replica(self, node):
        """What the node says of its replica of the data, if it has one."""
        status = node.status()
        replicas = [one for one in status['replicas'] if one['region'] == int(REGION)] if status else []
        return replicas[0] if replicas else None

    def assert_all_there(self):
        self.assert_ok(run('scan', 'key', 'kez', '--limit', '1000', at=self.at), self.pairs)

    def test_a_replica_moves_and_comes_back(self):
        nodes = self.start()
        self.assertIsNone(self.replica(nodes[3]))
        first = str(self.replica(nodes[0])['peer'])
        moved = run('region', 'move-peer', REGION, first, '4', at=self.at)
        self.assert_ok(moved)
        new = re.search(r'adding peer (\d+) on store 4', moved.stdout)[1]
        wait_until('n4 to have the replica', lambda: (self.replica(nodes[3]) or {}).get('peer') == int(new))
        wait_until('n1 to be rid of it', lambda: nodes[0].status() and self.replica(nodes[0]) is None)
        self.assert_all_there()

        # A node that has lost the region answers for it no more, also after a restart. It was killed before it had
        # that on disk, perhaps; then the others tell it again.
        nodes[0].kill()
        nodes[0].start().await_listening()
        wait_until('n1 to be rid of it still', lambda: nodes[0].status() and self.replica(nodes[0]) is None)
        self.assert_ok(run('region', 'add-peer', REGION, '1', at=self.at))
        members = wait_until('n1 to vote again', lambda: [
            one for one in (self.replica(nodes[0]) or {'members': []})['members']
            if one['store'] == 1 and one['role'] == 'voter'])
        self.assertGreater(members[0]['peer'], int(new))
        self.assert_all_there()

    def test_leaders_rebuilt_replicas_and_what_is_refused(self):
        nodes = self.start()
        peers = {node.name: self.replica(node)['peer'] for node in nodes[:3]}
        for name in ('n1', 'n2'):
            self.assert_ok(run('region', 'transfer-leader', REGION, str(peers[name]), at=self.at))
        wait_until('n2 to lead', lambda: self.replica(nodes[1])['role'] == 'leader')
        self.assert_ok(run('region', 'rebuild-peer', REGION, str(peers['n3']), at=self.at))
        wait_until('n3 to have another replica',
                   lambda: (self.replica(nodes[2]) or {'peer': peers['n3']})['peer'] != peers['n3'])
        self.assert_all_there()
        refused = run('region', 'remove-peer', REGION, str(peers['n3']), at=self.at)
        self.assert_error(refused, 1, f'region {REGION} has no peer {peers["n3"]}')
        self.assert_error(run('region', 'add-peer', REGION, '1', at=self.at), 1, 'already')
        self.assert_error(run('region', 'add-peer', REGION, '9', at=self.at), 1, 'no store 9')
        self.assert_error(run('region', 'remove-peer', '1', '100', at=self.at), 1, 'keeps the members')
        self.assert_error(run('region', 'remove-peer', '77', '1', '--wait-seconds', '1', at=self.at), 3,
                          'region 77 has no leader')
