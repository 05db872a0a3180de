"""Connections with TLS: nodes, clients and commands, with certificates made by openssl."""
import shutil
import subprocess
import unittest

from harness import ClusterTest, endpoints, run, wait_until


@unittest.skipUnless(shutil.which('openssl'), 'there is no openssl to make certificates with')
class Tls(ClusterTest):
    def openssl(self, *arguments):
        subprocess.run(['openssl', *arguments], check=True, capture_output=True, cwd=self.scratch)

    def authority(self, name):
        self.openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                     '-subj', f'/CN={name}', '-keyout', f'{name}.key', '-out', f'{name}.pem')
        return self.path(f'{name}.pem')

    def certificate(self, name, authority, host='IP:127.0.0.1'):
        """Options with a certificate for `host`, signed by the authority."""
        with open(self.path(f'{name}.ext'), 'w', encoding='utf-8') as file:
            file.write(f'subjectAltName={host}\n')
        self.openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', f'/CN={name}',
                     '-keyout', f'{name}.key', '-out', f'{name}.csr')
        self.openssl('x509', '-req', '-days', '2', '-in', f'{name}.csr', '-CA', f'{authority}.pem',
                     '-CAkey', f'{authority}.key', '-CAcreateserial', '-extfile', f'{name}.ext', '-out', f'{name}.pem')
        return ['--tls-cert', self.path(f'{name}.pem'), '--tls-key', self.path(f'{name}.key')]

    def test_a_cluster_of_which_all_connections_are_encrypted(self):
        ca = ['--tls-ca', self.authority('ours')]
        self.authority('others')
        nodes = self.cluster(*self.certificate('node', 'ours'), *ca)
        for node in nodes:
            node.start()
        for node in nodes:
            node.await_listening()
        at = endpoints(nodes)
        user = [*self.certificate('user', 'ours', 'DNS:user'), *ca]

        self.assert_ok(run('put', 'k', 'v', *user, at=at))
        self.assert_ok(run('get', 'k', *user, at=at), 'v\n')
        self.assert_ok(run('txn', *user, at=at, stdin='begin\nput a 1\nput b 2\ncommit\n'))
        self.assert_ok(run('txn', *user, at=at, stdin='scan a c\n'), 'a\t1\nb\t2\n')
        wait_until('a healthy cluster', lambda: run('status', *user, at=at).returncode == 0)
        self.assert_ok(run('gc', *user, at=at))

        # Who shows nothing, something of others, or speaks no TLS, is not served; and says why.
        quick = ['--timeout-ms', '500']
        self.assert_error(run('get', 'k', *quick, *ca, at=at), 3, 'certificate required')
        stranger = self.certificate('stranger', 'others')
        self.assert_error(run('get', 'k', *quick, *stranger, *ca, at=at), 3, 'unknown ca')
        self.assert_error(run('get', 'k', *quick, *user[:4], '--tls-ca', self.path('others.pem'), at=at), 3,
                          'unable to get local issuer certificate')
        self.assert_error(run('get', 'k', *quick, at=at), 3, 'closed the connection')

        # A node that is not one of them has no say.
        nodes[2].stop()
        nodes[2].flags = (*nodes[2].flags[:2], *stranger, *ca)
        nodes[2].start().await_listening()
        self.assert_ok(run('put', 'k', 'w', *user, at=endpoints(nodes[:2])))
        wait_until('why nobody talks to it', lambda: 'unable to get local issuer certificate' in nodes[0].output())
        self.assertIn('cannot be reached', nodes[0].output())

    def test_files_of_no_use_are_said_before_anything_is_done(self):
        self.authority('ours')
        self.authority('others')
        good = self.certificate('node', 'ours')
        absent = self.path('absent.pem')
        for flags, words in [((*good[:2], '--tls-key', absent), (absent, 'No such file', 'name a file in PEM')),
                             ((*good[:2], '--tls-key', self.path('others.key')), ('others.key', 'mismatch')),
                             (good[:2], ('has no key',)),
                             (('--tls-ca', self.path('ours.pem')), ('needs a certificate',))]:
            self.assert_error(self.refused(*flags), 2, 'TLS', *words)
        self.assert_error(run('get', 'k', '--tls-ca', absent, at='127.0.0.1:1'), 2, absent, 'name a file in PEM')
        self.assert_error(run('status', *good[:2], at='127.0.0.1:1'), 2, 'has no key')

    def test_without_a_ca_clients_need_no_certificate(self):
        ca = self.authority('ours')
        node = self.serving('data', *self.certificate('node', 'ours'), '--gc-interval-ms', '0')
        self.assert_ok(run('put', 'k', 'v', '--tls-ca', ca, at=node.address))
        self.assert_ok(run('get', 'k', '--tls-ca', ca, at=node.address), 'v\n')
