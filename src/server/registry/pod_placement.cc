// Where pods may run: affinity, tolerations, topology spread. See
// pod_validation.h.
#include <algorithm>
#include <set>

#include "server/registry/checks.h"
#include "server/registry/node_selector.h"
#include "server/registry/pod_validation.h"

namespace keles::registry {
namespace {

constexpr std::string_view kRequired = "requiredDuringSchedulingIgnoredDuringExecution",
                           kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";

// --- nodes --------------------------------------------------------------------------------------

void check_weight(FieldErrors& e, const FieldPath& p, int64_t weight) {
  if (weight >= 1 && weight <= 100) return;
  field::invalid(e, p, weight, "must be in the range 1-100");
}

void check_node_affinity(FieldErrors& e, const FieldPath& p, const Value& affinity,
                         const PodOptions& options) {
  if (const Value& required = affinity[kRequired]; !required.is_null()) {
    validate_node_terms(e, p[kRequired], core::NodeSelector(required),
                        options.invalid_node_affinity_values);
  }
  size_t i = 0;
  for (const Value& t : affinity[kPreferred].items()) {
    const FieldPath at = p[kPreferred][i++];
    check_weight(e, at["weight"], t["weight"].as_int());
    validate_node_term(e, at["preference"], core::NodeSelectorTerm(t["preference"]), true);
  }
}

// --- pods ---------------------------------------------------------------------------------------

void check_label_keys(FieldErrors& e, const FieldPath& p, const List<std::string_view>& keys,
                      bool has_selector) {
  if (keys.empty()) return;
  if (!has_selector) {
    field::forbidden(e, p, "must not be specified when labelSelector is not set");
    return;
  }
  size_t i = 0;
  for (std::string_view key : keys) validate_label_key(e, p[i++], key);
}

// The index of `key` among the keys, the last of its kind; none: npos.
size_t index_of(const List<std::string_view>& keys, std::string_view key) {
  size_t found = std::string_view::npos;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] == key) found = i;
  }
  return found;
}

// Label keys whose values come from the pod. The selector has those of `match` as expressions
// already: one that it has twice was there before.
void check_match_keys(FieldErrors& e, const FieldPath& p, const List<std::string_view>& match,
                      const List<std::string_view>& mismatch, const Value& selector) {
  check_label_keys(e, p["matchLabelKeys"], match, !selector.is_null());
  check_label_keys(e, p["mismatchLabelKeys"], mismatch, !selector.is_null());
  std::set<std::string_view> seen;
  for (const Member& m : selector["matchLabels"].members()) seen.insert(m.key());
  for (const Value& r : selector["matchExpressions"].items()) {
    const std::string_view key = r["key"].as_string();
    const size_t at = index_of(match, key);
    if (!seen.insert(key).second && at != std::string_view::npos) {
      field::invalid(e, p[at], key, "exists in both matchLabelKeys and labelSelector");
    }
  }
  size_t i = 0;
  for (std::string_view key : match) {
    const FieldPath at = p["matchLabelKeys"][i++];
    if (index_of(mismatch, key) == std::string_view::npos) continue;
    field::invalid(e, at, key, "exists in both matchLabelKeys and mismatchLabelKeys");
  }
}

// An absent selector is in order.
void check_selector(FieldErrors& e, const FieldPath& p, const Value& selector) {
  if (!selector.is_null()) validate_label_selector(e, p, selector);
}

void check_term_selectors(FieldErrors& e, const FieldPath& p, const Value& term) {
  check_selector(e, p["labelSelector"], term["labelSelector"]);
  check_selector(e, p["namespaceSelector"], term["namespaceSelector"]);
}

void check_pod_term(FieldErrors& e, const FieldPath& p, const core::PodAffinityTerm& term,
                    const PodOptions& options) {
  if (!options.invalid_affinity_selectors) check_term_selectors(e, p, term.value());
  for (std::string_view ns : term.namespaces()) {
    field::invalid_each(e, p["namespace"], ns, check_dns1123_label(ns));
  }
  check_match_keys(e, p, term.match_label_keys(), term.mismatch_label_keys(),
                   term.label_selector().value());
  if (term.topology_key().empty()) field::required(e, p["topologyKey"], "can not be empty");
  validate_label_key(e, p["topologyKey"], term.topology_key());
}

void check_pod_affinity(FieldErrors& e, const FieldPath& p, const Value& affinity,
                        const PodOptions& options) {
  size_t i = 0;
  for (const Value& t : affinity[kRequired].items()) {
    check_pod_term(e, p[kRequired][i++], core::PodAffinityTerm(t), options);
  }
  i = 0;
  for (const Value& t : affinity[kPreferred].items()) {
    const FieldPath at = p[kPreferred][i++];
    check_weight(e, at["weight"], t["weight"].as_int());
    check_pod_term(e, at["podAffinityTerm"], core::PodAffinityTerm(t["podAffinityTerm"]), options);
  }
}

// --- what an older object has -------------------------------------------------------------------

bool any_error(void (*check)(FieldErrors&, const FieldPath&, const Value&), const Value& v) {
  FieldErrors found;
  check(found, FieldPath(""), v);
  return !found.empty();
}

bool has_bad_selectors(const Value& affinity) {
  for (std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    for (const Value& t : affinity[kind][kRequired].items()) {
      if (any_error(check_term_selectors, t)) return true;
    }
    for (const Value& t : affinity[kind][kPreferred].items()) {
      if (any_error(check_term_selectors, t["podAffinityTerm"])) return true;
    }
  }
  return false;
}

bool has_bad_values(const Value& selector) {
  for (const Value& term : selector["nodeSelectorTerms"].items()) {
    for (const Value& r : term["matchExpressions"].items()) {
      for (const Value& v : r["values"].items()) {
        if (!check_label_value(v.as_string()).empty()) return true;
      }
    }
  }
  return false;
}

std::string joined_messages(const Messages& all) {
  std::string out;
  for (const std::string& m : all) out += (out.empty() ? "" : ";") + m;
  return out;
}

// --- spread -------------------------------------------------------------------------------------

void check_constraint(FieldErrors& e, const FieldPath& p, const core::TopologySpreadConstraint& c,
                      const PodOptions& options) {
  const std::string_view action = c.when_unsatisfiable();
  if (c.has_min_domains()) {
    if (c.min_domains() <= 0) {
      field::invalid(e, p["minDomains"], c.min_domains(), "must be greater than zero");
    }
    if (action != "DoNotSchedule") {
      field::invalid(
          e, p["minDomains"], c.min_domains(),
          "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " + std::string(action));
    }
  }
  for (std::string_view policy : {"nodeAffinityPolicy", "nodeTaintsPolicy"}) {
    const Value& v = c.value()[policy];
    if (!v.is_null()) check_known(e, p[policy], v.as_string(), {"Honor", "Ignore"});
  }
  const Value& selector = c.label_selector().value();
  if (options.invalid_spread_label_keys) {
    size_t i = 0;
    for (std::string_view key : c.match_label_keys()) {
      validate_label_key(e, p["matchLabelKeys"][i++], key);
    }
  } else {
    check_match_keys(e, p, c.match_label_keys(), {}, selector);
  }
  if (!options.invalid_spread_selectors) check_selector(e, p["labelSelector"], selector);
}

}  // namespace

void validate_affinity(FieldErrors& e, const FieldPath& p, const core::Affinity& affinity,
                       const PodOptions& options) {
  const Value& v = affinity.value();
  check_node_affinity(e, p["nodeAffinity"], v["nodeAffinity"], options);
  for (std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    check_pod_affinity(e, p[kind], v[kind], options);
  }
}

void validate_tolerations(FieldErrors& e, const FieldPath& p,
                          const List<core::Toleration>& tolerations) {
  size_t i = 0;
  for (core::Toleration t : tolerations) {
    const FieldPath at = p[i++];
    // A toleration has a field "value", which is what this reads.
    const std::string_view key = t.key(), op = t.operator_(), value = t.value(),
                           effect = t.effect();
    if (!key.empty()) validate_label_key(e, at["key"], key);
    if (key.empty() && op != "Exists") {
      field::invalid(e, at["operator"], op,
                     "operator must be Exists when `key` is empty, which means \"match all values "
                     "and all keys\"");
    }
    if (t.has_toleration_seconds() && effect != "NoExecute") {
      field::invalid(e, at["effect"], effect,
                     "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    if (op.empty() || op == "Equal") {
      if (auto bad = check_label_value(value); !bad.empty()) {
        field::invalid(e, at["operator"], value, joined_messages(bad));
      }
    } else if (op == "Exists") {
      if (!value.empty()) {
        field::invalid(e, at["operator"], value, "value must be empty when `operator` is 'Exists'");
      }
    } else if (op == "Lt" || op == "Gt") {  // behind a gate that is closed
      field::not_supported(e, at["operator"], op, {"Equal", "Exists", "Lt", "Gt"});
    } else {
      field::not_supported(e, at["operator"], op, {"Equal", "Exists"});
    }
    if (!effect.empty()) {
      check_known(e, at["effect"], effect, {"NoSchedule", "PreferNoSchedule", "NoExecute"});
    }
  }
}

void validate_spread(FieldErrors& e, const FieldPath& p,
                     const List<core::TopologySpreadConstraint>& list, const PodOptions& options) {
  for (size_t i = 0; i < list.size(); ++i) {
    const core::TopologySpreadConstraint c = list[i];
    const FieldPath at = p[i];
    if (c.max_skew() <= 0) {
      field::invalid(e, at["maxSkew"], c.max_skew(), "must be greater than zero");
    }
    if (c.topology_key().empty()) field::required(e, at["topologyKey"], "can not be empty");
    check_known(e, at["whenUnsatisfiable"], c.when_unsatisfiable(),
                {"DoNotSchedule", "ScheduleAnyway"});
    for (size_t j = i + 1; j < list.size(); ++j) {
      if (list[j].topology_key() != c.topology_key() ||
          list[j].when_unsatisfiable() != c.when_unsatisfiable()) {
        continue;
      }
      field::duplicate(
          e, at["{topologyKey, whenUnsatisfiable}"],
          "{" + std::string(c.topology_key()) + ", " + std::string(c.when_unsatisfiable()) + "}");
      break;
    }
    check_constraint(e, at, c, options);
  }
}

void note_placement(const core::PodSpec& stored, PodOptions& options) {
  const Value& affinity = stored.affinity().value();
  options.invalid_affinity_selectors = has_bad_selectors(affinity);
  options.invalid_node_affinity_values = has_bad_values(affinity["nodeAffinity"][kRequired]);
  for (core::TopologySpreadConstraint c : stored.topology_spread_constraints()) {
    const Value& selector = c.label_selector().value();
    options.invalid_spread_selectors |= any_error(check_selector, selector);
    FieldErrors keys;
    check_match_keys(keys, FieldPath(""), c.match_label_keys(), {}, selector);
    options.invalid_spread_label_keys |= !keys.empty();
  }
}

}  // namespace keles::registry
