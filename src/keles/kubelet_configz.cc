#include "keles/kubelet_configz.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string_view>
#include <vector>

#include "base/text_parts.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/config_file.h"
#include "machinery/time.h"
#include "machinery/value.h"

namespace keles {
namespace {

enum class As : uint8_t {
  kText,
  kTexts,
  kPairs,
  kNumber,
  kSwitch,
  kDuration,
  kTaints,
  kMemory,
  kPriorities
};

struct Entry {
  std::string_view flag, field;  // "authentication.webhook.enabled"
  As as = As::kText;
};

// Flags that say what a field of the file says, too.
constexpr Entry kEntries[] = {
    {"address", "address"},
    {"port", "port", As::kNumber},
    {"read-only-port", "readOnlyPort", As::kNumber},
    {"healthz-port", "healthzPort", As::kNumber},
    {"healthz-bind-address", "healthzBindAddress"},
    {"tls-cert-file", "tlsCertFile"},
    {"tls-private-key-file", "tlsPrivateKeyFile"},
    {"rotate-certificates", "rotateCertificates", As::kSwitch},
    {"rotate-server-certificates", "serverTLSBootstrap", As::kSwitch},
    {"client-ca-file", "authentication.x509.clientCAFile"},
    {"authentication-token-webhook", "authentication.webhook.enabled", As::kSwitch},
    {"authentication-token-webhook-cache-ttl", "authentication.webhook.cacheTTL", As::kDuration},
    {"anonymous-auth", "authentication.anonymous.enabled", As::kSwitch},
    {"authorization-mode", "authorization.mode"},
    {"authorization-webhook-cache-authorized-ttl", "authorization.webhook.cacheAuthorizedTTL",
     As::kDuration},
    {"authorization-webhook-cache-unauthorized-ttl", "authorization.webhook.cacheUnauthorizedTTL",
     As::kDuration},
    {"cluster-domain", "clusterDomain"},
    {"cluster-dns", "clusterDNS", As::kTexts},
    {"cgroup-root", "cgroupRoot"},
    {"max-pods", "maxPods", As::kNumber},
    {"resolv-conf", "resolvConf"},
    {"allowed-unsafe-sysctls", "allowedUnsafeSysctls", As::kTexts},
    {"pod-logs-dir", "podLogsDir"},
    {"container-runtime-endpoint", "containerRuntimeEndpoint"},
    {"enable-debugging-handlers", "enableDebuggingHandlers", As::kSwitch},
    {"enable-system-log-handler", "enableSystemLogHandler", As::kSwitch},
    {"enable-system-log-query", "enableSystemLogQuery", As::kSwitch},
    {"register-with-taints", "registerWithTaints", As::kTaints},
    {"eviction-hard", "evictionHard", As::kPairs},
    {"eviction-soft", "evictionSoft", As::kPairs},
    {"eviction-soft-grace-period", "evictionSoftGracePeriod", As::kPairs},
    {"eviction-minimum-reclaim", "evictionMinimumReclaim", As::kPairs},
    {"merge-default-eviction-settings", "mergeDefaultEvictionSettings", As::kSwitch},
    {"eviction-pressure-transition-period", "evictionPressureTransitionPeriod", As::kDuration},
    {"eviction-max-pod-grace-period", "evictionMaxPodGracePeriod", As::kNumber},
    {"local-storage-capacity-isolation", "localStorageCapacityIsolation", As::kSwitch},
    {"container-log-max-size", "containerLogMaxSize"},
    {"container-log-max-files", "containerLogMaxFiles", As::kNumber},
    {"container-log-monitor-interval", "containerLogMonitorInterval", As::kDuration},
    {"image-gc-high-threshold", "imageGCHighThresholdPercent", As::kNumber},
    {"image-gc-low-threshold", "imageGCLowThresholdPercent", As::kNumber},
    {"minimum-image-ttl-duration", "imageMinimumGCAge", As::kDuration},
    {"maximum-image-ttl-duration", "imageMaximumGCAge", As::kDuration},
    {"serialize-image-pulls", "serializeImagePulls", As::kSwitch},
    {"max-parallel-image-pulls", "maxParallelImagePulls", As::kNumber},
    {"image-pull-credentials-verification-policy", "imagePullCredentialsVerificationPolicy"},
    {"preloaded-images-verification-allowlist", "preloadedImagesVerificationAllowlist", As::kTexts},
    {"pod-manifest-path", "staticPodPath"},
    {"file-check-frequency", "fileCheckFrequency", As::kDuration},
    {"manifest-url", "staticPodURL"},
    {"http-check-frequency", "httpCheckFrequency", As::kDuration},
    {"kube-reserved", "kubeReserved", As::kPairs},
    {"system-reserved", "systemReserved", As::kPairs},
    {"pod-max-pids", "podPidsLimit", As::kNumber},
    {"cpu-manager-policy", "cpuManagerPolicy"},
    {"cpu-manager-policy-options", "cpuManagerPolicyOptions", As::kPairs},
    {"cpu-manager-reconcile-period", "cpuManagerReconcilePeriod", As::kDuration},
    {"reserved-cpus", "reservedSystemCPUs"},
    {"memory-manager-policy", "memoryManagerPolicy"},
    {"reserved-memory", "reservedMemory", As::kMemory},
    {"topology-manager-policy", "topologyManagerPolicy"},
    {"topology-manager-scope", "topologyManagerScope"},
    {"topology-manager-policy-options", "topologyManagerPolicyOptions", As::kPairs},
    {"shutdown-grace-period", "shutdownGracePeriod", As::kDuration},
    {"shutdown-grace-period-critical-pods", "shutdownGracePeriodCriticalPods", As::kDuration},
    {"shutdown-grace-period-by-pod-priority", "shutdownGracePeriodByPodPriority", As::kPriorities},
    {"memory-swap-behavior", "memorySwap.swapBehavior"},
    {"user-namespace-ids-per-pod", "userNamespaces.idsPerPod", As::kNumber},
};

// Of "a,b", in brackets or without.
std::vector<std::string_view> parts(std::string_view text) {
  if (text.starts_with('[')) text = text.substr(1, text.size() - 2);
  const Split all = split_list(text);
  return {all.begin(), all.end()};
}

Value read(Arena& a, As as, std::string_view text) {
  switch (as) {
    case As::kSwitch:
      return Value(text == "true");
    case As::kNumber: {
      int64_t n = 0;
      std::from_chars(text.data(), text.data() + text.size(), n);
      return Value(n);
    }
    case As::kDuration: {
      const auto d = parse_duration(text);
      return Value::string(a.copy(d.ok() ? format_duration(*d) : std::string(text)));
    }
    case As::kTexts: {  // "[a,b]"
      Value out = Value::list();
      for (std::string_view one : parts(text)) out.append(a, Value::string(a.copy(one)));
      return out;
    }
    case As::kPairs: {  // "a<1,b=2"
      Value out = Value::map();
      for (std::string_view one : parts(text)) {
        const size_t at = std::min(one.find_first_of("<="), one.size());
        const std::string_view value = one.substr(std::min(at + 1, one.size()));
        out.set(a, a.copy(one.substr(0, at)), Value::string(a.copy(value)));
      }
      return out;
    }
    case As::kPriorities: {  // "0:60,100000:10"
      Value out = Value::list();
      for (std::string_view one : parts(text)) {
        const size_t colon = std::min(one.find(':'), one.size());
        Value period = Value::map();
        period.set(a, "priority", read(a, As::kNumber, one.substr(0, colon)));
        period.set(a, "shutdownGracePeriodSeconds",
                   read(a, As::kNumber, one.substr(std::min(colon + 1, one.size()))));
        out.append(a, period);
      }
      return out;
    }
    case As::kTaints: {  // "[key=value:Effect]"
      Value out = Value::list();
      for (std::string_view one : parts(text)) {
        const std::string_view head = one.substr(0, one.rfind(':'));
        Value taint = Value::map();
        taint.set(a, "key", Value::string(a.copy(head.substr(0, head.find('=')))));
        if (const size_t eq = head.find('='); eq != head.npos && eq + 1 < head.size()) {
          taint.set(a, "value", Value::string(a.copy(head.substr(eq + 1))));
        }
        taint.set(a, "effect", Value::string(a.copy(one.substr(one.rfind(':') + 1))));
        out.append(a, taint);
      }
      return out;
    }
    case As::kMemory: {  // "[0:memory=1Gi,hugepages-2Mi=4Mi,1:memory=2Gi]"
      Value out = Value::list();
      for (std::string_view one : parts(text)) {
        if (const size_t colon = one.find(':'); colon != one.npos) {
          Value node = Value::map();
          int64_t n = 0;
          std::from_chars(one.data(), one.data() + colon, n);
          node.set(a, "numaNode", Value(n));
          node.set(a, "limits", Value::map());
          out.append(a, node);
          one.remove_prefix(colon + 1);
        }
        if (out.items().empty()) continue;
        const size_t eq = std::min(one.find('='), one.size());
        const std::string_view value = one.substr(std::min(eq + 1, one.size()));
        Value* limits = out.items().back().find("limits");
        limits->set(a, a.copy(one.substr(0, eq)), Value::string(a.copy(value)));
      }
      return out;
    }
    case As::kText:
      break;
  }
  return Value::string(a.copy(text));
}

void put(Document* doc, std::string_view field, Value v) {
  Value* in = &doc->root;
  for (size_t dot = field.find('.'); dot != field.npos; dot = field.find('.')) {
    const std::string_view name = field.substr(0, dot);
    field.remove_prefix(dot + 1);
    Value* next = in->find(name);
    in = next && next->is_map() ? next : &in->set(doc->arena, name, Value::map());
  }
  in->set(doc->arena, field, v);
}

// What is sent to whoever gives static pods may be a secret: upstream shows the names alone.
void mask_headers(Document& doc) {
  Value* headers = doc.root.find("staticPodURLHeader");
  if (!headers) return;
  for (Member& m : headers->members()) {
    Value masked = Value::list();
    masked.append(doc.arena, Value::string("<masked>"));
    m.value = masked;
  }
}

}  // namespace

bool configz_knows(std::string_view flag) {
  return std::any_of(std::begin(kEntries), std::end(kEntries),
                     [flag](const Entry& e) { return e.flag == flag; });
}

Result<std::string> kubelet_configz(const std::string& file, const Flags& given,
                                    const std::map<std::string, std::string>& values) {
  const ConfigKind kind{"kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"};
  Document doc;
  if (file.empty()) {
    TRY_ASSIGN(text, default_config(kind));
    TRY_ASSIGN(defaults, parse_yaml(text));
    doc = std::move(defaults);
  } else {
    TRY_ASSIGN(read, ConfigFile::read(file, kind));
    doc.root = deep_copy(doc.arena, read.root());
  }
  mask_headers(doc);
  for (const Entry& e : kEntries) {
    if (!given.given(e.flag)) continue;
    const auto at = values.find(std::string(e.flag));
    if (at != values.end()) put(&doc, e.field, read(doc.arena, e.as, at->second));
  }
  return to_json(doc.root);
}

}  // namespace keles
