// Graceful shutdown of the node: when the machine is told to go down, its pods end first, those of
// low priority before the others, and the machine waits for them as long as it was configured to
// (https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/).
//
// One loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/context.h"
#include "base/sync.h"
#include "base/task.h"
#include "node/shutdown/logind.h"
#include "node/shutdown/shutdown_plan.h"

namespace keles::node {

// What it asks of its node.
class ShutdownHost {
 public:
  virtual ~ShutdownHost() = default;
  virtual std::vector<Ref<api::core_v1::Pod>> running_pods() const = 0;
  // Ends a pod for good; one that ends already has no more than that left.
  virtual void end_pod(const Ref<api::core_v1::Pod>& pod, int64_t grace_seconds) = 0;
  // Nothing of it runs, and its volumes are let go of.
  virtual bool is_at_rest(const std::string& uid) const = 0;
  // The Node says so, and takes no pods.
  virtual void shutting_down(bool now) = 0;
  virtual void node_event(std::string type, std::string reason, std::string message) = 0;
  // A small file that the next agent reads; "" when there is none.
  virtual Task<Status> keep_shutdown_state(Context ctx, std::string json) = 0;
  virtual Task<std::string> kept_shutdown_state(Context ctx) = 0;
};

class ShutdownManager {
 public:
  static constexpr const char* kReason = "Terminated";
  static constexpr const char* kMessage =
      "Pod was terminated in response to imminent node shutdown.";
  static constexpr const char* kStateFile = "graceful_node_shutdown_state";

  ShutdownManager(ShutdownPeriods periods, std::unique_ptr<ShutdownNotice> notice,
                  ShutdownHost& host);
  // Until ctx ends. Without periods it does nothing. Where there is no logind it looks for it
  // again, ever more rarely.
  Task<void> run(Context ctx);
  // A pod has come to rest.
  void poke() { poke_.set(); }
  bool shutting_down() const { return down_; }

 private:
  Task<Status> follow(Context ctx);
  Task<Status> reach_delay(Context ctx);
  Task<void> end_pods(Context ctx);
  Task<void> end_group(Context ctx, const ShutdownGroup* group);
  Task<void> keep(Context ctx);
  Task<void> read_kept(Context ctx);

  const ShutdownPeriods periods_;
  std::unique_ptr<ShutdownNotice> notice_;
  ShutdownHost& host_;
  WallTime began_{}, ended_{};  // of the last shutdown
  Event poke_;
  bool down_ = false, followed_ = false;
};

}  // namespace keles::node
