"""Real processes of the program for the tests of this directory: nodes, clusters, commands.

Everything waits for something that can be seen, and no wait is without an end. Processes are ended
by the tests that started them, whatever happens in between.
"""
import json
import os
import random
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

# Of anything that must happen. A machine with two cores may run other tests at the same time.
PATIENCE_SECONDS = 40

binary = os.environ.get('RUTILE', 'build/release/src/cmd/rutile')

_given_ports = set()


def free_port():
    """A port that nobody listens on. Below those that the system hands to outgoing connections, so
    that none of those takes it before the node that is meant to."""
    while True:
        port = random.randint(15000, 31000)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
        _given_ports.add(port)
        return port


def wait_until(what, condition):
    """The first true value of condition(). `what` names it in the failure."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'waited {PATIENCE_SECONDS} s for {what}')
        time.sleep(0.05)


def run(*arguments, at=None, stdin='', timeout=PATIENCE_SECONDS):
    """One command; `at` is the endpoints it talks to."""
    environment = dict(os.environ)
    environment.pop('RUTILE_ENDPOINTS', None)
    if at is not None:
        environment['RUTILE_ENDPOINTS'] = at
    return subprocess.run([binary, *arguments], capture_output=True, text=True, env=environment,
                          input=stdin, timeout=timeout)


def crc32c(data):
    """CRC-32C, by its definition: what IDENTITY is guarded with."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def with_identity_format(identity, number):
    """The bytes of an IDENTITY file, said to be of another format and whole."""
    magic, rest = identity.split(b'\n', 1)
    body = struct.pack('<I', number) + rest[8:]
    return magic + b'\n' + struct.pack('<I', crc32c(body)) + body


class Node:
    """A `rutile serve` process and the directory it runs on."""

    def __init__(self, directory, *flags, name='n1', port=None, host='127.0.0.1'):
        self.directory = directory
        self.log = directory + '.log'
        self.flags = flags
        self.name = name
        self.port = port or free_port()
        self.listen = f'{host}:{self.port}'
        self.process = None

    @property
    def address(self):
        return f'127.0.0.1:{self.port}'

    def start(self):
        # What it says after this start, and only that.
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                [binary, 'serve', '--name', self.name, '--data', self.directory,
                 '--listen', self.listen, *self.flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def output(self):
        with open(self.log, encoding='utf-8', errors='replace') as log:
            return log.read()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def await_listening(self):
        wait_until(f'{self.name} to listen',
                   lambda: 'serves clients at' in self.output() or not self.running())
        if not self.running():
            raise AssertionError(f'{self.name} ended with {self.process.returncode}:\n'
                                 + self.output())
        return self

    def stop(self, how=signal.SIGTERM):
        """Sends the signal and returns the exit code."""
        if self.running():
            self.process.send_signal(how)
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def kill(self):
        return self.stop(signal.SIGKILL)

    def status(self):
        """What this node alone says of itself; None while it does not answer."""
        result = run('status', '--json', '--timeout-ms', '2000', at=self.address)
        if not result.stdout.startswith('{'):
            return None
        for node in json.loads(result.stdout)['nodes']:
            if node['name'] == self.name:
                return node['status']
        return None


class ClusterTest(unittest.TestCase):
    """A test with a directory of its own, and processes that end with it."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix='rutile-cluster-test-')
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name

    def path(self, name):
        return os.path.join(self.scratch, name)

    def node(self, directory, *flags, **named):
        """A node, not started yet."""
        node = Node(self.path(directory), *flags, **named)
        self.addCleanup(lambda: node.running() and node.kill())
        return node

    def serving(self, directory='data', *flags, **named):
        return self.node(directory, *flags, **named).start().await_listening()

    def cluster(self, *flags, names=('n1', 'n2', 'n3')):
        """Nodes that know each other, not started yet."""
        ports = {name: free_port() for name in names}
        members = ','.join(f'{name}=127.0.0.1:{port}' for name, port in ports.items())
        return [self.node(name, '--cluster', members, *flags, name=name, port=ports[name])
                for name in names]

    def refused(self, *flags, data='data', listen=None):
        """The outcome of a `serve` that must not come up."""
        listen = listen or f'127.0.0.1:{free_port()}'
        return run('serve', '--data', self.path(data), '--listen', listen, *flags)

    def assert_ok(self, result, output=None):
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        if output is not None:
            self.assertEqual(result.stdout, output)
        return result

    def assert_error(self, result, code, *words):
        """The command failed with this code, and its message says all of the words."""
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertNotIn('terminate called', result.stderr)


def endpoints(nodes):
    return ','.join(node.address for node in nodes)
