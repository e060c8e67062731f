// Environment variables of containers, and what they may be taken from. See pod_validation.h.
#include <algorithm>

#include "base/ascii.h"
#include "machinery/quantity.h"
#include "server/registry/checks.h"
#include "server/registry/pod_validation.h"

namespace keles::registry {
namespace {

// Any printable ASCII but '='.
void check_env_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  if (name.empty()) {
    field::invalid(e, p, name, "environment variable name must be non-empty");
    return;
  }
  const bool good = std::all_of(name.begin(), name.end(),
                                [](char c) { return c >= ' ' && c <= '~' && c != '='; });
  if (!good) {
    field::invalid(e, p, name,
                   "a valid environment variable name must consist only of printable ASCII "
                   "characters other than '='");
  }
}

void check_key_selector(FieldErrors& e, const FieldPath& p, const Value& ref) {
  const std::string_view name = ref["name"].as_string(), key = ref["key"].as_string();
  field::invalid_each(e, p["name"], name, check_dns1123_subdomain(name));
  check_name(e, p["key"], key, check_config_map_key);
}

void check_file_key(FieldErrors& e, const FieldPath& p, const core::FileKeySelector& ref) {
  if (ref.key().empty()) {
    field::required(e, p["key"]);
  } else {
    check_env_name(e, p["key"], ref.key());
  }
  check_name(e, p["volumeName"], ref.volume_name(), check_dns1123_label);
  if (ref.path().empty()) {
    field::required(e, p["path"]);
  } else {
    no_backsteps(e, p["path"], ref.path());
  }
}

void check_value_from(FieldErrors& e, const FieldPath& p, const core::EnvVar& var) {
  if (!var.has_value_from()) return;
  const core::EnvVarSource from = var.value_from();
  int sources = 0;
  if (from.has_field_ref()) {
    ++sources;
    validate_field_selector(e, p["fieldRef"], from.field_ref(),
                            {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
                             "spec.serviceAccountName", "status.hostIP", "status.hostIPs",
                             "status.podIP", "status.podIPs"});
  }
  if (from.has_resource_field_ref()) {
    ++sources;
    validate_resource_selector(e, p["resourceFieldRef"], from.resource_field_ref(), false);
  }
  for (std::string_view ref : {"configMapKeyRef", "secretKeyRef"}) {
    const Value& v = from.value()[ref];
    if (v.is_null()) continue;
    ++sources;
    check_key_selector(e, p[ref], v);
  }
  if (from.has_file_key_ref()) {
    ++sources;
    check_file_key(e, p["fileKeyRef"], from.file_key_ref());
  }
  if (sources == 0) {
    field::invalid(e, p, "",
                   "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                   "`secretKeyRef` or `fileKeyRef`");
  } else if (!var.value().empty()) {
    field::invalid(e, p, "", "may not be specified when `value` is not empty");
  } else if (sources > 1) {
    field::invalid(e, p, "", "may not have more than one field specified at a time");
  }
}

// "metadata.labels['x']" is metadata.labels and x.
struct Subscript {
  std::string_view path, key;
  bool found = false;
};
Subscript subscript_of(std::string_view path) {
  const size_t open = path.find("['");
  if (!path.ends_with("']") || open == 0 || open == path.npos || open + 4 > path.size()) {
    return {path, {}, false};
  }
  return {path.substr(0, open), path.substr(open + 2, path.size() - open - 4), true};
}

bool is_known_field(std::string_view path) {
  return is_one_of(
      path, {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace",
             "metadata.uid", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName",
             "spec.schedulerName", "status.phase", "status.hostIP", "status.hostIPs",
             "status.podIP", "status.podIPs", "spec.host"});
}

// What no version of a pod has.
std::string unknown_field(std::string_view version, const Subscript& field, std::string_view path) {
  if (version != "v1") return "unsupported pod version: " + std::string(version);
  if (field.found) {
    if (is_one_of(field.path, {"metadata.annotations", "metadata.labels"})) return {};
    return "field label does not support subscript: " + std::string(path);
  }
  return is_known_field(path) ? "" : "field label not supported: " + std::string(path);
}

void check_divisor(FieldErrors& e, const FieldPath& p, const core::ResourceFieldSelector& from) {
  const std::string divisor = Quantity::parse_or_zero(from.divisor()).to_string();
  const std::string_view name = from.resource();
  if (divisor == "0") return;
  const bool of_memory = is_one_of(
      divisor, {"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"});
  constexpr std::string_view kSizes =
      "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported "
      "with the ";
  const std::string_view what = name.substr(name.find('.') == name.npos ? 0 : name.find('.') + 1);
  if (!name.starts_with("limits.") && !name.starts_with("requests.")) return;
  if (what == "cpu") {
    if (divisor == "1" || divisor == "1m") return;
    field::invalid(e, p["divisor"], name,
                   "only divisor's values 1m and 1 are supported with the cpu resource");
  } else if (of_memory) {
    return;
  } else if (what == "memory") {
    field::invalid(e, p["divisor"], name, std::string(kSizes) + "memory resource");
  } else if (what == "ephemeral-storage") {
    field::invalid(e, p["divisor"], name, std::string(kSizes) + "local ephemeral storage resource");
  } else if (what.starts_with("hugepages-")) {
    field::invalid(e, p["divisor"], name, std::string(kSizes) + "hugepages resource");
  }
}

}  // namespace

void validate_env(FieldErrors& e, const FieldPath& p, const List<core::EnvVar>& vars) {
  size_t i = 0;
  for (core::EnvVar var : vars) {
    const FieldPath at = p[i++];
    if (var.name().empty()) {
      field::required(e, at["name"]);
    } else {
      check_env_name(e, at["name"], var.name());
    }
    check_value_from(e, at["valueFrom"], var);
  }
}

void validate_env_from(FieldErrors& e, const FieldPath& p, const List<core::EnvFromSource>& vars) {
  size_t i = 0;
  for (core::EnvFromSource from : vars) {
    const FieldPath at = p[i++];
    if (!from.prefix().empty()) check_env_name(e, at["prefix"], from.prefix());
    int sources = 0;
    for (std::string_view ref : {"configMapRef", "secretRef"}) {
      const Value& v = from.value()[ref];
      if (v.is_null()) continue;
      ++sources;
      const std::string_view name = v["name"].as_string();
      if (name.empty()) {
        field::required(e, at[ref]["name"]);
      } else {
        field::invalid_each(e, at[ref]["name"], name, name_is_dns_subdomain(name, true));
      }
    }
    if (sources == 0) {
      field::invalid(e, p, "", "must specify one of: `configMapRef` or `secretRef`");
    } else if (sources > 1) {
      field::invalid(e, p, "", "may not have more than one field specified at a time");
    }
  }
}

void validate_field_selector(FieldErrors& e, const FieldPath& p,
                             const core::ObjectFieldSelector& from,
                             std::initializer_list<std::string_view> known) {
  const std::string_view path = from.field_path();
  if (from.api_version().empty()) return field::required(e, p["apiVersion"]);
  if (path.empty()) return field::required(e, p["fieldPath"]);
  const Subscript subscript = subscript_of(path);
  if (std::string why = unknown_field(from.api_version(), subscript, path); !why.empty()) {
    return field::invalid(e, p["fieldPath"], path, "error converting fieldPath: " + why);
  }
  if (subscript.found) {
    const std::string key = subscript.path == "metadata.annotations" ? ascii_lower(subscript.key)
                                                                     : std::string(subscript.key);
    field::invalid_each(e, p, key, check_qualified_name(key));
    return;
  }
  const std::string_view named = path == "spec.host" ? "spec.nodeName" : path;
  if (!is_one_of(named, known)) field::not_supported(e, p["fieldPath"], named, known);
}

void validate_resource_selector(FieldErrors& e, const FieldPath& p,
                                const core::ResourceFieldSelector& from, bool volume) {
  static const Words kKnown = {"limits.cpu",   "limits.ephemeral-storage",   "limits.memory",
                               "requests.cpu", "requests.ephemeral-storage", "requests.memory"};
  const std::string_view name = from.resource();
  if (volume && from.container_name().empty()) {
    field::required(e, p["containerName"]);
  } else if (name.empty()) {
    field::required(e, p["resource"]);
  } else if (!is_one_of(name, kKnown) && !name.starts_with("requests.hugepages-") &&
             !name.starts_with("limits.hugepages-")) {
    field::not_supported(e, p["resource"], name, kKnown);
  }
  check_divisor(e, p, from);
}

}  // namespace keles::registry
