"""Three real nodes and what can befall them: for the programs of this directory.

Each node is a process in a network namespace of its own, with a disk of its own in memory. Needs root,
for namespaces and mounts; where these are not allowed, Skip is raised.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import log_writer
from log_writer import Skip

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ('n1', 'n2', 'n3')  # Of the stores 1, 2 and 3.
PORT, STATUS_PORT = 20160, 20180
DISK = '400m'


def sh(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True)


class Net:
    """A bridge with a namespace for each node. Everything has this process's number in its name."""

    def __init__(self):
        self.tag = f'rc{os.getpid() % 100000}'
        self.subnet = f'10.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}'
        self.namespaces = {name: f'{self.tag}{name}' for name in NAMES}

    def address(self, name):
        return f'{self.subnet}.{NAMES.index(name) + 1}'

    def endpoints(self):
        return ','.join(f'{self.address(name)}:{PORT}' for name in NAMES)

    def open(self):
        try:
            sh('ip', 'link', 'add', self.tag, 'type', 'bridge')
            sh('ip', 'addr', 'add', f'{self.subnet}.254/24', 'dev', self.tag)
            sh('ip', 'link', 'set', self.tag, 'up')
            for name, namespace in self.namespaces.items():
                inside, outside = f'{namespace}i', f'{namespace}o'
                sh('ip', 'netns', 'add', namespace)
                sh('ip', 'link', 'add', outside, 'type', 'veth', 'peer', 'name', inside)
                sh('ip', 'link', 'set', inside, 'netns', namespace)
                sh('ip', 'link', 'set', outside, 'master', self.tag, 'up')
                sh('ip', '-n', namespace, 'link', 'set', 'lo', 'up')
                sh('ip', '-n', namespace, 'link', 'set', inside, 'up')
                sh('ip', '-n', namespace, 'addr', 'add', f'{self.address(name)}/24', 'dev', inside)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            raise Skip(f'no network namespaces: {getattr(error, "stderr", None) or error}') from error

    def cut(self, links):
        """Of each (sender, receiver): what the one says does not leave for the other."""
        self._route('replace', links)

    def heal(self, links):
        self._route('del', links)

    def forget(self, name):
        """Drops a node's connections to the others, with what the kernel would send again when it can."""
        others = ' or '.join(f'dst {self.address(other)}' for other in NAMES if other != name)
        sh('ip', 'netns', 'exec', self.namespaces[name], 'ss', '-K', others, check=False)

    def _route(self, verb, links):
        """All at once, as far as processes can be: one for each sender."""
        batches = {}
        for sender, receiver in links:
            batches.setdefault(sender, []).append(f'route {verb} blackhole {self.address(receiver)}/32\n')
        running = []
        for sender, lines in batches.items():
            process = subprocess.Popen(['ip', '-n', self.namespaces[sender], '-force', '-batch', '-'],
                                       stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            process.stdin.write(''.join(lines).encode())
            process.stdin.close()
            running.append(process)
        for process in running:
            process.wait()

    def close(self):
        for namespace in self.namespaces.values():
            sh('ip', 'netns', 'del', namespace, check=False)
        sh('ip', 'link', 'del', self.tag, check=False)


def both_ways(name, others):
    """The links between one node and others."""
    return [(name, other) for other in others] + [(other, name) for other in others]


class Node:
    def __init__(self, name, net, scratch, binary, flags=()):
        self.name, self.net, self.binary, self.flags = name, net, binary, flags
        self.disk = scratch / name
        self.disk.mkdir()
        if sh('mount', '-t', 'tmpfs', '-o', f'size={DISK}', 'tmpfs', str(self.disk), check=False).returncode:
            raise Skip('no mounts')
        self.log = scratch / f'{name}.log'
        self.process = None
        self.killed = False  # By us, since it was last started.
        self.halted = None  # The thread that is stopped.

    def start(self):
        members = ','.join(f'{name}={self.net.address(name)}:{PORT}' for name in NAMES)
        address = self.net.address(self.name)
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                ['ip', 'netns', 'exec', self.net.namespaces[self.name], self.binary, 'serve', '--name', self.name,
                 '--data', str(self.disk / 'data'), '--listen', f'{address}:{PORT}',
                 '--status-listen', f'{address}:{STATUS_PORT}', '--cluster', members,
                 '--disk-reserve-bytes', str(30 << 20), *self.flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.killed = False

    def running(self):
        return self.process is not None and self.process.poll() is None

    def send(self, which):
        if self.running():
            self.process.send_signal(which)  # `ip netns exec` has become the program.

    def kill(self):
        self.killed = True
        self.send(signal.SIGKILL)
        self.process.wait()

    def halt_log_writer(self):
        """Whether it stands still now: a node that has only just been started may have none yet."""
        if self.running():
            self.halted = log_writer.halt(self.process.pid)
        return self.halted is not None

    def resume_log_writer(self):
        if self.halted is not None and self.running():
            log_writer.resume(self.halted)
        self.halted = None

    def fill_disk(self):
        with open(self.disk / 'filler', 'wb') as filler:
            try:
                while True:
                    filler.write(b'x' * (1 << 20))
                    filler.flush()
            except OSError:
                pass  # Full: that was the purpose.

    def empty_disk(self):
        (self.disk / 'filler').unlink(missing_ok=True)

    def close(self):
        self.resume_log_writer()
        if self.running():
            self.kill()
        sh('umount', '-l', str(self.disk), check=False)


class Cluster:
    """The three nodes, and what they say of themselves."""

    def __init__(self, arguments, net, scratch, flags=()):
        self.binary, self.client, self.net = str(arguments.binary), str(arguments.client), net
        self.nodes = {}
        try:
            for name in NAMES:
                self.nodes[name] = Node(name, net, scratch, self.binary, flags)
        except Skip:
            self.close()
            raise

    def start(self):
        for node in self.nodes.values():
            node.start()
        if not self.converges_within(30):
            raise SystemExit('the cluster did not come up:\n' + '\n'.join(self.dead()))

    def dead(self):
        """Nodes that have ended, though we did not kill them."""
        return [f'{node.name} ended by itself with {node.process.returncode}, see its last lines:\n'
                + ''.join(node.log.read_text(errors='replace').splitlines(True)[-5:])
                for node in self.nodes.values() if not node.killed and not node.running()]

    def watermarks(self):
        """What each node says it has applied of each region."""
        shown = sh(self.binary, 'status', '--json', '--endpoint', self.net.endpoints(), check=False)
        if not shown.stdout.startswith('{'):
            return None
        states = {}
        for node in json.loads(shown.stdout)['nodes']:
            for region in (node.get('status') or {}).get('replicas', []):
                states.setdefault(region['region'], []).append(region['applied'])
        return states

    def converges_within(self, seconds):
        """Whether all replicas of each region come to have applied the same."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            states = self.watermarks()
            if states and all(len(applied) == len(NAMES) and len(set(applied)) == 1 for applied in states.values()):
                return True
            time.sleep(0.2)
        return False

    def differences(self):
        """What is wrong with the contents of the nodes; nobody may be writing."""
        compared = sh(self.client, self.net.endpoints(), 'contents', check=False)
        print(f'contents: {compared.stdout.strip()}')
        return [] if compared.returncode == 0 else [f'contents: {compared.stderr}']

    def flaws_of_logs(self):
        """Ends all nodes, and reads their logs."""
        flaws = []
        for node in self.nodes.values():
            node.kill()
            read = sh(self.binary, 'wal', 'verify', '--data', str(node.disk / 'data'), check=False)
            if read.returncode != 0:
                flaws.append(f'the log of {node.name}: {read.stdout}{read.stderr}')
        return flaws

    def is_served_within(self, seconds):
        """Why a write does not succeed in that time, or nothing."""
        put = sh(self.binary, 'put', 'after', 'all', '--endpoint', self.net.endpoints(),
                 '--timeout-ms', str(seconds * 1000), check=False)
        return [] if put.returncode == 0 else [f'no write succeeds within {seconds} s of the last fault: {put.stderr}']

    def start_clients(self, seconds, seed):
        return subprocess.Popen([self.client, self.net.endpoints(), str(seconds), str(seed)],
                                stdout=subprocess.PIPE, text=True)

    def close(self):
        for node in self.nodes.values():
            node.close()


def parser_of(description):
    """The options that all programs here have."""
    parser = argparse.ArgumentParser(description=description.split('\n', 1)[0])
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 31))
    parser.add_argument('--binary', type=pathlib.Path, default=ROOT / 'build/release/src/cmd/rutile')
    parser.add_argument('--client', type=pathlib.Path, default=ROOT / 'build/release/tests/chaos/chaos_client')
    return parser


def run_program(name, arguments, flags, play):
    """The frame of a program: play(cluster) returns what was wrong, one text for each."""
    for program in (arguments.binary, arguments.client):
        if not os.access(program, os.X_OK):
            sys.exit(f'there is no {program}: scripts/build release rutile chaos_client')
    if os.geteuid() != 0:
        print('SKIPPED: namespaces and mounts need root')
        sys.exit(77)
    print(f'seed {arguments.seed}', flush=True)
    net = Net()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f'rutile-{name}-'))
    try:
        net.open()
        cluster = Cluster(arguments, net, scratch, flags)
        try:
            cluster.start()
            problems = play(cluster)
        finally:
            cluster.close()
    except Skip as why:
        print(f'SKIPPED: {why}')
        sys.exit(77)
    finally:
        net.close()
    for problem in problems:
        print(f'PROBLEM: {problem}')
    if problems:
        print(f'logs are in {scratch}; again with --seed {arguments.seed}')
        sys.exit(1)
    shutil.rmtree(scratch)
    print(f'{name}: passed')
