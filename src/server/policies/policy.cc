#include "server/policies/policy.h"

#include <algorithm>
#include <map>

#include "cel/text.h"

namespace keles::policies {
namespace {

using cel::AdmissionCompiler;
using cel::AdmissionNames;

std::string trimmed(std::string_view s) { return std::string(cel::trim_space(s)); }

std::optional<ParamKind> read_param_kind(const Value& v) {
  if (v.is_null()) return std::nullopt;
  ParamKind out;
  const std::string_view version = v["apiVersion"].as_string();
  const size_t slash = version.find('/');
  if (slash != version.npos) out.group = version.substr(0, slash);
  out.version = slash == version.npos ? version : version.substr(slash + 1);
  out.kind = v["kind"].as_string();
  return out;
}

Reason reason_of(std::string_view name) {
  if (name == "Forbidden") return Reason::kForbidden;
  if (name == "Unauthorized") return Reason::kUnauthorized;
  if (name == "RequestEntityTooLarge") return Reason::kRequestEntityTooLarge;
  return Reason::kInvalid;
}

void read_resources(const Value& rules, Policy& p) {
  p.any_resource = rules.empty();
  for (const Value& rule : rules.items()) {
    for (const Value& v : rule["resources"].items()) {
      const std::string_view text = v.as_string(), resource = text.substr(0, text.find('/'));
      if (resource == "*") p.any_resource = true;
      if (std::find(p.resources.begin(), p.resources.end(), resource) == p.resources.end()) {
        p.resources.emplace_back(resource);
      }
    }
  }
}

void read_validations(const Value& spec, AdmissionCompiler& compiler, const AdmissionNames& names,
                      Policy& p) {
  AdmissionNames of_message = names;
  of_message.authorizer = false;
  for (const Value& v : spec["validations"].items()) {
    Validation& out = p.validations.emplace_back();
    out.expression = compiler.compile(v["expression"].as_string(), cel::results::boolean(), names);
    if (const std::string_view text = v["messageExpression"].as_string(); !text.empty()) {
      out.message = compiler.compile(text, cel::results::text(), of_message);
    }
    out.fixed_message = trimmed(v["message"].as_string());
    out.reason = reason_of(v["reason"].as_string());
  }
  for (const Value& v : spec["auditAnnotations"].items()) {
    p.annotations.push_back(
        {std::string(v["key"].as_string()),
         compiler.compile(v["valueExpression"].as_string(), cel::results::text_or_null(), names)});
  }
}

void read_mutations(const Value& spec, AdmissionCompiler& compiler, AdmissionNames names,
                    Policy& p) {
  names.objects = true;
  for (const Value& v : spec["mutations"].items()) {
    const bool json = v["patchType"].as_string() == "JSONPatch";
    const Value& patch = v[json ? "jsonPatch" : "applyConfiguration"];
    if (patch.is_null()) continue;
    p.mutations.push_back(
        {json,
         compiler.compile(patch["expression"].as_string(),
                          json ? cel::results::json_patch() : cel::results::object(), names)});
  }
  p.reinvoked = spec["reinvocationPolicy"].as_string() == "IfNeeded";
}

}  // namespace

std::shared_ptr<const Policy> read_policy(const Object& object, bool mutating) {
  const DocumentPtr tree = object.tree();
  const Value& spec = tree->root["spec"];
  auto out = std::make_shared<Policy>();
  out->name = object.name();
  out->criteria = matching::Criteria::of_match_resources(spec["matchConstraints"]);
  read_resources(spec["matchConstraints"]["resourceRules"], *out);
  out->fails = spec["failurePolicy"].as_string() != "Ignore";
  out->params = read_param_kind(spec["paramKind"]);
  AdmissionCompiler compiler(AdmissionCompiler::Variables::kComposed);
  AdmissionNames names;
  names.params = out->params.has_value();
  for (const Value& v : spec["variables"].items()) {
    const std::string_view name = v["name"].as_string();
    out->variables.push_back(
        {std::string(name), compiler.add_variable(name, v["expression"].as_string(), names)});
  }
  out->conditions =
      matching::Conditions::compile(spec["matchConditions"], compiler, names, out->fails);
  if (mutating) {
    read_mutations(spec, compiler, names, *out);
  } else {
    read_validations(spec, compiler, names, *out);
  }
  return out;
}

std::shared_ptr<const Binding> read_binding(const Object& object) {
  const DocumentPtr tree = object.tree();
  const Value& spec = tree->root["spec"];
  auto out = std::make_shared<Binding>();
  out->name = object.name();
  out->policy = spec["policyName"].as_string();
  out->criteria = matching::Criteria::of_match_resources(spec["matchResources"]);
  if (const Value& ref = spec["paramRef"]; !ref.is_null()) {
    ParamRef& p = out->params.emplace();
    p.name = ref["name"].as_string();
    p.namespace_ = ref["namespace"].as_string();
    if (!ref["selector"].is_null()) p.selector = Selector::from_label_selector(ref["selector"]);
    p.deny_when_none = ref["parameterNotFoundAction"].as_string() == "Deny";
  }
  for (const Value& v : spec["validationActions"].items()) {
    out->actions.emplace_back(v.as_string());
  }
  return out;
}

Index::Index(std::vector<Hook> hooks, Status whole)
    : hooks_(std::move(hooks)), whole_(std::move(whole)) {
  std::map<std::string, std::vector<uint32_t>> by_resource;
  for (uint32_t i = 0; i < hooks_.size(); ++i) {
    const Policy& p = *hooks_[i].policy;
    if (p.any_resource) {
      of_any_.push_back(i);
    } else {
      for (const std::string& r : p.resources) by_resource[r].push_back(i);
    }
  }
  by_resource_.assign(by_resource.begin(), by_resource.end());
}

// In the order of the hooks, until `f` says false.
template <class F>
void Index::each(std::string_view resource, const F& f) const {
  static const std::vector<uint32_t> kNone;
  const auto at = std::lower_bound(by_resource_.begin(), by_resource_.end(), resource,
                                   [](const auto& e, std::string_view r) { return e.first < r; });
  const std::vector<uint32_t>& named =
      at != by_resource_.end() && at->first == resource ? at->second : kNone;
  size_t i = 0, j = 0;
  while (i < named.size() || j < of_any_.size()) {
    const bool first = j == of_any_.size() || (i < named.size() && named[i] < of_any_[j]);
    if (!f(hooks_[first ? named[i++] : of_any_[j++]])) return;
  }
}

bool Index::concerns(const matching::Request& request) const {
  bool any = false;
  each(request.resource->plural, [&](const Hook& h) {
    any = h.policy->criteria.may_concern(request);
    return !any;
  });
  return any;
}

std::vector<const Hook*> Index::candidates(const matching::Request& request) const {
  std::vector<const Hook*> out;
  each(request.resource->plural, [&](const Hook& h) {
    if (h.policy->criteria.may_concern(request)) out.push_back(&h);
    return true;
  });
  return out;
}

}  // namespace keles::policies
