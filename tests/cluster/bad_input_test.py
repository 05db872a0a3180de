#!/usr/bin/env python3
"""What the program says when it is used wrongly, or meets what it must not touch.

Runs real processes of the binary named by RUTILE (or the first argument) in a temporary directory, on
free ports of loopback. Every message must say what, where and what to do, and nothing may be lost.
"""
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BINARY = os.environ.get('RUTILE', 'build/release/src/cmd/rutile')
READY_SECONDS = 30


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Node:
    """A `rutile serve` process."""

    def __init__(self, directory, *flags, port=None):
        self.port = port or free_port()
        self.directory = directory
        self.log = open(directory + '.log', 'a+')
        self.process = subprocess.Popen(
            [BINARY, 'serve', '--data', directory, '--listen', f'127.0.0.1:{self.port}', *flags],
            stdout=self.log, stderr=self.log)

    @property
    def endpoint(self):
        return f'127.0.0.1:{self.port}'

    def await_ready(self):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if run('put', 'ready', 'yes', '--timeout-ms', '1000', endpoint=self.endpoint).returncode == 0:
                return self
            if self.process.poll() is not None:
                break
        raise AssertionError('the node did not come up:\n' + self.output())

    def output(self):
        self.log.flush()
        with open(self.log.name) as f:
            return f.read()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=20)

    def discard(self):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        self.log.close()


def run(*arguments, endpoint=None, stdin=''):
    environment = dict(os.environ)
    if endpoint:
        environment['RUTILE_ENDPOINTS'] = endpoint
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, env=environment,
                          input=stdin, timeout=60)


class BadInput(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix='rutile-cluster-')
        self.addCleanup(self.scratch.cleanup)

    def path(self, name):
        return os.path.join(self.scratch.name, name)

    def start(self, name='data', *flags, port=None):
        node = Node(self.path(name), *flags, port=port)
        self.addCleanup(node.discard)
        return node

    def serve_fails(self, *flags, data='data'):
        """Runs a node that must refuse to start."""
        listen = () if '--listen' in flags else ('--listen', f'127.0.0.1:{free_port()}')
        return subprocess.run([BINARY, 'serve', '--data', self.path(data), *listen, *flags],
                              capture_output=True, text=True, timeout=30)

    def assert_says(self, result, code, *words):
        text = result.stderr + result.stdout
        self.assertEqual(result.returncode, code, text)
        for word in words:
            self.assertIn(word, text)

    # --- Keys, values and ranges.

    def test_keys_and_values(self):
        node = self.start('data', '--max-key-bytes', '100', '--max-value-bytes', '1000').await_ready()
        at = {'endpoint': node.endpoint}
        self.assert_says(run('put', '', 'v', **at), 2, 'key is empty')
        self.assert_says(run('put', 'k' * 101, 'v', **at), 2, '101 bytes', 'limit is 100', 'max-key-bytes')
        self.assert_says(run('put', 'k', '', **at), 2, 'value is empty', 'allow-empty-values')
        self.assert_says(run('put', 'k', 'v' * 1001, **at), 2, '1001 bytes', 'limit is 1000', 'max-value-bytes')
        self.assert_says(run('get', '', **at), 2, 'key is empty')
        self.assert_says(run('get', 'absent', **at), 1, 'not found')
        self.assert_says(run('put', '6b7', 'v', '--format', 'hex', **at), 2, 'hexadecimal')
        self.assert_says(run('put', 'k', 'v', '--format', 'morse', **at), 2, 'text, hex and escaped')
        self.assert_says(run('get', 'ready', **at), 0, 'yes')

    def test_entry_too_large(self):
        node = self.start('data', '--max-entry-bytes', '2000').await_ready()
        result = run('put', 'k', 'v' * 3000, endpoint=node.endpoint)
        self.assert_says(result, 2, 'too large', 'limit is 2000')

    def test_ranges(self):
        node = self.start().await_ready()
        at = {'endpoint': node.endpoint}
        self.assert_says(run('scan', 'b', 'a', **at), 2, 'range is empty')
        self.assert_says(run('scan', 'a', 'b', '--reverse', **at), 2, 'range is empty')
        self.assert_says(run('delete-range', 'b', 'a', **at), 2, 'reversed')
        self.assert_says(run('delete-range', 'a', 'a', **at), 2, 'empty')
        self.assert_says(run('batch-put', self.path('absent'), **at), 2, 'cannot be read')
        self.assert_says(run('batch-put', '-', stdin='lonely\n', **at), 2, '-:1', 'expected a key')
        self.assert_says(run('get', 'ready', **at), 0, 'yes')
        self.assert_says(run('scan', 'z', 'a', '--reverse', **at), 0, 'ready\tyes')

    # --- Directories.

    def test_directory_in_use(self):
        node = self.start().await_ready()
        result = self.serve_fails()
        self.assert_says(result, 1, 'in use by process', str(node.process.pid))
        self.assert_says(run('get', 'ready', endpoint=node.endpoint), 0, 'yes')

    def test_directory_of_another_node(self):
        node = self.start().await_ready()
        self.assertEqual(node.stop(), 0)
        self.assert_says(self.serve_fails('--name', 'other'), 1, 'belongs to node n1', '--data')

    def test_directory_of_another_cluster(self):
        a, b = free_port(), free_port()
        self.start('data', '--cluster', f'n1=127.0.0.1:{a}', '--name', 'n1', port=a).await_ready().stop()
        result = self.serve_fails('--name', 'n1', '--cluster', f'n1=127.0.0.1:{a},n2=127.0.0.1:{b}')
        self.assert_says(result, 1, 'belongs to cluster', '--cluster')

    def patch_identity(self, change):
        path = self.path('data') + '/IDENTITY'
        with open(path, 'rb') as f:
            contents = f.read()
        magic, rest = contents.split(b'\n', 1)
        body = change(bytearray(rest[4:]))
        with open(path, 'wb') as f:
            f.write(magic + b'\n' + struct.pack('<I', crc32c(body)) + body)
        return contents

    def test_newer_and_damaged_identity(self):
        node = self.start().await_ready()
        self.assertEqual(node.stop(), 0)

        def newer(body):
            body[0:4] = struct.pack('<I', 99)
            return bytes(body)
        original = self.patch_identity(newer)
        self.assert_says(self.serve_fails(), 1, 'format 99', 'newer')
        path = self.path('data') + '/IDENTITY'
        with open(path, 'wb') as f:
            f.write(original[:-1] + b'?')
        self.assert_says(self.serve_fails(), 70, 'IDENTITY', 'does not verify')
        with open(path, 'wb') as f:
            f.write(original)
        again = self.start(port=node.port).await_ready()
        self.assert_says(run('get', 'ready', endpoint=again.endpoint), 0, 'yes')

    # --- Ports, flags and configuration.

    def test_port_in_use(self):
        node = self.start().await_ready()
        result = self.serve_fails('--listen', node.endpoint, data='second')
        self.assert_says(result, 1, node.endpoint)
        status = self.serve_fails('--status-listen', node.endpoint, data='third')
        self.assert_says(status, 1, node.endpoint)

    def test_flags(self):
        self.assert_says(run('serve', '--colour'), 2, '--colour')
        self.assert_says(run('frobnicate'), 2, 'frobnicate')
        self.assert_says(run(), 2, 'subcommand')
        self.assert_says(run('serve', '--log-level', 'loud', '--data', self.path('d')), 2, 'loud', 'debug')
        self.assert_says(run('serve', '--election-timeout-ms', '5', '--data', self.path('d')), 2, '100 to 60000')
        self.assert_says(self.serve_fails('--listen', 'nowhere'), 2, 'nowhere')
        for bad in ('n1', 'n1=host', '=h:1', 'n1=h:1,n1=h:2', 'n1=h:1,n2=h:1'):
            self.assert_says(self.serve_fails('--cluster', bad), 2, '--cluster', 'expected name=host:port')
        self.assert_says(self.serve_fails('--name', 'n9', '--cluster', 'n1=h:1,n2=h:2'), 2, 'n9', 'no node of that name')

    def test_configuration(self):
        config = self.path('rutile.toml')
        self.assert_says(self.serve_fails('--config', config), 2, config, 'cannot be read')
        for text, words in (
                ('name = ', (':1:', )),
                ('name = "n1"\ncolour = "red"\n', (':2:', "unknown key 'colour'")),
                ('max-key-bytes = [1]\n', (':1:', 'max-key-bytes')),
                ('max-key-bytes = "many"\nlease-reads = "perhaps"\n', (':1:', ':2:'))):
            with open(config, 'w') as f:
                f.write(text)
            self.assert_says(self.serve_fails('--config', config), 2, config, *words)
        with open(config, 'w') as f:
            f.write('max-key-bytes = 50\nlog-level = "warn"\n')
        self.assert_says(self.serve_fails('--config', config, '--check-config'), 0, 'good')

    def test_nobody_there(self):
        result = run('get', 'k', '--timeout-ms', '500', endpoint=f'127.0.0.1:{free_port()}')
        self.assert_says(result, 3, 'gave up after 500 ms')
        self.assert_says(run('status', '--timeout-ms', '500', endpoint=f'127.0.0.1:{free_port()}'), 3, 'no node answered')

    # --- Nothing is lost.

    def test_a_killed_node_keeps_what_it_acknowledged(self):
        node = self.start().await_ready()
        pairs = ''.join(f'key{i:04}\tvalue{i}\n' for i in range(500))
        self.assert_says(run('batch-put', '-', stdin=pairs, endpoint=node.endpoint), 0, '500 pairs')
        node.stop(signal.SIGKILL)
        again = self.start(port=node.port).await_ready()
        result = run('scan', 'key', 'kez', '--limit', '1000', endpoint=again.endpoint)
        self.assertEqual(result.stdout, pairs)

    def test_no_space_left(self):
        if os.geteuid() != 0:
            self.skipTest('needs root to mount a small file system')
        disk = self.path('disk')
        os.mkdir(disk)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=230m', 'tmpfs', disk], capture_output=True).returncode:
            self.skipTest('no right to mount here')
        self.addCleanup(lambda: subprocess.run(['umount', '-l', disk], check=False))
        node = self.start('disk/data').await_ready()
        filler = os.path.join(disk, 'filler')
        with open(filler, 'wb') as f:
            try:
                while True:
                    f.write(b'\0' * 65536)
            except OSError:
                pass
        acknowledged = []
        for i in range(100):
            names = [f'full{i:03}{j:02}' for j in range(50)]
            pairs = ''.join(f'{name}\t{"v" * 100_000}\n' for name in names)
            result = run('batch-put', '-', '--timeout-ms', '3000', stdin=pairs, endpoint=node.endpoint)
            if result.returncode != 0:
                self.assertTrue(result.stderr.startswith('error: '), result.stderr)
                break
            acknowledged += names
        os.remove(filler)
        if node.process.poll() is not None:
            self.assertIn('space', node.output().lower())
            node = self.start('disk/data', port=node.port)
        node.await_ready()
        found = run('scan', 'full', 'fulm', '--limit', '5000', '--key-only', endpoint=node.endpoint)
        self.assertTrue(set(acknowledged) <= set(found.stdout.split()), 'acknowledged writes are missing')


class Playground(unittest.TestCase):
    def start(self, directory):
        process = subprocess.Popen([BINARY, 'playground', '--nodes', '3', '--dir', directory],
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        endpoints = None
        for line in process.stdout:
            if 'RUTILE_ENDPOINTS=' in line:
                endpoints = line.strip().split('=', 1)[1]
            if 'Ctrl-C stops' in line:
                return process, endpoints
        raise AssertionError('the playground did not come up')

    def test_comes_back_with_its_data_and_tells_of_a_dead_node(self):
        with tempfile.TemporaryDirectory(prefix='rutile-cluster-') as directory:
            process, endpoints = self.start(directory)
            self.assertEqual(run('put', 'hello', 'world', endpoint=endpoints).returncode, 0)
            status = run('status', '--json', endpoint=endpoints)
            self.assertEqual(status.returncode, 0, status.stdout)
            self.assertTrue(json.loads(status.stdout)['healthy'])
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=20), 0)
            self.assertLess(time.monotonic() - begin, 15)

            process, endpoints = self.start(directory)
            self.assertEqual(run('get', 'hello', endpoint=endpoints).stdout, 'world\n')
            nodes = subprocess.run(['pgrep', '-f', f'serve --name n3 .*{directory}'], capture_output=True, text=True)
            os.kill(int(nodes.stdout.split()[0]), signal.SIGKILL)
            status = run('status', endpoint=endpoints)
            self.assertEqual(status.returncode, 4, status.stdout)
            self.assertIn('n3', status.stdout)
            self.assertIn('does not answer', status.stdout)
            self.assertEqual(run('get', 'hello', endpoint=endpoints).stdout, 'world\n')
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=20), 0)


if __name__ == '__main__':
    if len(sys.argv) > 1 and not sys.argv[1].startswith('-') and os.path.exists(sys.argv[1]):
        BINARY = sys.argv.pop(1)
    unittest.main(verbosity=2)
