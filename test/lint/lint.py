#!/usr/bin/env python3
"""Holds the tree against the rules that no compiler checks. See README.md.

lint.py [--root DIR] [--build DIR] [CHECK...]   all checks, or those named; exits 1 when one finds something
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import coroutines  # noqa: E402
import documents  # noqa: E402
import form  # noqa: E402
import links  # noqa: E402
import proofs  # noqa: E402
import standard  # noqa: E402
import twins  # noqa: E402
from tree import Tree  # noqa: E402

CHECKS = {
    "coroutines": coroutines.check,
    "links": links.check,
    "standard": standard.check,
    "twins": twins.check,
    "proofs": proofs.check,
    "names": documents.check_names,
    "readmes": documents.check_readmes,
    "length": form.check_length,
    "places": form.check_places,
}


def run(root, build=None, names=()):
    """All findings as (path, line, check, message, remedy), in order."""
    tree = Tree(root)
    tree.build = build
    findings = []
    for name in names or CHECKS:
        def report(path, line, message, remedy, name=name):
            findings.append((path, line, name, message, remedy))
        CHECKS[name](tree, report)
    return sorted(set(findings))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    parser.add_argument("--build", help="a configured build folder: says what is linked with what")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    options = parser.parse_args()
    unknown = [c for c in options.checks if c not in CHECKS]
    if unknown:
        parser.error(f"no check {unknown[0]!r}; there are {', '.join(CHECKS)}")
    findings = run(options.root, options.build, options.checks)
    for path, line, name, message, remedy in findings:
        print(f"{path}:{line}: {message} [{name}]\n    {remedy}")
    if findings:
        print(f"{len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
