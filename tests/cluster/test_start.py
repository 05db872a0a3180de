"""Flags, configuration, ports and directories with which a node must not start."""
import os
import socket

from harness import ClusterTest, free_port, run, with_identity_format


class Flags(ClusterTest):
    def test_unknown_flags_and_commands(self):
        self.assert_error(run('serve', '--colour'), 2, '--colour', '--help')
        self.assert_error(run('frobnicate'), 2, 'frobnicate', '--help')
        self.assert_error(run(), 2, 'subcommand', '--help')
        self.assert_error(run('put', 'key'), 2, 'value is required')
        self.assert_error(run('put', 'a', 'b', 'c'), 2, 'not expected: c')

    def test_values_that_make_no_sense(self):
        for flags, words in (
                (('--log-level', 'loud'), ('loud', 'debug, info, warn and error')),
                (('--election-timeout-ms', '5'), ('5', '100 to 60000')),
                (('--election-timeout-ms', 'soon'), ('--election-timeout-ms', 'soon')),
                (('--max-key-bytes', '-1'), ('--max-key-bytes', '-1')),
                (('--kept-log-entries', 'few'), ('--kept-log-entries', 'few')),
                (('--status-listen', 'nowhere'), ('--status-listen', 'nowhere', 'host:port'))):
            with self.subTest(flags=flags):
                self.assert_error(self.refused(*flags), 2, *words)
        self.assert_error(run('serve', '--data', ''), 2, '--data')
        self.assertFalse(os.path.exists(self.path('data')), 'a refused start left a directory')

    def test_addresses(self):
        for listen in ('nowhere', '127.0.0.1', '127.0.0.1:', ':80', '127.0.0.1:99999', 'h:x'):
            with self.subTest(listen=listen):
                self.assert_error(self.refused(listen=listen), 2, '--listen', listen, 'host:port')
        self.assertFalse(os.path.exists(self.path('data')), 'a refused start left a directory')

    def test_addresses_that_nobody_can_dial(self):
        for listen in ('0.0.0.0:2379', '[::]:2379'):
            with self.subTest(listen=listen):
                self.assert_error(self.refused(listen=listen), 2, listen, '--advertise host:port')
        for advertise in ('0.0.0.0:1', '[::]:1', 'host:0'):
            with self.subTest(advertise=advertise):
                self.assert_error(self.refused('--advertise', advertise), 2,
                                  '--advertise ' + advertise, 'cannot dial')
        self.assert_error(self.refused('--advertise', 'host'), 2, '--advertise', 'host:port')
        self.assert_error(self.refused('--cluster', 'n1=0.0.0.0:1,n2=h:2'), 2, 'n1', 'cannot dial')
        self.assert_error(self.refused('--cluster', 'n1=h:1,n2=h:2', '--advertise', 'h:3'), 2,
                          '--advertise h:3', 'h:1')
        self.assertFalse(os.path.exists(self.path('data')), 'a refused start left a directory')

    def test_an_address_to_dial_beside_the_one_to_bind(self):
        port = free_port()
        node = self.serving('data', '--advertise', f'localhost:{port}', port=port, host='0.0.0.0')
        self.assert_ok(run('put', 'k', 'v', at=node.address))  # By what placement says, then.
        self.assertEqual(node.status()['members'][0]['address'], f'localhost:{port}')

    def test_lists_of_members(self):
        for members, why in (('n1', 'no name'), ('=h:1', 'no name'), (',n1=h:1', 'no name'),
                             ('n1=host', 'no port'), ('n1=:1', 'no host'),
                             ('n1=h:', 'port'), ('n1=h:x', 'port'), ('n1=h:0', 'port'),
                             ('n1=h:65536', 'port'),
                             ('n1=h:1,n1=h:2', 'listed twice'), ('n1=h:1,n2=h:1', 'listed twice')):
            with self.subTest(members=members):
                self.assert_error(self.refused('--cluster', members), 2,
                                  '--cluster', why, 'expected name=host:port')
        eight = ','.join(f'n{i}=h:{i}' for i in range(1, 9))
        self.assert_error(self.refused('--cluster', eight), 2, '8 nodes', 'at most 7')
        self.assert_error(self.refused('--name', 'n9', '--cluster', 'n1=h:1,n2=h:2'), 2,
                          '--name n9', 'no node of that name')
        self.assertFalse(os.path.exists(self.path('data')), 'a refused start left a directory')

    def test_api_versions(self):
        self.assert_error(self.refused('--api-version', 'v3'), 2, '--api-version', 'v1 and v2')
        self.assert_error(run('playground', '--api-version', '2'), 2, '--api-version', 'v1 and v2')
        self.assert_error(run('gc', '--api-version', ''), 2, '--api-version', 'v1 and v2')

    def test_playground(self):
        self.assert_error(run('playground', '--nodes', '0'), 2, '--nodes', '1 to 7')
        self.assert_error(run('playground', '--nodes', '8'), 2, '--nodes', '1 to 7')
        self.assert_error(run('playground', '--base-port', '70000'), 2, '--base-port', '70000')
        with open(self.path('file'), 'w', encoding='utf-8') as file:
            file.write('not a directory')
        self.assert_error(run('playground', '--dir', self.path('file')), 1, self.path('file'))


class Configuration(ClusterTest):
    def config(self, text):
        path = self.path('rutile.toml')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        return path

    def test_files_that_cannot_be_read(self):
        missing = self.path('missing.toml')
        self.assert_error(self.refused('--config', missing), 2, missing, 'cannot be read')
        self.assert_error(self.refused('--config', self.scratch), 2, self.scratch, 'cannot be read')

    def test_mistakes_have_their_place(self):
        for text, places in (
                ('name = \n', (':1:',)),
                ('name = "n1"\nname = "n2"\n', (':2:',)),
                ('name = "n1"\ncolour = "red"\n', (":2:1: unknown key 'colour'", '--help')),
                ('max-key-bytes = [1]\n', (":1:17: 'max-key-bytes'",)),
                ('max-key-bytes = "many"\n', (':1:17: ', 'many')),
                ('max-key-bytes = -1\n', (':1:17: ', '-1')),
                ('max-key-bytes = "a"\nlease-reads = "perhaps"\n', (':1:17: ', ':2:15: '))):
            with self.subTest(text=text):
                path = self.config(text)
                places = [path + place if place.startswith(':') else place for place in places]
                self.assert_error(self.refused('--config', path), 2, *places)
        self.assertFalse(os.path.exists(self.path('data')), 'a refused start left a directory')

    def test_the_command_line_wins(self):
        path = self.config('max-key-bytes = 5\nmax-value-bytes = 5\n')
        checked = self.assert_ok(run('serve', '--config', path, '--check-config'))
        self.assertIn('good', checked.stdout + checked.stderr)
        node = self.serving('data', '--config', path, '--max-key-bytes', '50')
        self.assert_ok(run('put', 'k' * 50, 'v' * 5, at=node.address))
        self.assert_error(run('put', 'k', 'v' * 6, at=node.address), 2, 'limit is 5')


class Ports(ClusterTest):
    def test_a_port_in_use(self):
        node = self.serving()
        self.assert_ok(run('put', 'k', 'v', at=node.address))
        for flags, listen in (((), node.address), (('--status-listen', node.address), None)):
            with self.subTest(flags=flags):
                self.assert_error(self.refused(*flags, data='second', listen=listen), 1,
                                  'cannot listen on ' + node.address, 'Address already in use')
        self.assert_ok(run('get', 'k', at=node.address), 'v\n')

        # The directory of the refused start is as good as before.
        second = self.serving('second')
        self.assert_ok(run('put', 'k', 'v', at=second.address))

    def test_a_port_of_something_else(self):
        with socket.socket() as other:
            other.bind(('127.0.0.1', 0))
            other.listen()
            address = f'127.0.0.1:{other.getsockname()[1]}'
            self.assert_error(self.refused(listen=address), 1, 'cannot listen on ' + address)


class Directories(ClusterTest):
    def stopped_node(self):
        node = self.serving()
        self.assert_ok(run('put', 'kept', 'value', at=node.address))
        self.assertEqual(node.stop(), 0, node.output())
        return node

    def assert_comes_back(self, node):
        node.start().await_listening()
        self.assert_ok(run('get', 'kept', at=node.address), 'value\n')

    def test_a_second_process(self):
        node = self.serving()
        self.assert_ok(run('put', 'kept', 'value', at=node.address))
        self.assert_error(self.refused(), 1, node.directory,
                          f'in use by process {node.process.pid}', 'another data directory')
        self.assert_ok(run('get', 'kept', at=node.address), 'value\n')

    def test_of_another_node(self):
        node = self.stopped_node()
        self.assert_error(self.refused('--name', 'n2'), 1, 'belongs to node n1', 'this is n2',
                          '--data')
        self.assert_comes_back(node)

    def test_of_another_member(self):
        first, second = self.cluster(names=('n1', 'n2'))
        first.start()
        first.await_listening()
        self.assertEqual(first.stop(), 0, first.output())
        second.directory = first.directory
        second.start()
        self.assertEqual(second.process.wait(timeout=20), 1)
        self.assertIn('belongs to node n1 (store 1), this is n2 (store 2)', second.output())

    def test_of_another_cluster(self):
        # n1 sorts first in both lists, so name and store fit, and only the cluster does not.
        first, _ = self.cluster(names=('n1', 'n2'))
        first.start().await_listening()
        self.assertEqual(first.stop(), 0, first.output())
        for flags in (('--cluster', f'n1={first.address},n3=127.0.0.1:{free_port()}'),
                      (*first.flags, '--cluster-token', 'other')):
            with self.subTest(flags=flags):
                self.assert_error(self.refused(*flags, data='n1', listen=first.address), 1,
                                  'belongs to cluster', '--cluster', 'token')
        first.start().await_listening()

    def test_of_a_newer_format_or_damaged(self):
        node = self.stopped_node()
        path = os.path.join(node.directory, 'IDENTITY')
        with open(path, 'rb') as file:
            good = file.read()
        self.assertEqual(with_identity_format(good, 1), good, 'the test reads the file wrongly')
        for bad, code, words in (
                (with_identity_format(good, 99), 1, ('format 99', 'newer')),
                (good[:-1] + bytes([good[-1] ^ 1]), 70, ('IDENTITY', 'does not verify', 'restore')),
                (good[:15], 70, ('IDENTITY', 'not an identity file', 'restore')),
                (b'', 70, ('IDENTITY', 'not an identity file', 'restore')),
                (b'x' + good[1:], 70, ('IDENTITY', 'not an identity file', 'restore'))):
            with self.subTest(bad=bad):
                with open(path, 'wb') as file:
                    file.write(bad)
                self.assert_error(self.refused(), code, *words)
                with open(path, 'rb') as file:
                    self.assertEqual(file.read(), bad, 'a refused start changed the file')
        with open(path, 'wb') as file:
            file.write(good)
        self.assert_comes_back(node)

    def test_that_are_none(self):
        with open(self.path('file'), 'w', encoding='utf-8') as file:
            file.write('not a directory')
        result = self.refused(data='file')
        self.assertIn(result.returncode, (1, 70), result.stderr)
        self.assertIn(self.path('file'), result.stderr)
        with open(self.path('file'), encoding='utf-8') as file:
            self.assertEqual(file.read(), 'not a directory')
