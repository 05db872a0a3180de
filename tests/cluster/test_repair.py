"""A node whose log has lost what some of its entries say, among others and alone."""
import glob
import os

from harness import ClusterTest, endpoints, run, wait_until

VALUE = 'worth-keeping-5-'


class Repair(ClusterTest):
    def damage(self, node):
        """One bit of the value, where its log has it last."""
        for path in sorted(glob.glob(os.path.join(node.directory, 'wal', '*.log')), reverse=True):
            with open(path, 'r+b') as file:
                at = file.read().rfind(VALUE.encode())
                if at < 0:
                    continue
                file.seek(at + 3)
                file.write(b'!')
            return
        self.fail('no segment of the log holds the value')

    def put_some(self, at):
        for i in range(10):
            self.assert_ok(run('put', f'key-{i}', f'worth-keeping-{i}-', at=at))

    def test_a_node_gets_back_what_its_disk_has_lost(self):
        nodes = self.cluster()
        for node in nodes:
            node.start()
        for node in nodes:
            node.await_listening()
        at = endpoints(nodes)
        self.put_some(at)
        node = nodes[1]
        wait_until('n2 to have it all', lambda: all(
            one['durable'] == one['last'] == one['committed'] for one in node.status()['replicas']))
        node.kill()
        self.damage(node)
        verified = run('wal', 'verify', '--data', node.directory)
        self.assertEqual(verified.returncode, 70, verified.stdout)
        self.assertRegex(verified.stdout, r'(?m)^holed-batch wal/\w+\.log at offset \d+: entries of region 2 from')
        self.assertRegex(verified.stdout, r'(?m)^lost-entries region 2 peer \d+: .* do: start the node')
        self.assertRegex(verified.stdout, r'(?m)^damaged: .*; 1 that a node starts with, 1 regions')
        node.start().await_listening()
        self.assertIn('the disk has lost entries of a log', node.output())
        wait_until('n2 to have it back', lambda: 'has back what its disk had lost' in node.output())
        self.assertNotIn('impaired_until', str(node.status()['replicas']))
        for i in range(10):
            self.assert_ok(run('get', f'key-{i}', at=at), f'worth-keeping-{i}-\n')
        # With it, and without another that has it.
        nodes[0].kill()
        for i in range(10):
            self.assert_ok(run('get', f'key-{i}', at=at), f'worth-keeping-{i}-\n')

    def test_alone_a_node_does_not_start(self):
        node = self.serving()
        self.put_some(node.address)
        node.kill()
        self.damage(node)
        for _ in range(2):
            node.start()
            self.assertEqual(node.process.wait(timeout=40), 70)
            self.assertRegex(node.output(), r'the log is damaged: wal/\w+\.log at offset \d+: entries of region 2 '
                                            'from .*no other voter')
