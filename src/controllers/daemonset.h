// DaemonSet controller: one pod on every node that fits (upstream: pkg/controller/daemon). The
// scheduler binds them: each pod asks for its node by name.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "controllers/kit.h"
#include "controllers/pod_control.h"
#include "controllers/revisions.h"

namespace keles::controllers {

struct DaemonSetPlan {
  std::vector<std::string> create;             // nodes
  std::vector<Ref<api::core_v1::Pod>> remove;  // misplaced, doubled, finished or out of date
  // Of `remove`, those that have ended, with their nodes.
  std::vector<std::pair<std::string, Ref<api::core_v1::Pod>>> finished;
  std::vector<std::string> held;  // nodes where a failed pod is left for now
  int64_t desired = 0, current = 0, misscheduled = 0, ready = 0, available = 0, updated = 0;
};

// `hash`: that of the current template. `pods`: those that it controls. `held`: whether a failed
// pod of that node is not to be removed yet.
DaemonSetPlan plan_daemon_set(const api::apps_v1::DaemonSet& set,
                              const std::vector<Ref<api::core_v1::Node>>& nodes,
                              const std::vector<Ref<api::core_v1::Pod>>& pods,
                              const std::string& hash, WallTime now,
                              const std::function<bool(const std::string& node)>& held = {});

// Whether its pod is to run on the node, and whether one that runs there may stay.
struct DaemonFit {
  bool run = false, stay = false;
};
DaemonFit daemon_fits(const api::apps_v1::DaemonSet& set, const api::core_v1::Node& node);

// The pod for a node: the template, the tolerations of daemons, and its node by name.
Draft<api::core_v1::PodEdit> daemon_pod(const api::apps_v1::DaemonSet& set, const std::string& node,
                                        const std::string& hash);

// Whether the pod is of the set's current template: by its hash, or by the template's generation.
bool daemon_pod_is_current(const api::apps_v1::DaemonSet& set, const api::core_v1::Pod& pod,
                           std::string_view hash);

class DaemonSetController final : public ControllerFor<api::apps_v1::DaemonSet> {
 public:
  explicit DaemonSetController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using DaemonSet = api::apps_v1::DaemonSet;
  using Node = api::core_v1::Node;
  using Pod = api::core_v1::Pod;
  Task<Status> carry_out(Context ctx, Ref<DaemonSet> set, const DaemonSetPlan* plan,
                         std::string hash);
  Task<Status> update_status(Context ctx, Ref<DaemonSet> set, const DaemonSetPlan* plan,
                             bool acted);
  Keys sets_that_care(const Ref<Node>& before, const Ref<Node>& now) const;
  void forget(std::string_view uid) override { backoff_.erase(std::string(uid)); }
  // How long until a failed pod of that node may be removed; 0 when one may now.
  Duration held_for(const DaemonSet& set, const std::string& node);
  void replace_finished(const Ref<DaemonSet>& set, const DaemonSetPlan& plan);

  Informer<Node> nodes_;
  Informer<Pod> pods_;
  Informer<api::apps_v1::ControllerRevision> revisions_;
  PodControl pod_control_{client(), events(), expectations()};
  // Since when, and for how long, failed pods of a node are left there, by the set's uid. A node
  // that refuses every pod must not make us create and delete for ever; a new template is tried at
  // once.
  struct Backoff {
    int64_t generation = 0;
    Duration delay{0};
    TimePoint since{};
  };
  std::map<std::string, std::map<std::string, Backoff>> backoff_;
};

}  // namespace keles::controllers
