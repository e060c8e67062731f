#!/usr/bin/python3
"""What the API accepts and nothing acts on yet (`inert` in the description), and whether that is true.

coverage.py ROOT            prints docs/coverage.md
coverage.py --write ROOT    writes it
coverage.py --check ROOT    fails when the page is stale, or when the marks and the code differ: a
                            field that no component reads has neither mark nor reason, or a field
                            that one reads is marked. Reasons: api/unread.yaml.

A component reads a field when its source calls the field's accessor or names it as a key. That is
known by name, not by type: of two fields with one name, reading either counts for both, but for
those of the kinds that unread.yaml has readers of.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compile as api  # noqa: E402
import yaml  # noqa: E402

# Who acts: what else the API server does is validation and storage. Pod security only judges.
COMPONENTS = ['controllers', 'scheduler', 'node', 'csi', 'proxy', 'dns', 'ingress', 'server/admission', 'server/auth',
              'server/aggregation', 'server/quota', 'machinery/quota', 'machinery/volumes', 'server/webhooks',
              'server/matching', 'server/callout', 'server/policies', 'cel', 'server/flow']
JUDGES = re.compile(r'pod_security|^documents\.|^openapi_|node_restriction|_test\.|testing\.|_world\.')

PAGE = '''# What is accepted, and not acted on

Made from the description of the API by `api/coverage.py --write .`; a test fails when it is stale, or when
it says what the code belies (a marked field that a component reads, an unmarked one that none does).
keles validates and stores what is below and does nothing with it. Who sets it is told so by a `Warning:`
header, which kubectl shows.

## Kinds

| kind | why |
|---|---|
{kinds}

## Fields

A path is that of one kind; other kinds have the same field in their pod templates and elsewhere.

| field | inert | kinds |
|---|---|---|
{fields}

What a node refuses aloud is not listed: volumes of other types than hostPath, emptyDir, configMap, secret,
downwardAPI, projected, nfs, image and csi (and local of claims) fail with FailedMount, claims of drivers that are not there with FailedPrepareDynamicResources.
'''


def served(world):
    return [(p, k) for p in world.packages for k in p.kinds
            if k.spec.get('plural') and not p.proto3]


def walk(world, package, kind):
    """(type, field, path) of all that a user sets in a kind, shallow first; not metadata, status."""
    queue, seen = [(world.types[(package.dir, kind.name)], '')], set()
    for t, path in queue:
        for f, _ in t.fields:
            if t.is_kind and f.name in ('kind', 'apiVersion', 'metadata', 'status'):
                continue
            here = path + f.name + {'kList': '[]', 'kMap': '{}'}.get(f.card, '')
            yield t, f, here
            inner = world.types.get(f.message) if f.message else None
            if inner and inner.full not in seen and inner.package.dir != 'meta/v1' \
                    and f.inert != {}:
                seen.add(inner.full)
                queue.append((inner, here + '.'))


def condition(f):
    parts = []
    if f.inert.get('keys'):
        parts.append('the keys ' + ', '.join(f'`{k}`' for k in f.inert['keys']))
    if f.inert.get('except'):
        parts.append('but for ' + ', '.join(f'`{v}`' for v in f.inert['except']))
    for name, value in (f.inert.get('unless') or {}).items():
        parts.append(f'unless `{name}` is `{value}`')
    return '; '.join(parts) or 'always'


def page(world):
    kinds = {f'{k.name}{"." + k.group if k.group else ""}': k.spec['inert']
             for _, k in served(world) if 'inert' in k.spec}
    fields = {}  # field -> [path, kinds]; the path in the kind where it is shortest
    for p, k in served(world):
        if 'inert' in k.spec:
            continue
        for _, f, path in walk(world, p, k):
            if f.inert is None:
                continue
            row = fields.setdefault(f.where, [f, None, set()])
            row[2].add(k.name)
            text = f'{k.name} `{path}`'
            if row[1] is None or (path.count('.'), text) < (row[1].count('.'), row[1]):
                row[1] = text
    return PAGE.format(
        kinds='\n'.join(f'| {n} | {why} |' for n, why in sorted(kinds.items())),
        fields='\n'.join(f'| {path} | {condition(f)} | {", ".join(sorted(names))} |'
                         for f, path, names in sorted(fields.values(), key=lambda r: r[1])))


class Code:
    """What the components' sources call and name, file by file."""

    def __init__(self, root):
        self.files = {}
        for part in COMPONENTS:
            for folder, _, names in os.walk(f'{root}/src/{part}'):
                for name in names:
                    if not name.endswith(('.cc', '.h')) or JUDGES.search(name):
                        continue
                    with open(f'{folder}/{name}') as f:
                        text = re.sub(r'//[^\n]*', '', f.read())
                    calls = set(re.findall(r'(?:\.|->)([a-z][a-z0-9_]*)\(', text))
                    calls |= {c[4:] for c in calls if c.startswith('has_')}
                    path = os.path.relpath(f'{folder}/{name}', f'{root}/src')
                    self.files[path] = (calls, set(re.findall(r'"([A-Za-z0-9]+)"', text)))

    def reads(self, f, starts=None):
        """Whether the field is read, by a file whose path begins with one of `starts`."""
        return any((api.snake(f.name) in calls or f.name in keys)
                   and (starts is None or path.startswith(tuple(starts)))
                   for path, (calls, keys) in self.files.items())


def check(world, root):
    with open(f'{root}/api/unread.yaml') as f:
        excuses = yaml.safe_load(f)
    source = Code(root)
    problems, used, judged = [], set(), set()
    for p, k in served(world):
        if 'inert' in k.spec:
            continue
        if k.name in excuses['kinds']:
            used.add(k.name)
            continue
        for t, f, path in walk_read(world, p, k, excuses['fields'], used):
            name = f'{t.name}.{f.name}'
            if f.where in judged:
                continue
            judged.add(f.where)
            # A kind's own types (not those that all pods share) are read by its own controller.
            starts = excuses['readers'].get(k.name) if t.package is p else None
            is_read = source.reads(f, starts)
            if f.inert is None and not is_read:
                problems.append(f'{k.name} {path}: no component reads {name}, and it has no mark '
                                '(inert: true in the description)')
            elif f.inert is not None and not set(f.inert) - {'except'} and is_read:
                if name in excuses['namesakes']:
                    used.add(name)
                else:
                    problems.append(f'{k.name} {path}: {name} is marked inert, and a component '
                                    'reads it: remove the mark')
    for part in ('kinds', 'fields', 'namesakes'):
        problems += [f'api/unread.yaml: {part}: {name} excuses nothing'
                     for name in excuses[part] or {} if name not in used]
    # A field that is excused and read after all; what holds others may be, for their sake.
    for name in excuses['fields']:
        owner, field = name.split('.')
        for t in world.types.values():
            problems += [f'api/unread.yaml: fields: {name} is read: remove it'
                         for f, _ in t.fields if (t.name, f.name) == (owner, field)
                         and not f.message and source.reads(f)]
    return problems


def walk_read(world, package, kind, excused, used):
    """As walk, without what is excused and what is within it."""
    skip = set()
    for t, f, path in walk(world, package, kind):
        name = f'{t.name}.{f.name}'
        if any(path.startswith(s) for s in skip):
            continue
        if name in excused:
            used.add(name)
            skip.add(path + '.')
            continue
        yield t, f, path


def main():
    root = sys.argv[-1]
    world = api.World(f'{root}/api')
    text = page(world)
    target = f'{root}/docs/coverage.md'
    if '--write' in sys.argv:
        with open(target, 'w') as f:
            f.write(text)
    elif '--check' in sys.argv:
        problems = check(world, root)
        with open(target) as f:
            if f.read() != text:
                problems.append('docs/coverage.md is stale: api/coverage.py --write .')
        sys.exit('\n'.join(problems) or 0)
    else:
        print(text, end='')


if __name__ == '__main__':
    main()
