#!/usr/bin/python3
"""The parts of a cluster as processes of their own, under upstream's names and with the arguments that kubeadm
gives them. Runs in a network namespace of its own, so that each part has upstream's port; where none can be
made, the test is skipped (77).

parts_test.py KELES: the binary.
"""
import base64
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

INSIDE = 'KELES_PARTS_TEST_INSIDE'
ADDRESS = '192.168.77.1'
DEADLINE = 30


def enter_namespace():
    """Begins anew in a network of its own."""
    own = ['unshare', '--net'] if os.geteuid() == 0 else ['unshare', '--user', '--map-root-user', '--net']
    if subprocess.run(own + ['true'], stderr=subprocess.DEVNULL).returncode:
        print('no network namespace can be made here')
        sys.exit(77)
    os.environ[INSIDE] = '1'
    os.execvp(own[0], own + [sys.executable] + sys.argv)


def make_network():
    for command in ('link set lo up', 'link add machine type veth peer name beside', 'address add %s/24 dev machine' % ADDRESS,
                    'link set machine up', 'link set beside up', 'route add default dev machine'):
        subprocess.run(['ip'] + command.split(), check=True)


class Pki:
    """Certificates as kubeadm lays them out, and kubeconfigs."""

    def __init__(self, root):
        self.root = root
        os.makedirs(root + '/etcd')
        for ca in ('ca', 'front-proxy-ca', 'etcd/ca'):
            self.openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                         '-subj', '/CN=' + ca.replace('/', '-'), '-keyout', self.path(ca + '.key'),
                         '-out', self.path(ca + '.crt'))
        self.openssl('genrsa', '-out', self.path('sa.key'), '2048')
        self.openssl('rsa', '-in', self.path('sa.key'), '-pubout', '-out', self.path('sa.pub'))
        names = 'DNS:kubernetes,DNS:kubernetes.default.svc,IP:10.96.0.1,IP:127.0.0.1,IP:' + ADDRESS
        self.issue('apiserver', 'ca', '/CN=kube-apiserver', 'serverAuth', names)
        self.issue('apiserver-kubelet-client', 'ca', '/O=system:masters/CN=kube-apiserver-kubelet-client')
        self.issue('front-proxy-client', 'front-proxy-ca', '/CN=front-proxy-client')
        self.issue('etcd/server', 'etcd/ca', '/CN=etcd', 'serverAuth,clientAuth', 'DNS:localhost,IP:127.0.0.1')
        self.issue('apiserver-etcd-client', 'etcd/ca', '/CN=kube-apiserver-etcd-client')
        for file, subject in (('admin', '/O=system:masters/CN=kubernetes-admin'),
                              ('controller-manager', '/CN=system:kube-controller-manager'),
                              ('scheduler', '/CN=system:kube-scheduler'),
                              ('proxy', '/CN=system:kube-proxy'),
                              ('jane', '/CN=jane')):
            self.issue(file, 'ca', subject)
            self.kubeconfig(file, {'client-certificate': self.path(file + '.crt'),
                                   'client-key': self.path(file + '.key')})
        self.kubeconfig('bootstrap', {'token': 'joinme.0123456789abcdef'})

    def path(self, name):
        return os.path.join(self.root, name)

    def conf(self, name):
        return self.path(name + '.conf')

    def openssl(self, *args):
        subprocess.run(('openssl',) + args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def issue(self, name, ca, subject, usage='clientAuth', names=''):
        with tempfile.NamedTemporaryFile('w', suffix='.ext') as ext:
            ext.write('extendedKeyUsage=%s\n' % usage)
            if names:
                ext.write('subjectAltName=%s\n' % names)
            ext.flush()
            self.openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', subject,
                         '-keyout', self.path(name + '.key'), '-out', self.path(name + '.csr'))
            self.openssl('x509', '-req', '-in', self.path(name + '.csr'), '-CA', self.path(ca + '.crt'),
                         '-CAkey', self.path(ca + '.key'), '-CAcreateserial', '-days', '1', '-extfile', ext.name,
                         '-out', self.path(name + '.crt'))

    def kubeconfig(self, name, user):
        with open(self.path('ca.crt'), 'rb') as f:
            ca = base64.b64encode(f.read()).decode()
        config = {'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'c',
                  'clusters': [{'name': 'c', 'cluster': {'server': 'https://%s:6443' % ADDRESS,
                                                         'certificate-authority-data': ca}}],
                  'users': [{'name': 'c', 'user': user}],
                  'contexts': [{'name': 'c', 'context': {'cluster': 'c', 'user': 'c'}}]}
        with open(self.conf(name), 'w') as f:
            json.dump(config, f)


def ask(port, path, method='GET', body=None, host='127.0.0.1', tls=True, certificate=None, token=None):
    """(status, text)"""
    if tls:
        context = ssl._create_unverified_context()
        if certificate:
            context.load_cert_chain(certificate + '.crt', certificate + '.key')
        c = http.client.HTTPSConnection(host, port, timeout=10, context=context)
    else:
        c = http.client.HTTPConnection(host, port, timeout=10)
    headers = {'Content-Type': 'application/json'} if body is not None else {}
    if token:
        headers['Authorization'] = 'Bearer ' + token
    try:
        c.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = c.getresponse()
        return answer.status, answer.read().decode()
    finally:
        c.close()


class Cluster:
    def __init__(self, keles):
        self.root = tempfile.mkdtemp(prefix='keles-parts-test-')
        self.bin = self.root + '/bin'
        os.mkdir(self.bin)
        for name in ('etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy',
                     'kubectl'):
            os.symlink(keles, os.path.join(self.bin, name))
        self.pki = Pki(self.root + '/pki')
        self.running = {}

    def start(self, name, *args, called=None):
        called = called or name
        log = open(os.path.join(self.root, called + '.log'), 'a')
        process = subprocess.Popen([os.path.join(self.bin, name), *args], stdout=log, stderr=log)
        log.close()
        self.running[called] = process
        return process

    def log(self, called):
        with open(os.path.join(self.root, called + '.log')) as f:
            return f.read()

    def end(self):
        for process in reversed(list(self.running.values())):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        shutil.rmtree(self.root, True)

    def file(self, name, text):
        path = os.path.join(self.root, name)
        with open(path, 'w') as f:
            f.write(text)
        return path

    # As in kubeadm's manifests.
    def start_etcd(self):
        at, pki = 'https://127.0.0.1:2379', self.pki
        self.start('etcd', '--name=machine', '--data-dir=' + self.root + '/etcd', '--listen-client-urls=' + at,
                   '--advertise-client-urls=' + at, '--cert-file=' + pki.path('etcd/server.crt'),
                   '--key-file=' + pki.path('etcd/server.key'), '--client-cert-auth=true',
                   '--trusted-ca-file=' + pki.path('etcd/ca.crt'))

    def start_apiserver(self):
        p = self.pki.path
        self.start('kube-apiserver', '--advertise-address=' + ADDRESS, '--allow-privileged=true',
                   '--authorization-mode=Node,RBAC', '--client-ca-file=' + p('ca.crt'),
                   '--enable-admission-plugins=NodeRestriction', '--enable-bootstrap-token-auth=true',
                   '--etcd-cafile=' + p('etcd/ca.crt'), '--etcd-certfile=' + p('apiserver-etcd-client.crt'),
                   '--etcd-keyfile=' + p('apiserver-etcd-client.key'), '--etcd-servers=https://127.0.0.1:2379',
                   '--kubelet-client-certificate=' + p('apiserver-kubelet-client.crt'),
                   '--kubelet-client-key=' + p('apiserver-kubelet-client.key'),
                   '--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname',
                   '--proxy-client-cert-file=' + p('front-proxy-client.crt'),
                   '--proxy-client-key-file=' + p('front-proxy-client.key'),
                   '--requestheader-allowed-names=front-proxy-client',
                   '--requestheader-client-ca-file=' + p('front-proxy-ca.crt'),
                   '--requestheader-extra-headers-prefix=X-Remote-Extra-',
                   '--requestheader-group-headers=X-Remote-Group', '--requestheader-username-headers=X-Remote-User',
                   '--secure-port=6443', '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
                   '--service-account-key-file=' + p('sa.pub'), '--service-account-signing-key-file=' + p('sa.key'),
                   '--service-cluster-ip-range=10.96.0.0/12', '--tls-cert-file=' + p('apiserver.crt'),
                   '--tls-private-key-file=' + p('apiserver.key'))

    def start_controller_manager(self, *more, called='kube-controller-manager'):
        p, conf = self.pki.path, self.pki.conf('controller-manager')
        return self.start('kube-controller-manager', '--allocate-node-cidrs=true', '--authentication-kubeconfig=' + conf,
                          '--authorization-kubeconfig=' + conf, '--bind-address=127.0.0.1',
                          '--client-ca-file=' + p('ca.crt'), '--cluster-cidr=10.244.0.0/16', '--cluster-name=kubernetes',
                          '--cluster-signing-cert-file=' + p('ca.crt'), '--cluster-signing-key-file=' + p('ca.key'),
                          '--controllers=*,bootstrapsigner,tokencleaner', '--kubeconfig=' + conf, '--leader-elect=true',
                          '--requestheader-client-ca-file=' + p('front-proxy-ca.crt'), '--root-ca-file=' + p('ca.crt'),
                          '--service-account-private-key-file=' + p('sa.key'),
                          '--service-cluster-ip-range=10.96.0.0/12', '--use-service-account-credentials=true', *more,
                          called=called)

    def start_scheduler(self, *more, called='kube-scheduler'):
        conf = self.pki.conf('scheduler')
        return self.start('kube-scheduler', '--authentication-kubeconfig=' + conf, '--authorization-kubeconfig=' + conf,
                          '--bind-address=127.0.0.1', '--kubeconfig=' + conf, '--leader-elect=true', *more,
                          called=called)

    def api(self, method, path, body=None, who='admin'):
        return ask(6443, path, method, body, ADDRESS, certificate=self.pki.path(who))

    def get(self, path):
        status, text = self.api('GET', path)
        if status != 200:
            raise LookupError('%s: %d %s' % (path, status, text))
        return json.loads(text)

    def make(self, path, body):
        status, text = self.api('POST', path, body)
        if status not in (200, 201):
            raise LookupError('%s: %d %s' % (path, status, text))
        return json.loads(text)

    def until(self, found, limit=DEADLINE):
        end = time.monotonic() + limit
        while True:
            try:
                what = found()
            except (OSError, LookupError, http.client.HTTPException) as e:
                what, why = None, e
            else:
                why = what
            if what:
                return what
            for name, process in self.running.items():
                if process.poll() not in (None, 0, -signal.SIGKILL):
                    raise AssertionError('%s ended: %s' % (name, self.log(name)))
            if time.monotonic() > end:
                raise AssertionError('not so within %d s: %s\n%s' % (limit, why, '\n'.join(
                    n + ': ' + self.log(n)[-1500:] for n in self.running)))
            time.sleep(0.05)

    def make_node(self, name):
        """One that is there, without a kubelet: pods are bound to it and do not run."""
        self.until(lambda: self.make('/api/v1/nodes', {'metadata': {'name': name}}))
        node = self.get('/api/v1/nodes/' + name)
        node['status'] = {'allocatable': {'cpu': '4', 'memory': '4Gi', 'pods': '110'},
                          'capacity': {'cpu': '4', 'memory': '4Gi', 'pods': '110'},
                          'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'KubeletReady', 'message': '',
                                          'lastHeartbeatTime': '2099-01-01T00:00:00Z',
                                          'lastTransitionTime': '2026-01-01T00:00:00Z'}]}
        del node['metadata']['resourceVersion']
        status, text = self.api('PUT', '/api/v1/nodes/%s/status' % name, node)
        assert status == 200, text


# Short, so that the test waits little for who is killed.
ELECTION = ('--leader-elect-lease-duration=3s', '--leader-elect-renew-deadline=2s', '--leader-elect-retry-period=500ms')


class Parts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        make_network()
        cls.c = Cluster(KELES)
        cls.addClassCleanup(cls.c.end)
        cls.c.start_etcd()
        cls.c.start_apiserver()
        cls.c.until(lambda: cls.c.api('GET', '/readyz')[1] == 'ok')
        cls.c.start_controller_manager(*ELECTION)
        cls.c.start_scheduler(*ELECTION)
        cls.c.make_node('n1')

    def api(self, *args, **more):
        return self.c.api(*args, **more)

    def get(self, path):
        return self.c.get(path)

    def make(self, path, body):
        return self.c.make(path, body)

    def until(self, found, limit=DEADLINE):
        return self.c.until(found, limit)

    def deploy(self, name, replicas):
        labels = {'app': name}
        self.make('/apis/apps/v1/namespaces/default/deployments', {
            'metadata': {'name': name}, 'spec': {'replicas': replicas, 'selector': {'matchLabels': labels}, 'template': {
                'metadata': {'labels': labels}, 'spec': {'containers': [{'name': 'c', 'image': 'none.invalid/i:1'}]}}}})

        def bound():
            pods = self.get('/api/v1/namespaces/default/pods?labelSelector=app%3D' + name)['items']
            return len(pods) == replicas and all(p['spec'].get('nodeName') for p in pods) and pods
        return self.until(bound)

    def holder(self, name):
        return self.get('/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/' + name)['spec']['holderIdentity']

    def test_deployment(self):
        """API server, controllers and scheduler together; each controller asks as its own account."""
        pods = self.deploy('web', 3)
        owner = pods[0]['metadata']['ownerReferences'][0]
        self.assertEqual(owner['kind'], 'ReplicaSet')
        self.assertEqual(pods[0]['spec']['nodeName'], 'n1')
        accounts = [a['metadata']['name'] for a in self.get('/api/v1/namespaces/kube-system/serviceaccounts')['items']]
        for name in ('deployment-controller', 'replicaset-controller'):  # made when they are first needed
            self.assertIn(name, accounts)
        # The node was given its range of addresses, and every namespace the CA.
        self.until(lambda: self.get('/api/v1/nodes/n1')['spec'].get('podCIDR') == '10.244.0.0/24')
        ca = self.until(lambda: self.get('/api/v1/namespaces/default/configmaps/kube-root-ca.crt'))
        with open(self.c.pki.path('ca.crt')) as f:
            self.assertEqual(ca['data']['ca.crt'], f.read())
        # What is deleted is collected, and a namespace goes with all that is in it.
        self.api('DELETE', '/apis/apps/v1/namespaces/default/deployments/web')
        self.until(lambda: not self.get('/apis/apps/v1/namespaces/default/replicasets?labelSelector=app%3Dweb')['items'])
        self.make('/api/v1/namespaces', {'metadata': {'name': 'leaving'}})
        self.make('/api/v1/namespaces/leaving/configmaps', {'metadata': {'name': 'kept'}})
        self.api('DELETE', '/api/v1/namespaces/leaving')
        self.until(lambda: self.api('GET', '/api/v1/namespaces/leaving')[0] == 404)

    def test_custom_resources(self):
        """The collector and the namespaces know kinds that only discovery tells of."""
        self.make('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
            'metadata': {'name': 'boats.example.com'},
            'spec': {'group': 'example.com', 'scope': 'Namespaced',
                     'names': {'plural': 'boats', 'singular': 'boat', 'kind': 'Boat'},
                     'versions': [{'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': {
                         'type': 'object', 'x-kubernetes-preserve-unknown-fields': True}}}]}})
        boats = '/apis/example.com/v1/namespaces/%s/boats'
        boat = {'apiVersion': 'example.com/v1', 'kind': 'Boat', 'metadata': {'name': 'keles'}}
        made = self.until(lambda: self.make(boats % 'default', boat))
        owner = {'apiVersion': 'example.com/v1', 'kind': 'Boat', 'name': 'keles', 'uid': made['metadata']['uid']}
        self.make('/api/v1/namespaces/default/configmaps',
                  {'metadata': {'name': 'sail', 'ownerReferences': [owner]}})
        self.api('DELETE', boats % 'default' + '/keles')
        self.until(lambda: self.api('GET', '/api/v1/namespaces/default/configmaps/sail')[0] == 404)
        self.make('/api/v1/namespaces', {'metadata': {'name': 'port'}})
        self.make(boats % 'port', boat)
        self.api('DELETE', '/api/v1/namespaces/port')
        self.until(lambda: self.api('GET', '/api/v1/namespaces/port')[0] == 404)

    def test_pages(self):
        """What each tells of itself, and to whom."""
        admin, jane = self.c.pki.path('admin'), self.c.pki.path('jane')
        for port, name, configz in ((10257, 'kube-controller-manager', 'kubecontrollermanager.config.k8s.io'),
                                    (10259, 'kube-scheduler', 'componentconfig')):
            self.until(lambda: ask(port, '/healthz') == (200, 'ok'))
            self.until(lambda: ask(port, '/readyz') == (200, 'ok'))
            self.assertEqual(ask(port, '/livez', certificate=admin), (200, 'ok'))
            self.assertEqual(ask(port, '/metrics')[0], 403)
            self.assertIn('User \\"system:anonymous\\" cannot get path \\"/metrics\\"', ask(port, '/metrics')[1])
            self.assertEqual(ask(port, '/metrics', certificate=jane)[0], 403)
            self.assertEqual(ask(port, '/metrics', token='nobody')[0], 401)
            status, text = ask(port, '/metrics', certificate=admin)
            self.assertEqual(status, 200)
            self.assertIn('leader_election_master_status{name="%s"} 1' % name, text)
            self.assertIn(configz, json.loads(ask(port, '/configz', certificate=admin)[1]))
            self.assertIn('leader-elect', ask(port, '/flagz', certificate=admin)[1])
            self.assertIn(name, ask(port, '/statusz', certificate=admin)[1])
            self.assertEqual(ask(port, '/nothing', certificate=admin)[0], 404)

    def test_tokens(self):
        """A service account that may read metrics does so with its token."""
        self.make('/api/v1/namespaces/kube-system/serviceaccounts', {'metadata': {'name': 'scraper'}})
        self.make('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
            'metadata': {'name': 'scraper'},
            'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': 'system:monitoring'},
            'subjects': [{'kind': 'ServiceAccount', 'name': 'scraper', 'namespace': 'kube-system'}]})
        token = self.make('/api/v1/namespaces/kube-system/serviceaccounts/scraper/token',
                          {'spec': {}})['status']['token']
        for port in (10257, 10259):
            self.assertEqual(self.until(lambda: ask(port, '/metrics', token=token)[0] == 200), True)
            self.assertEqual(ask(port, '/configz', token=token)[0], 403)

    def test_takeover(self):
        """Of two one leads; the other takes over when that is killed."""
        first = [self.c.running['kube-controller-manager'], self.c.running['kube-scheduler']]
        self.until(lambda: self.holder('kube-controller-manager') and self.holder('kube-scheduler'))
        before = self.holder('kube-controller-manager'), self.holder('kube-scheduler')
        self.c.start_controller_manager('--secure-port=20257', *ELECTION, called='second-controller-manager')
        self.c.start_scheduler('--secure-port=20259', *ELECTION, called='second-scheduler')
        for port in (20257, 20259):
            self.until(lambda: ask(port, '/healthz') == (200, 'ok'))
            text = ask(port, '/metrics', certificate=self.c.pki.path('admin'))[1]
            self.assertNotRegex(text, r'leader_election_master_status\{[^}]*\} 1')
        for process in first:
            process.kill()
            process.wait()
        self.deploy('after', 2)
        now = self.holder('kube-controller-manager'), self.holder('kube-scheduler')
        self.assertNotEqual(before[0], now[0])
        self.assertNotEqual(before[1], now[1])
        # For the tests that come after.
        self.c.start_controller_manager(*ELECTION)
        self.c.start_scheduler(*ELECTION)

    def test_kubelet(self):
        """A kubelet as kubeadm joins it: a token, a certificate for it, and its health. It has no runtime."""
        self.make('/api/v1/namespaces/kube-system/secrets', {
            'metadata': {'name': 'bootstrap-token-joinme'}, 'type': 'bootstrap.kubernetes.io/token',
            'stringData': {'token-id': 'joinme', 'token-secret': '0123456789abcdef',
                           'usage-bootstrap-authentication': 'true',
                           'auth-extra-groups': 'system:bootstrappers:kubeadm:default-node-token'}})
        for name, role in (('bootstrap', 'system:node-bootstrapper'),
                           ('approve', 'system:certificates.k8s.io:certificatesigningrequests:nodeclient')):
            self.make('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
                'metadata': {'name': name},
                'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': role},
                'subjects': [{'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Group',
                              'name': 'system:bootstrappers:kubeadm:default-node-token'}]})
        config = self.c.file('kubelet.yaml', '''apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %s}}
authorization: {mode: Webhook}
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://%s/none.sock
healthzBindAddress: 127.0.0.1
healthzPort: 10248
rotateCertificates: true
podLogsDir: %s/logs
''' % (self.c.pki.path('ca.crt'), self.c.root, self.c.root))
        self.c.start('kubelet', '--bootstrap-kubeconfig=' + self.c.pki.conf('bootstrap'),
                     '--kubeconfig=' + self.c.root + '/kubelet.conf', '--config=' + config, '--hostname-override=n2',
                     '--root-dir=' + self.c.root + '/kubelet')
        node = self.until(lambda: self.get('/api/v1/nodes/n2'))
        self.until(lambda: ask(10248, '/healthz', tls=False) == (200, 'ok'))
        self.assertIn({'type': 'InternalIP', 'address': ADDRESS}, self.until(
            lambda: self.get('/api/v1/nodes/n2')['status'].get('addresses')))
        self.assertEqual(ask(10250, '/healthz')[0], 401)
        self.until(lambda: ask(10250, '/healthz', certificate=self.c.pki.path('admin')) == (200, 'ok'))
        self.assertEqual(node['metadata']['name'], 'n2')

    def test_proxy(self):
        """kube-proxy with a configuration as kubeadm writes it."""
        self.make('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
            'metadata': {'name': 'kubeadm:node-proxier'},
            'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': 'system:node-proxier'},
            'subjects': [{'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'User', 'name': 'system:kube-proxy'}]})
        config = self.c.file('proxy.yaml', '''apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
clientConnection: {acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: %s, qps: 0}
clusterCIDR: 10.244.0.0/16
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
healthzBindAddress: ""
metricsBindAddress: ""
hostnameOverride: ""
mode: nftables
''' % self.c.pki.conf('proxy'))
        self.c.start('kube-proxy', '--config=' + config, '--hostname-override=n1', '--bind-address=' + ADDRESS)
        self.until(lambda: ask(10256, '/healthz', tls=False)[0] == 200)
        self.assertEqual(ask(10256, '/livez', tls=False)[0], 200)
        self.assertEqual(ask(10249, '/healthz', tls=False), (200, 'ok'))
        self.assertEqual(ask(10249, '/proxyMode', tls=False), (200, 'nftables'))
        self.assertIn('kubeproxy_', ask(10249, '/metrics', tls=False)[1])
        told = json.loads(ask(10249, '/configz', tls=False)[1])['kubeproxy.config.k8s.io']
        self.assertEqual(told['clusterCIDR'], '10.244.0.0/16')
        self.until(lambda: '10.96.0.1' in subprocess.run(['nft', 'list', 'ruleset'], stdout=subprocess.PIPE,
                                                         text=True).stdout)


if __name__ == '__main__':
    if INSIDE not in os.environ:
        enter_namespace()
    KELES = os.path.abspath(sys.argv.pop(1))
    unittest.main()
