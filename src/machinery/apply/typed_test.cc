// Trees and sets of real kinds: what a tree names, what differs, what is wrong, how things merge.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machinery/apply/place.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"

namespace keles::apply {
namespace {

using ::testing::ElementsAre;

const KindDesc& kind(std::string_view version, std::string_view name) {
  const KindDesc* k = find_kind(version, name);
  EXPECT_NE(k, nullptr) << name;
  return *k;
}

Document words(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml << d.status().to_string();
  return d.ok() ? std::move(*d) : Document();
}

Document object(const KindDesc& k, std::string_view yaml) {
  Document d = words(yaml);
  if (d.root.is_null()) d.root = Value::map();
  Status s = normalize(*k.type, d);
  EXPECT_TRUE(s.ok()) << s.to_string();
  return d;
}

struct Tree {
  std::string_view version, kind, yaml, names;
};

TEST(FieldsOf, NamesLeavesItemsAndKeys) {
  for (
      const Tree& t : {
          Tree{"v1", "ConfigMap", "{apiVersion: v1, kind: ConfigMap, data: {a: b}}",
               R"({"f:data":{"f:a":{}}})"},
          Tree{"v1", "ConfigMap", "{metadata: {labels: {}, annotations: null}}",
               R"({"f:metadata":{"f:annotations":{},"f:labels":{}}})"},
          // Structs that lie on the way are not named, items of lists are.
          Tree{
              "v1", "Pod",
              "{spec: {containers: [{name: a, image: i, ports: [{containerPort: 80}]}]}}",
              R"({"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{},)"
              R"("f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}})"},
          // Sets by value, atomic lists and maps as a whole.
          Tree{"v1", "Pod",
               "{metadata: {finalizers: [v, x]}, spec: {nodeSelector: {a: b}, tolerations: [{key: "
               "k}]}}",
               R"({"f:metadata":{"f:finalizers":{"v:\"v\"":{},"v:\"x\"":{}}},)"
               R"("f:spec":{"f:nodeSelector":{},"f:tolerations":{}}})"},
          Tree{"apps/v1", "Deployment", "{spec: {selector: {matchLabels: {a: b}}}}",
               R"({"f:spec":{"f:selector":{}}})"},
          Tree{"v1", "Pod", "{metadata: {ownerReferences: [{uid: u, name: obj}]}}",
               R"({"f:metadata":{"f:ownerReferences":{"k:{\"uid\":\"u\"}":{}}}})"},
          Tree{"v1", "Pod", "{spec: {containers: [{name: a, resources: {limits: {cpu: 1}}}]}}",
               R"({"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},)"
               R"("f:resources":{"f:limits":{"f:cpu":{}}}}}}})"},
      }) {
    const KindDesc& k = kind(t.version, t.kind);
    Document d = words(t.yaml);
    Arena a;
    EXPECT_EQ(to_fields_v1(fields_of(a, *k.type, d.root)), t.names) << t.yaml;
  }
}

struct Pair {
  std::string_view version, kind, before, after, removed, changed;
};

TEST(Compare, TellsWhatChanged) {
  for (
      const Pair& p : {
          Pair{"v1", "ConfigMap", "{data: {a: b}}", "{data: {a: b}}", "{}", "{}"},
          Pair{"v1", "ConfigMap", "{data: {a: b, x: w}}", "{data: {a: c, z: q}}",
               R"({"f:data":{"f:x":{}}})", R"({"f:data":{"f:a":{},"f:z":{}}})"},
          // A map that comes or goes is named itself.
          Pair{"v1", "ConfigMap", "{}", "{data: {a: b}}", "{}", R"({"f:data":{".":{},"f:a":{}}})"},
          Pair{"v1", "ConfigMap", "{data: {a: b}}", "{}", R"({"f:data":{".":{},"f:a":{}}})", "{}"},
          // Go's zero values are there on both sides; an item that comes brings its own.
          Pair{"v1", "Pod", "{}", "{spec: {containers: [{name: a}]}}", "{}",
               R"({"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},)"
               R"("f:resources":{}}}}})"},
          Pair{"v1", "Pod", "{spec: {containers: [{name: a}, {name: b}]}}",
               "{spec: {containers: [{name: b}]}}",
               R"({"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},)"
               R"("f:resources":{}}}}})",
               "{}"},
          // The order of items is nobody's.
          Pair{"v1", "Pod", "{spec: {containers: [{name: a}, {name: b, image: x}]}}",
               "{spec: {containers: [{name: b, image: z}, {name: a}]}}", "{}",
               R"({"f:spec":{"f:containers":{"k:{\"name\":\"b\"}":{"f:image":{}}}}})"},
          Pair{"v1", "Pod", "{metadata: {finalizers: [a, b]}}", "{metadata: {finalizers: [b, c]}}",
               R"({"f:metadata":{"f:finalizers":{"v:\"a\"":{}}}})",
               R"({"f:metadata":{"f:finalizers":{"v:\"c\"":{}}}})"},
          Pair{"v1", "Pod", "{spec: {tolerations: [{key: a}]}}",
               "{spec: {tolerations: [{key: a}, {key: b}]}}", "{}",
               R"({"f:spec":{"f:tolerations":{}}})"},
          // Pointers to structs: named when they come, with or without anything in them.
          Pair{"v1", "Pod", "{}", "{spec: {securityContext: {}}}", "{}",
               R"({"f:spec":{"f:securityContext":{}}})"},
          Pair{"v1", "Pod", "{}", "{spec: {securityContext: {runAsUser: 1}}}", "{}",
               R"({"f:spec":{"f:securityContext":{".":{},"f:runAsUser":{}}}})"},
          // Items twice: as a whole.
          Pair{
              "v1", "Pod", "{spec: {containers: [{name: a, env: [{name: e}, {name: e}]}]}}",
              "{spec: {containers: [{name: a, env: [{name: e}]}]}}",
              R"({"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{"f:env":{"k:{\"name\":\"e\"}":{}}}}}})",
              R"({"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{"f:env":{"k:{\"name\":\"e\"}":)"
              R"({".":{},"f:name":{}}}}}}})"},
          Pair{
              "v1", "Service", "{spec: {ports: [{port: 80, protocol: TCP}]}}",
              "{spec: {ports: [{port: 80, protocol: UDP}]}}",
              R"({"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}}}})",
              R"({"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}}}})"},
          Pair{"rbac.authorization.k8s.io/v1", "ClusterRole", "{}",
               "{rules: [{verbs: [get], resources: [pods], apiGroups: ['']}]}", "{}",
               R"({"f:rules":{}})"},
      }) {
    const KindDesc& k = kind(p.version, p.kind);
    Document before = object(k, p.before), after = object(k, p.after);
    Arena a;
    Changes c = compare_trees(a, *k.type, before.root, after.root);
    EXPECT_EQ(to_fields_v1(c.removed), p.removed) << p.before << " " << p.after;
    EXPECT_EQ(to_fields_v1(c.changed), p.changed) << p.before << " " << p.after;
    EXPECT_EQ(c.empty(), p.removed == "{}" && p.changed == "{}");
    EXPECT_TRUE(same_tree(*k.type, before.root, before.root));
  }
}

TEST(Compare, LeavesOutWhatItIsToldTo) {
  const KindDesc& k = kind("apps/v1", "Deployment");
  Document before = object(k, "{spec: {replicas: 1}, status: {replicas: 1}}");
  Document after =
      object(k, "{metadata: {labels: {a: b}}, spec: {replicas: 2}, status: {replicas: 2}}");
  Arena a;
  const std::string_view skip[] = {"spec", "metadata.labels"};
  Changes c = compare_trees(a, *k.type, before.root, after.root, {fields_set(a, skip)});
  EXPECT_EQ(to_fields_v1(c.changed), R"({"f:status":{"f:replicas":{}}})");
}

struct Wrong {
  std::string_view version, kind, yaml;
  std::vector<std::string> problems;
};

TEST(CheckTyped, SaysWhatIsWrong) {
  for (const Wrong& w : {
           Wrong{"v1", "ConfigMap", "{data: {a: b}}", {}},
           Wrong{"v1", "ConfigMap", "{dat: {a: b}}", {".dat: field not declared in schema"}},
           Wrong{"apps/v1",
                 "Deployment",
                 "{spec: {template: {spec: {containers: [{name: a, imge: x}]}}}}",
                 {".spec.template.spec.containers[name=\"a\"].imge: field not declared in schema"}},
           Wrong{"apps/v1",
                 "Deployment",
                 "{spec: {replicas: many}}",
                 {".spec.replicas: expected numeric (int or float), got string"}},
           Wrong{"v1",
                 "ConfigMap",
                 "{data: {a: 1}}",
                 {".data.a: expected string, got &value.valueUnstructured{Value:1}"}},
           Wrong{"v1",
                 "ConfigMap",
                 "{immutable: maybe}",
                 {".immutable: expected boolean, got &{maybe}"}},
           Wrong{"v1", "ConfigMap", "{data: [a]}", {".data: expected map, got &{[a]}"}},
           Wrong{"v1",
                 "Pod",
                 "{spec: {containers: {a: b}}}",
                 {".spec.containers: expected list, got &{map[a:b]}"}},
           Wrong{"v1",
                 "Pod",
                 "{spec: {containers: [{image: x}]}}",
                 {".spec.containers: element 0: associative list with keys has an element that "
                  "omits all key fields [\"name\"] (and doesn't have default values for any key "
                  "fields)"}},
           Wrong{"v1",
                 "Pod",
                 "{spec: {containers: [{name: a}, {name: a}]}}",
                 {".spec.containers: duplicate entries for key [name=\"a\"]"}},
           Wrong{"v1",
                 "Pod",
                 "{metadata: {finalizers: [a, a]}}",
                 {".metadata.finalizers: duplicate entries for key [=\"a\"]"}},
           Wrong{"v1",
                 "Pod",
                 "{metadata: {finalizers: [{a: b}]}}",
                 {".metadata.finalizers: element 0: associative list without keys has an element "
                  "that's a map type"}},
           Wrong{
               "v1", "Pod", "{spec: {containers: [{name: a, resources: {limits: {cpu: 1}}}]}}", {}},
           Wrong{"v1", "Pod", "{spec: null, metadata: {labels: null}}", {}},
       }) {
    const KindDesc& k = kind(w.version, w.kind);
    Document d = words(w.yaml);
    EXPECT_EQ(check_typed(*k.type, d.root), w.problems) << w.yaml;
  }
  Document twice = words("{metadata: {finalizers: [a, a]}}");
  EXPECT_TRUE(check_typed(*kind("v1", "Pod").type, twice.root, true).empty());
}

struct Merge {
  std::string_view version, kind, into, from, out;
};

TEST(Merge, LaysWordsOverAnObject) {
  for (const Merge& m : {
           Merge{"v1", "ConfigMap", "{data: {a: '1', b: '2'}}", "{data: {b: '3', c: '4'}}",
                 R"({"data":{"a":"1","b":"3","c":"4"}})"},
           Merge{"v1", "ConfigMap", "{data: {a: '1'}}", "{data: {}}", R"({"data":{"a":"1"}})"},
           Merge{"v1", "ConfigMap", "{data: {a: '1'}}", "{data: null}", R"({"data":{"a":"1"}})"},
           Merge{"v1", "ConfigMap", "{}", "{data: {}}", R"({"data":{}})"},
           Merge{"v1", "Pod", "{spec: {nodeSelector: {a: b}}}", "{spec: {nodeSelector: {c: d}}}",
                 R"({"spec":{"nodeSelector":{"c":"d"}}})"},
           Merge{"v1", "Pod", "{spec: {containers: [{name: a, image: x}]}}",
                 "{spec: {containers: [{name: a, tty: true}]}}",
                 R"({"spec":{"containers":[{"name":"a","image":"x","tty":true}]}})"},
           // Sets get the order of the words, with what is the object's own in between.
           Merge{"v1", "Pod", "{metadata: {finalizers: [a, b, c]}}",
                 "{metadata: {finalizers: [d]}}",
                 R"({"metadata":{"finalizers":["a","b","c","d"]}})"},
           Merge{"v1", "Pod", "{metadata: {finalizers: [a, b, c]}}",
                 "{metadata: {finalizers: [c, a]}}",
                 R"({"metadata":{"finalizers":["b","c","a"]}})"},
           Merge{"v1", "Pod", "{metadata: {finalizers: [a, b]}}",
                 "{metadata: {finalizers: [b, x]}}",
                 R"({"metadata":{"finalizers":["a","b","x"]}})"},
           Merge{"v1", "Pod", "{metadata: {finalizers: [a, b, c]}}",
                 "{metadata: {finalizers: [x, a, z, c]}}",
                 R"({"metadata":{"finalizers":["x","a","b","z","c"]}})"},
       }) {
    const KindDesc& k = kind(m.version, m.kind);
    Document into = object(k, m.into), from = words(m.from);
    merge_into(into.arena, *k.type, into.root, from.root);
    EXPECT_EQ(to_json(into.root), m.out) << m.into << " <- " << m.from;
  }
}

struct Removal {
  std::string_view version, kind, from, set, out;
};

TEST(Remove, TakesFieldsOut) {
  for (
      const Removal& r : {
          Removal{"v1", "ConfigMap", "{data: {a: '1', b: '2'}}", R"({"f:data":{"f:a":{}}})",
                  R"({"data":{"b":"2"}})"},
          Removal{"v1", "ConfigMap", "{data: {a: '1'}}", R"({"f:data":{"f:a":{}}})",
                  R"({"data":{}})"},
          Removal{"v1", "ConfigMap", "{data: {a: '1'}}", R"({"f:data":{}})", R"({})"},
          Removal{
              "v1", "Pod", "{spec: {containers: [{name: a, image: x}, {name: b}]}}",
              R"({"f:spec":{"f:containers":{"k:{\"name\":\"b\"}":{},"k:{\"name\":\"a\"}":{"f:image":{}}}}})",
              R"({"spec":{"containers":[{"name":"a"}]}})"},
          Removal{"v1", "Pod", "{metadata: {finalizers: [a, b]}}",
                  R"({"f:metadata":{"f:finalizers":{"v:\"a\"":{}}}})",
                  R"({"metadata":{"finalizers":["b"]}})"},
      }) {
    const KindDesc& k = kind(r.version, r.kind);
    Document d = object(k, r.from);
    Arena a;
    remove_fields(d.arena, *k.type, d.root, parse_fields_v1(a, r.set)->set);
    EXPECT_EQ(to_json(d.root), r.out) << r.from << " - " << r.set;
  }
}

TEST(Described, WhatIsOwnedAsAWholeHasNothingBelow) {
  const KindDesc& k = kind("v1", "Pod");
  Arena a;
  // nodeSelector was granular once.
  PathSet old =
      parse_fields_v1(a, R"({"f:spec":{"f:nodeSelector":{"f:a":{}},"f:priority":{}}})")->set;
  EXPECT_EQ(to_fields_v1(as_described(a, *k.type, old)),
            R"({"f:spec":{"f:nodeSelector":{},"f:priority":{}}})");
  PathSet now = parse_fields_v1(a, R"({"f:spec":{"f:nodeSelector":{}}})")->set;
  EXPECT_EQ(as_described(a, *k.type, now), now);
}

TEST(NamedFields, AreMembersOnTheWay) {
  const KindDesc& k = kind("v1", "Pod");
  Arena a;
  PathSet s =
      parse_fields_v1(a, R"({"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:containers":)"
                         R"({"k:{\"name\":\"a\"}":{"f:image":{}}}}})")
          ->set;
  EXPECT_EQ(
      to_fields_v1(with_named_fields(a, *k.type, s)),
      R"({"f:metadata":{".":{},"f:labels":{".":{},"f:a":{}}},"f:spec":{".":{},"f:containers":)"
      R"({".":{},"k:{\"name\":\"a\"}":{"f:image":{}}}}})");
}

}  // namespace
}  // namespace keles::apply
