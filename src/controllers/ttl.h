// TTL controller: tells each node by an annotation for how many seconds its kubelet may trust a
// Secret or ConfigMap that it read, the longer the more nodes there are (upstream:
// pkg/controller/ttl). Ours follow what they use by watches; kubelets that read instead obey it.
#pragma once

#include <string>

#include "api/core_v1.h"
#include "controllers/kit.h"

namespace keles::controllers {

// A step of cluster sizes. Its bounds overlap those beside it: a size that goes to and fro changes
// nothing.
struct TtlStep {
  size_t least, most;  // nodes
  int seconds;
};
// The step of a cluster of so many nodes that was at `step`.
size_t ttl_step(size_t step, size_t nodes);
const TtlStep& ttl_of(size_t step);

class TtlController final : public ControllerFor<api::core_v1::Node> {
 public:
  explicit TtlController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  size_t step_ = 0;
};

}  // namespace keles::controllers
