#include "machinery/quota/check.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace keles::quota {
namespace {

ResourceList tracked(const ResourceList& hard, const Evaluator& e, const Around& around) {
  ResourceList out;
  for (const auto& [name, amount] : hard) {
    if (e.tracks(name, around)) out.emplace(name, amount);
  }
  return out;
}

std::string names_of(const ResourceList& list) {
  std::vector<std::string> names;
  for (const auto& [name, amount] : list) names.push_back(name);
  return joined(names, ",");
}

// What must be covered by some quota.
struct Demands {
  std::set<std::string> resources;
  std::vector<Scope> scopes;
};

Demands demands_of(const Ask& ask, const Evaluator& e, const Limits& limits, const Around& around) {
  Demands out;
  for (const LimitedResource& limited : limits.resources) {
    for (const Scope& s : limited.match_scopes) {
      if (e.in_scope(s, *ask.object)) out.scopes.push_back(s);
    }
    if (limited.group != ask.group || limited.resource != ask.resource) continue;
    for (const auto& [name, amount] : e.usage(*ask.object, around)) {
      const bool named = std::any_of(
          limited.match_contains.begin(), limited.match_contains.end(),
          [&name = name](const std::string& part) { return name.find(part) != name.npos; });
      if (named && amount.sign() > 0) out.resources.insert(name);
    }
  }
  return out;
}

// What the write adds for each quota that it concerns, by its place in the list.
using Added = std::map<size_t, ResourceList>;

// What is added of resources and scopes that quotas cover.
struct Covered {
  std::set<std::string> resources, scopes;
  std::vector<size_t> quotas;
  std::string refused;
};

Covered cover(const std::vector<Standing>& standings, const Ask& ask, const Evaluator& e,
              const Around& around) {
  Covered out;
  for (size_t i = 0; i < standings.size(); ++i) {
    const Standing& q = standings[i];
    for (const Scope& s : q.scopes) {
      if (e.in_scope(s, *ask.object)) out.scopes.insert(s.name);
    }
    if (!concerns(e, q.scopes, q.hard, *ask.object, around)) continue;
    const ResourceList own = tracked(q.hard, e, around);
    if (std::string why = e.missing(own, *ask.object); !why.empty()) {
      out.refused = "failed quota: " + q.name + ": " + why;
      return out;
    }
    const bool known = std::all_of(own.begin(), own.end(),
                                   [&](const auto& r) { return q.used.contains(r.first); });
    if (!known) {
      out.refused = "status unknown for quota: " + q.name + ", resources: " + names_of(own);
      return out;
    }
    out.quotas.push_back(i);
    for (const auto& [name, amount] : own) out.resources.insert(name);
  }
  return out;
}

std::string uncovered(const Demands& demands, const Covered& covered, bool* unclassed) {
  std::vector<std::string> left;
  std::set_difference(demands.resources.begin(), demands.resources.end(), covered.resources.begin(),
                      covered.resources.end(), std::back_inserter(left));
  if (!left.empty()) return "insufficient quota to consume: " + joined(left, ",");
  for (const Scope& s : demands.scopes) {
    if (!covered.scopes.contains(s.name)) left.push_back(s.text());
  }
  if (left.empty()) return "";
  *unclassed = true;
  return "insufficient quota to match these scopes: [" + joined(left, " ") + "]";
}

// "": it fits, and `used` says so.
std::string spend(Standing& q, const ResourceList& added, bool judged) {
  const ResourceList asked = only(added, q.hard);
  ResourceList then = q.used;
  add(then, asked);
  ResourceList exceeded;
  for (const auto& [name, amount] : asked) {
    if (then[name] > q.hard.find(name)->second) exceeded.emplace(name, amount);
  }
  if (judged && !exceeded.empty()) {
    return "exceeded quota: " + q.name + ", requested: " + text_of(exceeded) +
           ", used: " + text_of(only(q.used, exceeded)) +
           ", limited: " + text_of(only(q.hard, exceeded));
  }
  q.used = std::move(then);
  return "";
}

Verdict refused(std::string why) {
  Verdict out;
  out.refused = std::move(why);
  return out;
}

}  // namespace

Standing read_standing(std::string_view name, const Value& quota) {
  return Standing{std::string(name), scopes_of(quota), read_resource_list(quota["status"]["hard"]),
                  read_resource_list(quota["status"]["used"])};
}

Verdict charge(std::vector<Standing>* standings, const Ask& ask, const Evaluator& e,
               const Limits& limits, const Around& around) {
  if (!e.handles(ask.write, ask.subresource, *ask.object, ask.before)) return {};
  const Demands demands = demands_of(ask, e, limits, around);
  const Covered covered = cover(*standings, ask, e, around);
  if (!covered.refused.empty()) return refused(covered.refused);

  const ResourceList usage = e.usage(*ask.object, around);
  ResourceList negative;
  for (const auto& [name, amount] : usage) {
    if (amount.sign() < 0) negative.emplace(name, amount);
  }
  if (!negative.empty()) {
    return refused("quota usage is negative for resource(s): " + names_of(negative));
  }
  // A quota that had to do with the object before is charged for what is more.
  const ResourceList more =
      ask.before ? difference(usage, e.usage(*ask.before, around)) : ResourceList();
  Added added;
  for (size_t i : covered.quotas) {
    const Standing& q = (*standings)[i];
    const bool already = ask.before && concerns(e, q.scopes, q.hard, *ask.before, around);
    ResourceList own = without_zeros(already ? more : usage);
    if (!own.empty()) added.emplace(i, std::move(own));
  }
  if (covered.quotas.empty() ? without_zeros(ask.before ? more : usage).empty() : added.empty()) {
    return {};
  }
  Verdict out;
  out.refused = uncovered(demands, covered, &out.unclassed);
  if (!out.refused.empty()) return out;

  std::vector<Standing> then = *standings;
  for (const auto& [i, own] : added) {
    std::string why = spend(then[i], own, ask.subresource != "status");
    if (!why.empty()) return refused(std::move(why));
    if (!same(then[i].used, (*standings)[i].used)) out.charged.push_back(i);
  }
  *standings = std::move(then);
  return out;
}

namespace {

Status unknown_field(const std::string& where, std::string_view key) {
  return Status::bad_request(where + ": unknown field \"" + std::string(key) + "\"");
}

Status check_fields(const std::string& where, const Value& map,
                    std::initializer_list<std::string_view> known) {
  if (!map.is_map()) return Status::bad_request(where + ": expected an object");
  for (const Member& m : map.members()) {
    if (std::find(known.begin(), known.end(), m.key()) == known.end()) {
      return unknown_field(where, m.key());
    }
  }
  return {};
}

Result<std::vector<std::string>> read_texts(const std::string& where, const Value& list) {
  std::vector<std::string> out;
  if (!list.is_null() && !list.is_list()) return Status::bad_request(where + ": expected a list");
  for (const Value& v : list.items()) {
    if (!v.is_string()) return Status::bad_request(where + ": expected a list of strings");
    out.emplace_back(v.as_string());
  }
  return out;
}

Result<LimitedResource> read_limited(const std::string& at, const Value& v) {
  TRY(check_fields(at, v, {"apiGroup", "resource", "matchContains", "matchScopes"}));
  LimitedResource out;
  out.group = v["apiGroup"].as_string();
  out.resource = v["resource"].as_string();
  if (out.resource.empty()) return Status::bad_request(at + ".resource: Required value");
  TRY_ASSIGN(parts, read_texts(at + ".matchContains", v["matchContains"]));
  out.match_contains = std::move(parts);
  const Value& scopes = v["matchScopes"];
  if (!scopes.is_null() && !scopes.is_list()) {
    return Status::bad_request(at + ".matchScopes: expected a list");
  }
  size_t i = 0;
  for (const Value& s : scopes.items()) {
    const std::string where = at + ".matchScopes[" + std::to_string(i++) + "]";
    TRY(check_fields(where, s, {"scopeName", "operator", "values"}));
    TRY_ASSIGN(values, read_texts(where + ".values", s["values"]));
    out.match_scopes.push_back(read_scope(s));
    out.match_scopes.back().values = std::move(values);
  }
  return out;
}

}  // namespace

Result<Limits> read_limits(const Value& c) {
  if (c["apiVersion"].as_string() != "apiserver.config.k8s.io/v1" ||
      c["kind"].as_string() != "ResourceQuotaConfiguration") {
    return Status::bad_request(
        "expected a ResourceQuotaConfiguration of apiserver.config.k8s.io/v1");
  }
  TRY(check_fields("ResourceQuotaConfiguration", c, {"apiVersion", "kind", "limitedResources"}));
  const Value& list = c["limitedResources"];
  if (!list.is_null() && !list.is_list()) {
    return Status::bad_request("limitedResources: expected a list");
  }
  Limits out;
  size_t i = 0;
  for (const Value& v : list.items()) {
    TRY_ASSIGN(one, read_limited("limitedResources[" + std::to_string(i++) + "]", v));
    out.resources.push_back(std::move(one));
  }
  return out;
}

}  // namespace keles::quota
