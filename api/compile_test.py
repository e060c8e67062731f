#!/usr/bin/python3
"""Proves that what changes in one group makes no other group's tables compile anew: on a copy of the
description, compile.py leaves alone what it would write the same."""
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(sys.argv[1])
ALL = {'kinds.cc', 'inert.cc'}  # list what every group has


def compile_api(root):
    """What was written, by name: its time in nanoseconds."""
    subprocess.run([sys.executable, '-B', f'{ROOT}/api/compile.py', f'{root}/api', f'{root}/out'], check=True)
    times = {}
    for folder, _, names in os.walk(f'{root}/out'):
        for name in names:
            path = os.path.join(folder, name)
            times[os.path.relpath(path, f'{root}/out')] = os.stat(path).st_mtime_ns
    return times


def add_field(path, type_name):
    with open(path) as f:
        text = f.read()
    at = f'  {type_name}:\n    fields:\n'
    assert at in text, f'{path} has no {type_name} of this form'
    with open(path, 'w') as f:
        f.write(text.replace(at, at + '      quiteNew: {type: string, proto: 999}\n', 1))


def add_enum(path):
    with open(path, 'a') as f:
        f.write('\nenums:\n  QuiteNew: {Zero: 0, One: 1}\n')


CASES = [  # (what is done to the copy, the files that are written anew beside those of ALL)
    ('nothing', lambda api: None, set()),
    ('a field', lambda api: add_field(f'{api}/batch/v1/cron_job.yaml', 'CronJobSpec'),
     {'batch_v1_types_0.cc', 'api/batch_v1.h'}),
    ('an enum', lambda api: add_enum(f'{api}/batch/v1/cron_job.yaml'),
     {'batch_v1_types_0.cc', 'batch_v1_tables.h', 'api/batch_v1.h'}),
]


def main():
    failed = 0
    for name, change, wanted in CASES:
        with tempfile.TemporaryDirectory() as root:
            shutil.copytree(f'{ROOT}/api', f'{root}/api', ignore=shutil.ignore_patterns('__pycache__'))
            before = compile_api(root)
            change(f'{root}/api')
            after = compile_api(root)
            written = {f for f in after if after[f] != before.get(f)} - ALL - {'stamp'}
            if written != wanted:
                failed += 1
                print(f'{name}: written {sorted(written)}, wanted {sorted(wanted)}')
    sys.exit(1 if failed else 0)


main()
