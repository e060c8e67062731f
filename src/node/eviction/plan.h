// What a node under pressure does: which thresholds are crossed, what conditions they make, which
// pod goes first and what it is told; and which pods take more local storage than they may. Pure,
// but for the memory of a PressureWatch. Orders, reasons and messages are upstream's.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "node/eviction/thresholds.h"

namespace keles::node {

struct Observation {
  int64_t available = 0, capacity = 0;
};
using Observations = std::map<Signal, Observation>;

// --- the node ---

class PressureWatch {
 public:
  PressureWatch(std::vector<Threshold> thresholds, Duration transition_period)
      : thresholds_(std::move(thresholds)), transition_(transition_period) {}

  // Takes in what was measured `now`. The thresholds to act upon, what is most urgent first: they
  // have been crossed for their whole grace period, or were acted upon and what should have been
  // reclaimed was not yet.
  std::vector<Threshold> observe(const Observations& seen, TimePoint now);
  // Those that hold, or held within the transition period; in their enum's order.
  const std::set<Pressure>& pressures() const { return pressures_; }
  // Whether nothing is crossed any more, minimum reclaims included.
  bool relieved(const Observations& seen) const;
  const std::vector<Threshold>& thresholds() const { return thresholds_; }
  void set_thresholds(std::vector<Threshold> t) { thresholds_ = std::move(t); }

 private:
  struct Crossed {
    Threshold threshold;
    TimePoint since;
  };
  std::vector<Threshold> thresholds_;
  Duration transition_;
  std::vector<Crossed> crossed_;
  std::vector<Threshold> acted_upon_;
  std::map<Pressure, TimePoint> last_seen_;
  std::set<Pressure> pressures_;
};

// Whether a threshold is crossed; with `reclaiming`, minimum reclaims are asked for on top.
bool crossed(const Threshold& t, const Observations& seen, bool reclaiming);

// Why a node under `pressures` does not take a pod, "" when it does.
std::string pressure_objection(const api::core_v1::Pod& pod, const std::set<Pressure>& pressures);

// --- the pods ---

struct DiskUse {
  uint64_t bytes = 0, inodes = 0;
  void add(const DiskUse& o) {
    bytes += o.bytes;
    inodes += o.inodes;
  }
};
struct ContainerUse {
  std::string name;
  uint64_t working_set_bytes = 0;
  DiskUse writable, logs;
};
struct PodUse {
  uint64_t working_set_bytes = 0, processes = 0;
  std::vector<ContainerUse> containers;
  std::map<std::string, DiskUse> volumes;  // those that use local storage, by name
  DiskUse other;                           // its /etc/hosts
  DiskUse ephemeral() const;               // all of it but memory-backed volumes
};

struct Candidate {
  const api::core_v1::Pod* pod = nullptr;
  const PodUse* use = nullptr;  // null: not known
};

// Never evicted: static and mirror pods, and priorities of the system.
bool is_critical(const api::core_v1::Pod& pod);

// Who goes first, for `signal`.
std::vector<Candidate> rank(std::vector<Candidate> pods, Signal signal, DiskLayout layout);

// What the node reclaims before it evicts.
struct Reclaim {
  bool containers = false, images = false;
  bool any() const { return containers || images; }
};
Reclaim reclaim_first(Signal signal, DiskLayout layout);

struct Eviction {
  std::string message;
  int64_t grace_seconds = 1;
  bool disruption = false;  // says so in a DisruptionTarget condition
  std::string signal;       // for the metric
};
// How long the pod's end is waited for before another look: its grace and half of it more, at least
// 10 s, and 30 s for what it leaves.
Duration patience(const Eviction& e);
// For `cause`, one of `crossed`.
Eviction pressure_eviction(const Candidate& pod, const Threshold& cause,
                           const std::vector<Threshold>& crossed, const Observations& seen,
                           int64_t max_pod_grace_seconds);

// Whether the pod, or a part of it, may not grow without end: its use has to be looked at.
bool has_storage_limits(const api::core_v1::Pod& pod);
// More in use than its limits allow: an emptyDir, the pod, a container.
std::optional<Eviction> storage_excess(const api::core_v1::Pod& pod, const PodUse& use,
                                       DiskLayout layout);

}  // namespace keles::node
