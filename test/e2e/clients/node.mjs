// What a program does with @kubernetes/client-node: one part a call, `nodejs node.mjs PART`. It prints
// what it sees; test/e2e/client-node.e2e shows what that is.
import net from 'node:net';
import { PassThrough, Readable } from 'node:stream';

const k8s = await import(process.env.KELES_CLIENT_NODE);
const kc = new k8s.KubeConfig();
kc.loadFromDefault();
const ns = process.env.NS;
const core = kc.makeApiClient(k8s.CoreV1Api);
const as = (strategy) => k8s.setHeaderOptions('Content-Type', strategy);
const say = (...words) => console.log(...words);

// Waits until `fn` is true, for at most half a minute.
async function until(what, fn) {
  for (let i = 0; i < 600; i++) {
    if (await fn()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what}: not within 30 s`);
}

// The status of an answer that is an error.
async function refusal(call) {
  try {
    await call;
  } catch (e) {
    const body = typeof e.body === 'string' ? JSON.parse(e.body) : e.body;
    return `${e.code} ${body.reason}: ${body.message}`;
  }
  return 'no refusal';
}

async function objects() {
  const map = (name, data, labels) => ({ metadata: { name, labels }, data });
  const made = await core.createNamespacedConfigMap({
    namespace: ns,
    body: map('one', { a: '1' }, { app: 'demo' }),
  });
  say('created', made.metadata.name, made.metadata.creationTimestamp instanceof Date);
  say(await refusal(core.createNamespacedConfigMap({ namespace: ns, body: map('one', {}) })));
  const read = await core.readNamespacedConfigMap({ name: 'one', namespace: ns });
  read.data.b = '2';
  const replaced = await core.replaceNamespacedConfigMap({ name: 'one', namespace: ns, body: read });
  say('replaced', JSON.stringify(replaced.data));
  read.data.b = '3';
  say(await refusal(core.replaceNamespacedConfigMap({ name: 'one', namespace: ns, body: read })));
  await core.createNamespacedConfigMap({ namespace: ns, body: map('two', {}, { app: 'other' }) });
  const some = await core.listNamespacedConfigMap({ namespace: ns, labelSelector: 'app=demo' });
  say('listed', some.items.map((o) => o.metadata.name).join(' '));
  const page = await core.listNamespacedConfigMap({ namespace: ns, limit: 1 });
  say('paged', page.items.length, typeof page.metadata._continue);
  const gone = await core.deleteNamespacedConfigMap({ name: 'two', namespace: ns });
  say('deleted', gone.status);
  say(await refusal(core.readNamespacedConfigMap({ name: 'two', namespace: ns })));
}

async function patches() {
  const patch = (body, strategy) =>
    core.patchNamespacedConfigMap({ name: 'one', namespace: ns, body }, as(strategy));
  const S = k8s.PatchStrategy;
  let o = await patch([{ op: 'replace', path: '/data/a', value: 'json' }], S.JsonPatch);
  say('json', o.data.a);
  o = await patch({ data: { a: null, c: 'merge' } }, S.MergePatch);
  say('merge', JSON.stringify(o.data));
  o = await patch({ metadata: { labels: { tier: 'strategic' } } }, S.StrategicMergePatch);
  say('strategic', JSON.stringify(o.metadata.labels));
  say(await refusal(patch([{ op: 'test', path: '/data/c', value: 'x' }], S.JsonPatch)));
}

async function apply() {
  const manifest = (data) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'applied' },
    data,
  });
  const go = (fieldManager, data, force) =>
    core.patchNamespacedConfigMap(
      { name: 'applied', namespace: ns, fieldManager, force, body: manifest(data) },
      as(k8s.PatchStrategy.ServerSideApply),
    );
  let o = await go('first', { a: '1', b: '1' });
  say('applied', JSON.stringify(o.data));
  say((await refusal(go('second', { a: '2' }))).split('\n')[0]);
  o = await go('second', { a: '2' }, true);
  say('forced', JSON.stringify(o.data));
  o = await go('first', { b: '1' });
  say('given up', JSON.stringify(o.data), o.metadata.managedFields.map((m) => m.manager).sort().join(' '));
}

// A way to the API server that can be cut.
function detour() {
  const to = new URL(kc.getCurrentCluster().server);
  const open = new Set();
  const server = net.createServer((mine) => {
    const theirs = net.connect(Number(to.port), to.hostname);
    for (const [a, b] of [[mine, theirs], [theirs, mine]]) {
      open.add(a);
      a.on('error', () => b.destroy());
      a.on('close', () => { open.delete(a); b.destroy(); });
      a.pipe(b);
    }
  });
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done({
    url: `https://127.0.0.1:${server.address().port}`,
    cut: () => open.forEach((s) => s.destroy()),
    close: () => { server.close(); open.forEach((s) => s.destroy()); },
  })));
}

async function informer() {
  const way = await detour();
  const by = new k8s.KubeConfig();
  by.loadFromDefault();
  by.getCurrentCluster().server = way.url;
  const api = by.makeApiClient(k8s.CoreV1Api);
  const seen = [];
  const inf = k8s.makeInformer(by, `/api/v1/namespaces/${ns}/configmaps`,
    () => api.listNamespacedConfigMap({ namespace: ns, labelSelector: 'part=informer' }),
    'part=informer');
  for (const verb of ['add', 'update', 'delete']) {
    inf.on(verb, (o) => seen.push(`${verb} ${o.metadata.name}`));
  }
  let stopped = false, failures = 0;
  const retry = () => { if (!stopped) inf.start().catch(() => setTimeout(retry, 100)); };
  inf.on('error', () => { failures++; setTimeout(retry, 100); });
  const make = (name) => core.createNamespacedConfigMap({
    namespace: ns, body: { metadata: { name, labels: { part: 'informer' } } } });
  const has = (event) => until(event, () => seen.includes(event));
  await inf.start();
  await make('inf-a');
  await has('add inf-a');
  say('informed', seen.join(', '));
  seen.length = 0;
  way.cut();
  await make('inf-b');
  await core.deleteNamespacedConfigMap({ name: 'inf-a', namespace: ns });
  await has('add inf-b');
  await until('the loss of inf-a', () => !inf.get('inf-a', ns));
  say('after a cut', inf.list(ns).map((o) => o.metadata.name).join(' '));
  await core.patchNamespacedConfigMap({ name: 'inf-b', namespace: ns, body: { data: { x: 'y' } } },
    as(k8s.PatchStrategy.MergePatch));
  await has('update inf-b');
  say('changed', inf.get('inf-b', ns).data.x);
  stopped = true;
  await inf.stop();
  way.close();
  await core.deleteNamespacedConfigMap({ name: 'inf-b', namespace: ns });
}

async function watch() {
  const w = new k8s.Watch(kc);
  const phases = [];
  let ended = false;
  const list = await core.listNamespacedConfigMap({ namespace: ns });
  const abort = await w.watch(`/api/v1/namespaces/${ns}/configmaps`,
    { resourceVersion: list.metadata.resourceVersion, allowWatchBookmarks: true },
    (phase, o) => phases.push(`${phase} ${o.metadata.name ?? ''}`), () => { ended = true; });
  await core.createNamespacedConfigMap({ namespace: ns, body: { metadata: { name: 'seen' } } });
  await core.deleteNamespacedConfigMap({ name: 'seen', namespace: ns });
  await until('both events', () => phases.includes('DELETED seen'));
  say(phases.filter((p) => p.endsWith('seen')).join(', '));
  abort.abort();
  await until('its end', () => ended);
  // One from before the window is told so.
  let why;
  await w.watch(`/api/v1/namespaces/${ns}/configmaps`, { resourceVersion: 'x' }, () => {},
    (e) => { why = e; });
  await until('its refusal', () => why);
  say('refused', why.statusCode ?? why.message);
}

// Any kind, found by discovery.
async function dynamic() {
  const any = k8s.KubernetesObjectApi.makeApiClient(kc);
  const spec = {
    apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'budget', namespace: ns },
    spec: { minAvailable: 1, selector: { matchLabels: { app: 'demo' } } },
  };
  say('created', (await any.create(spec)).spec.minAvailable);
  spec.spec.minAvailable = 2;
  say('patched', (await any.patch(spec, undefined, undefined, undefined, undefined,
    k8s.PatchStrategy.MergePatch)).spec.minAvailable);
  say('listed', (await any.list('policy/v1', 'PodDisruptionBudget', ns)).items.length);
  await any.delete(spec);
  say(await refusal(any.read(spec)));
}

async function custom() {
  const definitions = kc.makeApiClient(k8s.ApiextensionsV1Api);
  const api = kc.makeApiClient(k8s.CustomObjectsApi);
  const group = `${ns}.example.com`;
  const at = { group, version: 'v1', namespace: ns, plural: 'crates' };
  const integer = { type: 'integer', minimum: 1 };
  await definitions.createCustomResourceDefinition({ body: {
    metadata: { name: `crates.${group}` },
    spec: {
      group, scope: 'Namespaced', names: { plural: 'crates', singular: 'crate', kind: 'Crate' },
      versions: [{
        name: 'v1', served: true, storage: true, subresources: { status: {} },
        schema: { openAPIV3Schema: { type: 'object', properties: {
          spec: { type: 'object', properties: { size: integer } },
          status: { type: 'object', properties: { full: { type: 'boolean' } } },
        } } },
      }],
    } } });
  await until('Established', async () => {
    const d = await definitions.readCustomResourceDefinition({ name: `crates.${group}` });
    return d.status?.conditions?.some((c) => c.type === 'Established' && c.status === 'True');
  });
  const crate = (size) => ({ apiVersion: `${group}/v1`, kind: 'Crate', metadata: { name: 'c' }, spec: { size } });
  const made = await api.createNamespacedCustomObject({ ...at, body: crate(3) });
  say('created', made.kind, made.spec.size, made.metadata.generation);
  say((await refusal(api.createNamespacedCustomObject({ ...at, body: crate(0) }))).split(':')[0]);
  const patched = await api.patchNamespacedCustomObject({ ...at, name: 'c', body: { spec: { size: 4 } } },
    as(k8s.PatchStrategy.MergePatch));
  say('patched', patched.spec.size, patched.metadata.generation);
  const status = await api.patchNamespacedCustomObjectStatus({ ...at, name: 'c', body: { status: { full: true } } },
    as(k8s.PatchStrategy.MergePatch));
  say('status', status.status.full, status.metadata.generation);
  say('listed', (await api.listNamespacedCustomObject(at)).items.length);
  await api.deleteNamespacedCustomObject({ ...at, name: 'c' });
  await definitions.deleteCustomResourceDefinition({ name: `crates.${group}` });
  await until('its end', async () => (await refusal(
    definitions.readCustomResourceDefinition({ name: `crates.${group}` }))).startsWith('404'));
  say('gone');
}

// exec by websocket.
async function exec() {
  const run = (command, input, tty = false) => new Promise((done, failed) => {
    const out = new PassThrough(), err = new PassThrough();
    let stdout = '', stderr = '';
    out.on('data', (d) => { stdout += d; });
    err.on('data', (d) => { stderr += d; });
    new k8s.Exec(kc).exec(ns, 'box', 'box', command, out, err,
      input === undefined ? null : Readable.from([input]), tty,
      (status) => done({ stdout, stderr, status })).catch(failed);
  });
  let r = await run(['sh', '-c', 'echo out; echo err >&2']);
  say(JSON.stringify([r.stdout, r.stderr, r.status.status]));
  r = await run(['sh', '-c', 'read line; echo "got $line"'], 'a line\n');
  say(JSON.stringify(r.stdout));
  r = await run(['sh', '-c', 'exit 3']);
  say(r.status.reason, r.status.details.causes[0].message);
  const log = new k8s.Log(kc), text = new PassThrough();
  let logged = '';
  text.on('data', (d) => { logged += d; });
  await log.log(ns, 'box', 'box', text, { follow: false });
  await until('the log', () => logged.includes('\n'));
  say('log', JSON.stringify(logged));
}

const parts = { objects, patches, apply, informer, watch, dynamic, custom, exec };
await parts[process.argv[2]]();
process.exit(0);
