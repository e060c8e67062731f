#!/usr/bin/python3
"""Proves which sources unity.py lets be compiled as one: pairs that would disturb each other, beside
pairs that do not."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import unity  # noqa: E402


def unnamed(text):
    return f'namespace keles {{\nnamespace {{\n{text}\n}}  // namespace\n}}  // namespace keles\n'


HEADERS = {'src/a/point.h': '#pragma once\nnamespace keles { struct Point {}; Point middle(Point a, Point b); }\n'}
API = {'api/core/v1/pod.yaml': 'types:\n  Pod:\n    fields:\n  Point:\n    fields:\n'}
USES_POINT = '#include "a/point.h"\n' + unnamed('int use() { return sizeof(Point); }')

APART = {
    'the same function': (unnamed('int help(int n) { return n; }'), unnamed('int help(int n) { return -n; }')),
    'the same constant': (unnamed('constexpr int kMost = 1;'), unnamed('constexpr int kMost = 2;')),
    'the second of two constants': (unnamed('constexpr int kLeast = 0, kMost = 1;'), unnamed('const int kMost = 2;')),
    'the same type': (unnamed('struct Row {\n  int a;\n};'), unnamed('struct Row {\n  int b;\n};')),
    'a template': (unnamed('template <class T>\nT most(T a);'), unnamed('int most(int a);')),
    'a static function': ('static int help() { return 1; }\n', 'static int help() { return 2; }\n'),
    'another meaning of a name': (unnamed('int count(int n) { return n; }'), unnamed('int f() { return count(1); }')),
    'different aliases': (unnamed('namespace api = a::v1;'), unnamed('namespace api = a::v2;')),
    'an enumerator': ('enum Colour { Red, Green };\n', unnamed('int f() { return Red; }')),
    'a name in the header of the other': (unnamed('struct Point {\n  int x;\n};'), USES_POINT),
    'a whole namespace beside a name of it': (unnamed('using namespace api::core_v1;'), unnamed('int f(Pod* p);')),
    'a whole namespace beside a header': (unnamed('using namespace api::core_v1;'), USES_POINT),
    'macros': ('#define X 1\n', unnamed('int f();')),
    'a main program': ('int main() { return 0; }\n', unnamed('int f();')),
}
TOGETHER = {
    'different names': (unnamed('int help(int n) { return n; }'), unnamed('int other(int n) { return -n; }')),
    'the same alias': (unnamed('namespace api = a::v1;'), unnamed('namespace api = a::v1;')),
    'a name of a member': (unnamed('int count(int n);'), unnamed('int f(Set s) { return s.count(1) + s->count(2); }')),
    'a name elsewhere': (unnamed('int count(int n);'), unnamed('int f() { return std::count(1); }')),
    'a name in a comment, in a text': (unnamed('int count(int n);'), unnamed('// count\nauto f = "count";')),
    'a name within a function': (unnamed('int f() {\n  int inner = 0;\n  return inner;\n}'), unnamed('int g() {\n  int inner = 1;\n  return inner;\n}')),
    'the same namespace': (unnamed('using namespace api::core_v1;\nint f(Pod*);'),
                           unnamed('using namespace api::core_v1;\nint g(Pod*);')),
    'the same header': ('#include "a/point.h"\n' + unnamed('using namespace api::core_v1;'),
                        '#include "a/point.h"\n' + unnamed('int f();')),
}


class Pairs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        for path, text in {**HEADERS, **API}.items():
            self.write(path, text)
        self.headers = unity.Headers(self.folder.name)

    def write(self, path, text):
        path = f'{self.folder.name}/{path}'
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return path

    def pair(self, texts):
        return [unity.Source(self.write(f'src/a/{n}.cc', t), self.headers) for n, t in zip('xy', texts)]

    def test_apart(self):
        for name, texts in APART.items():
            with self.subTest(name):
                self.assertEqual(unity.groups(self.pair(texts), [], 8, 1000), [])

    def test_together(self):
        for name, texts in TOGETHER.items():
            with self.subTest(name):
                self.assertEqual(len(unity.groups(self.pair(texts), [], 8, 1000)), 1)

    def test_what_stood_together_stays(self):
        sources = [unity.Source(self.write(f'src/a/{n}.cc', unnamed(f'int {n}_();')), self.headers) for n in 'pqrst']
        paths = {s.path[-4]: s.path for s in sources}
        before = [[paths['p'], paths['t']], [paths['r'], paths['s'], '/gone.cc']]
        got = [[s.path[-4] for s in g] for g in unity.groups(sources, before, 3, 1000)]
        self.assertEqual(sorted(map(sorted, got)), [['p', 'q', 't'], ['r', 's']])

    def test_limits(self):
        sources = [unity.Source(self.write(f'src/a/{n}.cc', unnamed(f'int {n}_();')), self.headers) for n in 'pqrst']
        self.assertEqual(sorted(map(len, unity.groups(sources, [], 2, 1000))), [2, 2])
        self.assertEqual(unity.groups(sources, [], 8, sources[0].lines), [])


if __name__ == '__main__':
    unittest.main()
