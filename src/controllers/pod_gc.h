// Pod garbage collector: removes pods that nobody else will: finished ones beyond a threshold,
// those of nodes that are gone or given up, and those marked for deletion before they were bound
// (upstream: pkg/controller/podgc).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

struct PodGcPlan {
  // Beyond the threshold, evicted ones and the oldest first.
  std::vector<Ref<api::core_v1::Pod>> finished;
  std::vector<Ref<api::core_v1::Pod>> orphaned;  // their node is not there
  // Being deleted, and on no node, or on one that has been given up (not ready, and tainted
  // out-of-service): no agent will end them.
  std::vector<Ref<api::core_v1::Pod>> unserved;
};

// `find_node` gives a node by its name, empty when there is none. Pods that run on a node that is
// there, and are not leaving, may be left out, and so may finished ones of no more than the
// threshold.
using FindNode = std::function<Ref<api::core_v1::Node>(std::string_view name)>;
PodGcPlan plan_pod_gc(const std::vector<Ref<api::core_v1::Pod>>& pods, const FindNode& find_node,
                      int finished_threshold);

class PodGcController final : public Controller {
 public:
  explicit PodGcController(Deps deps);
  // One key: "gc", every period.
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Node = api::core_v1::Node;
  using Pod = api::core_v1::Pod;
  void started(Context) override { queue().add("gc"); }
  std::vector<Ref<Pod>> candidates() const;
  Task<Status> remove_pod(Context ctx, Ref<Pod> pod, std::string_view reason);
  Task<Status> end_pod(Context ctx, Ref<Pod> pod, bool orphaned);

  Informer<Node> nodes_;
  Informer<Pod> pods_;
  std::map<std::string, TimePoint> missing_since_;  // nodes that pods name and that are not there
};

}  // namespace keles::controllers
