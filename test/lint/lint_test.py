#!/usr/bin/env python3
"""Proves that the checks find what they are there to find, and nothing else: each on a small tree
that is wrong in one way, beside one that is right."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import coroutines  # noqa: E402
import documents  # noqa: E402
import form  # noqa: E402
import lint  # noqa: E402
import links  # noqa: E402
import proofs  # noqa: E402
import standard  # noqa: E402
import twins  # noqa: E402
from tree import Tree  # noqa: E402


def in_function(statement):
    return f"Task<int> f(bool b, Agg a, std::string s, int n, World* w) {{\n  {statement}\n  co_return 1;\n}}\n"


# Each of these was compiled with GCC 12.2 and destroyed something twice, or left the body out, or
# is of the same form as one that did.
BAD = {
    "an aggregate as an argument": "co_await g(Agg{1});",
    "a bare list": "co_await g({1});",
    "an empty list": "co_await r->respond(500, {}, {});",
    "designated": "co_await g({.x = 2, .c = make()});",
    "moved": "co_await g(std::move(Agg{1}));",
    "a temporary of a call that does not await": "int x = plain({2}) + co_await g(1);",
    "a declaration": "Agg x{co_await g(1)};",
    "an initializer": "auto x = Agg{co_await g(1)};",
    "returned": "co_return co_await g(Agg{1});",
    "in TRY_CO": "TRY_CO(g(Agg{1}));",
    "in TRY_ASSIGN_CO": "TRY_ASSIGN_CO(x, g(1, {s}));",
    "over lines": "auto r = co_await client->patch(ctx, kind,\n      std::move(patch),\n      {});",
    "a choice": 'co_await g(b ? std::string("a") : s);',
    "a choice of what is awaited": "auto x = (co_await g(1)) ? make() : Agg();",
    "a choice in TRY_CO": "TRY_CO(g(b ? A::kOne : A::kTwo));",
    "a closure with a string": "co_await run([s] { use(s); });",
    "a closure with what was moved in": "co_await run([x = std::move(s)] { use(x); });",
    "a closure with everything": "co_await run([=] { use(s); });",
    "a closure with an aggregate": "co_await run([a, n] { use(a, n); });",
    "awaited if": "if (co_await g(1)) n = 2;",
    "awaited and more": "if (b && co_await g(1)) { n = 2; }",
    "awaited while": "while (!co_await g(1)) { n = 2; }",
    "awaited switch": "switch (co_await g(1)) {\n    default: break;\n  }",
    "awaited do": "do { n = 2; } while (co_await g(1));",
    "taken apart": "auto [x, y] = co_await g(1);",
    "behind an if": "if (b) co_await g({});",
    "behind an else": "if (b) n = 1; else co_await g({});",
    "in a loop": "for (int i = 0; i < n; ++i) co_await g(Agg{i});",
    "in a closure's body": "run([w] { return h(co_await g({})); });",
}
GOOD = {
    "named before": "Agg x{1};\n  co_await g(std::move(x));",
    "made with parentheses": "co_await g(WriteOptions());",
    "a choice made before": "auto x = b ? make() : Agg();\n  co_await g(std::move(x));",
    "a choice after": "int x = co_await g(1);\n  n = x ? 1 : 2;",
    "if with a declaration": "if (auto v = co_await g(1)) n = 2;",
    "if with a name": "if (auto v = co_await g(1); v) n = 2;",
    "an await behind a condition": "if (b && (n == 1 || n == 2)) co_await g(1);",
    "a list beside, in another statement": "std::vector<int> v = {1, 2};\n  co_await g(v);",
    "a loop over a list": "for (int i : {1, 2}) {\n    co_await g(i);\n  }",
    "closures that hold pointers and numbers": "co_await run([w, n] { return w->ready(n); });",
    "closures that hold references": "co_await run([&] { return s; });\n  co_await run([&s, &a] { return s; });",
    "a list in a closure's body": "co_await run([w] { return Agg{1}; });",
    "a choice in a closure's body": "co_await run([w] { return w ? 1 : 2; });",
    "an awaited call of a member": "auto r = co_await client().get(ctx, std::move(s));",
    "text with a question": 'co_await g("really? {} [x]");',
    "raw text": 'co_await g(R"({"a":{}})");',
    "a comment": "co_await g(1);  // f({}) ? would not do",
    "an index": "co_await g(v[n], m[s]);",
}


class Coroutines(unittest.TestCase):
    def findings(self, text):
        found = []
        coroutines.check_text(text, lambda line, message, remedy: found.append((line, message, remedy)))
        return found

    def test_bad(self):
        for name, statement in BAD.items():
            with self.subTest(name):
                found = self.findings(in_function(statement))
                self.assertTrue(found, statement)
                for line, message, remedy in found:
                    self.assertTrue(2 <= line <= 1 + len(statement.split("\n")), (line, message))
                    self.assertTrue(remedy)

    def test_good(self):
        for name, statement in GOOD.items():
            with self.subTest(name):
                self.assertEqual(self.findings(in_function(statement)), [], statement)

    def test_line(self):
        text = "// a\nTask<void> f() {\n  auto r =\n      co_await g(1,\n                 {});\n}\n"
        self.assertEqual([f[0] for f in self.findings(text)], [5])

    def test_closure_that_is_a_coroutine(self):
        self.assertTrue(self.findings("void f() { spawn([w]() -> Task<void> { co_await w->run(); }()); }"))
        self.assertTrue(self.findings("void f() { auto t = [&](int n) -> Task<int> { co_return n; }; }"))
        self.assertEqual(self.findings("void f() { auto t = [](World* w) -> Task<void> { co_await w->run(); }; }"), [])
        self.assertEqual(self.findings("void f() { each([w] { return w->run(); }); }"), [])

    def test_parameter_by_reference(self):
        self.assertTrue(self.findings("Task<int> f(const std::string& s) { co_return 1; }"))
        self.assertTrue(self.findings("struct S { Task<int> f(Head&& h) override { co_await g(); co_return 1; } };"))
        self.assertEqual(self.findings("Task<int> f(const std::string& s) { return g(s); }"), [])
        self.assertEqual(self.findings("Task<int> f(std::string s, World* w) { co_return 1; }"), [])
        self.assertEqual(self.findings("Task<int> f() { for (const auto& x : all) co_await g(x); }"), [])

    def test_what_is_no_expression(self):
        self.assertEqual(self.findings("template <class T = void>\nclass [[nodiscard]] Task {\n"
                                       "  auto operator co_await() { return Awaiter{h_}; }\n};\n"), [])
        self.assertEqual(self.findings("namespace a {\nenum class E { kA };\nTask<void> f() { co_await g(); }\n}"), [])
        self.assertEqual(self.findings("struct S : T {\n  S() : a_{1}, b_(2) {}\n  Task<void> f() { co_await g(); }\n};"), [])
        self.assertEqual(self.findings("#define X(e) auto y = co_await (e ? 1 : 2)\nint x;"), [])

    def test_default_argument(self):
        for constructor, wanted in (("", 1), ("O() = default; ", 0)):
            with Checkout({"a.h": "struct O { %sstd::string s; };\n" % constructor,
                           "b.h": "struct C {\n  virtual Task<Result<T>> get(Context c, O options = {}) = 0;\n};\n"}) as tree:
                found = collect(coroutines.check, tree)
                self.assertEqual([f[:2] for f in found], [("b.h", 2)] * wanted)


class Checkout:
    """A tree of the files named, outside any git checkout."""

    def __init__(self, files):
        self.files = files

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        for path, text in self.files.items():
            path = os.path.join(self.folder.name, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        return Tree(self.folder.name)

    def __exit__(self, *unused):
        self.folder.cleanup()


def collect(check, tree, *more):
    found = []
    check(tree, *more, lambda path, line, message, remedy: found.append((path, line, message)))
    return found


class Links(unittest.TestCase):
    FILES = {
        "src/base/log.h": "", "src/base/log.cc": '#include "base/log.h"\n',
        "src/net/http.h": '#include "base/log.h"\n', "src/net/http.cc": '#include "net/http.h"\n',
        "src/node/CMakeLists.txt": "# node\nkeles_library(node SOURCES node.cc)\n",
        "src/node/node.h": "", "src/node/node.cc": '#include <vector>\n#include "net/http.h"\n',
        "src/node/network/net.h": "", "src/node/network/net.cc": '#include "node/network/net.h"\n',
        "src/node/node_test.cc": '#include "node/world.h"\n', "src/node/world.h": '#include "base/log.h"\n',
        "api/core/v1/pod.yaml": "", "src/machinery/value.cc": "",
        "bench/b.cc": '#include "bench/shared.h"\n', "bench/shared.h": '#include "net/http.h"\n',
    }

    def findings(self, **changed):
        links_of = {"base": "", "net": "base", "machinery": "", "node_network": "", "node": "net", "b": "net", "node_test": "node;base"}
        links_of.update(changed)
        folder_of = {"node_network": "src/node/network", "b": "bench", "node_test": "src/node"}
        with Checkout(self.FILES) as tree:
            targets = []
            for name, linked in links_of.items():
                kind = "EXECUTABLE" if name in ("b", "node_test") else "STATIC_LIBRARY"
                target = links.Target(f"{name}\t{kind}\t{folder_of.get(name, 'src/' + name)}\t\t{linked}\n")
                target.sources = [p for p in tree.files(target.folder + "/*.cc")
                                  if os.path.dirname(p) == target.folder and p.endswith("_test.cc") == (name == "node_test")]
                targets.append(target)
            return collect(links.check_targets, tree, targets)

    def test_good(self):
        self.assertEqual(self.findings(), [])

    def test_a_source_that_nothing_builds(self):
        files = {"sim/a.cc": "", "sim/left.cc": "", "sim/special.cc": "", "sim/CMakeLists.txt": "add_library(special MODULE special.cc)\n"}
        target = links.Target("sim\tSTATIC_LIBRARY\tsim\t\t\n")
        target.sources = ["sim/a.cc"]
        with Checkout(files) as tree:
            self.assertEqual(collect(links.check_built, tree, [target]), [("sim/left.cc", 1, "no target builds this file")])

    def test_not_linked(self):
        self.assertEqual(self.findings(node=""), [("src/node/node.cc", 2, '"net/http.h" is of net, which node does not link')])

    def test_through_a_shared_header(self):
        self.assertEqual(self.findings(b=""), [("bench/shared.h", 1, '"net/http.h" is of net, which b does not link')])

    def test_what_only_a_test_includes_is_the_tests(self):
        self.assertEqual(self.findings(node_test="node"), [
            ("src/node/world.h", 1, '"base/log.h" is of base, which node_test does not link')])

    def test_not_used(self):
        self.assertEqual(self.findings(node="net;base;node_network"), [
            ("src/node/CMakeLists.txt", 2, "node links base and includes nothing of it"),
            ("src/node/CMakeLists.txt", 2, "node links node_network and includes nothing of it")])

    def test_others_libraries_are_not_ours_to_judge(self):
        self.assertEqual(self.findings(node="net;OpenSSL::SSL;PkgConfig::NFT;z"), [])

    def test_compiled_from_api(self):
        files = dict(self.FILES)
        self.FILES = dict(files, **{"src/node/node.cc": '#include "api/core_v1.h"\n'})
        self.assertEqual(self.findings(node=""), [("src/node/node.cc", 1, '"api/core_v1.h" is of machinery, which node does not link')])
        self.FILES = files


class Standard(unittest.TestCase):
    def findings(self, text, path="src/net/a.cc", **more):
        files = {"src/net/own.h": '#include "base/b.h"\n#include <map>\n', "src/base/b.h": "#include <string>\n", "src/machinery/view.h": "#include <span>\n",
                 "src/base/CMakeLists.txt": ""}
        with Checkout(dict(files, **{path: text})) as tree:
            return [(line, message) for _, line, message in collect(standard.check, tree)]

    def test_named(self):
        for text in ("#include <vector>\nstd::vector<int> v;", "#include <string>\nstd::string_view s;",
                     '#include "net/own.h"\nstd::map<int, std::string> m;', '#include "own.h"\nstd::string s;',
                     '#include "api/core_v1.h"\nstd::span<int> s;', "std::something_else x;", "#include <list>\nauto x = std::next(i);",
                     "// std::vector\n/* std::map\n */ auto s = \"std::set\", t = R\"x(std::list)x\"; auto n = 100'000;"):
            with self.subTest(text):
                self.assertEqual(self.findings(text), [])

    def test_not_named(self):
        self.assertEqual(self.findings("\nstd::vector<int> v;\nstd::vector<int> w;"), [(2, "std::vector, and no <vector>")])
        self.assertEqual(self.findings("#include <boost/asio.hpp>\nauto s = std::chrono::seconds(1);"), [(2, "std::chrono, and no <chrono>")])
        self.assertEqual(self.findings("// x\nauto n = 1'0; std::string s;"), [(2, "std::string, and no <string>")])
        self.assertEqual(self.findings("std::sort(b, e);", "src/net/x.h"), [(1, "std::sort, and no <algorithm>")])


class Twins(unittest.TestCase):
    A = "namespace keles::net {\n\nstruct Probe {\n  int a;\n};\n\n}  // namespace keles::net\n"

    def findings(self, text, path="src/net/b.cc"):
        with Checkout({"src/net/a.cc": self.A, path: text}) as tree:
            return [(line, message) for _, line, message in collect(twins.check, tree)]

    def test_two_of_one_name(self):
        found = "keles::net::Probe is defined in src/net/a.cc:3, too"
        for text, line in ((self.A, 3), ("namespace keles {\nnamespace net {\nclass Probe final : public A<int> {\n", 3),
                           ("namespace keles::net {\nnamespace {\nint f() {\n}\n}  // namespace\nclass [[nodiscard]] Probe\n    : public B {\n", 6)):
            with self.subTest(text):
                self.assertEqual(self.findings(text), [(line, found)])
        self.assertEqual(self.findings(self.A, "src/other/a_test.cc"), [(3, found)])

    def test_one(self):
        for text in ("namespace keles::net {\nnamespace {\n\nstruct Probe {\n};\n\n}  // namespace\n}  // namespace keles::net\n",
                     "namespace keles::dns {\nstruct Probe {\n};\n}  // namespace keles::dns\n",
                     "namespace keles::net {\nstruct Probe;\nclass Probe* f();\nenum class Probe {\n};\n}  // namespace keles::net\n",
                     "namespace keles::net {\ntemplate <>\nstruct Probe<int> {\n};\nstruct Outer {\n  struct Probe {\n  };\n};\n"
                     "struct Outer::Probe {\n};\n}  // namespace keles::net\n",
                     "namespace n = keles::net;\n// namespace keles::net {\nstruct Probe {\n};\n"):
            with self.subTest(text):
                self.assertEqual(self.findings(text), [])
        with Checkout({"fuzz/a.cc": self.A, "fuzz/b.cc": self.A}) as tree:  # two programs
            self.assertEqual(collect(twins.check, tree), [])


class Documents(unittest.TestCase):
    FILES = {
        "README.md": "", "docs/a.md": "", "src/README.md": "", "src/net/README.md": "", "src/net/http.h": "",
        "src/net/http_test.cc": "", "src/net/registry/pod.cc": "", "api/core/v1/pod.yaml": "", "test/e2e/users.e2e": "",
    }

    def names(self, text, path="src/net/README.md"):
        with Checkout(dict(self.FILES, **{path: text})) as tree:
            return collect(documents.check_names, tree)

    def test_there(self):
        for text in ("`http.h` and `net/http.h` and `src/net/http.h`", "`registry/<kind>.cc`, `registry/KIND.cc`, `registry/*.cc`",
                     "`http_test`", "[a](../../docs/a.md) [b](http.h) [c](https://example.com/x.md)", "`api/core_v1.h`",
                     "`registry/pod`", "`registry/`", "`build/images/hello.tar`, `/etc/x.conf`, `a/status`, `pods/log`",
                     "`STATE/kind/NODE/node.conf`", "`keles.dev/hello:1`", "`docker.io/library`", "`--flag=x.yaml`"):
            with self.subTest(text):
                self.assertEqual(self.names(text), [])

    def test_not_there(self):
        for text in ("`htpp.h`", "x\n`net/gone.h`", "`registry/<kind>.py`", "`gone_test`", "[a](../gone.md)", "`registry/gone`",
                     "`api/gone_v1.h`", "`see http.h gone.cc`"):
            with self.subTest(text):
                self.assertEqual(len(self.names(text)), 1, text)

    def test_in_comments(self):
        self.assertEqual(self.names("// see net/gone.h\n", "src/net/a.h"), [("src/net/a.h", 1, "net/gone.h is not there")])
        self.assertEqual(self.names('// see net/http.h\nauto x = "net/gone.h";\n', "src/net/a.h"), [])

    def test_readmes(self):
        with Checkout({"src/README.md": "", "src/net/http.cc": "", "src/net/spdy/spdy.cc": "", "src/net/README.md": "",
                       "sim/world.cc": "", "test/e2e/input/a.txt": "", "test/README.md": "", "test/e2e/README.md": ""}) as tree:
            self.assertEqual([f[0] for f in collect(documents.check_readmes, tree)], ["sim/README.md", "src/net/spdy/README.md"])


class Form(unittest.TestCase):
    def test_length(self):
        with Checkout({"a.cc": "\n" * 1000, "b.cc": "\n" * 1001, "c.md": "\n" * 2000}) as tree:
            self.assertEqual(collect(form.check_length, tree), [("b.cc", 1001, "1001 lines")])

    def test_places(self):
        home, host = "/ho" + "me/me/keles", "registry." + "npmjs.org"
        with Checkout({"a.cc": f'x\nauto p = "{home}/x";\n', "b.md": f"from {host}, and\n", "c.yaml": "path: /roo" + "t/x\n",
                       "d.cc": 'auto p = "/etc/kubernetes"; // https://kubernetes.io/home/page work/x src/root/x\n'}) as tree:
            self.assertEqual([f[:2] for f in collect(form.check_places, tree)], [("a.cc", 2), ("b.md", 1), ("c.yaml", 1)])


class Proofs(unittest.TestCase):
    def findings(self, check, text):
        found = []
        check(text, lambda line, message, remedy: found.append((line, message)))
        return [f[0] for f in found]

    def test_steps(self):
        self.assertEqual(self.findings(proofs.check_transcript, "# a\n$ a\n...\n~ b\n*\n$ c\n"), [2, 4])
        self.assertEqual(self.findings(proofs.check_transcript, "$ a\n...\nb\n$ c\n$ d\n!x\n$ e\n...\n!y\n$ f\n[exit 1]\n"), [])

    def test_waits_for_a_condition_that_may_be_null(self):
        self.assertEqual(self.findings(proofs.check_transcript,
                         "$ kubectl wait --for condition=Established crd/a\nx\n"
                         "~ kubectl wait --for=condition=Established crd/a\nx\n"
                         "$ kubectl wait --for=condition=Established crd a\nx\n$ kubectl wait --for condition=Ready pod/a\nx\n"), [1, 5])

    def test_sleeps(self):
        self.assertEqual(self.findings(proofs.check_transcript, "$ sleep 1; a\nx\n$ a & sleep 2\n$ a\n> sleep 3\n"), [1, 3, 5])
        self.assertEqual(self.findings(proofs.check_transcript, "$ kubectl run a -- sleep 9\nx\n$ a 'b; sleep 1'\nx\n$ unshare sleep 3 &\n"), [])

    def test_readers_that_leave(self):
        self.assertEqual(self.findings(proofs.check_transcript, "$ a | head -n 1\nx\n~ b | grep -iq c && d\nx\n$ a | sed 1q\nx\n"), [1, 3, 5])
        self.assertEqual(self.findings(proofs.check_transcript, "$ a | sed -n 1p\nx\n$ a | grep b >/dev/null\n$ a 'b | head'\nx\n"
                                       "$ a | { head -c 4; cat >/dev/null; }\nx\n"), [])

    def test_expectations(self):
        self.assertEqual(self.findings(proofs.check_tests, "TEST(A, B) { int x = f(); print(x); }"), [1])
        self.assertEqual(self.findings(proofs.check_tests, "void f() { g(); }\nTEST(A, B) { f(); }"), [2])
        self.assertEqual(self.findings(proofs.check_tests, "TEST(A, B) { EXPECT_EQ(1, 1); }"), [])
        self.assertEqual(self.findings(proofs.check_tests, "void g() { ASSERT_TRUE(1); }\nTask<void> f(World* w) { g(); }\n"
                                       "TEST(A, B) { World().run(f); }"), [])
        self.assertEqual(self.findings(proofs.check_tests, "struct S { void run() { FAIL(); } };\nTEST_F(A, B) { S().go(); }"), [])


class Whole(unittest.TestCase):
    def test_a_checkout_without_git_or_build(self):
        with Checkout({"a.cc": "#include <string>\n" + in_function("co_await g({});"), "build/release/b.cc": "\n" * 2000}) as tree:
            found = lint.run(tree.root)
            self.assertEqual([(f[0], f[1], f[2]) for f in found], [("a.cc", 3, "coroutines")])


if __name__ == "__main__":
    unittest.main()
