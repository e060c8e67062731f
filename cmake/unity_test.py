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

def shows(text, use):
    """An unnamed namespace, and what uses it outside."""
    return f'namespace keles {{\nnamespace {{\n{text}\n}}  // namespace\n{use}\n}}  // namespace keles\n'


ONE = 'int help(int n) { return n; }'
APART = {
    'the same function, used outside': (shows(ONE, 'int A::a() { return help(1); }'), shows(ONE, 'int B::b() { return help(1); }')),
    'a function that is another one there': (shows(ONE, 'int A::a() { return help(1); }'), unnamed('int b() { return help(1); }')),
    'a function of its own, used outside': (shows(ONE, 'int A::a() { return help(1); }'), shows(ONE, 'int B::b() { return help(2); }')),
    'a function of its own inside': (shows(ONE, 'int A::a() { return help(1); }'), unnamed(ONE + '\nint b() { return help(1); }')),
    'a constant behind another': (shows('const int kLeast(1),\n    kMost(2);', 'int A::a() { return kMost; }'),
                                  shows('int b;', 'int B::b() { return kMost; }')),
    'a type, used outside': (shows('struct Row {\n  int a;\n};', 'int A::a(Row r) { return r.a; }'),
                             shows('int b;', 'int B::b(Row r);')),
    'a static function': ('static int help() { return 1; }\n', 'static int help() { return 2; }\n'),
    'different aliases, used outside': (shows('namespace api = a::v1;', 'int A::a(api::Pod p);'),
                                        shows('namespace api = a::v2;', 'int B::b(api::Pod p);')),
    'an enumerator': ('enum Colour { Red, Green };\n', unnamed('int f() { return Red; }')),
    'a name in the header of the other': (shows('struct Point {\n  int x;\n};', 'int A::a(Point p);'), USES_POINT),
    'a whole namespace beside a name of it': (shows('using namespace api::core_v1;', 'int A::a(Pod* p);'),
                                               unnamed('int f(Pod* p);')),
    'a whole namespace beside a header': (shows('using namespace api::core_v1;', 'int A::a(Pod* p);'), USES_POINT),
    'macros': ('#define X 1\n', unnamed('int f();')),
    'a condition': ('#ifdef X\n#endif\n', unnamed('int f();')),
    'a main program': ('int main() { return 0; }\n', unnamed('int f();')),
    'a namespace whose end cannot be told': ('namespace {\nint a;\n}\n', unnamed('int f();')),
}
TOGETHER = {
    'different names': (unnamed('int help(int n) { return n; }'), unnamed('int other(int n) { return -n; }')),
    'the same function': (unnamed('int help(int n) { return n; }'), unnamed('int help(int n) { return -n; }')),
    'a constant of its own inside': (shows('const int kMost = 1;', 'int A::a() { return kMost; }'),
                                     unnamed('const int kLeast{1},\n    kMost(2);\nint b() { return kMost; }')),
    'the same type': (unnamed('struct Row {\n  int a;\n};'), unnamed('struct Row {\n  int b;\n};')),
    'different aliases': (unnamed('namespace api = a::v1;'), unnamed('namespace api = a::v2;')),
    'the same alias, used outside': (shows('namespace api = a::v1;', 'int A::a(api::Pod p);'),
                                     shows('namespace api = a::v1;', 'int B::b(api::Pod p);')),
    'the same alias': (unnamed('namespace api = a::v1;'), unnamed('namespace api = a::v1;')),
    'a name of a member': (unnamed('int count(int n);'), unnamed('int f(Set s) { return s.count(1) + s->count(2); }')),
    'a name elsewhere': (unnamed('int count(int n);'), unnamed('int f() { return std::count(1); }')),
    'a name in a comment, in a text': (unnamed('int count(int n);'), unnamed('// count\nauto f = "count";')),
    'a name within a function': (unnamed('int f() {\n  int inner = 0;\n  return inner;\n}'), unnamed('int g() {\n  int inner = 1;\n  return inner;\n}')),
    'a whole namespace inside': (unnamed('using namespace api::core_v1;\nint f(Pod*);'), unnamed('int g(Pod*);')),
    'a whole namespace and a name of it': (shows('using namespace api::core_v1;', 'int A::a(Pod* p);'),
                                           shows('using api::core_v1::Pod;', 'int B::b(Pod* p);')),
    'the same function in tables': (shows(ONE, 'extern const Table kA{\n    .help = help,\n};'),
                                    shows(ONE, 'extern const Table kB{.help = help};')),
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

    def test_joined(self):
        raw = shows('namespace api = a::v1;\nusing namespace std::chrono_literals;\nint help();\nint other();',
                    'int A::a() { return help() + api::x; }')
        lines = unity.joined([('/p.cc', raw), ('/q.cc', unnamed('int help();'))], self.headers.names).split('\n')
        self.assertEqual(lines[0], '#line 1 "/p.cc"')
        self.assertEqual(lines[2], 'namespace source_0 { namespace {')
        self.assertEqual(lines[7], '} } using namespace std::chrono_literals; namespace api = source_0::api; using source_0::help;')
        self.assertEqual(lines[11], '#line 1 "/q.cc"')
        self.assertEqual(lines[13:16], ['namespace source_1 { namespace {', 'int help();', '} }'])

    def test_tables_name_the_source(self):
        raw = shows(ONE, 'extern const Table kA{.help = help, .text = "help"};\nextern const Table kB{\n    .help = help,\n};')
        text = unity.joined([('/p.cc', raw)], self.headers.names)
        self.assertIn('kA{.help = source_0::help, .text = "help"};\n', text)
        self.assertIn('    .help = source_0::help,\n', text)
        self.assertNotIn('using', text)

    def test_limits(self):
        sources = [unity.Source(self.write(f'src/a/{n}.cc', unnamed(f'int {n}_();')), self.headers) for n in 'pqrst']
        self.assertEqual(sorted(map(len, unity.groups(sources, [], 2, 1000))), [2, 2])
        self.assertEqual(unity.groups(sources, [], 8, sources[0].lines), [])


if __name__ == '__main__':
    unittest.main()
