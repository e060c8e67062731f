// Expressions about requests: what they may name, objects that they make, variables, budgets, the
// check of types, and selectors of devices. Texts are a 1.36 server's.
#include <gtest/gtest.h>

#include <string>

#include "cel/admission/device_selector.h"
#include "cel/admission/evaluation.h"
#include "cel/admission/type_check.h"
#include "machinery/codec_json.h"

namespace keles::cel {
namespace {

Document json(std::string_view text) {
  Result<Document> d = parse_json(text);
  EXPECT_TRUE(d.ok()) << text;
  return d.ok() ? std::move(*d) : Document();
}

constexpr std::string_view kHere = "\n | ";

struct CompileCase {
  std::string_view text;
  const results::Results& wanted;
  AdmissionNames names;
  std::string_view error;
};

TEST(Admission, Compiles) {
  const auto &boolean = results::boolean(), &text = results::text();
  const AdmissionNames plain = {}, params = {.params = true}, bare = {.authorizer = false},
                       objects = {.objects = true};
  const CompileCase cases[] = {
      {"object.spec.x > 1 && oldObject == null", boolean, plain, ""},
      {"object.spec", boolean, plain, "must evaluate to bool but got dyn"},
      {"'a' + request.name", boolean, plain, "must evaluate to bool but got string"},
      {"request.userInfo.extra['a'][0]", text, plain, ""},
      {"request.options.fieldManager == 'x' && request.dryRun", boolean, plain, ""},
      {"namespaceObject.metadata.labels", boolean, plain,
       "must evaluate to bool but got map(string, string)"},
      {"namespaceObject.metadata.creationTimestamp", results::text_or_null(), plain,
       "must evaluate to one of [string null_type] but got google.protobuf.Timestamp"},
      {"params.x == 1", boolean, params, ""},
      {"params.x == 1", boolean, plain,
       "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container "
       "'')\n | params.x == 1\n | ^"},
      {"authorizer.requestResource.check('get').allowed()", boolean, plain, ""},
      {"authorizer.path('/x').check('get').allowed()", boolean, bare,
       "compilation failed: ERROR: <input>:1:1: undeclared reference to 'authorizer' (in container "
       "'')\n | authorizer.path('/x').check('get').allowed()\n | ^"},
      {"request.kind == 'a'", boolean, plain,
       "compilation failed: ERROR: <input>:1:14: found no matching overload for '_==_' applied to "
       "'(kubernetes.GroupVersionKind, string)'\n | request.kind == 'a'\n | .............^"},
      {"request.uid == ''", boolean, plain,
       "compilation failed: ERROR: <input>:1:8: undefined field 'uid'\n | request.uid == ''\n | "
       ".......^"},
      {"Object{}", results::any(), plain,
       "compilation failed: ERROR: <input>:1:7: undeclared reference to 'Object' (in container "
       "'')\n | Object{}\n | ......^"},
      {"Object{spec: Object.spec{replicas: 1}}", results::object(), objects, ""},
      {"Object.spec{replicas: 1}", results::object(), objects,
       "must evaluate to Object but got Object.spec"},
      {"[JSONPatch{op: 'add', path: '/a', value: {'x': [1]}}]", results::json_patch(), objects, ""},
      {"[1]", results::json_patch(), objects, "must evaluate to list(JSONPatch) but got list(int)"},
      {"[JSONPatch{op: 1}]", results::json_patch(), objects,
       "compilation failed: ERROR: <input>:1:14: expected type of field 'op' is 'string' but "
       "provided type is 'int'\n | [JSONPatch{op: 1}]\n | .............^"},
      {"request{a: 1}", results::any(), objects,
       "compilation failed: ERROR: <input>:1:8: 'kubernetes.AdmissionRequest' is not a type\n | "
       "request{a: 1}\n | .......^"},
      {"jsonpatch.escapeKey('a/b')", text, objects, ""},
      {"jsonpatch.escapeKey('a/b')", text, plain,
       "compilation failed: ERROR: <input>:1:1: undeclared reference to 'jsonpatch' (in container "
       "'')\n | jsonpatch.escapeKey('a/b')\n | ^\nERROR: <input>:1:20: undeclared reference to "
       "'escapeKey' (in container '')\n | jsonpatch.escapeKey('a/b')\n | ...................^"},
      {"variables.x", results::any(), plain,
       "compilation failed: ERROR: <input>:1:1: undeclared reference to 'variables' (in container "
       "'')\n | variables.x\n | ^"},
  };
  for (const CompileCase& c : cases) {
    AdmissionCompiler compiler(AdmissionCompiler::Variables::kNone);
    EXPECT_EQ(compiler.compile(c.text, c.wanted, c.names).error, c.error) << c.text << kHere;
  }
}

TEST(Admission, VariablesHaveTheTypesOfTheirExpressions) {
  AdmissionCompiler compiler(AdmissionCompiler::Variables::kComposed);
  const auto add = [&](std::string_view name, std::string_view text) {
    return compiler.add_variable(name, text, {}).error;
  };
  const auto compile = [&](std::string_view text) {
    return compiler.compile(text, results::any(), {}).error;
  };
  EXPECT_EQ(add("count", "size(object.items)"), "");
  EXPECT_EQ(add("odd", "variables.count % 2 == 1"), "");
  EXPECT_EQ(add("early", "variables.late"),
            "compilation failed: ERROR: <input>:1:10: undefined field 'late'\n | variables.late\n "
            "| .........^");
  EXPECT_EQ(compile("variables.odd && [variables.count] == [1]"), "");
  EXPECT_EQ(compile("variables.count == 'a'"),
            "compilation failed: ERROR: <input>:1:17: found no matching overload for '_==_' "
            "applied to '(int, string)'\n | variables.count == 'a'\n | ................^");
  // What did not compile is of any type.
  EXPECT_EQ(compile("variables.early.x == 1"), "");
}

// A value as text; errors begin with "error: ".
class Evaluated {
 public:
  NamedExpressions variables;

  void variable(std::string_view name, std::string_view text) {
    variables.push_back({std::string(name), compiler_.add_variable(name, text, {.objects = true})});
  }
  std::string operator()(std::string_view text, int64_t budget = kRunBudget) {
    const Document object = json(R"({"spec":{"replicas":2,"names":["a","b"]}})");
    AdmissionInput in;
    in.object = &object.root;
    const CompiledExpression e = compiler_.compile(text, results::any(), {.objects = true});
    if (e.program == nullptr) return "does not compile: " + e.error;
    Evaluation evaluation(in, &variables, budget);
    const Result<Val> v = evaluation.evaluate(e);
    left = evaluation.budget();
    if (!v.ok()) return "stopped: " + v.status().message();
    return (v->is_error() ? "error: " : "") + to_display(evaluation.run(), *v);
  }
  int64_t left = 0;

 private:
  AdmissionCompiler compiler_{AdmissionCompiler::Variables::kComposed};
};

TEST(Admission, Evaluates) {
  Evaluated run;
  EXPECT_EQ(run("object.spec.replicas > 1 && oldObject == null && namespaceObject == null"),
            "true");
  EXPECT_EQ(run("object.none"),
            "error: expression 'object.none' resulted in error: no such key: "
            "none");
  EXPECT_EQ(run("object.spec.replicas + 1", 2), "stopped: " + std::string(kOutOfBudget));
}

TEST(Admission, ObjectsCanBeReadAndCompared) {
  Evaluated run;
  EXPECT_EQ(run("Object{a: 'x'}.a"), "x");
  EXPECT_EQ(run("has(Object{a: 'x'}.a)"), "true");
  EXPECT_EQ(run("has(Object{}.a)"), "false");
  EXPECT_EQ(run("Object{}.a == null"), "true");
  EXPECT_EQ(run("Object{a: 1} == Object{a: 1}"), "true");
  EXPECT_EQ(run("Object{a: 1} == Object{a: 2}"), "false");
  EXPECT_EQ(run("Object{a: 1} == dyn(Object.b{a: 1})"), "false");
  EXPECT_EQ(run("Object{?a: optional.none()} == Object{}"), "true");
  EXPECT_EQ(run("Object{?a: optional.of(1)}.a"), "1");
  EXPECT_EQ(run("JSONPatch{op: 'add', path: '/x', value: 3}.value"), "3");
  EXPECT_EQ(run("JSONPatch{op: 'add'}.path == '' && JSONPatch{}.value == null"), "true");
  EXPECT_EQ(run("has(JSONPatch{op: 'add'}.op) && !has(JSONPatch{}.path)"), "true");
  EXPECT_EQ(run("JSONPatch{op: 'a', value: 1} == JSONPatch{op: 'a', value: '1'}"), "false");
  EXPECT_EQ(run("type(Object.spec{}) == Object.spec"), "true");
  EXPECT_EQ(run("[1, 2].map(i, Object.x{n: i}).filter(o, o.n > 1).size()"), "1");
}

TEST(Admission, VariablesAreEvaluatedOnceAndOnlyWhenAsked) {
  Evaluated run;
  run.variable("names", "object.spec.names");
  run.variable("joined", "variables.names.map(n, n + '!')");
  run.variable("broken", "object.spec.none");
  run.variable("dear", "lists.range(1000)");
  EXPECT_EQ(run("variables.joined"), "[a!, b!]");
  EXPECT_EQ(run("variables.joined[0] + variables.joined[1]"), "a!b!");
  EXPECT_EQ(run("variables.broken || true"), "true");
  EXPECT_EQ(run("has(variables.names) && true"), "true");
  EXPECT_EQ(run("variables.broken == 1"),
            "error: expression 'variables.broken == 1' resulted in error: composited variable "
            "\"broken\" fails to evaluate: no such key: none");
  run("1 == 1");
  const int64_t cheap = static_cast<int64_t>(kRunBudget) - run.left;
  run("size(variables.dear) > 0");
  const int64_t once = static_cast<int64_t>(kRunBudget) - run.left;
  run("size(variables.dear) > 0 && size(variables.dear) > 1");
  const int64_t twice = static_cast<int64_t>(kRunBudget) - run.left;
  EXPECT_GT(once, cheap + 1000);
  EXPECT_LT(twice, once + 20);
  EXPECT_EQ(run("size(variables.dear) > 0", 500), "stopped: " + std::string(kOutOfBudget));
}

TEST(Admission, VariablesThatNeedThemselvesFail) {
  Evaluated run;
  run.variable("a", "dyn(variables).b == 1");
  run.variable("b", "dyn(variables).a == 1");
  EXPECT_NE(run("variables.a").find("composited variable \"a\" needs itself"), std::string::npos);
  Evaluated deep;
  deep.variable("v0", "1");
  for (int i = 1; i < 1000; ++i) {
    deep.variable("v" + std::to_string(i), "variables.v" + std::to_string(i - 1) + " + 1");
  }
  EXPECT_EQ(deep("variables.v50"), "51");
  EXPECT_NE(deep("variables.v999").find("needs too many others"), std::string::npos);
}

TEST(Admission, ChecksTypes) {
  const Document policy = json(R"x({"spec":{
    "matchConstraints":{"resourceRules":[
      {"apiGroups":["apps"],"apiVersions":["v1"],"resources":["deployments","deployments/scale"]},
      {"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps","nothing"]},
      {"apiGroups":["*"],"apiVersions":["v1"],"resources":["pods"]}]},
    "paramKind":{"apiVersion":"v1","kind":"ConfigMap"},
    "variables":[{"name":"n","expression":"object.spec.replicas"}],
    "validations":[
      {"expression":"object.metadata.name != ''","messageExpression":"'a' + object.spec.replicas"},
      {"expression":"variables.n > '1'"},
      {"expression":"(oldObject == null || object != null) && (params == null || namespaceObject != null)"},
      {"expression":"!has(object.metadata.annotations) || object.metadata.annotations.all(k, k != 'a')"},
      {"expression":"authorizer.group('').resource('x').check('y').allowed() && object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')"},
      {"expression":"params.data.x == 'a' && params.none == 1"}]}})x");
  const auto warnings = check_policy_types(policy.root, *builtin_catalog());
  ASSERT_EQ(warnings.size(), 3U);
  EXPECT_EQ(warnings[0].field, "spec.validations[0].messageExpression");
  EXPECT_EQ(warnings[0].warning,
            "/v1, Kind=ConfigMap: ERROR: <input>:1:13: undefined field 'spec'\n"
            " | 'a' + object.spec.replicas\n | ............^\n\n"
            "apps/v1, Kind=Deployment: ERROR: <input>:1:5: found no matching overload for '_+_' "
            "applied to '(string, int)'\n | 'a' + object.spec.replicas\n | ....^\n");
  EXPECT_EQ(warnings[1].field, "spec.validations[1].expression");
  EXPECT_EQ(warnings[1].warning,
            "apps/v1, Kind=Deployment: ERROR: <input>:1:13: found no matching overload for '_>_' "
            "applied to '(int, string)'\n | variables.n > '1'\n | ............^\n");
  EXPECT_NE(warnings[2].warning.find("undefined field 'none'"), std::string::npos);
}

TEST(Admission, ChecksSelectorsOfDevices) {
  const auto fault = [](std::string_view text) {
    const DeviceSelectorFault f = check_device_selector(text);
    return f.too_complex ? "too complex" : f.invalid + f.internal;
  };
  EXPECT_EQ(fault("device.driver == 'a.com' && device.attributes['a.com'].model == 'x'"), "");
  EXPECT_EQ(fault("device.capacity['a.com'].memory.isGreaterThan(quantity('1Gi'))"), "");
  EXPECT_EQ(fault("cel.bind(a, device.attributes['a.com'], a.fast && a.count > 3)"), "");
  EXPECT_EQ(fault("device.attributes['a.com'].healthy"), "");
  EXPECT_EQ(fault("device.allowMultipleAllocations"), "");
  EXPECT_EQ(fault("device.driver"), "must evaluate to bool or the unknown type, not string");
  EXPECT_EQ(fault("dyn(true)"), "must evaluate to bool or the unknown type, not dyn");
  EXPECT_EQ(fault("device.nothing == 1"),
            "compilation failed: ERROR: <input>:1:7: undefined field 'nothing'\n"
            " | device.nothing == 1\n | ......^");
  EXPECT_EQ(fault("device.attributes['a.com'].version.compareTo(semver('1.0.0')) >= 0"), "");
  EXPECT_EQ(fault("device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, "
                  "device.attributes.all(d, device.attributes.all(e, a + b + c + d + e == '')))))"),
            "too complex");
}

}  // namespace
}  // namespace keles::cel
