#include <gtest/gtest.h>

#include "kubectl/command.h"
#include "kubectl/errors.h"
#include "kubectl/jsonpath.h"
#include "kubectl/mapper.h"
#include "kubectl/print.h"
#include "kubectl/prune.h"
#include "kubectl/sort.h"
#include "kubectl/tabwriter.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

Document json(std::string_view text) {
  Result<Document> d = parse_json(text);
  EXPECT_TRUE(d.ok()) << text;
  return d.ok() ? std::move(*d) : Document();
}

std::string run_path(std::string_view path, const Document& d, bool allow_missing = true) {
  Result<JsonPath> p = JsonPath::parse(path);
  if (!p.ok()) return "parse: " + p.status().message();
  p->set_allow_missing(allow_missing);
  Result<std::string> out = p->execute(d.root);
  return out.ok() ? *out : "run: " + out.status().message();
}

// Templates and what the stock kubectl prints for them.
TEST(JsonPathTest, PrintsAsKubectl) {
  Document d = json(R"({"kind":"List","items":[
    {"kind":"None","metadata":{"name":"n1","labels":{"a.b/c":"x"}},"status":{"n":4,"ok":true}},
    {"kind":"None","metadata":{"name":"n2"},"status":{"n":8,"f":1.5,"ports":[80,443,8080]}}],
    "users":[{"name":"me","user":{}},{"name":"you","user":{"token":"t"}}]})");
  struct {
    const char *path, *want;
  } cases[] = {
      {"kind is {.kind}", "kind is List"},
      {"{.items[*].metadata.name}", "n1 n2"},
      {"{.items[0].metadata.labels.a\\.b/c}", "x"},
      {"{.items[0].metadata.labels['a\\.b/c']}", "x"},
      {"{.users[?(@.name==\"you\")].user.token}", "t"},
      {"{.items[?(@.status.n>4)].metadata.name}", "n2"},
      {"{.items[?(@.status.ok)].metadata.name}", "n1"},
      {"{range .items[*]}{.metadata.name}={.status.n}{\"\\n\"}{end}", "n1=4\nn2=8\n"},
      {"{.items[1].status.ports[0:2]}", "80 443"},
      {"{.items[1].status.ports[-1]}", "8080"},
      {"{.items[1].status.ports[::2]}", "80 8080"},
      {"{.items[1].status.ports}", "[80,443,8080]"},
      {"{.items[*]['metadata.name', 'status.n']}", "n1 n2 4 8"},
      {"{..name}", "n1 n2 me you"},
      {"{.users[0]}", R"({"name":"me","user":{}})"},
      {"{.items[1].status.f}", "1.5"},
      {"{.items[0].status.ok}", "true"},
      {"{.nothing.at.all}", ""},
      {"{range .items[?(.nothing.@0)]}{.kind}{end}", ""},
      {"{.items[?(@.kind[5])].metadata.name}", "n1 n2"},
      {"{.items[?(@.nothing[5])].metadata.name}", ""},
      {"{.items[*]5} {.items[*]\"x\"}", "5 5 x"},
      {"{range .items[*]}{range .status.ports[*]}<{@}>{end}{end}", "<80><443><8080>"},
      {"{.items[7]}", "run: array index out of bounds: index 7, length 2"},
      {"{.kind[0]}", "run: string is not array or slice"},
      {"{.items[0}", "parse: unterminated array"},
      {"{.kind", "parse: unclosed action"},
      {"{end}", "parse: not in range, nothing to end"},
      {"{.items[?(@.status.n<<4)]}", "run: unrecognized filter operator <<"},
      {"{......}", "parse: invalid multiple recursive descent"},
  };
  for (const auto& c : cases) EXPECT_EQ(run_path(c.path, d), c.want) << c.path;
  EXPECT_EQ(run_path("{.nope}", d, false), "run: nope is not found");
}

TEST(JsonPathTest, IsBounded) {
  EXPECT_FALSE(JsonPath::parse(std::string(70'000, 'x')).ok());
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "{range .a}";
  EXPECT_FALSE(JsonPath::parse(deep).ok());
  std::string list, body;
  for (int i = 0; i < 2000; ++i) list += i ? ",1" : "1";
  for (int i = 0; i < 600; ++i) body += "{@}";
  Document many = json("{\"l\":[" + list + "]}");
  EXPECT_EQ(run_path("{range .l[*]}" + body + "{end}", many), "run: too many results");
}

TEST(JsonPathTest, RelaxedForms) {
  EXPECT_EQ(JsonPath::relaxed("metadata.name").value_or(""), "{.metadata.name}");
  EXPECT_EQ(JsonPath::relaxed(".metadata.name").value_or(""), "{.metadata.name}");
  EXPECT_EQ(JsonPath::relaxed("{.metadata.name}").value_or(""), "{.metadata.name}");
  EXPECT_FALSE(JsonPath::relaxed("{.a").ok());
}

TEST(TabwriterTest, ColumnsAreRunsOfLines) {
  EXPECT_EQ(align("NAME\tREADY\na\t1/1\n", kTableColumns), "NAME   READY\na      1/1\n");
  EXPECT_EQ(align("a:\tb\nlonger:\tc\n\nx:\ty\n"), "a:       b\nlonger:  c\n\nx:  y\n");
  EXPECT_EQ(align("a\t\tb\n"), "a    b\n");
  EXPECT_EQ(align("é\tb\nxx\tc\n"), "é   b\nxx  c\n");
  std::vector<size_t> widths;
  align("a-long-name\tx\n", kTableColumns, &widths);
  EXPECT_EQ(align("a\tx\n", kTableColumns, &widths), "a             x\n");
}

TEST(SortTest, TextsAndQuantities) {
  const auto in_order = [](const char* first, const char* second) {
    Document x = json(first), y = json(second);
    return *sorted_by({&y.root, &x.root}, ".v") == std::vector<size_t>{1, 0};
  };
  EXPECT_TRUE(in_order(R"({"v":"pod-10"})", R"({"v":"pod-2"})"));
  EXPECT_TRUE(in_order(R"({"v":"w-47774"})", R"({"v":"w-7nmpz"})"));
  EXPECT_TRUE(in_order(R"({"v":"a"})", R"({"v":"ab"})"));
  EXPECT_TRUE(in_order(R"({"v":2})", R"({"v":10})"));
  Document a = json(R"({"v":"1Gi"})"), b = json(R"({"v":"500Mi"})"), c = json("{}");
  Result<std::vector<size_t>> order = sorted_by({&a.root, &b.root, &c.root}, ".v");
  ASSERT_TRUE(order.ok());
  EXPECT_EQ(*order, (std::vector<size_t>{2, 1, 0}));
  EXPECT_FALSE(sorted_by({&a.root}, ".w").ok());
}

TEST(MapperTest, FindsTypesByAnyName) {
  Mapper m;
  m.add(json(R"({"items":[{"metadata":{"name":""},"versions":[{"version":"v1","resources":[
    {"resource":"pods","responseKind":{"kind":"Pod"},"scope":"Namespaced","singularResource":"pod",
     "shortNames":["po"],"categories":["all"],"verbs":["get","list"]},
    {"resource":"events","responseKind":{"kind":"Event"},"scope":"Namespaced",
     "singularResource":"event","shortNames":["ev"],"verbs":["list"]}]}]}]})")
            .root);
  m.add(json(R"({"items":[
    {"metadata":{"name":"apps"},"versions":[{"version":"v1","resources":[
      {"resource":"deployments","responseKind":{"kind":"Deployment"},"scope":"Namespaced",
       "singularResource":"deployment","shortNames":["deploy"],"categories":["all"],
       "verbs":["get"],"subresources":[{"subresource":"scale"}]}]}]},
    {"metadata":{"name":"events.k8s.io"},"versions":[{"version":"v1","resources":[
      {"resource":"events","responseKind":{"kind":"Event"},"scope":"Namespaced",
       "singularResource":"event","shortNames":["ev"],"verbs":["list"]}]}]}]})")
            .root);
  for (const char* word : {"deploy", "deployments", "Deployment", "deployment", "deployments.apps",
                           "deploy.apps", "deployments.v1.apps", "deployments.app"}) {
    Result<const Resource*> r = m.find(word);
    ASSERT_TRUE(r.ok()) << word;
    EXPECT_EQ((*r)->path("ns", "x"), "/apis/apps/v1/namespaces/ns/deployments/x") << word;
  }
  EXPECT_EQ((*m.find("events"))->group, "");
  EXPECT_EQ((*m.find("events.events.k8s.io"))->group, "events.k8s.io");
  EXPECT_EQ(describe_error(m.find("nope").status()),
            "error: the server doesn't have a resource type \"nope\"\n");
  EXPECT_EQ(m.category("all").size(), 2u);
  EXPECT_EQ(m.short_name_warning("ev"),
            "short name \"ev\" could also match lower priority resource events.events.k8s.io");
  EXPECT_EQ((*m.find("po"))->path("", "a/../b"), "/api/v1/pods/a%2F..%2Fb");
}

TEST(ErrorsTest, TextsAndCodes) {
  EXPECT_EQ(describe_error(Status::not_found("", "pods", "x")),
            "Error from server (NotFound): pods \"x\" not found\n");
  EXPECT_EQ(describe_error(failure("no")), "error: no\n");
  EXPECT_EQ(describe_error(failure("error: no")), "error: no\n");
  EXPECT_EQ(describe_error(plain_failure("The connection was refused")),
            "The connection was refused\n");
  EXPECT_EQ(exit_code_of(plain_failure("command terminated with exit code 3", 3)), 3);
  EXPECT_EQ(exit_code_of(Status::not_found("", "pods", "x")), 1);
  EXPECT_EQ(exit_code_of(done()), 0);
  EXPECT_EQ(describe_error(done()), "");
  Status two = combine({failure("a"), Status::not_found("", "pods", "x")});
  EXPECT_EQ(describe_error(two), "a\nError from server (NotFound): pods \"x\" not found\n");
  std::vector<StatusCause> causes = {{"", "Required value", "spec.a"}, {"", "bad", "spec.b"}};
  EXPECT_EQ(describe_error(Status::invalid("apps", "Deployment", "web", causes)),
            "The Deployment \"web\" is invalid: \n* spec.a: Required value\n* spec.b: bad\n");
}

TEST(PrintTest, CustomColumns) {
  OutputFlags flags;
  flags.output = "custom-columns=N:.metadata.name,X:.spec.nope,L:.metadata.labels";
  Result<std::optional<ObjectPrinter>> p = ObjectPrinter::make(flags, true);
  ASSERT_TRUE(p.ok());
  Document d = json(R"({"kind":"Pod","metadata":{"name":"a","labels":{"b":"2","a":"1"}}})");
  EXPECT_EQ((*p)->print(d.root).value_or(""), "N     X        L\na     <none>   map[a:1 b:2]\n");
  flags.output = "nope";
  EXPECT_FALSE(ObjectPrinter::make(flags, true).ok());
}

TEST(PrintTest, TableCells) {
  Document t = json(R"({"columnDefinitions":[{"name":"Name","type":"string","format":"name"},
    {"name":"Note","type":"string"},{"name":"Far","type":"string","priority":1}],
    "rows":[{"cells":["a","two\nlines","x"],
             "object":{"metadata":{"namespace":"ns","labels":{"k":"v"}}}},
            {"cells":["b","\u001b[31mred",null],"object":{"metadata":{"namespace":"ns"}}}]})");
  TableOptions options;
  options.with_namespace = true;
  options.show_labels = true;
  options.kind_prefix = "pod";
  TablePrinter printer(options);
  printer.add(t.root);
  EXPECT_EQ(printer.take(),
            "NAMESPACE   NAME    NOTE        LABELS\n"
            "ns          pod/a   two...      k=v\n"
            "ns          pod/b   ^[[31mred   <none>\n");
}

TEST(ApplySetTest, AnIdIsMadeOfWhatTheParentIs) {
  EXPECT_EQ(apply_set_id("my-set", "default", "Secret", ""),
            "applyset-kdySOVBWs584aaOTmku9Ul1xDuN7LXBjs-R96jQcisk-v1");
}

TEST(SessionTest, NamesThatWouldBeOtherPaths) {
  for (const char* bad : {".", "..", "a/b", "a%2fb", "../secrets"}) {
    EXPECT_FALSE(check_path_segment("resource", bad).ok()) << bad;
  }
  for (const char* good : {"a", "a.b", "..a", "system:node"}) {
    EXPECT_TRUE(check_path_segment("resource", good).ok()) << good;
  }
  EXPECT_EQ(escape_terminal("a\x1b[31mb\rc"), "a^[[31mb\\rc");
}

// What is wrong with a command line is said without asking a cluster.
TEST(CommandTest, UsageErrors) {
  struct {
    std::vector<std::string> args;
    int code;
  } cases[] = {
      {{"nope"}, 1},
      {{"get", "pods", "--nope"}, 1},
      {{"--nope=1"}, 1},
      {{"scale", "deploy/x"}, 1},
      {{"create", "deployment", "x"}, 1},
      {{"exec", "pod", "ls"}, 1},
      {{"exec", "--pod-running-timeout=0s", "pod", "--", "ls"}, 1},
      {{"logs", "--pod-running-timeout=-1s", "pod"}, 1},
      {{"run", "x", "--image=a", "--annotations=a", "--dry-run=client"}, 1},
      {{"apply", "set-last-applied", "cm/x"}, 1},
      {{"get", "--help"}, 0},
      {{"-n", "x", "create", "secret", "generic", "--help"}, 0},
      {{"rollout"}, 0},
      {{"--help"}, 0},
  };
  for (const auto& c : cases) EXPECT_EQ(run(c.args), c.code) << c.args[0];
  for (const Command* c = kCommands; c->name; ++c) {
    std::string name = c->name;
    std::vector<std::string> args;
    for (size_t at = 0; at != std::string::npos;) {
      size_t space = name.find(' ', at);
      args.push_back(name.substr(at, space == name.npos ? space : space - at));
      at = space == name.npos ? space : space + 1;
    }
    args.push_back("--help");
    EXPECT_EQ(run(args), 0) << name;
  }
}

}  // namespace
}  // namespace keles::kubectl
