// Admission policies: any policy and binding that decode are compiled and asked about a pod, as
// what they judge and what they change. Nothing takes what is left of a budget too far, what a
// mutation makes is an object of its kind, and the same question has the same answer.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/sim_loop.h"
#include "cel/admission/type_check.h"
#include "machinery/catalog.h"
#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "seeds.h"
#include "server/policies/judgement.h"
#include "server/policies/mutation.h"
#include "server/policies/request.h"

namespace {

using namespace keles;

const KindDesc& kind_of_policy(bool mutating) {
  return *find_kind("admissionregistration.k8s.io", "v1",
                    mutating ? "MutatingAdmissionPolicy" : "ValidatingAdmissionPolicy");
}

struct World {
  SimLoop loop{1};
  const KindDesc* pods = find_kind("", "v1", "Pod");
  Document pod = *decode_body(
      *pods,
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"d","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  Document shown = policies::api_form(*pods, pod.root);
  Document params = *parse_json(R"({"data":{"x":"1"}})");
  Caller caller;
  matching::Request request;
  World() {
    caller.name = "amy";
    request.operation = "CREATE";
    request.resource = pods;
    request.namespace_ = "d";
    request.name = "p";
    request.object = &pod.root;
    request.caller = &caller;
  }
};

void judge(World& w, const policies::Policy& policy, matching::Inputs& inputs) {
  const matching::Asking nobody(nullptr, w.loop.now());
  const auto once = policies::judge(policy, inputs, nullptr, "CREATE", nobody, w.loop);
  const auto again = policies::judge(policy, inputs, nullptr, "CREATE", nobody, w.loop);
  if (once.decisions.size() != again.decisions.size()) std::abort();
  for (size_t i = 0; i < once.decisions.size(); ++i) {
    const auto &a = once.decisions[i], &b = again.decisions[i];
    if (a.denied != b.denied || a.message != b.message) std::abort();
    if (a.denied && a.message.empty()) std::abort();
  }
}

void change(World& w, const policies::Policy& policy, matching::Inputs& inputs) {
  const cel::AdmissionInput values = inputs.values();
  for (const policies::Mutation& m : policy.mutations) {
    const auto made = policies::mutate(policy, m, values, *w.pods, w.pod.root, w.loop);
    if (!made.applied) continue;
    const Document shown = policies::api_form(*w.pods, made.object.root);
    if (shown.root["kind"].as_string() != "Pod") std::abort();
    std::string text = to_json(shown.root);
    if (!decode_body(*w.pods, text).ok()) std::abort();
  }
}

// A text that is no policy is an expression of one.
void judge_expression(World& w, matching::Inputs& inputs, std::string_view text) {
  cel::AdmissionCompiler compiler(cel::AdmissionCompiler::Variables::kComposed);
  cel::AdmissionNames names;
  names.params = true;
  policies::Policy policy;
  policy.name = "p";
  policy.variables.push_back({"v", compiler.add_variable("v", text, names)});
  policies::Validation& v = policy.validations.emplace_back();
  v.expression = compiler.compile(text, cel::results::boolean(), names);
  v.message = compiler.compile(text, cel::results::text(), names);
  policy.annotations.push_back({"k", compiler.compile(text, cel::results::text_or_null(), names)});
  names.objects = true;
  policy.mutations.push_back({true, compiler.compile(text, cel::results::json_patch(), names)});
  policy.mutations.push_back({false, compiler.compile(text, cel::results::object(), names)});
  judge(w, policy, inputs);
  change(w, policy, inputs);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const matching::Match as{world.pods, {"", "v1", "Pod"}};
  if (!text.starts_with('{')) {
    matching::Inputs inputs(&world.request, as, &world.shown.root, nullptr, nullptr);
    inputs.set_params(&world.params.root);
    judge_expression(world, inputs, text);
    return 0;
  }
  for (const bool mutating : {false, true}) {
    const KindDesc& kind = kind_of_policy(mutating);
    auto body = decode_body(kind, text);
    if (!body.ok()) continue;
    if (!mutating) (void)cel::check_policy_types(body->root, *builtin_catalog());
    const ObjectPtr object = Object::from_document(kind, std::move(*body));
    const auto policy = policies::read_policy(*object, mutating);
    auto match = policy->criteria.match(world.request);
    if (!match.ok()) continue;
    matching::Inputs inputs(&world.request, as, &world.shown.root, nullptr, nullptr);
    inputs.set_params(&world.params.root);
    judge(world, *policy, inputs);
    change(world, *policy, inputs);
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "Object{metadata: Object.metadata{labels: {'x': params.data.x}, ?annotations: "
      "optional.none()}, spec: Object.spec{containers: object.spec.containers.map(c, "
      "Object.spec.containers{name: c.name, imagePullPolicy: 'Always'})}}",
      "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'v'}, "
      "JSONPatch{op: 'replace', path: '/spec', value: Object.spec{containers: []}}]",
      "variables.v == 1 || object.spec.containers.all(c, c.name != request.userInfo.username)",
      "'at ' + string(size(object.spec.containers)) + params.data.x",
      R"x({"metadata":{"name":"a"},"spec":{"matchConstraints":{"resourceRules":[{"operations":["*"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]}]},"paramKind":{"apiVersion":"v1","kind":"ConfigMap"},"variables":[{"name":"n","expression":"size(object.spec.containers)"},{"name":"m","expression":"variables.n + 1"}],"matchConditions":[{"name":"c","expression":"request.operation == 'CREATE'"}],"validations":[{"expression":"variables.m > 5","messageExpression":"'m is ' + string(variables.m)","reason":"Forbidden"},{"expression":"params.data.x == '1'"}],"auditAnnotations":[{"key":"k","valueExpression":"object.metadata.name"}]}})x",
      R"x({"metadata":{"name":"a"},"spec":{"mutations":[{"patchType":"ApplyConfiguration","applyConfiguration":{"expression":"Object{metadata: Object.metadata{labels: {'x': 'y'}}, spec: Object.spec{containers: object.spec.containers.map(c, Object.spec.containers{name: c.name, imagePullPolicy: 'Always'})}}"}}]}})x",
      R"x({"metadata":{"name":"a"},"spec":{"mutations":[{"patchType":"JSONPatch","jsonPatch":{"expression":"[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'v'}, JSONPatch{op: 'test', path: '/spec/containers/0/name', value: 'c'}, JSONPatch{op: 'move', from: '/metadata/labels/a', path: '/metadata/labels/b'}]"}}]}})x",
      R"x({"metadata":{"name":"a"},"spec":{"failurePolicy":"Ignore","validations":[{"expression":"dyn(variables).x == 1"}],"variables":[{"name":"x","expression":"[[1,2],[3]].map(l, l.map(i, i * 2))"}]}})x"};
}
