#include "server/flow/schema.h"

#include <algorithm>
#include <cmath>

#include "api/flowcontrol_v1.h"

namespace keles::flow {

namespace v1 = api::flowcontrol_v1;

namespace {

constexpr std::string_view kAccountPrefix = "system:serviceaccount:";

Subject read_subject(const v1::Subject& v) {
  Subject out;
  if (v.kind() == "User" && v.has_user()) {
    out.kind = Subject::Kind::kUser;
    out.name = v.user().name();
    out.all = out.name == "*";
  } else if (v.kind() == "Group" && v.has_group()) {
    out.kind = Subject::Kind::kGroup;
    out.name = v.group().name();
    out.all = out.name == "*";
  } else if (v.kind() == "ServiceAccount" && v.has_service_account()) {
    const v1::ServiceAccountSubject account = v.service_account();
    out.kind = Subject::Kind::kServiceAccount;
    out.all = account.name() == "*";
    out.name = std::string(kAccountPrefix) + std::string(account.namespace_()) + ":";
    if (!out.all) out.name += account.name();
  }
  return out;
}

Rule read_rule(const v1::PolicyRulesWithSubjects& v) {
  Rule out;
  for (const v1::Subject& s : v.subjects()) out.subjects.push_back(read_subject(s));
  for (const v1::ResourcePolicyRule& r : v.resource_rules()) {
    Rule::OfResources rule;
    rule.verbs = Names::read(r.verbs());
    rule.groups = Names::read(r.api_groups());
    rule.resources = Names::read(r.resources());
    rule.namespaces = Names::read(r.namespaces());
    rule.cluster_scope = r.cluster_scope();
    out.resources.push_back(std::move(rule));
  }
  for (const v1::NonResourcePolicyRule& r : v.non_resource_rules()) {
    Rule::OfPaths rule;
    rule.verbs = Names::read(r.verbs());
    for (std::string_view p : r.non_resource_urls()) rule.paths.emplace_back(p);
    out.paths.push_back(std::move(rule));
  }
  return out;
}

// "*" and the path itself; and what lies below it, whether it ends in "/*", "*" or neither.
bool path_matches(std::string_view rule, std::string_view path) {
  if (rule == "*" || rule == path) return true;
  if (rule.ends_with('*')) rule.remove_suffix(1);
  if (rule.ends_with('/')) rule.remove_suffix(1);
  return path.size() > rule.size() && path.starts_with(rule) && path[rule.size()] == '/';
}

template <class T, class... A>
bool any_matches(const std::vector<T>& all, const A&... what) {
  return std::any_of(all.begin(), all.end(), [&](const T& one) { return one.matches(what...); });
}

}  // namespace

Names Names::read(const List<std::string_view>& list) {
  Names out;
  for (std::string_view name : list) out.names.emplace_back(name);
  out.all = out.names.size() == 1 && out.names[0] == "*";
  return out;
}

bool Names::has(std::string_view name) const {
  return all || std::find(names.begin(), names.end(), name) != names.end();
}

bool Subject::matches(const Caller& caller) const {
  switch (kind) {
    case Kind::kUser:
      return all || caller.name == name;
    case Kind::kGroup:
      return all ||
             std::find(caller.groups.begin(), caller.groups.end(), name) != caller.groups.end();
    case Kind::kServiceAccount:
      return all ? caller.name.starts_with(name) : caller.name == name;
    case Kind::kNobody:
      break;
  }
  return false;
}

bool Rule::OfResources::matches(const Digest& d) const {
  if (!verbs.has(d.verb) || !groups.has(d.group)) return false;
  if (!resources.all) {
    // "pods" or "pods/status", as one text.
    auto same = [&](const std::string& r) {
      if (d.subresource.empty()) return r == d.resource;
      return r.size() == d.resource.size() + 1 + d.subresource.size() &&
             r.starts_with(d.resource) && r[d.resource.size()] == '/' && r.ends_with(d.subresource);
    };
    if (std::none_of(resources.names.begin(), resources.names.end(), same)) return false;
  }
  return d.ns.empty() ? cluster_scope : namespaces.has(d.ns);
}

bool Rule::OfPaths::matches(const Digest& d) const {
  if (!verbs.has(d.verb)) return false;
  return std::any_of(paths.begin(), paths.end(),
                     [&](const std::string& p) { return path_matches(p, d.path); });
}

bool Rule::matches(const Digest& d) const {
  if (!any_matches(subjects, *d.caller)) return false;
  return d.is_resource ? any_matches(resources, d) : any_matches(paths, d);
}

Schema Schema::read(const Value& object) {
  Schema out;
  const v1::FlowSchema schema(object);
  const v1::FlowSchemaSpec spec = schema.spec();
  out.name = schema.metadata().name();
  out.uid = schema.metadata().uid();
  out.level = spec.priority_level_configuration().name();
  if (spec.has_matching_precedence()) out.precedence = spec.matching_precedence();
  const std::string_view by = spec.distinguisher_method().type();
  if (by == "ByUser") out.flows = Flows::kByUser;
  if (by == "ByNamespace") out.flows = Flows::kByNamespace;
  for (const v1::PolicyRulesWithSubjects& r : spec.rules()) out.rules.push_back(read_rule(r));
  return out;
}

bool Schema::matches(const Digest& d) const { return any_matches(rules, d); }

std::string_view Schema::distinguisher(const Digest& d) const {
  switch (flows) {
    case Flows::kByUser:
      return d.caller->name;
    case Flows::kByNamespace:
      return d.ns;
    case Flows::kOne:
      break;
  }
  return {};
}

bool comes_before(const Schema& a, const Schema& b) {
  if (a.precedence != b.precedence) return a.precedence < b.precedence;
  return a.name < b.name;
}

std::optional<LevelSpec> LevelSpec::read(const Value& object) {
  LevelSpec out;
  const v1::PriorityLevelConfiguration level(object);
  const v1::PriorityLevelConfigurationSpec spec = level.spec();
  out.name = level.metadata().name();
  out.uid = level.metadata().uid();
  out.exempt = spec.type() == "Exempt";
  if ((spec.type() == "Limited") != spec.has_limited()) return {};
  // No level becomes exempt, or ceases to be.
  if (out.exempt != spec.has_exempt() || out.exempt != (out.name == "exempt")) return {};
  if (out.exempt) {
    out.shares = spec.exempt().nominal_concurrency_shares();
    out.lendable_percent = spec.exempt().lendable_percent();
    out.queuing.queues = -1;
    return out;
  }
  const v1::LimitedPriorityLevelConfiguration limited = spec.limited();
  out.shares = limited.has_nominal_concurrency_shares() ? limited.nominal_concurrency_shares() : 30;
  out.lendable_percent = limited.lendable_percent();
  if (limited.has_borrowing_limit_percent()) {
    out.borrowing_limit_percent = limited.borrowing_limit_percent();
  }
  const v1::LimitResponse response = limited.limit_response();
  if ((response.type() == "Reject") == response.has_queuing()) return {};
  if (!response.has_queuing()) return out;
  const v1::QueuingConfiguration q = response.queuing();
  auto number = [](bool there, int64_t n, int otherwise) {
    return there ? static_cast<int>(n) : otherwise;
  };
  out.queuing = {number(q.has_queues(), q.queues(), 64),
                 number(q.has_hand_size(), q.hand_size(), 8),
                 number(q.has_queue_length_limit(), q.queue_length_limit(), 50)};
  if (!may_deal(out.queuing.queues, out.queuing.hand)) return {};
  return out;
}

// 15 % of the level's seats, and no more than leaves as many requests as a hand has queues.
uint64_t LevelSpec::widest_request(int nominal) const {
  if (queuing.queues <= 0) return 0;
  const double part = std::ceil(nominal * 0.15), by_hand = nominal / queuing.hand;
  return static_cast<uint64_t>(std::max(1.0, std::min(part, by_hand)));
}

}  // namespace keles::flow
