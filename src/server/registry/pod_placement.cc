// Volumes, affinity, tolerations and topology spread of pods. See pod_validation.h.
#include <algorithm>
#include <array>
#include <set>

#include "machinery/quantity.h"
#include "server/registry/pod_validation.h"

namespace keles::registry {
namespace {

void validate_mode(FieldErrors& e, const FieldPath& p, const Value& mode) {
  if (mode.is_null() || (mode.as_int() >= 0 && mode.as_int() <= 0777)) return;
  field::invalid(e, p, mode.as_int(),
                 "must be a number between 0 and 0777 (octal), both inclusive");
}

void validate_relative_path(FieldErrors& e, const FieldPath& p, std::string_view path) {
  if (path.empty()) {
    field::required(e, p);
  } else if (path[0] == '/') {
    field::invalid(e, p, path, "must be a relative path");
  } else if (("/" + std::string(path) + "/").find("/../") != std::string::npos) {
    field::invalid(e, p, path, "must not contain '..'");
  }
}

void validate_items(FieldErrors& e, const FieldPath& p, const Value& items) {
  size_t i = 0;
  for (const Value& item : items.items()) {
    FieldPath at = p[i++];
    if (item["key"].as_string().empty() && item.find("key")) field::required(e, at["key"]);
    if (item.find("path")) validate_relative_path(e, at["path"], item["path"].as_string());
    validate_mode(e, at["mode"], item["mode"]);
  }
}

void validate_downward(FieldErrors& e, const FieldPath& p, const Value& items) {
  size_t i = 0;
  for (const Value& item : items.items()) {
    FieldPath at = p[i++];
    if (item.find("path")) validate_relative_path(e, at["path"], item["path"].as_string());
    bool field_ref = !item["fieldRef"].is_null(), resource = !item["resourceFieldRef"].is_null();
    if (field_ref && resource) {
      field::invalid(e, at, "resource",
                     "fieldRef and resourceFieldRef can not be specified simultaneously");
    } else if (!field_ref && !resource) {
      field::required(e, at, "one of fieldRef and resourceFieldRef is required");
    }
    validate_mode(e, at["mode"], item["mode"]);
  }
}

void validate_projected(FieldErrors& e, const FieldPath& p, const Value& v) {
  validate_mode(e, p["defaultMode"], v["defaultMode"]);
  size_t i = 0;
  for (const Value& s : v["sources"].items()) {
    FieldPath at = p["sources"][i++];
    size_t n = 0;
    for (const Member& m : s.members()) {
      if (m.value.is_null()) continue;
      if (++n > 1) field::forbidden(e, at[m.key()], "may not specify more than 1 volume type");
    }
    for (std::string_view ref : {"secret", "configMap"}) {
      if (s[ref].is_null()) continue;
      if (s[ref]["name"].as_string().empty()) field::required(e, at[ref]["name"]);
      validate_items(e, at[ref]["items"], s[ref]["items"]);
    }
    validate_downward(e, at["downwardAPI"]["items"], s["downwardAPI"]["items"]);
    if (const Value& token = s["serviceAccountToken"]; !token.is_null()) {
      FieldPath t = at["serviceAccountToken"];
      int64_t seconds = token["expirationSeconds"].as_int();
      if (!token["expirationSeconds"].is_null() && seconds < 600) {
        field::invalid(e, t["expirationSeconds"], seconds,
                       "may not specify a duration less than 10 minutes");
      }
      if (token["path"].as_string().empty() && token.find("path")) field::required(e, t["path"]);
    }
    if (n == 0) field::required(e, at, "must specify a volume type");
  }
}

void validate_source(FieldErrors& e, const FieldPath& p, std::string_view type, const Value& v) {
  if (type == "hostPath") {
    std::string_view path = v["path"].as_string();
    if (path.empty()) {
      if (v.find("path")) field::required(e, p["path"]);
    } else if (("/" + std::string(path) + "/").find("/../") != std::string::npos) {
      field::invalid(e, p["path"], path, "must not contain '..'");
    }
  } else if (type == "emptyDir") {
    if (!v["sizeLimit"].is_null()) validate_quantity(e, p["sizeLimit"], v["sizeLimit"]);
  } else if (type == "secret") {
    if (v["secretName"].as_string().empty()) field::required(e, p["secretName"]);
    validate_mode(e, p["defaultMode"], v["defaultMode"]);
    validate_items(e, p["items"], v["items"]);
  } else if (type == "configMap") {
    if (v["name"].as_string().empty()) field::required(e, p["name"]);
    validate_mode(e, p["defaultMode"], v["defaultMode"]);
    validate_items(e, p["items"], v["items"]);
  } else if (type == "downwardAPI") {
    validate_mode(e, p["defaultMode"], v["defaultMode"]);
    validate_downward(e, p["items"], v["items"]);
  } else if (type == "projected") {
    validate_projected(e, p, v);
  } else if (type == "persistentVolumeClaim") {
    if (v["claimName"].as_string().empty() && v.find("claimName")) {
      field::required(e, p["claimName"]);
    }
  } else if (type == "nfs") {
    for (std::string_view f : {"server", "path"}) {
      if (v[f].as_string().empty() && v.find(f)) field::required(e, p[f]);
    }
    if (std::string_view path = v["path"].as_string(); !path.empty() && path[0] != '/') {
      field::invalid(e, p["path"], path, "must be an absolute path");
    }
  }
}

void validate_expressions(FieldErrors& e, const FieldPath& p, const Value& list) {
  size_t i = 0;
  for (const Value& r : list.items()) {
    FieldPath at = p[i++];
    std::string_view op = r["operator"].as_string();
    size_t n = r["values"].size();
    if (op == "In" || op == "NotIn") {
      if (n == 0) {
        field::required(e, at["values"], "must be specified when `operator` is 'In' or 'NotIn'");
      }
    } else if (op == "Exists" || op == "DoesNotExist") {
      if (n != 0) {
        field::forbidden(e, at["values"],
                         "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
      }
    } else if (op == "Gt" || op == "Lt") {
      if (n != 1) {
        field::required(e, at["values"],
                        "must be specified single value when `operator` is 'Lt' or 'Gt'");
      }
    }
    validate_label_key(e, at["key"], r["key"].as_string());
  }
}

void validate_selector_term(FieldErrors& e, const FieldPath& p, const Value& term) {
  validate_expressions(e, p["matchExpressions"], term["matchExpressions"]);
  size_t i = 0;
  for (const Value& r : term["matchFields"].items()) {
    FieldPath at = p["matchFields"][i++];
    if (r["key"].as_string() != "metadata.name") {
      field::invalid(e, at["key"], r["key"], "not a valid field selector key");
    }
    if (r["values"].size() != 1) {
      field::required(e, at["values"],
                      "must be only one value when `operator` is 'In' or 'NotIn' for node field "
                      "selector");
    }
  }
}

void validate_weight(FieldErrors& e, const FieldPath& p, const Value& weight) {
  if (weight.as_int() >= 1 && weight.as_int() <= 100) return;
  field::invalid(e, p, weight.as_int(), "must be in the range 1-100");
}

void validate_pod_term(FieldErrors& e, const FieldPath& p, const Value& term) {
  validate_label_selector(e, p["labelSelector"], term["labelSelector"]);
  if (term.find("namespaceSelector")) {
    validate_label_selector(e, p["namespaceSelector"], term["namespaceSelector"]);
  }
  std::string_view key = term["topologyKey"].as_string();
  if (key.empty()) {
    if (term.find("topologyKey")) field::required(e, p["topologyKey"], "can not be empty");
  } else {
    validate_label_key(e, p["topologyKey"], key);
  }
}

void validate_affinity(FieldErrors& e, const FieldPath& p, const Value& affinity) {
  constexpr std::string_view kRequired = "requiredDuringSchedulingIgnoredDuringExecution",
                             kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";
  if (const Value& node = affinity["nodeAffinity"]; !node.is_null()) {
    FieldPath at = p["nodeAffinity"];
    if (!node[kRequired].is_null()) validate_node_selector(e, at[kRequired], node[kRequired]);
    size_t i = 0;
    for (const Value& t : node[kPreferred].items()) {
      FieldPath term = at[kPreferred][i++];
      validate_weight(e, term["weight"], t["weight"]);
      validate_selector_term(e, term["preference"], t["preference"]);
    }
  }
  for (std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    const Value& pods = affinity[kind];
    size_t i = 0;
    for (const Value& t : pods[kRequired].items()) {
      validate_pod_term(e, p[kind][kRequired][i++], t);
    }
    i = 0;
    for (const Value& t : pods[kPreferred].items()) {
      FieldPath term = p[kind][kPreferred][i++];
      validate_weight(e, term["weight"], t["weight"]);
      validate_pod_term(e, term["podAffinityTerm"], t["podAffinityTerm"]);
    }
  }
}

void validate_tolerations(FieldErrors& e, const FieldPath& p, const Value& list) {
  size_t i = 0;
  for (const Value& t : list.items()) {
    FieldPath at = p[i++];
    std::string_view key = t["key"].as_string(), op = t["operator"].as_string(),
                     value = t["value"].as_string(), effect = t["effect"].as_string();
    if (!key.empty()) validate_label_key(e, at["key"], key);
    if (key.empty() && op != "Exists") {
      field::invalid(e, at["operator"], op,
                     "operator must be Exists when `key` is empty, which means \"match all values "
                     "and all keys\"");
    }
    if (!t["tolerationSeconds"].is_null() && effect != "NoExecute") {
      field::invalid(e, at["effect"], effect,
                     "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    if (op == "Exists") {
      if (!value.empty()) {
        field::invalid(e, at["operator"], t, "value must be empty when `operator` is 'Exists'");
      }
    } else if (auto bad = check_label_value(value); !bad.empty()) {
      field::invalid(e, at["operator"], value, bad[0]);
    }
  }
}

void validate_spread(FieldErrors& e, const FieldPath& p, const Value& list) {
  std::set<std::string> seen;
  size_t i = 0;
  for (const Value& c : list.items()) {
    FieldPath at = p[i++];
    if (c["maxSkew"].as_int() <= 0) {
      field::invalid(e, at["maxSkew"], c["maxSkew"].as_int(), "must be greater than zero");
    }
    std::string_view key = c["topologyKey"].as_string();
    if (key.empty()) {
      if (c.find("topologyKey")) field::required(e, at["topologyKey"], "can not be empty");
    } else {
      validate_label_key(e, at["topologyKey"], key);
    }
    std::string pair =
        "{" + std::string(key) + ", " + std::string(c["whenUnsatisfiable"].as_string()) + "}";
    if (!seen.insert(pair).second) {
      field::duplicate(e, at["{topologyKey, whenUnsatisfiable}"], pair);
    }
    validate_label_selector(e, at["labelSelector"], c["labelSelector"]);
  }
}

}  // namespace

void validate_volumes(FieldErrors& e, const FieldPath& p, const Value& volumes,
                      std::vector<std::string_view>* names) {
  size_t i = 0;
  for (const Value& v : volumes.items()) {
    FieldPath at = p[i++];
    std::string_view name = v["name"].as_string();
    if (name.empty()) {
      if (v.find("name")) field::required(e, at["name"]);
    } else if (auto bad = check_dns1123_label(name); !bad.empty()) {
      field::invalid_each(e, at["name"], name, std::move(bad));
    } else if (std::find(names->begin(), names->end(), name) != names->end()) {
      field::duplicate(e, at["name"], name);
    }
    names->push_back(name);
    size_t sources = 0;
    for (const Member& m : v.members()) {
      if (m.key() == "name" || m.value.is_null()) continue;
      if (++sources > 1) {
        field::forbidden(e, at[m.key()], "may not specify more than 1 volume type");
      } else {
        validate_source(e, at[m.key()], m.key(), m.value);
      }
    }
    if (sources == 0) field::required(e, at, "must specify a volume type");
  }
}

void validate_node_selector(FieldErrors& e, const FieldPath& p, const Value& selector) {
  if (selector["nodeSelectorTerms"].empty()) {
    field::required(e, p["nodeSelectorTerms"], "must have at least one node selector term");
    return;
  }
  size_t i = 0;
  for (const Value& t : selector["nodeSelectorTerms"].items()) {
    validate_selector_term(e, p["nodeSelectorTerms"][i++], t);
  }
}

void validate_taints(FieldErrors& e, const FieldPath& p, const Value& taints) {
  std::set<std::string> seen;
  size_t i = 0;
  for (const Value& t : taints.items()) {
    FieldPath at = p[i++];
    std::string_view key = t["key"].as_string(), value = t["value"].as_string();
    validate_label_key(e, at["key"], key);
    if (auto bad = check_label_value(value); !bad.empty()) {
      field::invalid(e, at["value"], value, bad[0]);
    }
    if (!seen.insert(std::string(t["effect"].as_string()) + "/" + std::string(key)).second) {
      field::duplicate(e, at, t);
    }
  }
}

void validate_placement(FieldErrors& e, const FieldPath& p, const Value& spec) {
  validate_affinity(e, p["affinity"], spec["affinity"]);
  validate_tolerations(e, p["tolerations"], spec["tolerations"]);
  validate_spread(e, p["topologySpreadConstraints"], spec["topologySpreadConstraints"]);
}

}  // namespace keles::registry
