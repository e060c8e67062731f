#!/usr/bin/python3
"""Two API servers on an etcd of three members, under load, while one after the other is killed: no acknowledged
write is lost, and watchers that go on where they were, at whichever server, miss nothing, see nothing twice and
nothing out of order. Needs etcd (./dev test fetches it): skipped (77) without.

loop_test.py KELES [ROUNDS] [SEED]: the binary; 5 rounds, or 100 with $KELES_LONG.
"""
import http.client
import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from programs import free_port, openssl, tool  # noqa: E402

KELES = os.path.abspath(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 100 if os.environ.get('KELES_LONG') else 5
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 30)
PATH = '/api/v1/namespaces/default/configmaps'
DEADLINE = 30
TOKEN = 'admins-token'
AUTHORIZATION = {'Authorization': 'Bearer ' + TOKEN}
WRITERS, WATCHERS = 4, 2


class Process:
    def __init__(self, name, command, root):
        self.name, self.command = name, command
        self.path = os.path.join(root, name + '.log')
        self.start()

    def start(self):
        with open(self.path, 'a') as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def log(self):
        with open(self.path) as f:
            return f.read()[-1500:]


class Servers:
    """The processes, each on ports that stay its own."""

    def __init__(self, root):
        clients, peers = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
        cluster = ','.join('m%d=http://127.0.0.1:%d' % (i, p) for i, p in enumerate(peers))
        self.members = []
        for i in range(3):
            client, peer = 'http://127.0.0.1:%d' % clients[i], 'http://127.0.0.1:%d' % peers[i]
            self.members.append(Process('m%d' % i, [
                tool('etcd'), '--name=m%d' % i, '--data-dir=%s/m%d' % (root, i), '--listen-client-urls=' + client,
                '--advertise-client-urls=' + client, '--listen-peer-urls=' + peer, '--log-level=error',
                '--initial-advertise-peer-urls=' + peer, '--initial-cluster=' + cluster], root))
        os.symlink(KELES, root + '/kube-apiserver')
        openssl('genrsa', '-out', root + '/sa.key', '2048')
        with open(root + '/tokens', 'w') as f:
            f.write(TOKEN + ',admin,admin\n')
        self.ports, self.servers = [], []
        for i in range(2):
            port = free_port()
            self.ports.append(port)
            self.servers.append(Process('s%d' % i, [
                root + '/kube-apiserver', '--bind-address=127.0.0.1', '--advertise-address=127.0.0.1',
                '--secure-port=%d' % port, '--cert-dir=%s/s%d' % (root, i), '--token-auth-file=' + root + '/tokens',
                '--authorization-mode=AlwaysAllow',
                '--etcd-servers=' + ','.join('http://127.0.0.1:%d' % c for c in clients),
                '--service-account-issuer=https://kubernetes.default.svc',
                '--service-account-signing-key-file=' + root + '/sa.key'], root))

    def connect(self, i, timeout=15):
        return http.client.HTTPSConnection('127.0.0.1', self.ports[i], timeout=timeout,
                                           context=ssl._create_unverified_context())

    def ready(self, i):
        end = time.monotonic() + DEADLINE
        while True:
            try:
                c = self.connect(i, 5)
                c.request('GET', '/readyz', headers=AUTHORIZATION)
                if c.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            if self.servers[i].process.poll() is not None or time.monotonic() > end:
                raise AssertionError('%s is not ready: %s' % (self.servers[i].name, self.servers[i].log()))
            time.sleep(0.05)

    def end(self):
        for p in self.servers + self.members:
            p.kill()


class Failure:
    """What any thread finds wrong ends the test."""

    def __init__(self):
        self.found = []

    def tell(self, text):
        self.found.append(text)

    def check(self):
        if self.found:
            raise AssertionError(self.found[0])


class Writer(threading.Thread):
    """Makes, changes and deletes objects of its own, one after the other; knows what was acknowledged."""

    def __init__(self, number, servers, failure):
        super().__init__(daemon=True)
        self.number, self.servers, self.failure = number, servers, failure
        self.at, self.connection = number % 2, None
        self.acknowledged = []   # (type, name, resourceVersion or None)
        self.there = {}          # name -> resourceVersion, as acknowledged
        self.gone = set()
        self.doubtful = set()    # names whose last write was not answered
        self.over = threading.Event()
        self.paused = threading.Event()

    def ask(self, method, path, body=None):
        """(status, object); None: nobody knows."""
        try:
            if not self.connection:
                self.connection = self.servers.connect(self.at)
            self.connection.request(method, path, json.dumps(body) if body else None,
                                    AUTHORIZATION | ({'Content-Type': 'application/json'} if body else {}))
            answer = self.connection.getresponse()
            status, text = answer.status, answer.read()
            if status >= 500 or status == 429:
                time.sleep(0.05)
                return None
            return status, json.loads(text)
        except (OSError, ValueError, http.client.HTTPException):
            if self.connection:
                self.connection.close()
            self.connection, self.at = None, 1 - self.at
            time.sleep(0.02)
            return None

    def write(self, kind, name, method, path, body=None):
        answer = self.ask(method, path, body)
        if answer is None:
            self.doubtful.add(name)
            return None
        status, o = answer
        if status not in (200, 201):
            self.failure.tell('%s %s: %d %s' % (method, name, status, o.get('message')))
            return None
        version = o['metadata'].get('resourceVersion') if kind != 'DELETED' else None
        if kind == 'DELETED':
            self.there.pop(name)
            self.gone.add(name)
        else:
            self.there[name] = version
        self.acknowledged.append((kind, name, version))
        return version

    def run(self):
        n = 0
        while not self.over.is_set():
            if self.paused.is_set():
                time.sleep(0.01)
                continue
            n += 1
            name = 'w%d-%d' % (self.number, n)
            body = {'metadata': {'name': name}, 'data': {'n': '0'}}
            version = self.write('ADDED', name, 'POST', PATH, body)
            if version and n % 2:
                body = {'metadata': {'name': name, 'resourceVersion': version}, 'data': {'n': '1'}}
                version = self.write('MODIFIED', name, 'PUT', PATH + '/' + name, body)
            if version and n % 3 == 0:
                self.write('DELETED', name, 'DELETE', PATH + '/' + name)
            time.sleep(0.002)


class Watcher(threading.Thread):
    """Sees every event once, in order; when its server is gone, it goes on at the other."""

    def __init__(self, number, servers, failure, version):
        super().__init__(daemon=True)
        self.servers, self.failure, self.at, self.version = servers, failure, number % 2, int(version)
        self.seen = set()       # (type, name, resourceVersion), and (DELETED, name, None)
        self.moves = 0
        self.over = threading.Event()

    def take(self, line):
        event = json.loads(line)
        if event['type'] == 'ERROR':
            return self.failure.tell('a watcher was sent away: %s' % event['object'])
        meta = event['object']['metadata']
        version = int(meta['resourceVersion'])
        if version <= self.version:
            self.failure.tell('%s %s at %d comes after %d' % (event['type'], meta['name'], version, self.version))
        self.version = version
        self.seen.add((event['type'], meta['name'], None if event['type'] == 'DELETED' else str(version)))

    def run(self):
        while not self.over.is_set():
            try:
                c = self.servers.connect(self.at, 5)
                c.request('GET', PATH + '?watch=1&resourceVersion=%d' % self.version, headers=AUTHORIZATION)
                answer = c.getresponse()
                if answer.status in (410, 400, 404):
                    return self.failure.tell('a watcher cannot go on from %d: %s' % (self.version, answer.read()))
                while answer.status == 200 and not self.over.is_set():
                    line = answer.readline()
                    if not line.endswith(b'\n'):
                        break
                    self.take(line)
            except (OSError, ValueError, http.client.HTTPException):
                pass
            self.at, self.moves = 1 - self.at, self.moves + 1
            time.sleep(0.02)


class World:
    def __init__(self, root):
        self.failure = Failure()
        self.servers = Servers(root)
        self.random = random.Random(SEED)
        self.writers, self.watchers = [], []

    def begin(self):
        for i in range(2):
            self.servers.ready(i)
        c = self.servers.connect(0)
        c.request('GET', PATH, headers=AUTHORIZATION)
        version = json.loads(c.getresponse().read())['metadata']['resourceVersion']
        self.watchers = [Watcher(i, self.servers, self.failure, version) for i in range(WATCHERS)]
        self.writers = [Writer(i, self.servers, self.failure) for i in range(WRITERS)]
        for t in self.watchers + self.writers:
            t.start()

    def written(self):
        return sum(len(w.acknowledged) for w in self.writers)

    def load(self, writes, limit=DEADLINE):
        """Until so many more writes were acknowledged."""
        end, want = time.monotonic() + limit, self.written() + writes
        while self.written() < want:
            self.failure.check()
            if time.monotonic() > end:
                raise AssertionError('only %d of %d writes within %d s' % (writes - want + self.written(), writes, limit))
            time.sleep(0.01)

    def all_seen(self):
        """Nobody writes for a moment, and every watcher sees all that was acknowledged."""
        for w in self.writers:
            w.paused.set()
        end = time.monotonic() + DEADLINE
        missing = True
        while missing:
            self.failure.check()
            acknowledged = [a for w in self.writers for a in list(w.acknowledged)]
            missing = [(i, a) for i, s in enumerate(self.watchers) for a in acknowledged if a not in s.seen]
            if missing and time.monotonic() > end:
                raise AssertionError('%d events of acknowledged writes were not seen: watcher %d: %s' % (
                    len(missing), *missing[0]))
            time.sleep(0.02)
        for w in self.writers:
            w.paused.clear()

    def round(self, number):
        self.load(self.random.randrange(20, 120))
        if number % 2 == 0:
            i = number // 2 % 2
            victim = self.servers.servers[i]
            victim.kill()
            self.load(100)
            victim.start()
            self.servers.ready(i)
        else:
            victim = self.servers.members[number // 2 % 3]
            victim.kill()
            self.load(100)
            victim.start()
        self.load(50)
        self.all_seen()
        print('round %d: %s was killed; %d writes acknowledged so far' % (number + 1, victim.name, self.written()))
        sys.stdout.flush()

    def check_state(self):
        """Both servers hold what was acknowledged."""
        for w in self.writers:
            w.over.set()
        for w in self.writers:
            w.join(DEADLINE)
        self.all_seen()
        for i in range(2):
            c = self.servers.connect(i)
            c.request('GET', PATH, headers=AUTHORIZATION)
            held = {o['metadata']['name']: o['metadata']['resourceVersion']
                    for o in json.loads(c.getresponse().read())['items']}
            for w in self.writers:
                for name, version in w.there.items():
                    if name not in w.doubtful and held.get(name) != version:
                        raise AssertionError('server %d: %s was acknowledged at %s and is at %s' % (
                            i, name, version, held.get(name)))
                back = w.gone & set(held)
                if back:
                    raise AssertionError('server %d: deleted, and there again: %s' % (i, back))

    def end(self):
        for t in self.writers + self.watchers:
            t.over.set()
        self.servers.end()


def main():
    if not tool('etcd'):
        print('no etcd is installed')
        return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    root = tempfile.mkdtemp(prefix='keles-loop-test-')
    world = None
    print('seed %d' % SEED)
    try:
        world = World(root)
        world.begin()
        for number in range(ROUNDS):
            world.round(number)
        world.check_state()
        print('%d writes acknowledged, %d in doubt, watchers moved %d times' % (
            world.written(), sum(len(w.doubtful) for w in world.writers), sum(w.moves for w in world.watchers)))
        print('%d passed, 0 failed' % ROUNDS)
        return 0
    except AssertionError as e:
        print('FAILED (seed %d): %s' % (SEED, e))
        for p in world.servers.servers + world.servers.members if world else []:
            print('--- %s\n%s' % (p.name, p.log()))
        print('0 passed, 1 failed')
        return 1
    finally:
        if world:
            world.end()
        shutil.rmtree(root, True)


sys.exit(main())
