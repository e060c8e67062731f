#include "server/registry/node_selector.h"

namespace keles::registry {
namespace {

using api::core_v1::NodeSelector;
using api::core_v1::NodeSelectorRequirement;
using api::core_v1::NodeSelectorTerm;

void validate_label(FieldErrors& e, const FieldPath& p, const NodeSelectorRequirement& r,
                    bool any_values) {
  const std::string_view op = r.operator_();
  const size_t n = r.values().size();
  if (op == "In" || op == "NotIn") {
    if (n == 0) {
      field::required(e, p["values"], "must be specified when `operator` is 'In' or 'NotIn'");
    }
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (n != 0) {
      field::forbidden(e, p["values"],
                       "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    }
  } else if (op == "Gt" || op == "Lt") {
    if (n != 1) {
      field::required(e, p["values"],
                      "must be specified single value when `operator` is 'Lt' or 'Gt'");
    }
  } else {
    field::invalid(e, p["operator"], op, "not a valid selector operator");
  }
  validate_label_key(e, p["key"], r.key());
  if (any_values) return;
  size_t i = 0;
  for (std::string_view v : r.values()) {
    field::invalid_each(e, p["values"][i++], v, check_label_value(v));
  }
}

void validate_field(FieldErrors& e, const FieldPath& p, const NodeSelectorRequirement& r) {
  const std::string_view op = r.operator_();
  if (op != "In" && op != "NotIn") {
    field::invalid(e, p["operator"], op, "not a valid selector operator");
  } else if (r.values().size() != 1) {
    field::required(e, p["values"],
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field "
                    "selector");
  }
  if (r.key() != "metadata.name") {
    field::invalid(e, p["key"], r.key(), "not a valid field selector key");
    return;
  }
  size_t i = 0;
  for (std::string_view v : r.values()) {
    field::invalid_each(e, p["values"][i++], v, check_dns1123_subdomain(v));
  }
}

}  // namespace

void validate_node_terms(FieldErrors& e, const FieldPath& p, const NodeSelector& selector,
                         bool any_values) {
  const FieldPath terms = p["nodeSelectorTerms"];
  if (selector.node_selector_terms().empty()) {
    field::required(e, terms, "must have at least one node selector term");
  }
  size_t i = 0;
  for (const NodeSelectorTerm& term : selector.node_selector_terms()) {
    validate_node_term(e, terms[i++], term, any_values);
  }
}

void validate_node_term(FieldErrors& e, const FieldPath& p, const NodeSelectorTerm& term,
                        bool any_values) {
  size_t i = 0;
  for (const NodeSelectorRequirement& r : term.match_expressions()) {
    validate_label(e, p["matchExpressions"][i++], r, any_values);
  }
  i = 0;
  for (const NodeSelectorRequirement& r : term.match_fields()) {
    validate_field(e, p["matchFields"][i++], r);
  }
}

bool has_ill_node_value(const NodeSelector& selector) {
  for (const NodeSelectorTerm& term : selector.node_selector_terms()) {
    for (const NodeSelectorRequirement& r : term.match_expressions()) {
      for (std::string_view v : r.values()) {
        if (!check_label_value(v).empty()) return true;
      }
    }
  }
  return false;
}

}  // namespace keles::registry
