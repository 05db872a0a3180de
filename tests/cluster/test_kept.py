"""What was acknowledged is there again: after a kill, a full disk, a stop of the whole playground."""
import json
import os
import signal
import subprocess
import threading
import time

import harness
from harness import PATIENCE_SECONDS, ClusterTest, run


class Kept(ClusterTest):
    def test_by_a_killed_node(self):
        node = self.serving()
        pairs = ''.join(f'key{i:04}\tvalue{i}\n' for i in range(500))
        self.assert_ok(run('batch-put', '-', stdin=pairs, at=node.address), '500 pairs written\n')
        node.kill()
        node.start().await_listening()
        self.assert_ok(run('scan', 'key', 'kez', '--limit', '1000', at=node.address), pairs)

    def small_disk(self, size='230m'):
        if os.geteuid() != 0:
            self.skipTest('needs root to mount a small file system')
        disk = self.path('disk')
        os.mkdir(disk)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', disk],
                          capture_output=True).returncode:
            self.skipTest('no right to mount here')
        self.addCleanup(lambda: subprocess.run(['umount', '-l', disk], check=False))
        return disk

    def fill(self, disk, name='filler', leave=0):
        """The file that takes all that was free, or all but `leave` bytes."""
        filler = os.path.join(disk, name)
        with open(filler, 'wb', buffering=0) as file:  # Its end must find nothing left to write.
            try:
                while not leave or os.statvfs(disk).f_bavail * 4096 > leave:
                    file.write(b'\0' * (1 << 20))
            except OSError:
                pass
        return filler

    def test_by_a_node_that_was_killed_while_its_disk_was_full(self):
        disk = self.small_disk()
        node = self.serving('disk/data', '--disk-reserve-bytes', '4000000')
        self.assert_ok(run('put', 'key', 'value', at=node.address))
        node.kill()
        filler = self.fill(disk)

        # The log is beside the disk that is filled: without it this test would see nothing.
        node.log = self.path('node.log')
        node.start()
        harness.wait_until('the node to wait', lambda: 'starts when there is space' in node.output())
        self.assertEqual(node.stop(), 1, 'it ends when it is told to')
        self.assertIn('free some space', node.output())

        node.start()
        harness.wait_until('the node to wait', lambda: 'starts when there is space' in node.output())
        os.remove(filler)
        node.await_listening()
        self.assert_ok(run('get', 'key', at=node.address), 'value\n')

    def test_by_a_node_whose_disk_is_filled_while_it_starts(self):
        disk = self.small_disk('700m')
        node = self.serving('disk/data', '--disk-reserve-bytes', '4000000')
        self.assert_ok(run('put', 'key', 'value', at=node.address))
        node.log = self.path('node.log')
        for delay in (0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12):
            node.kill()
            ballast = self.fill(disk, 'ballast', leave=100 << 20)  # What is left is gone in no time.
            node.start()
            time.sleep(delay)
            filler = self.fill(disk)
            # It waits, or was faster and serves.
            time.sleep(0.5)
            running = node.running()
            os.remove(filler)
            os.remove(ballast)
            if not running:
                # An assertion of RocksDB's, in the few milliseconds in which it opens.
                self.assertIn('writable_file_writer', node.output(), f'after {delay} s')
                node.start()
            node.await_listening()
            self.assert_ok(run('get', 'key', at=node.address), 'value\n')

    def test_on_a_disk_that_was_full(self):
        disk = self.small_disk()
        node = self.serving('disk/data', '--disk-reserve-bytes', '4000000')
        filler = self.fill(disk)
        acknowledged, refused = [], None
        for i in range(100):
            names = [f'full{i:03}{j:02}' for j in range(50)]
            pairs = ''.join(f'{name}\t{"v" * 100_000}\n' for name in names)
            result = run('batch-put', '-', '--timeout-ms', '3000', stdin=pairs, at=node.address)
            if result.returncode != 0:
                refused = result
                break
            acknowledged += names
        self.assertIsNotNone(refused, 'all was written to a disk without space')
        self.assertTrue(refused.stderr.startswith('error: '), refused.stderr)
        self.assertIn('takes nothing that needs space', refused.stderr)
        self.assertTrue(node.running(), 'a full disk is no reason to stop')
        self.assertIn('refuses writes that need space', run('status', at=node.address).stdout)
        self.assert_ok(run('delete', 'absent', at=node.address))
        os.remove(filler)
        self.assert_ok(run('put', 'after', 'v', at=node.address))
        found = run('scan', 'full', 'fulm', '--limit', '5000', '--key-only', at=node.address)
        self.assert_ok(found)
        self.assertLessEqual(set(acknowledged), set(found.stdout.split()))


class Playground(ClusterTest):
    def start(self):
        process = subprocess.Popen([harness.binary, 'playground', '--nodes', '3', '--dir', self.scratch],
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        impatience = threading.Timer(PATIENCE_SECONDS, process.kill)  # Ends the lines below.
        impatience.start()
        self.addCleanup(impatience.cancel)
        endpoints = None
        for line in process.stdout:
            if 'RUTILE_ENDPOINTS=' in line:
                endpoints = line.strip().split('=', 1)[1]
            if 'Ctrl-C stops' in line:
                impatience.cancel()
                return process, endpoints
        raise AssertionError('the playground did not come up')

    def interrupt(self, process):
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=PATIENCE_SECONDS), 0)

    def test_comes_back_with_its_data_and_tells_of_a_dead_node(self):
        process, at = self.start()
        self.assert_ok(run('put', 'hello', 'world', at=at))
        self.assertTrue(json.loads(self.assert_ok(run('status', '--json', at=at)).stdout)['healthy'])
        begin = time.monotonic()
        self.interrupt(process)
        self.assertLess(time.monotonic() - begin, 15)

        process, at = self.start()
        self.assert_ok(run('get', 'hello', at=at), 'world\n')
        node = subprocess.run(['pgrep', '-f', f'serve --name n3 .*{self.scratch}'],
                              capture_output=True, text=True)
        os.kill(int(node.stdout.split()[0]), signal.SIGKILL)
        status = run('status', at=at)
        self.assertEqual(status.returncode, 4, status.stdout)
        self.assertIn('n3', status.stdout)
        self.assertIn('does not answer', status.stdout)
        self.assert_ok(run('get', 'hello', at=at), 'world\n')
        self.interrupt(process)
