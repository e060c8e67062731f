// Taint eviction controller: deletes the pods that do not tolerate a NoExecute taint of their node,
// at once or after tolerationSeconds (upstream: pkg/controller/tainteviction).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// How long the pod may stay on a node with these taints: nothing is for ever, 0 is not at all.
std::optional<Duration> plan_stay(const api::core_v1::Pod& pod, const api::core_v1::Node& node);

class TaintEvictionController final : public Controller {
 public:
  explicit TaintEvictionController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Node = api::core_v1::Node;
  using Pod = api::core_v1::Pod;
  Informer<Node> nodes_;
  Informer<Pod> pods_;
  // Since when a pod's stay is limited (by uid): a taint says when it was added only in wall time.
  std::map<std::string, TimePoint> since_;
};

}  // namespace keles::controllers
