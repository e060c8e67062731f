// What plugins are told beside PodSecurity: by AdmissionConfiguration, or by flags of their own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "machinery/quota/check.h"
#include "machinery/value.h"

namespace keles::admission {

// PodNodeSelector: labels that a namespace's pods are bound to, beside its annotation.
struct NodeSelectors {
  std::string cluster_default;                      // of namespaces without an annotation
  std::map<std::string, std::string> by_namespace;  // the most that its pods may ask for
};

// PodTolerationRestriction (podtolerationrestriction.admission.k8s.io/v1alpha1 Configuration):
// lists of v1 Tolerations.
struct TolerationLists {
  DocumentPtr default_, whitelist;  // null: none
};

// EventRateLimit (eventratelimit.admission.k8s.io/v1alpha1 Configuration).
struct EventLimit {
  enum class Type : uint8_t { kServer, kNamespace, kUser, kSourceAndObject };
  Type type = Type::kServer;
  int64_t qps = 0, burst = 0, cache_size = 4096;
};

class EventLimiter;

struct PluginConfig {
  quota::Limits quota;
  NodeSelectors node_selectors;
  TolerationLists tolerations;
  std::shared_ptr<EventLimiter> event_limiter;  // null: no limits
  int64_t not_ready_seconds = 300;              // --default-not-ready-toleration-seconds
  int64_t unreachable_seconds = 300;            // --default-unreachable-toleration-seconds
};

}  // namespace keles::admission
