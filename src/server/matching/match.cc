#include "server/matching/match.h"

#include <algorithm>

#include "server/objects/keys.h"

namespace keles::matching {
namespace {

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

bool has(const std::vector<std::string>& list, std::string_view what) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& s) { return s == "*" || s == what; });
}

bool is_namespaces(const KindDesc& k) {
  return k.group.empty() && k.version == "v1" && k.plural == "namespaces";
}

bool matches_scope(Scope scope, const Request& request, const KindDesc& as) {
  if (scope == Scope::kAll) return true;
  const bool cluster = is_namespaces(as) || request.namespace_.empty();
  return cluster == (scope == Scope::kCluster);
}

// "pods", "pods/log", "*", "*/*", "pods/*"; without a slash, the resource alone.
bool matches_resource(const std::string& pattern, std::string_view resource,
                      std::string_view subresource) {
  const std::string_view p = pattern;
  const size_t slash = p.find('/');
  const std::string_view r = p.substr(0, slash),
                         s = slash == p.npos ? std::string_view() : p.substr(slash + 1);
  return (r == "*" || r == resource) && (s == "*" || s == subresource);
}

std::vector<Rule> read_rules(const Value& list) {
  std::vector<Rule> out;
  for (const Value& rule : list.items()) out.push_back(Rule::read(rule));
  return out;
}

const Value& labels_of(const Value& object) { return object["metadata"]["labels"]; }

Status broken(const Result<Selector>& selector) {
  return Status::internal(selector.status().message());
}

}  // namespace

Rule Rule::read(const Value& rule) {
  Rule out;
  out.operations = texts(rule["operations"]);
  out.groups = texts(rule["apiGroups"]);
  out.versions = texts(rule["apiVersions"]);
  out.resources = texts(rule["resources"]);
  out.names = texts(rule["resourceNames"]);
  const std::string_view scope = rule["scope"].as_string();
  out.scope = scope == "Cluster"      ? Scope::kCluster
              : scope == "Namespaced" ? Scope::kNamespaced
                                      : Scope::kAll;
  return out;
}

bool Rule::matches(const Request& request, const KindDesc& as) const {
  return has(operations, request.operation) && has(groups, as.group) && has(versions, as.version) &&
         matches_scope(scope, request, as) &&
         std::any_of(resources.begin(), resources.end(), [&](const std::string& r) {
           return matches_resource(r, as.plural, request.subresource);
         });
}

bool Rule::matches_name(std::string_view name) const {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

Criteria Criteria::of_webhook(const Value& webhook) {
  Criteria out;
  out.rules_ = read_rules(webhook["rules"]);
  out.equivalent_ = webhook["matchPolicy"].as_string() == "Equivalent";
  out.namespaces_ = Selector::from_label_selector(webhook["namespaceSelector"]);
  out.objects_ = Selector::from_label_selector(webhook["objectSelector"]);
  return out;
}

Criteria Criteria::of_match_resources(const Value& match) {
  Criteria out;
  out.all_without_rules_ = true;
  if (match.is_null()) return out;
  out.rules_ = read_rules(match["resourceRules"]);
  out.excluded_ = read_rules(match["excludeResourceRules"]);
  out.equivalent_ = match["matchPolicy"].as_string() == "Equivalent";
  out.namespaces_ = Selector::from_label_selector(match["namespaceSelector"]);
  out.objects_ = Selector::from_label_selector(match["objectSelector"]);
  return out;
}

bool Criteria::may_concern(const Request& request) const {
  if (rules_.empty()) return all_without_rules_;
  const auto any = [&](const KindDesc& as) {
    return std::any_of(rules_.begin(), rules_.end(),
                       [&](const Rule& r) { return r.matches(request, as); });
  };
  if (any(*request.resource)) return true;
  if (!equivalent_ || !has_equivalents(*request.resource)) return false;
  const auto others = equivalents(*request.resource, request.subresource);
  return std::any_of(others.begin(), others.end(), [&](const KindDesc* k) { return any(*k); });
}

std::optional<Match> Criteria::find(const std::vector<Rule>& rules, const Request& request) const {
  const auto found = [&](const KindDesc& as) {
    return Match{&as, body_kind(as, request.subresource)};
  };
  for (const Rule& rule : rules) {
    if (rule.matches(request, *request.resource) && rule.matches_name(request.name)) {
      return found(*request.resource);
    }
  }
  if (!equivalent_ || rules.empty() || !has_equivalents(*request.resource)) return std::nullopt;
  const auto others = equivalents(*request.resource, request.subresource);
  for (const Rule& rule : rules) {  // an earlier rule goes before a nearer version
    for (const KindDesc* other : others) {
      if (other == request.resource) continue;
      if (rule.matches(request, *other) && rule.matches_name(request.name)) return found(*other);
    }
  }
  return std::nullopt;
}

Result<bool> Criteria::selects_namespace(const Request& request) const {
  // What is in no namespace is selected; so is none but the Namespaces themselves.
  const bool namespaces = request.resource->plural == "namespaces";
  if (request.namespace_.empty() && !namespaces) return true;
  if (!namespaces_.ok()) return broken(namespaces_);
  if (namespaces_->is_everything()) return true;
  const bool itself = namespaces && request.subresource.empty() &&
                      (request.operation == "CREATE" || request.operation == "UPDATE");
  if (itself) {
    return request.object ? namespaces_->matches(labels_of(*request.object))
                          : namespaces_->matches(Value::null());
  }
  static const KindDesc* const kind = find_kind("", "v1", "Namespace");
  const ObjectPtr ns = request.state
                           ? request.state->get(registry::object_key(*kind, "", request.namespace_))
                           : nullptr;
  if (!ns) return Status::not_found("", "namespaces", request.namespace_);
  const DocumentPtr tree = ns->tree();
  return namespaces_->matches(labels_of(tree->root));
}

Result<bool> Criteria::selects_object(const Request& request) const {
  if (!objects_.ok()) return broken(objects_);
  if (objects_->is_everything()) return true;
  const auto selected = [&](const Value* o) {
    return o && o->is_map() && o->find("metadata") && objects_->matches(labels_of(*o));
  };
  return selected(request.object) || selected(request.old_object);
}

Result<std::optional<Match>> Criteria::match(const Request& request) const {
  const auto none = std::optional<Match>();
  const Result<bool> in_namespace = selects_namespace(request);
  if (in_namespace.ok() && !*in_namespace) return none;
  const Result<bool> is_object = selects_object(request);
  if (is_object.ok() && !*is_object) return none;
  if (find(excluded_, request)) return none;
  std::optional<Match> found;
  if (rules_.empty() && all_without_rules_) {
    found = Match{request.resource, body_kind(*request.resource, request.subresource)};
  } else {
    found = find(rules_, request);
  }
  if (!found) return none;
  if (!in_namespace.ok()) return in_namespace.status();
  if (!is_object.ok()) return is_object.status();
  return found;
}

}  // namespace keles::matching
