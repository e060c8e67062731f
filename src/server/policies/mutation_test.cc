// One mutation after the other on a Deployment: what becomes of it, or in which words it fails.
#include "server/policies/mutation.h"

#include <gtest/gtest.h>

#include <string>

#include "base/sim_loop.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "server/policies/request.h"

namespace keles::policies {
namespace {

constexpr std::string_view kDeployment =
    "{metadata: {name: d, labels: {x: '1'}}, spec: {replicas: 1, selector: {matchLabels: {a: b}}, "
    "template: {metadata: {labels: {a: b}}, spec: {volumes: [{name: v}], containers: [{name: c, "
    "image: i, env: [{name: e, value: a}, {name: e, value: b}, {name: f, value: g}]}]}}}}";

struct Case {
  std::string_view mutation;
  std::string_view path;  // dotted, of what is looked at: "spec.replicas"
  std::string_view want;  // as JSON
  std::string_view error = "";
};

const Value& at(const Value& root, std::string_view path) {
  const Value* v = &root;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    const std::string_view step = path.substr(0, dot);
    v = v->is_list() ? &v->at(static_cast<size_t>(std::stoi(std::string(step)))) : &(*v)[step];
    path = dot == path.npos ? std::string_view() : path.substr(dot + 1);
  }
  return *v;
}

// Names alone of lists of objects that have them.
std::string shown(const Value& v) {
  if (!v.is_list() || v.empty() || v.at(0)["name"].is_null()) return to_json(v);
  std::string out;
  for (const Value& item : v.items()) {
    out += (out.empty() ? "" : " ") + std::string(item["name"].as_string());
    if (!item["value"].is_null()) out += "=" + std::string(item["value"].as_string());
  }
  return out;
}

void check(const Case& c, bool json_patch) {
  SCOPED_TRACE(c.mutation);
  SimLoop loop(1);
  const KindDesc& kind = *find_kind("apps", "v1", "Deployment");
  auto body = decode_body(kind, to_json(parse_yaml(kDeployment)->root));
  ASSERT_TRUE(body.ok());
  const Document form = api_form(kind, body->root);
  cel::AdmissionCompiler compiler(cel::AdmissionCompiler::Variables::kComposed);
  cel::AdmissionNames names;
  names.objects = true;
  Policy policy;
  policy.name = "p";
  Mutation m;
  m.json_patch = json_patch;
  m.expression = compiler.compile(
      c.mutation, json_patch ? cel::results::json_patch() : cel::results::object(), names);
  cel::AdmissionInput values;
  values.object = &form.root;
  const Mutated made = mutate(policy, m, values, kind, body->root, loop);
  EXPECT_EQ(made.fatal.ok() ? made.error : made.fatal.message(), c.error);
  if (!c.error.empty()) return;
  EXPECT_EQ(shown(at(made.applied ? made.object.root : body->root, c.path)), c.want);
}

TEST(Mutation, ApplyConfigurations) {
  const Case cases[] = {
      {"Object{}", "spec.replicas", "1"},
      {"Object{spec: Object.spec{replicas: object.spec.replicas % 2 == 1 ? 4 : 5}}",
       "spec.replicas", "4"},
      {"Object{spec: Object.spec{replicas: 2.0}}", "spec.replicas", "2"},
      // Lists by their keys: one more, one that is there.
      {"Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{"
       "volumes: [Object.spec.template.spec.volumes{name: 'w'}]}}}}",
       "spec.template.spec.volumes", "v w"},
      {"Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{"
       "volumes: [Object.spec.template.spec.volumes{name: 'v', hostPath: "
       "Object.spec.template.spec.volumes.hostPath{path: '/a'}}]}}}}",
       "spec.template.spec.volumes.0.hostPath.path", "\"/a\""},
      // Items that are there twice stay as they are, or become the one that is applied.
      {"Object{spec: Object.spec{replicas: 3}}", "spec.template.spec.containers.0.env",
       "e=a e=b f=g"},
      {"Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{"
       "containers: [Object.spec.template.spec.containers{name: 'c', env: "
       "[Object.spec.template.spec.containers.env{name: 'e', value: 'z'}]}]}}}}",
       "spec.template.spec.containers.0.env", "e=z f=g"},
      {"Object{metadata: Object.metadata{labels: {'y': '2'}}}", "metadata.labels",
       R"({"x":"1","y":"2"})"},
      {"Object{metadata: Object.metadata{?labels: optional.none()}}", "metadata.labels",
       R"({"x":"1"})"},
      // With defaults, and quantities in their form.
      {"Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{"
       "containers: [Object.spec.template.spec.containers{name: 'n', image: 'i', ports: "
       "[Object.spec.template.spec.containers.ports{containerPort: 80}], resources: "
       "Object.spec.template.spec.containers.resources{limits: {'cpu': '1000m'}}}]}}}}",
       "spec.template.spec.containers.1.ports.0.protocol", "\"TCP\""},
      {"Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{"
       "containers: [Object.spec.template.spec.containers{name: 'c', resources: "
       "Object.spec.template.spec.containers.resources{limits: {'cpu': '1000m'}}}]}}}}",
       "spec.template.spec.containers.0.resources.limits.cpu", "\"1\""},
      {"Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'l': 'v'}}}}", "", "",
       "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or "
       "structs: .spec.selector"},
      {"Object{spec: Object.specx{replicas: 1}}", "", "",
       "type mismatch: unexpected type name \"Object.specx\", expected \"Object.spec\", which "
       "matches field name path from root Object type"},
      {"Object{spec: Object.spec{replicasx: 1}}", "", "",
       "error applying patch: failed to convert patch object to typed object: .spec.replicasx: "
       "field not declared in schema"},
      {"'tea'", "", "", "must evaluate to Object but got string"},
      {"Object.spec.metadata{}", "", "", "must evaluate to Object but got Object.spec.metadata"},
      {"Object{spec: Object.spec{replicas: quantity('1')}}", "", "",
       "error applying patch: fail to convert field \"spec\": fail to convert field \"replicas\": "
       "type conversion error from 'kubernetes.Quantity' to JSON"},
  };
  for (const Case& c : cases) check(c, false);
}

TEST(Mutation, JsonPatches) {
  const Case cases[] = {
      {"[]", "", "", "must evaluate to list(JSONPatch) but got list(dyn)"},
      {"[JSONPatch{op: 'test', path: '/spec/replicas', value: 100}, JSONPatch{op: 'replace', path: "
       "'/spec/replicas', value: 3}]",
       "spec.replicas", "1"},
      {"[JSONPatch{op: 'test', path: '/spec/replicas', value: 1}, JSONPatch{op: 'replace', path: "
       "'/spec/replicas', value: 3}]",
       "spec.replicas", "3"},
      {"[JSONPatch{op: 'add', path: '/status/replicas', value: 5}]", "status.replicas", "5"},
      {"[JSONPatch{op: 'remove', path: '/metadata/labels/x'}]", "metadata.labels", "null"},
      {"[JSONPatch{op: 'copy', from: '/metadata/labels/x', path: '/metadata/labels/y'}]",
       "metadata.labels", R"({"x":"1","y":"1"})"},
      {"[JSONPatch{op: 'move', from: '/metadata/labels/x', path: '/metadata/labels/y'}]",
       "metadata.labels", R"({"y":"1"})"},
      {"[JSONPatch{op: 'add', path: '/metadata/labels', value: {'y': '2'}}]", "metadata.labels",
       R"({"y":"2"})"},
      {"[JSONPatch{op: 'replace', path: '/metadata/annotations', value: {'y': '2'}}]",
       "metadata.annotations", R"({"y":"2"})"},
      {"[JSONPatch{op: 'replace', path: '/spec/template/spec/containers/-', value: {'name': 'x'}}]",
       "", "",
       "JSON Patch: replace operation does not apply: doc is missing key: "
       "/spec/template/spec/containers/-: missing value"},
      {"[JSONPatch{op: 'add', path: '/spec/template/spec/containers/0', value: {'name': 'n', "
       "'image': 'j'}}]",
       "spec.template.spec.containers", "n c"},
      {"[JSONPatch{op: 'add', path: '/spec/template/spec/containers/-', value: "
       "Object.spec.template.spec.containers{name: 'n', image: 'j', ports: "
       "[Object.spec.template.spec.containers.ports{containerPort: 8080}]}}]",
       "spec.template.spec.containers.1.ports.0.containerPort", "8080"},
      {"[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('k8s.io/x~y'), "
       "value: 'true'}]",
       "metadata.labels", R"({"x":"1","k8s.io/x~y":"true"})"},
      {"[JSONPatch{op: 'replace', path: '/spec/replicas', value: duration('5s')}]", "", "",
       "Internal error occurred: json: cannot unmarshal string into Go struct field "
       "DeploymentSpec.spec.replicas of type "
       "int32"},
      {"[JSONPatch{op: 'add', path: '/spec/template/spec/containers/-', value: "
       "Object.spec.template.spec.containers{name: 'n', ports: "
       "[Object.spec.template.spec.containers.ports{containerPortZ: 8080}]}}]",
       "", "",
       "Internal error occurred: strict decoding error: unknown field "
       "\"spec.template.spec.containers[1].ports[0].containerPortZ\""},
      {"[JSONPatch{op: 'add', path: '/spec', value: Object.spec{template: Object.spec.x{}}}]", "",
       "",
       "type mismatch: unexpected type name \"Object.spec.x\", expected \"Object.spec.template\", "
       "which matches field name path from root Object type"},
      {"[JSONPatch{op: 'add', path: '/metadata/labels', value: {1: 'a'}}]", "", "",
       "JSONPath valueExpression evaluated to a type that could not marshal to JSON: map key 1 is "
       "of type int, not string"},
  };
  for (const Case& c : cases) check(c, true);
}

// What is small as an expression may be large written out.
TEST(Mutation, ValuesHaveABound) {
  std::string text = "['0123456789']";
  for (int i = 0; i < 12; ++i) text = "[" + text + "].map(x, [x, x, x, x, x, x])";
  check({"[JSONPatch{op: 'add', path: '/metadata/labels', value: " + text + "}]", "", "",
         "JSONPath valueExpression evaluated to a type that could not marshal to JSON: the value "
         "is too large"},
        true);
}

}  // namespace
}  // namespace keles::policies
