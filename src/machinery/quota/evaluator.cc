#include "machinery/quota/evaluator.h"

#include <algorithm>
#include <array>
#include <utility>

#include "machinery/quota/evaluators.h"
#include "machinery/quota/pod_resources.h"

namespace keles::quota {
namespace {

using Resource = std::pair<std::string_view, std::string_view>;

// What is never stored, or comes and goes too fast to be counted; and two kinds of the cluster.
constexpr std::array kIgnored = {
    Resource{"", "bindings"},
    Resource{"", "componentstatuses"},
    Resource{"", "events"},
    Resource{"events.k8s.io", "events"},
    Resource{"extensions", "networkpolicies"},
    Resource{"authentication.k8s.io", "tokenreviews"},
    Resource{"authorization.k8s.io", "subjectaccessreviews"},
    Resource{"authorization.k8s.io", "selfsubjectaccessreviews"},
    Resource{"authorization.k8s.io", "localsubjectaccessreviews"},
    Resource{"authorization.k8s.io", "selfsubjectrulesreviews"},
    Resource{"apiregistration.k8s.io", "apiservices"},
    Resource{"apiextensions.k8s.io", "customresourcedefinitions"},
};

// Those that quotas could count before there were count/ names.
constexpr std::array<std::string_view, 4> kOldNames = {"configmaps", "resourcequotas",
                                                       "replicationcontrollers", "secrets"};

bool is_ignored(std::string_view group, std::string_view resource) {
  return std::find(kIgnored.begin(), kIgnored.end(), Resource{group, resource}) != kIgnored.end();
}

class CountEvaluator final : public Evaluator {
 public:
  CountEvaluator(std::string_view group, std::string_view resource) {
    names_.push_back(count_name(group, resource));
    const bool old = std::find(kOldNames.begin(), kOldNames.end(), resource) != kOldNames.end();
    if (group.empty() && old) names_.emplace_back(resource);
  }
  bool counts_only() const override { return true; }
  bool tracks(std::string_view resource, const Around&) const override {
    return std::find(names_.begin(), names_.end(), resource) != names_.end();
  }
  ResourceList usage(const Value&, const Around&) const override {
    ResourceList out;
    for (const std::string& name : names_) out[name] = one();
    return out;
  }

 private:
  std::vector<std::string> names_;  // "count/jobs.batch", and the old name of the few that have one
};

const Evaluator* measured(std::string_view group, std::string_view resource) {
  if (group == "resource.k8s.io" && resource == "resourceclaims") return &device_claim_evaluator();
  if (!group.empty()) return nullptr;
  if (resource == "pods") return &pod_evaluator();
  if (resource == "services") return &service_evaluator();
  if (resource == "persistentvolumeclaims") return &volume_claim_evaluator();
  return nullptr;
}

}  // namespace

std::string Scope::text() const {
  return "{" + name + " " + op + " [" + joined(values, " ") + "]}";
}

Scope read_scope(const Value& requirement) {
  Scope out{std::string(requirement["scopeName"].as_string()),
            std::string(requirement["operator"].as_string()),
            {}};
  for (const Value& v : requirement["values"].items()) out.values.emplace_back(v.as_string());
  return out;
}

std::vector<Scope> scopes_of(const Value& quota) {
  std::vector<Scope> out;
  const Value& spec = quota["spec"];
  for (const Value& s : spec["scopes"].items()) {
    out.push_back(Scope{std::string(s.as_string()), "Exists", {}});
  }
  for (const Value& r : spec["scopeSelector"]["matchExpressions"].items()) {
    out.push_back(read_scope(r));
  }
  return out;
}

bool Evaluator::handles(Write, std::string_view, const Value&, const Value*) const { return true; }
std::string Evaluator::missing(const ResourceList&, const Value&) const { return ""; }
bool Evaluator::in_scope(const Scope&, const Value&) const { return false; }

std::shared_ptr<const Evaluator> evaluator_of(std::string_view group, std::string_view resource) {
  if (is_ignored(group, resource)) return nullptr;
  if (const Evaluator* e = measured(group, resource)) {
    return std::shared_ptr<const Evaluator>(std::shared_ptr<const Evaluator>(), e);
  }
  return std::make_shared<CountEvaluator>(group, resource);
}

bool may_use(std::string_view group, std::string_view resource, Write write,
             std::string_view subresource) {
  if (is_ignored(group, resource)) return false;
  const bool create = write == Write::kCreate, whole = subresource.empty();
  if (!measured(group, resource)) return create && whole;
  if (whole) return true;
  if (create || !group.empty()) return false;
  return (resource == "pods" && subresource == "resize") ||
         (resource == "persistentvolumeclaims" && subresource == "status");
}

std::string count_name(std::string_view group, std::string_view resource) {
  std::string out = "count/" + std::string(resource);
  return group.empty() ? out : out + "." + std::string(group);
}

bool concerns(const Evaluator& e, const std::vector<Scope>& scopes, const ResourceList& hard,
              const Value& object, const Around& around) {
  const bool tracked = std::any_of(hard.begin(), hard.end(),
                                   [&](const auto& h) { return e.tracks(h.first, around); });
  return tracked && std::all_of(scopes.begin(), scopes.end(),
                                [&](const Scope& s) { return e.in_scope(s, object); });
}

bool is_quota_of_extended_resource(std::string_view name) {
  if (!name.starts_with("requests.")) return false;
  return !is_native_resource(name) ||
         name.starts_with("requests.deviceclass.resource.kubernetes.io/");
}

bool value_in_scope(const Scope& scope, std::string_view value) {
  if (scope.op == "Exists") return !value.empty();
  if (scope.op == "DoesNotExist") return value.empty();
  const auto& all = scope.values;
  const bool named = !value.empty() && std::find(all.begin(), all.end(), value) != all.end();
  return scope.op == "In" ? named : scope.op == "NotIn" && !named;
}

Quantity one() { return Quantity::from_int(1); }

}  // namespace keles::quota
