#!/usr/bin/python3
"""Starts etcd and kube-apiserver exactly as controller-runtime's envtest does: the flags that it gives, the
health checks that it polls, certificates of CAs of its own, SIGTERM at the end (docs/envtest.md).

envtest_test.py KELES: the binary. Both programs are links to it in a folder of the test's own.
"""
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from programs import free_port, on_free_port, openssl, tool  # noqa: E402

KELES = os.path.abspath(sys.argv.pop(1))
DEADLINE = 20  # envtest's StartTimeout and StopTimeout
REAL_ETCD = tool('etcd')


class TinyCA:
    def __init__(self, directory, name):
        self.base = os.path.join(directory, name)
        openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', self.base + '.key')
        openssl('req', '-x509', '-new', '-key', self.base + '.key', '-subj', '/CN=' + name + '/O=envtest',
                '-days', '7', '-out', self.base + '.crt')

    def issue(self, path, subject, extensions):
        openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', path + '.key')
        openssl('req', '-new', '-key', path + '.key', '-subj', subject, '-out', path + '.csr')
        with open(path + '.ext', 'w') as f:
            f.write(extensions)
        openssl('x509', '-req', '-in', path + '.csr', '-CA', self.base + '.crt', '-CAkey', self.base + '.key',
                '-CAcreateserial', '-days', '7', '-extfile', path + '.ext', '-out', path + '.crt')
        os.remove(path + '.csr')
        os.remove(path + '.ext')


class Process:
    """envtest's process.State: started, polled until healthy, ended by SIGTERM."""

    def __init__(self, command, check, **kwargs):
        self.log = tempfile.TemporaryFile('w+')
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, **kwargs)
        while not check():
            if self.process.poll() is not None:
                raise ChildProcessError(self.text())
            if time.monotonic() - self.began > DEADLINE:
                self.process.kill()
                raise TimeoutError(self.text())
            time.sleep(0.005)
        self.took = time.monotonic() - self.began

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


def status_of(connection, path):
    try:
        connection.request('GET', path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


class Environment:
    def __init__(self, root, assets):
        self.assets = assets
        self.data_dir = tempfile.mkdtemp(prefix='k8s_test_framework_', dir=root)
        self.cert_dir = tempfile.mkdtemp(prefix='k8s_test_framework_', dir=root)
        # What the programs must not write to.
        self.elsewhere = tempfile.mkdtemp(prefix='elsewhere_', dir=root)
        self.users = tempfile.mkdtemp(prefix='users_', dir=root)
        self.usual = {'cwd': self.elsewhere,
                      'env': {'PATH': os.environ['PATH'], 'HOME': self.elsewhere, 'TMPDIR': self.elsewhere}}
        TinyCA(self.users, 'serving').issue(
            os.path.join(self.cert_dir, 'apiserver'), '/CN=localhost',
            'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n')
        signer = TinyCA(self.users, 'sa-signer')
        for kind in ('.crt', '.key'):
            shutil.copy(signer.base + kind, self.cert_dir)
        client_ca = TinyCA(self.users, 'client-cert-auth-ca')
        shutil.copy(client_ca.base + '.crt', self.cert_dir)
        client_ca.issue(os.path.join(self.users, 'admin'), '/CN=default/O=system:masters',
                        'extendedKeyUsage=clientAuth\n')

    def start_etcd(self):
        def make(port):
            self.etcd_port = port
            return Process([os.path.join(self.assets, 'etcd'),
                            '--advertise-client-urls=http://127.0.0.1:%d' % port,
                            '--data-dir=' + self.data_dir,
                            '--listen-client-urls=http://127.0.0.1:%d' % port,
                            '--listen-peer-urls=http://127.0.0.1:%d' % free_port(),
                            '--unsafe-no-fsync=true'],
                           lambda: self.etcd_status('/health') == 200, **self.usual)
        self.etcd = on_free_port(make)

    def etcd_status(self, path):
        return status_of(http.client.HTTPConnection('127.0.0.1', self.etcd_port, timeout=5), path)

    def api_flags(self, port):
        cert = os.path.join(self.cert_dir, '')
        return ['--allow-privileged=true', '--authorization-mode=RBAC', '--bind-address=127.0.0.1',
                '--cert-dir=' + self.cert_dir, '--client-ca-file=' + cert + 'client-cert-auth-ca.crt',
                '--disable-admission-plugins=ServiceAccount',
                '--etcd-servers=http://127.0.0.1:%d' % self.etcd_port, '--secure-port=%d' % port,
                '--service-account-issuer=https://127.0.0.1:%d/' % port,
                '--service-account-key-file=' + cert + 'sa-signer.crt',
                '--service-account-signing-key-file=' + cert + 'sa-signer.key',
                '--service-cluster-ip-range=10.0.0.0/24']

    def start_apiserver(self, more=()):
        def make(port):
            self.port = port
            return Process([os.path.join(self.assets, 'kube-apiserver')] + self.api_flags(port) + list(more),
                           lambda: self.health('/healthz') == 200, **self.usual)
        self.apiserver = on_free_port(make)

    def connection(self, context):
        return http.client.HTTPSConnection('127.0.0.1', self.port, context=context, timeout=10)

    def health(self, path):
        return status_of(self.connection(ssl._create_unverified_context()), path)

    def call(self, method, path, body=None, token=None):
        """As the user that envtest makes: a certificate of its CA, the server's own verified."""
        context = ssl.create_default_context(cafile=os.path.join(self.users, 'serving.crt'))
        if token is None:
            user = os.path.join(self.users, 'admin')
            context.load_cert_chain(user + '.crt', user + '.key')
        headers = {'Content-Type': 'application/json'}
        if token:
            headers['Authorization'] = 'Bearer ' + token
        c = self.connection(context)
        c.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = c.getresponse()
        text = answer.read()
        c.close()
        return answer.status, json.loads(text)


class Envtest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix='keles-envtest-')
        self.addCleanup(shutil.rmtree, self.root, True)
        self.assets = os.path.join(self.root, 'bin')
        os.mkdir(self.assets)
        for name in ('etcd', 'kube-apiserver'):
            os.symlink(KELES, os.path.join(self.assets, name))
        self.running = []
        self.addCleanup(self.stop_all)

    def stop_all(self):
        for process in reversed(self.running):
            if process.process.poll() is None:
                process.process.kill()
                process.process.wait()
            process.log.close()

    def environment(self):
        env = Environment(self.root, self.assets)
        env.start_etcd()
        self.running.append(env.etcd)
        env.start_apiserver()
        self.running.append(env.apiserver)
        return env

    def help_has(self, program, flag):
        """envtest's CheckFlag."""
        out = subprocess.run([os.path.join(self.assets, program), '--help'], check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        return re.search(r'(?m)^\s*--' + flag + r'\b', out) is not None

    def test_what_envtest_asks_the_help_for(self):
        self.assertFalse(self.help_has('kube-apiserver', 'insecure-port'))
        self.assertTrue(self.help_has('etcd', 'unsafe-no-fsync'))
        self.assertTrue(self.help_has('kube-apiserver', 'etcd-servers'))

    def test_a_life(self):
        env = self.environment()
        print('etcd ready after %.3f s, kube-apiserver after %.3f s' % (env.etcd.took, env.apiserver.took))
        for path in ('/healthz', '/livez', '/readyz'):
            self.assertEqual(env.health(path), 200, path)
        status, made = env.call('POST', '/api/v1/namespaces/default/configmaps',
                                {'metadata': {'name': 'kept'}, 'data': {'a': '1'}})
        self.assertEqual(status, 201, made)
        # Pods need no service account, which no controller would make; privileged ones are let in.
        container = {'name': 'c', 'image': 'i', 'securityContext': {'privileged': True}}
        status, made = env.call('POST', '/api/v1/namespaces/default/pods',
                                {'metadata': {'name': 'p'}, 'spec': {'containers': [container]}})
        self.assertEqual(status, 201, made)
        self.assertNotIn('serviceAccountName', made['spec'])
        # Nobody but the API server is there.
        status, made = env.call('POST', '/apis/apps/v1/namespaces/default/deployments', {
            'metadata': {'name': 'd'}, 'spec': {
                'selector': {'matchLabels': {'a': 'b'}},
                'template': {'metadata': {'labels': {'a': 'b'}}, 'spec': {'containers': [container]}}}})
        self.assertEqual(status, 201, made)
        self.assertEqual(env.call('GET', '/apis/apps/v1/replicasets')[1]['items'], [])
        status, service = env.call('GET', '/api/v1/namespaces/default/services/kubernetes')
        self.assertEqual(service['spec']['clusterIP'], '10.0.0.1')
        # Tokens are signed by the key that was given, and verified by its certificate.
        env.call('POST', '/api/v1/namespaces/default/serviceaccounts', {'metadata': {'name': 'sa'}})
        status, request = env.call('POST', '/api/v1/namespaces/default/serviceaccounts/sa/token',
                                   {'spec': {'audiences': []}})
        self.assertEqual(status, 201, request)
        status, who = env.call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {},
                               token=request['status']['token'])
        self.assertEqual(who['status']['userInfo']['username'], 'system:serviceaccount:default:sa')
        self.assertEqual(env.call('GET', '/api/v1/namespaces/default/secrets',
                                  token=request['status']['token'])[0], 403)
        # A new start finds what the directory holds, and goes on from there.
        self.assertEqual(env.apiserver.stop(), 0)
        self.assertEqual(env.etcd_status('/health'), 200)
        env.start_apiserver()
        self.running.append(env.apiserver)
        self.assertEqual(env.call('GET', '/api/v1/namespaces/default/configmaps/kept')[1]['data'], {'a': '1'})
        self.assertEqual(env.apiserver.stop(), 0)
        self.assertEqual(env.etcd.stop(), 0)
        # Nothing was written but where it was said.
        self.assertEqual(os.listdir(env.elsewhere), [])
        self.assertEqual(sorted(os.listdir(env.cert_dir)),
                         ['apiserver.crt', 'apiserver.key', 'client-cert-auth-ca.crt', 'sa-signer.crt',
                          'sa-signer.key'])
        self.assertIn('db', os.listdir(env.data_dir))

    def test_two_at_once_have_nothing_in_common(self):
        one, two = self.environment(), self.environment()
        one.call('POST', '/api/v1/namespaces', {'metadata': {'name': 'ones'}})
        self.assertEqual(one.call('GET', '/api/v1/namespaces/ones')[0], 200)
        self.assertEqual(two.call('GET', '/api/v1/namespaces/ones')[0], 404)

    def test_the_server_says_that_its_etcd_has_gone(self):
        env = self.environment()
        self.assertEqual(env.etcd.stop(), 0)
        self.running.remove(env.etcd)
        deadline = time.monotonic() + DEADLINE
        while env.health('/readyz') != 500 and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(env.health('/readyz'), 500)
        # It is that, and nothing else.
        of_etcd = ('etcd', 'etcd-readiness', 'poststarthook/storage-readiness')
        self.assertEqual(env.health('/readyz?' + '&'.join('exclude=' + c for c in of_etcd)), 200)
        self.assertEqual(env.health('/readyz?exclude=etcd'), 500)

    def test_certificates_are_made_where_there_are_none(self):
        env = Environment(self.root, self.assets)
        for name in ('apiserver.crt', 'apiserver.key'):
            os.remove(os.path.join(env.cert_dir, name))
        env.start_etcd()
        self.running.append(env.etcd)
        env.start_apiserver()
        self.running.append(env.apiserver)
        self.assertEqual(os.stat(os.path.join(env.cert_dir, 'apiserver.key')).st_mode & 0o777, 0o600)
        shutil.copy(os.path.join(env.cert_dir, 'apiserver.crt'), os.path.join(env.users, 'serving.crt'))
        self.assertEqual(env.call('GET', '/api/v1/namespaces')[0], 200)

    def refusal(self, program, *flags):
        done = subprocess.run([os.path.join(self.assets, program)] + list(flags), cwd=self.root, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stdout.strip()

    def test_what_has_no_effect_is_refused_by_name(self):
        api = ['--etcd-servers=http://127.0.0.1:1', '--service-account-issuer=x',
               '--service-account-signing-key-file=' + self.root + '/none']
        for program, flags, why in (
                ('kube-apiserver', ['--feature-gates=X=true'], 'unknown flag: --feature-gates'),
                ('kube-apiserver', ['--insecure-port=0'], 'unknown flag: --insecure-port'),
                ('kube-apiserver', api[1:], 'required flag(s) "etcd-servers" not set'),
                ('kube-apiserver', api + ['--allow-privileged=false'], '--allow-privileged=false is not supported'),
                ('kube-apiserver', api + ['--storage-backend=etcd2'], '--storage-backend'),
                ('kube-apiserver', api + ['--authorization-mode=Webhook'], 'Webhook')):
            with self.subTest(program=program, flags=flags):
                self.assertIn(why, self.refusal(program, *flags))

    @unittest.skipUnless(REAL_ETCD, 'no etcd is installed')
    def test_a_real_etcd_is_the_store(self):
        env = Environment(self.root, self.assets)
        os.unlink(os.path.join(self.assets, 'etcd'))
        os.symlink(REAL_ETCD, os.path.join(self.assets, 'etcd'))
        env.start_etcd()
        self.running.append(env.etcd)
        env.start_apiserver()
        self.running.append(env.apiserver)
        made = env.call('POST', '/api/v1/namespaces/default/configmaps',
                        {'metadata': {'name': 'a'}, 'data': {'k': 'v'}})
        self.assertEqual(made[0], 201, made)
        self.assertEqual(env.apiserver.stop(), 0)
        env.start_apiserver()
        self.running.append(env.apiserver)
        self.assertEqual(env.call('GET', '/api/v1/namespaces/default/configmaps/a')[1]['data'], {'k': 'v'})
        self.assertEqual(env.health('/readyz'), 200)
        env.etcd.process.kill()
        until = time.monotonic() + DEADLINE
        while env.health('/readyz') == 200 and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(env.health('/readyz'), 500)
        # What is in memory is still served; nothing is written.
        self.assertEqual(env.call('GET', '/api/v1/namespaces/default/configmaps/a?resourceVersion=0')[0], 200)


if __name__ == '__main__':
    unittest.main(verbosity=2)
