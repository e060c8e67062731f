#!/usr/bin/python3
"""Proves that coverage.py --check finds what it is there to find: on copies of description and code
that lie in one way each."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(sys.argv[1])


def edit(path, before, after):
    with open(path) as f:
        text = f.read()
    assert before in text, f'{path} has no {before!r}'
    with open(path, 'w') as f:
        f.write(text.replace(before, after, 1))


def unmark(root):
    path = f'{root}/api/core/v1/pod.yaml'
    with open(path) as f:
        text = f.read()
    with open(path, 'w') as f:
        f.write(re.sub(r'(      seLinuxChangePolicy: .*), inert: true', r'\1', text))


def mark(root):
    edit(f'{root}/api/core/v1/pod.yaml', '      dnsPolicy: {', '      dnsPolicy: {inert: true, ')


def read_it(root):
    with open(f'{root}/src/scheduler/types.cc', 'a') as f:
        f.write('auto x = pod.spec().security_context().se_linux_change_policy();\n')


def only_remark(root):
    with open(f'{root}/src/scheduler/types.cc', 'a') as f:
        f.write('// .se_linux_change_policy( is not read here\n')


def only_validated(root):
    with open(f'{root}/src/server/registry/pod.cc', 'a') as f:
        f.write('auto x = spec.se_linux_change_policy();\n')


def excuse(root):
    edit(f'{root}/api/unread.yaml', '\nfields:\n', '\nfields:\n  PodSpec.nodeName: a lie\n')


def add_field(root):
    edit(f'{root}/api/core/v1/service.yaml', '      trafficDistribution: {',
         '      quiteNew: {type: string, proto: 99}\n      trafficDistribution: {')


def stale(root):
    with open(f'{root}/docs/coverage.md', 'a') as f:
        f.write('more\n')


CASES = [  # (what is done to the copy, what must be said; '' for nothing)
    (lambda root: None, ''),
    (only_remark, ''),
    (only_validated, ''),
    (unmark, 'no component reads PodSecurityContext.seLinuxChangePolicy'),
    (mark, 'PodSpec.dnsPolicy is marked inert, and a component reads it'),
    (read_it, 'PodSecurityContext.seLinuxChangePolicy is marked inert, and a component reads it'),
    (excuse, 'fields: PodSpec.nodeName is read: remove it'),
    (add_field, 'no component reads ServiceSpec.quiteNew'),
    (stale, 'docs/coverage.md is stale'),
]


def main():
    failed = 0
    for change, said in CASES:
        with tempfile.TemporaryDirectory() as root:
            for part in ('api', 'src', 'docs'):
                shutil.copytree(f'{ROOT}/{part}', f'{root}/{part}',
                                ignore=shutil.ignore_patterns('__pycache__'))
            change(root)
            got = subprocess.run([sys.executable, '-B', f'{root}/api/coverage.py', '--check', root],
                                 capture_output=True, text=True)
            if (got.returncode == 0) != (said == '') or said not in got.stderr:
                failed += 1
                print(f'{change.__name__}: exit {got.returncode}, wanted {said!r}:\n{got.stderr}')
    sys.exit(1 if failed else 0)


main()
