"""`rutile wal` on the directory of a node that has run."""
import json
import os
import signal

from harness import ClusterTest, run


class WalTools(ClusterTest):
    def setUp(self):
        super().setUp()
        self.served = self.serving()
        self.data = self.path('data')
        for i in range(5):
            self.assert_ok(run('put', f'key-{i}', f'value-{i}', at=self.served.address))

    def wal(self, command, *flags):
        return run('wal', command, '--data', self.data, *flags)

    def stopped(self):
        self.served.stop(signal.SIGKILL)
        return self

    def regions(self):
        return json.loads(self.assert_ok(self.wal('stats', '--json')).stdout)['regions']

    def region_of_keys(self):
        """The one whose log has a key in it."""
        for line in self.assert_ok(self.wal('dump', '--json', '--payload')).stdout.splitlines():
            record = json.loads(line)
            for entry in record.get('entries', ()):
                if b'key-3'.hex() in entry['hex']:
                    return record['region'], record
        self.fail('no record holds the key')

    def test_a_running_node_is_left_alone(self):
        for command, *flags in (('verify',), ('dump',), ('stats',),
                                ('export', '--region', '2', '--out', self.path('out'))):
            with self.subTest(command=command):
                self.assert_error(self.wal(command, *flags), 1,
                                  f'in use by process {self.served.process.pid}', 'stop that process')

    def test_flags_and_directories_that_make_no_sense(self):
        self.assert_error(run('wal'), 2, 'subcommand')
        self.assert_error(run('wal', 'verify'), 2, '--data')
        self.assert_error(run('wal', 'verify', '--data', self.path('nowhere')), 2,
                          self.path('nowhere'), 'no log that can be read', 'data directory of a node')
        self.stopped()
        self.assert_error(self.wal('dump', '--segment', 'x.log'), 2, '--segment x.log')
        self.assert_error(self.wal('export', '--region', '77', '--out', self.path('out')), 1,
                          'no region 77')
        self.assertFalse(os.path.exists(self.path('out')))

    def test_a_clean_log(self):
        verified = self.assert_ok(self.stopped().wal('verify', '--name', 'n1'))
        self.assertRegex(verified.stdout, r'(?m)^clean: \d+ segments, \d+ batches, \d+ regions')
        region, record = self.region_of_keys()
        self.assertIn('append', record['kind'])
        text = self.assert_ok(self.wal('dump', '--region', str(region), '--from',
                                       str(record['first']), '--to', str(record['last']))).stdout
        self.assertRegex(text, rf'^wal/\w+\.log:{record["offset"]} batch {record["batch"]} region '
                               rf'{region} peer \d+ append')
        self.assertEqual(len(text.splitlines()), 1)
        held = [one for one in self.regions() if one['region'] == region][0]
        self.assertGreaterEqual(held['last'], record['last'])
        self.assertGreater(held['live_bytes'], 0)
        self.assertIn('space amplification', self.assert_ok(self.wal('stats')).stdout)
        other = self.wal('verify', '--name', 'n9')
        self.assertEqual(other.returncode, 70)
        self.assertRegex(other.stdout, r'(?m)^other-node IDENTITY .*belongs to node n1')

    def test_damage(self):
        _, record = self.stopped().region_of_keys()
        path = os.path.join(self.data, record['file'])
        with open(path, 'r+b') as file:
            file.seek(record['offset'] + 60)
            byte = file.read(1)
            file.seek(record['offset'] + 60)
            file.write(bytes([byte[0] ^ 1]))
        verified = self.wal('verify')
        self.assertEqual(verified.returncode, 70, verified.stdout)
        self.assertRegex(verified.stdout, rf'(?m)^broken-batch {record["file"]} at offset '
                                          rf'{record["offset"]}: .*; do: check the disk')
        dumped = self.wal('dump')
        self.assertEqual(dumped.returncode, 70)
        self.assertIn('broken-batch', dumped.stderr)
        self.assertIn('append', dumped.stdout)
        self.served.start()
        self.assertEqual(self.served.process.wait(timeout=40), 70)
        self.assertIn(f'{record["file"]} at offset {record["offset"]}', self.served.output())

    def test_export_and_import(self):
        region, _ = self.stopped().region_of_keys()
        out = self.path('region.log')
        exported = self.assert_ok(self.wal('export', '--region', str(region), '--out', out))
        self.assertIn(f'exported region {region}', exported.stdout)
        self.assert_error(self.wal('export', '--region', str(region), '--out', out), 2, 'exists')
        before = self.regions()
        self.assert_error(self.wal('import', '--in', out, '--replace'), 2,
                          'WARNING', 'acknowledged writes can be lost', '--i-accept-data-loss')
        self.assert_error(self.wal('import', '--in', out, '--i-accept-data-loss'), 1,
                          f'region {region} already', '--replace')
        self.assertEqual(self.regions(), before)
        done = self.assert_ok(self.wal('import', '--in', out, '--i-accept-data-loss', '--replace'))
        self.assertIn('WARNING', done.stderr)
        again = self.path('again.log')
        self.assert_ok(self.wal('export', '--region', str(region), '--out', again))
        with open(out, 'rb') as first, open(again, 'rb') as second:
            self.assertEqual(first.read(), second.read())
        self.served.start().await_listening()
        for i in range(5):
            self.assert_ok(run('get', f'key-{i}', at=self.served.address), f'value-{i}\n')

    def test_an_import_of_a_damaged_file(self):
        region, _ = self.stopped().region_of_keys()
        out = self.path('region.log')
        self.assert_ok(self.wal('export', '--region', str(region), '--out', out))
        with open(out, 'r+b') as file:
            file.truncate(os.path.getsize(out) - 1)
        self.assert_error(self.wal('import', '--in', out, '--i-accept-data-loss', '--replace'), 70,
                          out, 'at offset', 'cut short')
        self.assert_ok(self.wal('verify'))
