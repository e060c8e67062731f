#!/usr/bin/python3
"""`keles etcd` as its users have it: through etcdctl, over TLS, killed at any moment, and as the source of a
snapshot from which a real etcd goes on. Needs etcdctl and etcd (./dev test fetches them); skips what needs
those that are not there.

etcd_test.py KELES: the binary.
"""
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from programs import free_port, on_free_port, openssl, tool  # noqa: E402

KELES = os.path.abspath(sys.argv.pop(1))
DEADLINE = 30
ETCDCTL, ETCD = tool('etcdctl'), tool('etcd')


class Program:
    """A member: ours, or a real one."""

    def __init__(self, test, command, port, scheme='http'):
        self.log = tempfile.TemporaryFile('w+')
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.url = '%s://127.0.0.1:%d' % (scheme, port)
        self.port = port
        test.addCleanup(self.end)
        until = time.monotonic() + DEADLINE
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > until:
                raise ChildProcessError(self.text())
            time.sleep(0.02)

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(('127.0.0.1', self.port)) == 0

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def end(self):
        self.kill()
        self.log.close()

    def stop(self):
        self.process.terminate()
        return self.process.wait(DEADLINE)


class Etcd(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix='keles-etcd-test-')
        self.addCleanup(shutil.rmtree, self.root, True)
        self.data = os.path.join(self.root, 'data')
        self.etcdctl_more = []

    def member(self, *more, scheme='http', data=None):
        def make(port):
            url = '%s://127.0.0.1:%d' % (scheme, port)
            return Program(self, [KELES, 'etcd', '--name=m', '--data-dir=' + (data or self.data),
                                  '--listen-client-urls=' + url, '--advertise-client-urls=' + url, *more],
                           port, scheme)

        self.at = on_free_port(make)
        return self.at

    def etcdctl(self, *args, status=0, text=None, at=None):
        done = subprocess.run([ETCDCTL, '--endpoints=' + (at or self.at).url, *self.etcdctl_more, *args],
                              env={'ETCDCTL_API': '3', 'PATH': os.environ['PATH']}, input=text, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def page(self, path):
        c = http.client.HTTPConnection('127.0.0.1', self.at.port, timeout=10)
        c.request('GET', path)
        answer = c.getresponse()
        body = answer.read().decode()
        c.close()
        return answer.status, body

    def test_pages(self):
        self.member()
        self.assertEqual(self.page('/health'), (200, '{"health":"true","reason":""}\n'))
        self.assertEqual(json.loads(self.page('/version')[1])['etcdcluster'], '3.5.0')
        self.assertIn('\netcd_server_has_leader 1\n', self.page('/metrics')[1])
        self.assertEqual(self.page('/other')[0], 404)
        self.assertEqual(self.at.stop(), 0, self.at.text())

    @unittest.skipUnless(ETCDCTL, 'no etcdctl is installed')
    def test_etcdctl(self):
        self.member()
        for key in 'abc':
            self.assertEqual(self.etcdctl('put', 'k/' + key, key * 3), 'OK\n')
        self.assertEqual(self.etcdctl('get', 'k/b'), 'k/b\nbbb\n')
        self.assertEqual(self.etcdctl('get', 'k/', '--prefix', '--keys-only', '--order=DESCEND', '--limit=2'),
                         'k/c\n\nk/b\n\n')
        self.assertEqual(self.etcdctl('get', 'k/', '--prefix', '--rev=2', '--print-value-only'), 'aaa\n')
        self.assertEqual(self.etcdctl('del', 'k/a', '--prev-kv'), '1\nk/a\naaa\n')
        self.assertEqual(
            self.etcdctl('txn', text='value("k/b") = "bbb"\n\nput k/b changed\nget k/b\n\nget k/c\n\n'),
            'SUCCESS\n\nOK\n\nk/b\nchanged\n')
        # A watch from the past, and what comes.
        watch = subprocess.Popen([ETCDCTL, '--endpoints=' + self.at.url, 'watch', 'k/', '--prefix', '--rev=5'],
                                 env={'ETCDCTL_API': '3'}, stdout=subprocess.PIPE, text=True)
        self.addCleanup(watch.wait)
        self.addCleanup(watch.kill)
        silent = threading.Timer(DEADLINE, watch.kill)  # readline() then comes to an end
        silent.start()
        self.addCleanup(silent.cancel)
        lines = [watch.stdout.readline() for _ in range(6)]
        self.assertEqual(''.join(lines), 'DELETE\nk/a\n\nPUT\nk/b\nchanged\n')
        self.etcdctl('put', 'k/d', 'now')
        self.assertEqual(''.join(watch.stdout.readline() for _ in range(3)), 'PUT\nk/d\nnow\n')
        watch.stdout.close()
        # Leases.
        lease = self.etcdctl('lease', 'grant', '300').split()[1]
        self.etcdctl('put', '--lease=' + lease, 'leased', 'x')
        left = self.etcdctl('lease', 'timetolive', '--keys', lease)
        self.assertIn('attached keys([leased])', left)
        self.assertIn('keepalived with TTL(300)', self.etcdctl('lease', 'keep-alive', '--once', lease))
        self.assertIn(lease, self.etcdctl('lease', 'list'))
        self.etcdctl('lease', 'revoke', lease)
        self.assertEqual(self.etcdctl('get', 'leased'), '')
        # Locks and elections are the client's own, over transactions, leases and watches.
        self.assertEqual(self.etcdctl('lock', 'door', 'echo', 'inside'), 'inside\n')
        # The member.
        self.assertIn('is healthy', self.etcdctl('endpoint', 'health'))
        status = json.loads(self.etcdctl('endpoint', 'status', '-w', 'json'))[0]['Status']
        self.assertEqual(status['leader'], status['header']['member_id'])
        self.assertEqual(self.etcdctl('member', 'list').split(', ')[1:3], ['started', 'm'])
        self.etcdctl('compaction', '7')
        self.assertIn('required revision has been compacted', self.etcdctl('get', 'k/b', '--rev=3', status=1))
        self.assertIn('Finished defragmenting', self.etcdctl('defrag'))
        self.assertEqual(self.etcdctl('alarm', 'list'), '')
        self.assertIn('cluster of one member', self.etcdctl('member', 'add', 'n', '--peer-urls=http://x:1', status=1))
        self.assertIn('no users and roles', self.etcdctl('user', 'list', status=1))
        self.assertIn('no users and roles', self.etcdctl('auth', 'enable', status=1))

    @unittest.skipUnless(ETCDCTL and ETCD, 'no etcd is installed')
    def test_a_real_etcd_goes_on_from_a_snapshot(self):
        self.member()
        for i in range(300):  # enough for several pages of the file
            self.etcdctl('put', 'key/%03d' % i, 'v' * (i * 7)) if i % 60 == 0 else None
        self.etcdctl('txn', text='\n' + ''.join('put many/%d %s\n' % (i, 'w' * 500) for i in range(100)) + '\n\n')
        self.etcdctl('put', 'large', 'l' * 20000)
        self.etcdctl('del', 'key/060')
        lease = self.etcdctl('lease', 'grant', '3000').split()[1]
        self.etcdctl('put', '--lease=' + lease, 'leased', 'x')
        self.etcdctl('compaction', '5', '--physical')
        saved = os.path.join(self.root, 'saved.db')
        self.etcdctl('snapshot', 'save', saved)
        status = json.loads(self.etcdctl('snapshot', 'status', saved, '-w', 'json'))
        revision = json.loads(self.etcdctl('endpoint', 'status', '-w', 'json'))[0]['Status']['header']['revision']
        self.assertEqual(status['revision'], revision)
        keys = self.etcdctl('get', '', '--prefix', '-w', 'fields').split('\n', 4)[4]
        real = self.restored(saved)
        self.assertEqual(self.etcdctl('get', '', '--prefix', '-w', 'fields', at=real).split('\n', 4)[4], keys)
        self.assertIn('attached keys([leased])', self.etcdctl('lease', 'timetolive', '--keys', lease, at=real))
        self.assertEqual(self.etcdctl('put', 'key/new', 'v', at=real), 'OK\n')
        self.assertIn('DELETE\nkey/060', self.first_of_a_watch(real))

    def restored(self, saved):
        """A real etcd that begins with a snapshot."""
        restored = os.path.join(self.root, 'restored')
        for left in range(4, -1, -1):
            port, peer = free_port(), 'http://127.0.0.1:%d' % free_port()
            shutil.rmtree(restored, True)
            self.etcdctl('snapshot', 'restore', saved, '--data-dir=' + restored, '--name=r',
                         '--initial-cluster=r=' + peer, '--initial-advertise-peer-urls=' + peer)
            url = 'http://127.0.0.1:%d' % port
            try:
                real = Program(self, [ETCD, '--name=r', '--data-dir=' + restored, '--listen-client-urls=' + url,
                                      '--advertise-client-urls=' + url, '--listen-peer-urls=' + peer,
                                      '--initial-advertise-peer-urls=' + peer], port)
                return real
            except ChildProcessError as e:
                if left == 0 or 'in use' not in str(e):
                    raise

    def first_of_a_watch(self, at):
        """Of what a restored etcd still knows of the past."""
        watch = subprocess.Popen([ETCDCTL, '--endpoints=' + at.url, 'watch', 'key/', '--prefix', '--rev=6'],
                                 env={'ETCDCTL_API': '3'}, stdout=subprocess.PIPE, text=True)
        silent = threading.Timer(DEADLINE, watch.kill)
        silent.start()
        try:
            text = ''
            while 'key/new' not in text:
                line = watch.stdout.readline()
                self.assertTrue(line, text)
                text += line
            return text
        finally:
            silent.cancel()
            watch.kill()
            watch.wait()
            watch.stdout.close()

    @unittest.skipUnless(ETCDCTL, 'no etcdctl is installed')
    def test_tls_and_client_certificates(self):
        base = os.path.join(self.root, '')
        openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', base + 'ca.key')
        openssl('req', '-x509', '-new', '-key', base + 'ca.key', '-subj', '/CN=ca', '-days', '7', '-out', base + 'ca.crt')
        for name, use in (('server', 'serverAuth'), ('client', 'clientAuth')):
            openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', base + name + '.key')
            openssl('req', '-new', '-key', base + name + '.key', '-subj', '/CN=' + name, '-out', base + name + '.csr')
            with open(base + name + '.ext', 'w') as f:
                f.write('subjectAltName=IP:127.0.0.1\nextendedKeyUsage=%s\n' % use)
            openssl('x509', '-req', '-in', base + name + '.csr', '-CA', base + 'ca.crt', '-CAkey', base + 'ca.key',
                    '-CAcreateserial', '-days', '7', '-extfile', base + name + '.ext', '-out', base + name + '.crt')
        self.member('--cert-file=' + base + 'server.crt', '--key-file=' + base + 'server.key',
                    '--trusted-ca-file=' + base + 'ca.crt', '--client-cert-auth', scheme='https')
        self.etcdctl_more = ['--cacert=' + base + 'ca.crt', '--dial-timeout=2s']
        self.etcdctl('put', 'a', '1', status=1)
        self.etcdctl_more += ['--cert=' + base + 'client.crt', '--key=' + base + 'client.key']
        self.assertEqual(self.etcdctl('put', 'a', '1'), 'OK\n')
        self.assertEqual(self.etcdctl('get', 'a'), 'a\n1\n')

    @unittest.skipUnless(ETCDCTL, 'no etcdctl is installed')
    def test_what_was_acknowledged_outlives_the_process(self):
        acknowledged = []
        for life in range(3):
            self.member()
            stop = threading.Event()

            def write():
                for i in range(100000):
                    key = 'life%d/%d' % (life, i)
                    done = subprocess.run([ETCDCTL, '--endpoints=' + self.at.url, '--command-timeout=1s',
                                           '--dial-timeout=1s', 'put', key, key],
                                          env={'ETCDCTL_API': '3'}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                    if stop.is_set() and done.returncode != 0:
                        return
                    if done.returncode == 0:
                        acknowledged.append(key)
            enough = len(acknowledged) + 3
            writer = threading.Thread(target=write)
            writer.start()
            until = time.monotonic() + DEADLINE
            while len(acknowledged) < enough and time.monotonic() < until:
                time.sleep(0.01)
            stop.set()
            self.at.kill()  # while the next one is on its way
            writer.join()
            self.assertGreaterEqual(len(acknowledged), enough)
        self.member()
        there = self.etcdctl('get', 'life', '--prefix', '--keys-only').split()
        self.assertEqual([k for k in acknowledged if k not in there], [])

    def store(self, *args):
        done = subprocess.run([KELES, 'store', *args], text=True, timeout=DEADLINE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    @unittest.skipUnless(ETCDCTL and ETCD, 'no etcd is installed')
    def test_a_cluster_moves_to_a_directory_and_back(self):
        self.member()
        config_map = '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"%s","namespace":"n","uid":"%s"}}'
        for name in ('a', 'b', 'gone'):
            self.etcdctl('put', '/registry/configmaps/n/' + name, config_map % (name, name))
        self.etcdctl('put', '/registry/configmaps/n/a', config_map % ('a', 'a'))
        self.etcdctl('put', '/others/x', 'not the cluster\'s')
        self.etcdctl('del', '/registry/configmaps/n/gone')
        before = self.etcdctl('get', '/registry', '--prefix', '-w', 'fields').split('\n', 4)[4]
        moved = os.path.join(self.root, 'moved')
        self.assertIn('2 records as of revision 7', self.store('migrate', '--etcd-servers=' + self.at.url,
                                                               '--data-dir=' + moved))
        self.assertIn('2 objects', self.store('check', '--data-dir=' + moved))
        saved = os.path.join(self.root, 'state.db')
        self.assertIn('2 records', self.store('migrate', '--data-dir=' + moved, '--to=' + saved))
        real = self.restored(saved)
        self.assertEqual(self.etcdctl('get', '/registry', '--prefix', '-w', 'fields', at=real).split('\n', 4)[4],
                         before)
        # What comes now is later than anything that anybody has seen.
        self.etcdctl('put', '/registry/new', 'x', at=real)
        now = json.loads(self.etcdctl('get', '/registry/new', '-w', 'json', at=real))
        self.assertGreater(now['kvs'][0]['mod_revision'], 10 ** 9)

    def refusal(self, *flags):
        done = subprocess.run([KELES, 'etcd', '--data-dir=' + self.data, *flags], text=True, timeout=DEADLINE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stdout

    def test_what_is_refused(self):
        for flags, why in (
                (['--initial-cluster=a=http://x:1,b=http://y:1'], 'cluster of one'),
                (['--listen-client-urls=127.0.0.1:1'], 'want http(s)://ADDRESS:PORT'),
                (['--listen-client-urls=https://127.0.0.1:1'], 'needs --cert-file and --key-file'),
                (['--client-cert-auth'], '--trusted-ca-file'),
                (['--auto-compaction-mode=x'], 'want periodic or revision'),
                (['--snapshot-count=5'], 'unknown flag: --snapshot-count')):
            with self.subTest(flags=flags):
                self.assertIn(why, self.refusal(*flags))
        self.member()
        self.assertIn('in use by another keles (process %d)' % self.at.process.pid,
                      self.refusal('--listen-client-urls=http://127.0.0.1:%d' % free_port()))


if __name__ == '__main__':
    unittest.main(verbosity=2)
