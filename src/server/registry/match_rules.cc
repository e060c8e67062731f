#include "server/registry/match_rules.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "base/text_parts.h"
#include "server/registry/checks.h"

namespace keles::registry {
namespace {

using api::admissionregistration_v1::MatchCondition;
using api::admissionregistration_v1::MatchResources;
using api::admissionregistration_v1::NamedRuleWithOperations;
using api::admissionregistration_v1::RuleWithOperations;
using Texts = List<std::string_view>;

bool has_star(const Texts& texts) {
  return std::any_of(texts.begin().at, texts.end().at,
                     [](const Value& v) { return v.as_string() == "*"; });
}

void validate_star(FieldErrors& e, const FieldPath& p, const Texts& texts, const char* others) {
  if (texts.empty()) field::required(e, p);
  if (texts.size() > 1 && has_star(texts)) {
    field::invalid(e, p, texts.value(),
                   "if '*' is present, must not specify other " + std::string(others));
  }
}

// "pods", "pods/log", "pods/*", "*/scale", "*", "*/*": none that another says already.
void validate_resources(FieldErrors& e, const FieldPath& p, const Texts& resources) {
  if (resources.empty()) field::required(e, p);
  std::set<std::string_view> whole_resources, whole_subresources;
  bool everything = false, star = false, plain = false;
  for (size_t i = 0; i < resources.size(); ++i) {
    const std::string_view r = resources[i];
    if (r.empty()) {
      field::required(e, p[i]);
      continue;
    }
    everything = everything || r == "*/*";
    star = star || r == "*";
    const size_t slash = r.find('/');
    if (slash == r.npos) {
      plain = r != "*";
      continue;
    }
    const std::string_view resource = r.substr(0, slash), sub = r.substr(slash + 1);
    auto covered = [&](const std::string& by) {
      field::invalid(e, p[i], r, "if '" + by + "' is present, must not specify " + std::string(r));
    };
    if (whole_resources.count(resource)) covered(std::string(resource) + "/*");
    if (whole_subresources.count(sub)) covered("*/" + std::string(sub));
    if (sub == "*") whole_resources.insert(resource);
    if (resource == "*") whole_subresources.insert(sub);
  }
  if (resources.size() > 1 && everything) {
    field::invalid(e, p, resources.value(),
                   "if '*/*' is present, must not specify other resources");
  }
  if (star && plain) {
    field::invalid(e, p, resources.value(),
                   "if '*' is present, must not specify other resources without subresources");
  }
}

void validate_named_rule(FieldErrors& e, const FieldPath& p, const NamedRuleWithOperations& rule) {
  std::set<std::string_view> names;
  size_t i = 0;
  for (std::string_view name : rule.resource_names()) {
    const FieldPath at = p["resourceNames"][i++];
    field::invalid_each(e, at, name, check_path_segment_name(name));
    if (!names.insert(name).second) field::duplicate(e, at, name);
  }
  validate_rule_with_operations(e, p, RuleWithOperations(rule.value()));
}

void require_selector(FieldErrors& e, const FieldPath& p, const View& selector) {
  if (!selector) return field::required(e, p);
  validate_label_selector(e, p, selector.value());
}

}  // namespace

void validate_rule_with_operations(FieldErrors& e, const FieldPath& p,
                                   const RuleWithOperations& rule) {
  validate_star(e, p["operations"], rule.operations(), "operations");
  size_t i = 0;
  for (std::string_view op : rule.operations()) {
    check_known(e, p["operations"][i++], op, {"*", "CONNECT", "CREATE", "DELETE", "UPDATE"});
  }
  validate_star(e, p["apiGroups"], rule.api_groups(), "API groups");
  validate_star(e, p["apiVersions"], rule.api_versions(), "API versions");
  i = 0;
  for (std::string_view version : rule.api_versions()) {
    if (version.empty()) field::required(e, p["apiVersions"][i]);
    ++i;
  }
  validate_resources(e, p["resources"], rule.resources());
  if (rule.has_scope()) {
    check_known(e, p["scope"], rule.scope(), {"*", "Cluster", "Namespaced"});
  }
}

void validate_match_resources(FieldErrors& e, const FieldPath& p, const MatchResources& match) {
  if (!match) return;
  if (match.has_match_policy()) {
    check_known(e, p["matchPolicy"], match.match_policy(), {"Equivalent", "Exact"});
  } else {
    field::required(e, p["matchPolicy"]);
  }
  require_selector(e, p["namespaceSelector"], match.namespace_selector());
  require_selector(e, p["objectSelector"], match.object_selector());
  size_t i = 0;
  for (const auto& rule : match.resource_rules()) {
    validate_named_rule(e, p["resourceRules"][i++], rule);
  }
  i = 0;
  for (const auto& rule : match.exclude_resource_rules()) {
    validate_named_rule(e, p["excludeResourceRules"][i++], rule);
  }
}

void report_expression(FieldErrors& e, const FieldPath& p, std::string_view text,
                       const cel::CompiledExpression& compiled) {
  if (compiled.program != nullptr) return;
  if (compiled.internal) {
    e.push_back({"InternalError", "Internal error: " + compiled.error, p.text()});
  } else {
    field::invalid(e, p, text, compiled.error);
  }
}

void validate_match_conditions(FieldErrors& e, const FieldPath& p,
                               const List<MatchCondition>& conditions, bool params) {
  constexpr size_t kMost = 64;
  if (conditions.size() > kMost) field::too_many(e, p, conditions.size(), kMost);
  std::set<std::string_view> names;
  cel::AdmissionCompiler compiler(cel::AdmissionCompiler::Variables::kNone);
  cel::AdmissionNames may_name;
  may_name.params = params;
  size_t i = 0;
  for (const MatchCondition& c : conditions) {
    const FieldPath at = p[i++];
    if (const std::string_view text = trim(c.expression()); text.empty()) {
      field::required(e, at["expression"]);
    } else {
      report_expression(e, at["expression"], text,
                        compiler.compile(text, cel::results::boolean(), may_name));
    }
    check_name(e, at["name"], c.name(), check_qualified_name);
    if (!c.name().empty() && !names.insert(c.name()).second) {
      field::duplicate(e, at["name"], c.name());
    }
  }
}

}  // namespace keles::registry
