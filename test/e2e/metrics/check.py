"""check.py FILE FAMILY...: holds Prometheus text (stdin) against families.txt: whatever is told under a name that stands there has
its type, labels and buckets. Prints what differs, and which of the named families are not there; `all` prints those that are."""
import os
import re
import sys

SERIES = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+(?: \d+)?$')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
# cAdvisor's families and the kubelet's own share names: each has its labels.
CADVISOR = {'id', 'image', 'name', 'cpu'}


def read(lines):
    """name -> (type, [labels of each series], buckets)"""
    out, current = {}, None
    for line in lines:
        line = line.rstrip('\n')
        if line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ', 3)
            current = out.setdefault(name, (kind, [], set()))
            current_name = name
        elif line and not line.startswith('#'):
            m = SERIES.match(line)
            if not m:
                print('not a series:', line)
                continue
            if current is None or not m.group(1).startswith(current_name):
                print('a series without its family:', line)
                continue
            labels = dict(LABEL.findall(m.group(2) or ''))
            if m.group(1).endswith('_bucket') and labels.pop('le') != '+Inf':
                current[2].add(float(dict(LABEL.findall(m.group(2)))['le']))
            current[1].append(frozenset(labels))
    return out


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    told = read(sys.stdin)
    known = set()
    with open(os.path.join(here, 'families.txt')) as f:
        for line in f:
            if line.startswith('#'):
                continue
            name, kind, labels, buckets = line.split()
            if name not in told:
                continue
            known.add(name)
            is_kind, series, bounds = told[name]
            want = frozenset() if labels == '-' else frozenset(labels.split(','))
            if is_kind != kind:
                print(f'{name}: a {is_kind}, want a {kind}')
            for have in set(series):
                if have != want and not have & CADVISOR:
                    print(f'{name}: labels {sorted(have)}, want {sorted(want)}')
            if kind == 'histogram' and buckets != '?' and series:
                wanted = {float(b) for b in buckets.split(',')}
                if wanted != bounds:
                    print(f'{name}: buckets {sorted(bounds)}, want {sorted(wanted)}')
    for name in sys.argv[1:]:
        if name == 'all':
            print(len(known), 'families', *sorted(known), sep='\n')
        elif name not in known or not told[name][1]:
            print(f'{name}: not there')


main()
