"""`rutile wal` on the directory of a node that has run."""
import json
import os
import signal
import subprocess

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

    def test_a_read_only_mount(self):
        region, _ = self.stopped().region_of_keys()
        with open(os.path.join(self.data, 'LOCK'), 'rb') as lock:
            holder = lock.read()
        if subprocess.run(['mount', '--bind', self.data, self.data], capture_output=True).returncode:
            self.skipTest('this user may not mount')
        self.addCleanup(subprocess.run, ['umount', '--lazy', self.data])
        subprocess.run(['mount', '-o', 'remount,ro,bind', self.data], check=True)
        self.assertIn('append', self.assert_ok(self.wal('dump')).stdout)
        self.assert_ok(self.wal('verify'))
        self.assert_ok(self.wal('stats'))
        out = self.path('region.log')
        self.assert_ok(self.wal('export', '--region', str(region), '--out', out))
        self.assert_error(self.wal('import', '--in', out, '--i-accept-data-loss', '--replace'), 1,
                          'Read-only file system')
        with open(os.path.join(self.data, 'LOCK'), 'rb') as lock:
            self.assertEqual(lock.read(), holder)

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


class Streams(ClusterTest):
    """A log of several streams, whose number changes from start to start."""

    def test_regions_move_with_the_number_and_keep_what_they_have(self):
        node = self.node('data')
        put = 0
        for streams in (1, 3, 2, 3, 1):
            node.flags = ('--log-streams', str(streams))
            node.start().await_listening()
            for i in range(put):
                self.assert_ok(run('get', f'key-{i}', at=node.address), f'value-{i}\n')
            self.assert_ok(run('put', f'key-{put}', f'value-{put}', at=node.address))
            put += 1
            node.kill()
            has = sorted(name for name in os.listdir(node.directory)
                         if name.startswith('wal') and os.listdir(os.path.join(node.directory, name)))
            self.assertEqual(has, ['wal', 'wal.1', 'wal.2'][:streams])
            stats = json.loads(self.assert_ok(run('wal', 'stats', '--json', '--data',
                                                  node.directory)).stdout)
            self.assertEqual(sorted(one['region'] for one in stats['regions']), [1, 2])
            self.assertEqual({os.path.dirname(one['file']) for one in stats['segments']}, set(has))
            verified = self.assert_ok(run('wal', 'verify', '--data', node.directory)).stdout
            self.assertRegex(verified, r'(?m)^clean: \d+ segments, \d+ batches, 2 regions'
                                       + (f' in {streams} streams' if streams > 1 else '$'))
        self.assertRegex(node.output(), 'the log has another number of streams.*before=3.*now=1')

    def test_what_tools_do_with_several(self):
        node = self.serving('data', '--log-streams', '2')
        self.assert_ok(run('put', 'key', 'value', at=node.address))
        node.kill()
        directory = node.directory
        dumped = self.assert_ok(run('wal', 'dump', '--data', directory)).stdout
        self.assertRegex(dumped, r'(?m)^wal/\w+\.log:\d+ batch \d+ region 2 ')
        self.assertRegex(dumped, r'(?m)^wal\.1/\w+\.log:\d+ batch \d+ region 1 ')
        one = self.assert_ok(run('wal', 'dump', '--data', directory, '--segment',
                                 'wal.1/0000000000000001.log')).stdout
        self.assertNotIn('region 2', one)
        self.assertIn('region 1', one)
        for region in ('1', '2'):
            out = self.path(f'region-{region}')
            self.assert_ok(run('wal', 'export', '--data', directory, '--region', region,
                               '--out', out))
            self.assert_ok(run('wal', 'import', '--data', directory, '--in', out, '--replace',
                               '--i-accept-data-loss'))
        node.start().await_listening()
        self.assert_ok(run('get', 'key', at=node.address), 'value\n')

    def test_a_disk_that_is_not_mounted(self):
        node = self.serving('data', '--log-streams', '2')
        self.assert_ok(run('put', 'key', 'value', at=node.address))
        node.kill()
        away = os.path.join(node.directory, 'wal.1')
        os.rename(away, self.path('away'))
        for streams in ('1', '2', '3'):
            node.flags = ('--log-streams', streams)
            node.start()
            self.assertEqual(node.process.wait(timeout=40), 70)
            self.assertIn('wal.1: this node keeps a part of its log here', node.output())
        verified = run('wal', 'verify', '--data', node.directory)
        self.assertNotEqual(verified.returncode, 0)
        self.assertIn('wal.1', verified.stdout + verified.stderr)
        os.rename(self.path('away'), away)
        node.start().await_listening()
        self.assert_ok(run('get', 'key', at=node.address), 'value\n')

    def test_numbers_that_make_no_sense(self):
        for number in ('0', '17', 'two'):
            self.assert_error(self.refused('--log-streams', number), 2, '--log-streams')
