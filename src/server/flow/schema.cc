#include "server/flow/schema.h"

#include <algorithm>
#include <cmath>

namespace keles::flow {
namespace {

constexpr std::string_view kAccountPrefix = "system:serviceaccount:";

Subject read_subject(const Value& v) {
  Subject out;
  const std::string_view kind = v["kind"].as_string();
  if (kind == "User" && v["user"].is_map()) {
    out.kind = Subject::Kind::kUser;
    out.name = v["user"]["name"].as_string();
    out.all = out.name == "*";
  } else if (kind == "Group" && v["group"].is_map()) {
    out.kind = Subject::Kind::kGroup;
    out.name = v["group"]["name"].as_string();
    out.all = out.name == "*";
  } else if (kind == "ServiceAccount" && v["serviceAccount"].is_map()) {
    const Value& account = v["serviceAccount"];
    const std::string_view name = account["name"].as_string();
    out.kind = Subject::Kind::kServiceAccount;
    out.all = name == "*";
    out.name = std::string(kAccountPrefix) + std::string(account["namespace"].as_string()) + ":";
    if (!out.all) out.name += name;
  }
  return out;
}

Rule read_rule(const Value& v) {
  Rule out;
  for (const Value& s : v["subjects"].items()) out.subjects.push_back(read_subject(s));
  for (const Value& r : v["resourceRules"].items()) {
    Rule::OfResources rule;
    rule.verbs = Names::read(r["verbs"]);
    rule.groups = Names::read(r["apiGroups"]);
    rule.resources = Names::read(r["resources"]);
    rule.namespaces = Names::read(r["namespaces"]);
    rule.cluster_scope = r["clusterScope"].as_bool();
    out.resources.push_back(std::move(rule));
  }
  for (const Value& r : v["nonResourceRules"].items()) {
    Rule::OfPaths rule;
    rule.verbs = Names::read(r["verbs"]);
    for (const Value& p : r["nonResourceURLs"].items()) rule.paths.emplace_back(p.as_string());
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

Names Names::read(const Value& list) {
  Names out;
  for (const Value& v : list.items()) out.names.emplace_back(v.as_string());
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
  const Value& spec = object["spec"];
  out.name = object["metadata"]["name"].as_string();
  out.uid = object["metadata"]["uid"].as_string();
  out.level = spec["priorityLevelConfiguration"]["name"].as_string();
  if (const Value& p = spec["matchingPrecedence"]; !p.is_null()) out.precedence = p.as_int();
  const std::string_view by = spec["distinguisherMethod"]["type"].as_string();
  if (by == "ByUser") out.flows = Flows::kByUser;
  if (by == "ByNamespace") out.flows = Flows::kByNamespace;
  for (const Value& r : spec["rules"].items()) out.rules.push_back(read_rule(r));
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
  const Value& spec = object["spec"];
  out.name = object["metadata"]["name"].as_string();
  out.uid = object["metadata"]["uid"].as_string();
  const std::string_view type = spec["type"].as_string();
  const Value& limited = spec["limited"];
  const Value& exempt = spec["exempt"];
  out.exempt = type == "Exempt";
  if ((type == "Limited") == limited.is_null() || out.exempt == exempt.is_null()) return {};
  // No level becomes exempt, or ceases to be.
  if (out.exempt != (out.name == "exempt")) return {};
  const Value& own = out.exempt ? exempt : limited;
  const Value& shares = own["nominalConcurrencyShares"];
  out.shares = shares.is_null() && !out.exempt ? 30 : shares.as_int();
  out.lendable_percent = own["lendablePercent"].as_int();
  if (out.exempt) {
    out.queuing.queues = -1;
    return out;
  }
  if (const Value& b = limited["borrowingLimitPercent"]; !b.is_null()) {
    out.borrowing_limit_percent = b.as_int();
  }
  const Value& response = limited["limitResponse"];
  const Value& queuing = response["queuing"];
  if ((response["type"].as_string() == "Reject") != queuing.is_null()) return {};
  if (queuing.is_null()) return out;
  auto number = [&](std::string_view field, int64_t otherwise) {
    const Value& v = queuing[field];
    return static_cast<int>(v.is_null() ? otherwise : v.as_int());
  };
  out.queuing = {number("queues", 64), number("handSize", 8), number("queueLengthLimit", 50)};
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
