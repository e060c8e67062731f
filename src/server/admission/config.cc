// --admission-control-config-file: what plugins are told.
#include <algorithm>
#include <set>

#include "api/apiserverconfig_v1.h"
#include "api/eventratelimitconfig_v1alpha1.h"
#include "api/imagepolicyconfig_v1.h"
#include "api/podnodeselectorconfig_v1.h"
#include "api/podsecurityconfig_v1.h"
#include "api/podtolerationconfig_v1alpha1.h"
#include "machinery/config_file.h"
#include "machinery/time.h"
#include "machinery/validation.h"
#include "server/admission/admission.h"
#include "server/admission/config_file.h"
#include "server/admission/event_rate_limit.h"

namespace keles::admission {
namespace {

std::vector<std::string> texts(List<std::string_view> list) {
  std::vector<std::string> out;
  for (std::string_view s : list) out.emplace_back(s);
  return out;
}

// --- PodSecurity ---

void read_mode(FieldErrors& e, std::string_view mode, std::string_view level,
               std::string_view version, PodSecurity* out) {
  const FieldPath at("defaults");
  if (auto parsed = parse_pod_security_level(level)) {
    out->level = *parsed;
  } else {
    field::invalid(e, at[mode], level, "must be one of privileged, baseline, restricted");
  }
  if (auto parsed = parse_pod_security_version(version)) {
    out->minor = *parsed;
  } else {
    field::invalid(e, at[std::string(mode) + "-version"], version,
                   "must be \"latest\" or \"v1.x\"");
  }
}

// Names of those who are asked nothing: each once, and such as there may be.
template <class Check>
std::vector<std::string> read_exempt(FieldErrors& e, const FieldPath& at,
                                     List<std::string_view> list, const Check& check) {
  std::vector<std::string> out = texts(list);
  std::set<std::string_view> seen;
  for (size_t i = 0; i < out.size(); ++i) {
    const std::vector<std::string> wrong = check(out[i]);
    if (!wrong.empty()) {
      std::string why;
      for (const std::string& w : wrong) why += (why.empty() ? "" : ", ") + w;
      field::invalid(e, at[i], out[i], why);
    } else if (!seen.insert(out[i]).second) {
      field::duplicate(e, at[i], out[i]);
    }
  }
  return out;
}

Status read_pod_security(const ConfigFile& file, Config* config) {
  const api::podsecurityconfig_v1::PodSecurityConfiguration c(file.root());
  PodSecurityConfig& out = config->pod_security;
  const auto d = c.defaults();
  FieldErrors e;
  read_mode(e, "enforce", d.enforce(), d.enforce_version(), &out.defaults.enforce);
  read_mode(e, "warn", d.warn(), d.warn_version(), &out.defaults.warn);
  read_mode(e, "audit", d.audit(), d.audit_version(), &out.defaults.audit);
  const auto x = c.exemptions();
  const FieldPath at("exemptions");
  out.exempt_namespaces =
      read_exempt(e, at["namespaces"], x.namespaces(),
                  [](const std::string& name) { return check_dns1123_label(name); });
  out.exempt_runtime_classes =
      read_exempt(e, at["runtimeClasses"], x.runtime_classes(),
                  [](const std::string& name) { return check_dns1123_subdomain(name); });
  out.exempt_users = read_exempt(e, at["usernames"], x.usernames(), [](const std::string& name) {
    std::vector<std::string> wrong;
    if (name.empty()) wrong.emplace_back("username must not be empty");
    return wrong;
  });
  return file.check(e);
}

// --- ResourceQuota ---

Status read_quota(const ConfigFile& file, Config* config) {
  const api::apiserverconfig_v1::ResourceQuotaConfiguration c(file.root());
  FieldErrors e;
  size_t i = 0;
  for (const api::apiserverconfig_v1::LimitedResource& r : c.limited_resources()) {
    const FieldPath at = FieldPath("limitedResources")[i++];
    if (r.resource().empty()) field::required(e, at["resource"]);
  }
  TRY(file.check(e));
  TRY_ASSIGN(limits, quota::read_limits(file.root()));
  config->plugins.quota = std::move(limits);
  return {};
}

// --- PodNodeSelector: one selector for the cluster, one for each namespace ---

Status read_node_selectors(const ConfigFile& file, Config* config) {
  const api::podnodeselectorconfig_v1::PodNodeSelectorConfiguration c(file.root());
  NodeSelectors& into = config->plugins.node_selectors;
  for (const Member& m : c.pod_node_selector_plugin_config().value().members()) {
    const std::string text(m.value.as_string());
    if (m.key() == "clusterDefaultNodeSelector") {
      into.cluster_default = text;
    } else {
      into.by_namespace[std::string(m.key())] = text;
    }
  }
  return {};
}

// --- PodTolerationRestriction ---

DocumentPtr copy_of(const Value& list) {
  if (list.is_null()) return nullptr;
  auto copy = std::make_shared<Document>();
  copy->root = deep_copy(copy->arena, list);
  return copy;
}

Status read_tolerations(const ConfigFile& file, Config* config) {
  const api::podtolerationconfig_v1alpha1::Configuration c(file.root());
  config->plugins.tolerations = {copy_of(c.default_().value()), copy_of(c.whitelist().value())};
  return {};
}

// --- EventRateLimit ---

constexpr std::string_view kLimitTypes[] = {"Namespace", "Server", "SourceAndObject", "User"};

EventLimit read_event_limit(FieldErrors& e, const FieldPath& at,
                            const api::eventratelimitconfig_v1alpha1::Limit& v) {
  EventLimit out;
  bool known = false;
  for (int i = 0; i < 4 && !known; ++i) {
    out.type = static_cast<EventLimit::Type>(i);
    known = limit_type_name(out.type) == v.type();
  }
  if (!known) field::not_supported(e, at["type"], v.type(), kLimitTypes);
  const auto positive = [&](std::string_view name, int64_t n) {
    if (n <= 0) field::invalid(e, at[name], Value(n), "must be positive");
    return n;
  };
  out.burst = positive("burst", v.burst());
  out.qps = positive("qps", v.qps());
  const bool server = known && out.type == EventLimit::Type::kServer;
  if (v.cache_size() < 0 && !server) {
    field::invalid(e, at["cacheSize"], Value(int64_t{v.cache_size()}), "must not be negative");
  }
  if (v.cache_size() > 0) out.cache_size = v.cache_size();
  return out;
}

Status read_event_limits(const ConfigFile& file, Config* config) {
  const api::eventratelimitconfig_v1alpha1::Configuration c(file.root());
  FieldErrors e;
  const FieldPath list("limits");
  std::vector<EventLimit> limits;
  if (c.limits().empty()) field::invalid(e, list, Value(), "must not be empty");
  for (const api::eventratelimitconfig_v1alpha1::Limit& v : c.limits()) {
    limits.push_back(read_event_limit(e, list[limits.size()], v));
  }
  TRY(file.check(e));
  config->plugins.event_limiter = std::make_shared<EventLimiter>(std::move(limits));
  return {};
}

// --- ImagePolicyWebhook ---

struct TimeRule {
  std::string_view field;
  int64_t unit_ns;
  Duration by_default, least, most;
};

Duration read_time(FieldErrors& e, const FieldPath& at, int64_t given, const TimeRule& rule) {
  if (given == -1) return Duration();
  if (given == 0) return rule.by_default;
  const int64_t most = rule.most.count() / rule.unit_ns;
  const Duration out(std::clamp<int64_t>(given, -most - 1, most + 1) * rule.unit_ns);
  if (out < rule.least || out > rule.most) {
    field::invalid(e, at[rule.field], Value(given),
                   "valid value is between " + format_duration(rule.least) + " and " +
                       format_duration(rule.most));
  }
  return out;
}

Status read_image_policy(const ConfigFile& file, std::optional<ImagePolicyConfig>* into) {
  constexpr int64_t kSecond = 1'000'000'000, kMillisecond = 1'000'000;
  const api::imagepolicyconfig_v1::AdmissionConfig c(file.root());
  const auto told = c.image_policy();
  const FieldPath at("imagePolicy");
  FieldErrors e;
  ImagePolicyConfig out;
  out.kubeconfig = told.kube_config_file();
  if (out.kubeconfig.empty()) field::required(e, at["kubeConfigFile"]);
  out.backoff = read_time(e, at, told.retry_backoff(),
                          {"retryBackoff", kMillisecond, 500ms, Duration(1), 5min});
  out.allow_ttl = read_time(e, at, told.allow_ttl(), {"allowTTL", kSecond, 5min, 1s, 30min});
  out.deny_ttl = read_time(e, at, told.deny_ttl(), {"denyTTL", kSecond, 30s, 1s, 30min});
  out.default_allow = told.default_allow();
  TRY(file.check(e));
  *into = std::move(out);
  return {};
}

// --- webhooks: as whom the server shows itself to them ---

Status read_webhooks(const ConfigFile& file, std::string* kubeconfig) {
  const api::apiserverconfig_v1::WebhookAdmissionConfiguration c(file.root());
  FieldErrors e;
  const std::string_view path = c.kube_config_file();
  if (!path.empty() && !path.starts_with('/')) {
    field::invalid(e, FieldPath("kubeConfigFile"), path, "must be an absolute file path");
  }
  if (!c.static_manifests_dir().empty()) {
    field::forbidden(e, FieldPath("staticManifestsDir"),
                     "the feature ManifestBasedAdmissionControlConfig is off");
  }
  *kubeconfig = path;
  return file.check(e);
}

// What the file is read into.
struct Told {
  Config* config;
  WebhookKubeconfigs* webhooks;
};

struct Reader {
  std::string_view plugin;
  ConfigKind kind;
  Status (*read)(const ConfigFile&, const Told&);
};

template <Status (*read)(const ConfigFile&, Config*)>
Status into_config(const ConfigFile& file, const Told& told) {
  return read(file, told.config);
}

const std::vector<Reader>& readers() {
  constexpr std::string_view kOurs = "apiserver.config.k8s.io/v1";
  static const std::vector<Reader> all = {
      {"PodSecurity",
       {"pod-security.admission.config.k8s.io/v1",
        "PodSecurityConfiguration",
        {"pod-security.admission.config.k8s.io/v1beta1",
         "pod-security.admission.config.k8s.io/v1alpha1"}},
       into_config<read_pod_security>},
      {"ResourceQuota", {kOurs, "ResourceQuotaConfiguration"}, into_config<read_quota>},
      {"PodNodeSelector",
       {"podnodeselector.admission.config/v1", "PodNodeSelectorConfiguration", {}, true},
       into_config<read_node_selectors>},
      {"PodTolerationRestriction",
       {"podtolerationrestriction.admission.k8s.io/v1alpha1", "Configuration"},
       into_config<read_tolerations>},
      {"EventRateLimit",
       {"eventratelimit.admission.k8s.io/v1alpha1", "Configuration"},
       into_config<read_event_limits>},
      {"ImagePolicyWebhook",
       {"imagepolicy.admission.config/v1", "AdmissionConfig", {}, true},
       [](const ConfigFile& f, const Told& told) {
         return read_image_policy(f, &told.webhooks->images);
       }},
      {"MutatingAdmissionWebhook",
       {kOurs, "WebhookAdmissionConfiguration"},
       [](const ConfigFile& f, const Told& told) {
         return read_webhooks(f, &told.webhooks->mutating);
       }},
      {"ValidatingAdmissionWebhook",
       {kOurs, "WebhookAdmissionConfiguration"},
       [](const ConfigFile& f, const Told& told) {
         return read_webhooks(f, &told.webhooks->validating);
       }},
  };
  return all;
}

Status read_plugin(const ConfigFile& file, const FieldPath& at, std::string_view name,
                   std::string path, const Value& inside, const Told& told) {
  const auto reader = std::find_if(readers().begin(), readers().end(),
                                   [&](const Reader& r) { return r.plugin == name; });
  if (reader == readers().end()) {
    return file.error(at["name"].text(), "plugin " + quoted(name) + " takes no configuration");
  }
  if (!inside.is_null()) {
    TRY_ASSIGN(part, file.inside(at["configuration"].text(), inside, reader->kind));
    return reader->read(part, told);
  }
  if (path.empty()) return {};
  if (path[0] != '/') path = file.name().substr(0, file.name().rfind('/') + 1) + path;
  TRY_ASSIGN(own, ConfigFile::read(path, reader->kind));
  return reader->read(own, told);
}

}  // namespace

Status parse_config(std::string name, std::string text, Config* config,
                    WebhookKubeconfigs* webhooks) {
  const ConfigKind kind{
      "apiserver.config.k8s.io/v1", "AdmissionConfiguration", {"apiserver.k8s.io/v1alpha1"}};
  TRY_ASSIGN(file, ConfigFile::parse(std::move(name), std::move(text), kind));
  const api::apiserverconfig_v1::AdmissionConfiguration c(file.root());
  size_t i = 0;
  for (const api::apiserverconfig_v1::AdmissionPluginConfiguration& p : c.plugins()) {
    TRY(read_plugin(file, FieldPath("plugins")[i++], p.name(), std::string(p.path()),
                    p.configuration(), {config, webhooks}));
  }
  return {};
}

Status read_config(std::string_view yaml, const std::string& directory, Config* config) {
  WebhookKubeconfigs unused;
  return parse_config(directory + "/configuration", std::string(yaml), config, &unused);
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
