// The eviction manager: measures the node, and when something runs short tells so in the node's
// conditions, reclaims what nobody needs, and then evicts pods, one at a time; pods that take more
// local storage than their limits go whatever is free
// (https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/).
//
// One loop; what blocks is done on the pool.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/sync.h"
#include "node/cgroup/cgroup.h"
#include "node/cri/runtime.h"
#include "node/eviction/meter.h"
#include "node/eviction/plan.h"

namespace keles::node {

// What the manager asks of the node. Outlives it.
class EvictionHost {
 public:
  virtual ~EvictionHost() = default;
  // Those that were taken, have not ended and are not being deleted.
  virtual std::vector<Ref<api::core_v1::Pod>> active_pods() const = 0;
  virtual CgroupDriver::Usage usage_of(const api::core_v1::Pod& pod) const = 0;
  virtual CgroupDriver::Usage usage_of_pods() const = 0;
  virtual CgroupDriver::Usage usage_of_node() const = 0;
  // Begins it; once nothing of the pod runs, EvictionManager::pod_ended() is called. False: the pod
  // ends already, and nothing comes of it.
  virtual bool evict(const Ref<api::core_v1::Pod>& pod, const Eviction& why) = 0;
  virtual Task<Status> reclaim(Context ctx, Reclaim what) = 0;
  virtual void pressures_changed(const std::set<Pressure>& now) = 0;
  virtual void node_event(std::string type, std::string reason, std::string message) = 0;
};

struct EvictionOptions {
  std::string root, logs;  // as NodeOptions'
  std::vector<Threshold> thresholds;
  Duration transition_period = std::chrono::minutes(5);
  int64_t max_pod_grace_seconds = 0;
  int64_t allocatable_memory_bytes = 0;
  bool local_storage = true;  // limits of emptyDirs, containers and pods are enforced
  Duration period = std::chrono::seconds(10);  // between two looks
};

class EvictionManager {
 public:
  EvictionManager(EvictionOptions options, cri::Runtime& runtime, EvictionHost& host,
                  std::unique_ptr<NodeMeter> meter);
  // A round each period, until ctx ends.
  Task<void> run(Context ctx);
  void pod_ended(const std::string& uid);
  const std::set<Pressure>& pressures() const { return watch_.pressures(); }

 private:
  using Pods = std::vector<Ref<api::core_v1::Pod>>;
  using Uses = std::map<std::string, PodUse>;  // by uid

  Task<void> round(Context ctx);
  Task<void> find_places(Context ctx);
  Task<Observations> observe(Context ctx);
  Task<Uses> measure(Context ctx, Pods pods, bool files);
  Task<void> watch_limits(Context ctx);
  Task<void> evict_for_limits(Context ctx, Pods pods);
  Task<void> relieve(Context ctx, std::vector<Threshold> crossed, Observations seen);
  bool evict(const Ref<api::core_v1::Pod>& pod, const Eviction& why, TimePoint now);

  EvictionOptions options_;
  cri::Runtime& runtime_;
  EvictionHost& host_;
  std::shared_ptr<NodeMeter> meter_;
  PressureWatch watch_;
  MeterRequest places_;
  bool places_known_ = false;
  DiskLayout layout_;
  std::map<std::string, TimePoint> due_;  // when to look at a pod's use again, by uid
  std::set<std::string> ending_;          // evicted, and not yet ended
  TimePoint ending_until_{};              // when they are waited for no more
  Event changed_;
};

}  // namespace keles::node
