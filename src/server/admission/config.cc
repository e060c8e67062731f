// --admission-control-config-file: what plugins are told.
#include <algorithm>

#include "base/file.h"
#include "machinery/codec_yaml.h"
#include "server/admission/admission.h"
#include "server/admission/event_rate_limit.h"

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

// podNodeSelectorPluginConfig: one selector for the cluster, one for each namespace.
Status read_node_selectors(const Value& c, Config* out) {
  constexpr std::string_view kKey = "podNodeSelectorPluginConfig";
  for (const Member& m : c.members()) {
    if (m.key() != kKey) return unknown("PodNodeSelector", m.key());
  }
  const Value& selectors = c[kKey];
  if (!selectors.is_null() && !selectors.is_map()) {
    return Status::bad_request(std::string(kKey) + ": expected an object");
  }
  NodeSelectors& into = out->plugins.node_selectors;
  for (const Member& m : selectors.members()) {
    if (!m.value.is_string()) {
      return Status::bad_request(std::string(kKey) + "." + std::string(m.key()) +
                                 ": expected a string");
    }
    const std::string text(m.value.as_string());
    if (m.key() == "clusterDefaultNodeSelector") {
      into.cluster_default = text;
    } else {
      into.by_namespace[std::string(m.key())] = text;
    }
  }
  return {};
}

Status check_kind(const Value& c, std::string_view group, std::string_view kind) {
  auto version = c["apiVersion"].as_string();
  if (version.starts_with(std::string(group) + "/") && c["kind"].as_string() == kind) return {};
  return Status::bad_request("expected a " + std::string(kind) + " of " + std::string(group));
}

Result<DocumentPtr> read_tolerations(const std::string& where, const Value& list) {
  if (list.is_null()) return DocumentPtr();
  if (!list.is_list()) return Status::bad_request(where + ": expected a list");
  auto copy = std::make_shared<Document>();
  copy->root = Value::list();
  size_t i = 0;
  for (const Value& t : list.items()) {
    const std::string at = where + "[" + std::to_string(i++) + "]";
    if (!t.is_map()) return Status::bad_request(at + ": expected an object");
    TRY(check_fields(at, t, {"key", "operator", "value", "effect", "tolerationSeconds"}));
    copy->root.append(copy->arena, deep_copy(copy->arena, t));
  }
  return DocumentPtr(std::move(copy));
}

Status read_toleration_lists(const Value& c, Config* out) {
  TRY(check_kind(c, "podtolerationrestriction.admission.k8s.io", "Configuration"));
  TRY(check_fields("Configuration", c, {"apiVersion", "kind", "default", "whitelist"}));
  TRY_ASSIGN(defaults, read_tolerations("default", c["default"]));
  TRY_ASSIGN(whitelist, read_tolerations("whitelist", c["whitelist"]));
  out->plugins.tolerations = TolerationLists{defaults, whitelist};
  return {};
}

Result<EventLimit> read_event_limit(const std::string& at, const Value& v) {
  if (!v.is_map()) return Status::bad_request(at + ": expected an object");
  TRY(check_fields(at, v, {"type", "qps", "burst", "cacheSize"}));
  EventLimit out;
  bool known = false;
  for (int i = 0; i < 4 && !known; ++i) {
    out.type = static_cast<EventLimit::Type>(i);
    known = limit_type_name(out.type) == v["type"].as_string();
  }
  if (!known) {
    return Status::bad_request(at + ".type: Unsupported value: \"" +
                               std::string(v["type"].as_string()) +
                               "\": supported values: \"Namespace\", \"Server\", "
                               "\"SourceAndObject\", \"User\"");
  }
  auto positive = [&](std::string_view name, const Value& n) -> Result<int64_t> {
    if (n.as_int() > 0) return n.as_int();
    return Status::bad_request(at + "." + std::string(name) + ": Invalid value: " +
                               std::to_string(n.as_int()) + ": must be positive");
  };
  TRY_ASSIGN(burst, positive("burst", v["burst"]));
  TRY_ASSIGN(qps, positive("qps", v["qps"]));
  out.burst = burst;
  out.qps = qps;
  if (v["cacheSize"].as_int() < 0) {
    return Status::bad_request(at + ".cacheSize: Invalid value: " +
                               std::to_string(v["cacheSize"].as_int()) + ": must not be negative");
  }
  if (v["cacheSize"].as_int() > 0) out.cache_size = v["cacheSize"].as_int();
  return out;
}

Status read_event_limits(const Value& c, Config* out) {
  TRY(check_kind(c, "eventratelimit.admission.k8s.io", "Configuration"));
  TRY(check_fields("Configuration", c, {"apiVersion", "kind", "limits"}));
  std::vector<EventLimit> limits;
  size_t i = 0;
  for (const Value& v : c["limits"].items()) {
    TRY_ASSIGN(one, read_event_limit("limits[" + std::to_string(i++) + "]", v));
    limits.push_back(one);
  }
  if (limits.empty()) return Status::bad_request("limits: Invalid value: null: must not be empty");
  out->plugins.event_limiter = std::make_shared<EventLimiter>(std::move(limits));
  return {};
}

struct Reader {
  std::string_view plugin;
  Status (*read)(const Value&, Config*);
};
constexpr Reader kReaders[] = {
    {"PodSecurity",
     [](const Value& c, Config* out) { return read_pod_security(c, &out->pod_security); }},
    {"ResourceQuota",
     [](const Value& c, Config* out) {
       TRY_ASSIGN(limits, quota::read_limits(c));
       out->plugins.quota = std::move(limits);
       return Status();
     }},
    {"PodNodeSelector", read_node_selectors},
    {"PodTolerationRestriction", read_toleration_lists},
    {"EventRateLimit", read_event_limits},
};

}  // namespace

Status read_config(std::string_view yaml, const std::string& directory, Config* config) {
  TRY_ASSIGN(doc, parse_yaml(yaml));
  if (doc.root["kind"].as_string() != "AdmissionConfiguration") {
    return Status::bad_request("expected an AdmissionConfiguration of apiserver.config.k8s.io/v1");
  }
  for (const Value& plugin : doc.root["plugins"].items()) {
    const std::string name(plugin["name"].as_string());
    TRY(check_fields("plugins", plugin, {"name", "path", "configuration"}));
    const auto* reader = std::find_if(std::begin(kReaders), std::end(kReaders),
                                      [&](const Reader& r) { return r.plugin == name; });
    if (reader == std::end(kReaders)) {
      return Status::bad_request("plugin \"" + name + "\" takes no configuration here");
    }
    Status s;
    if (!plugin["configuration"].is_null()) {
      s = reader->read(plugin["configuration"], config);
    } else if (std::string path(plugin["path"].as_string()); !path.empty()) {
      if (path[0] != '/') path = directory + "/" + path;
      TRY_ASSIGN(text, read_file(path));
      TRY_ASSIGN(own, parse_yaml(text));
      s = reader->read(own.root, config);
    }
    if (!s.ok()) return s.with_prefix("plugin \"" + name + "\"");
  }
  return {};
}

Status check_config(const Config& config) {
  if (config.on.contains("EventRateLimit") && !config.plugins.event_limiter) {
    return Status::bad_request(
        "couldn't init admission plugin \"EventRateLimit\": limits: Invalid value: null: must not "
        "be empty");
  }
  return {};
}

}  // namespace keles::admission
