// --admission-control-config-file: what plugins are told.
#include <algorithm>

#include "base/file.h"
#include "machinery/codec_yaml.h"
#include "server/admission/admission.h"

namespace keles::admission {
namespace {

constexpr std::string_view kGroup = "pod-security.admission.config.k8s.io/";

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

Status unknown(std::string_view where, std::string_view key) {
  return Status::bad_request(std::string(where) + ": unknown field \"" + std::string(key) + "\"");
}

Status check_fields(std::string_view where, const Value& map,
                    std::initializer_list<std::string_view> known) {
  for (const Member& m : map.members()) {
    if (std::find(known.begin(), known.end(), m.key()) == known.end())
      return unknown(where, m.key());
  }
  return {};
}

Status read_mode(const Value& defaults, const std::string& mode, PodSecurity* out) {
  const Value &level = defaults[mode], &version = defaults[mode + "-version"];
  if (!level.is_null()) {
    auto parsed = parse_pod_security_level(level.as_string());
    if (!parsed) {
      return Status::bad_request("defaults." + mode +
                                 ": must be one of privileged, baseline, restricted");
    }
    out->level = *parsed;
  }
  if (!version.is_null()) {
    auto parsed = parse_pod_security_version(version.as_string());
    if (!parsed) {
      return Status::bad_request("defaults." + mode + "-version: must be \"latest\" or \"v1.x\"");
    }
    out->minor = *parsed;
  }
  return {};
}

Status read_pod_security(const Value& c, PodSecurityConfig* out) {
  if (!c["apiVersion"].as_string().starts_with(kGroup) ||
      c["kind"].as_string() != "PodSecurityConfiguration") {
    return Status::bad_request("expected a PodSecurityConfiguration of " + std::string(kGroup) +
                               "v1");
  }
  TRY(check_fields("PodSecurityConfiguration", c,
                   {"apiVersion", "kind", "defaults", "exemptions"}));
  const Value &defaults = c["defaults"], &exempt = c["exemptions"];
  TRY(check_fields(
      "defaults", defaults,
      {"enforce", "enforce-version", "audit", "audit-version", "warn", "warn-version"}));
  TRY(check_fields("exemptions", exempt, {"usernames", "namespaces", "runtimeClasses"}));
  TRY(read_mode(defaults, "enforce", &out->defaults.enforce));
  TRY(read_mode(defaults, "audit", &out->defaults.audit));
  TRY(read_mode(defaults, "warn", &out->defaults.warn));
  out->exempt_users = texts(exempt["usernames"]);
  out->exempt_namespaces = texts(exempt["namespaces"]);
  out->exempt_runtime_classes = texts(exempt["runtimeClasses"]);
  return {};
}

}  // namespace

Status read_config(std::string_view yaml, const std::string& directory, Config* config) {
  TRY_ASSIGN(doc, parse_yaml(yaml));
  if (doc.root["kind"].as_string() != "AdmissionConfiguration") {
    return Status::bad_request("expected an AdmissionConfiguration of apiserver.config.k8s.io/v1");
  }
  for (const Value& plugin : doc.root["plugins"].items()) {
    const std::string name(plugin["name"].as_string());
    if (name != "PodSecurity") {
      return Status::bad_request("plugin \"" + name + "\" takes no configuration here");
    }
    if (!plugin["configuration"].is_null()) {
      TRY(read_pod_security(plugin["configuration"], &config->pod_security));
      continue;
    }
    std::string path(plugin["path"].as_string());
    if (path.empty()) continue;
    if (path[0] != '/') path = directory + "/" + path;
    TRY_ASSIGN(text, read_file(path));
    TRY_ASSIGN(own, parse_yaml(text));
    TRY(read_pod_security(own.root, &config->pod_security));
  }
  return {};
}

}  // namespace keles::admission
