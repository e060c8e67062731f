// Look: one look at everything that the store holds, for those who judge whether it is what its
// workloads ask for. What is held by kHold, and what waits for something held, is excused: by
// name, never because something else is held.
#pragma once

#include <map>
#include <set>
#include <string>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "store/store.h"

namespace keles::sim {

// A finalizer that nobody in the cluster takes off: what carries it is held when it is deleted.
inline constexpr const char* kHold = "example.com/hold";

class Look {
 public:
  explicit Look(const StoreSnapshot& snapshot);
  const StoreSnapshot& snapshot() const { return snapshot_; }

  // Calls fn(object) for every object of T below `prefix`, until it returns something, and returns
  // that with the key before it.
  template <class T>
  std::string each(const std::string& prefix, auto fn) const {
    std::string why;
    snapshot_.scan(prefix, "", [&](std::string_view key, const ObjectPtr& o) {
      std::string wrong = fn(*read<T>(o));
      if (!wrong.empty()) why = std::string(key) + " " + wrong;
      return why.empty();
    });
    return why;
  }

  static bool is_dying(const api::meta_v1::ObjectMeta& meta) {
    return !meta.deletion_timestamp().empty();
  }
  // In a namespace that is being deleted nothing can be made.
  bool is_closing(const api::meta_v1::ObjectMeta& meta) const {
    return closing_.contains(std::string(meta.namespace_()));
  }
  // Being deleted, and held, or waiting for what is.
  bool is_excused(std::string_view uid) const { return excused_.contains(std::string(uid)); }
  // Whether a pod of this controller (its uid) is being deleted and excused: it keeps its place.
  bool holds_a_pod(std::string_view uid) const { return held_pods_of_.contains(std::string(uid)); }
  bool exists(std::string_view uid) const { return objects_.contains(std::string(uid)); }
  // Pods of a controller (its uid) that run or will.
  int64_t active_pods(std::string_view uid) const;
  // Replicas that all ReplicaSets of a deployment (its uid) ask for, and whether one of them is
  // excused, and keeps its name from the next one of its template.
  int64_t replicas_of_sets(std::string_view deployment) const;
  bool loses_a_set(std::string_view deployment) const {
    return losing_.contains(std::string(deployment));
  }

  // What holds for every cluster, whatever works on it: nodes are ready; what is being deleted
  // goes; nothing outlives its owners; pods run. "" or what is wrong.
  std::string common() const;

 private:
  struct Known {
    std::string key, ns, controller;
    std::set<std::string> blocks;  // uids of owners whose foreground deletion waits for it
    bool dying = false, held = false, foreground = false, is_namespace = false, is_pod = false;
  };
  void gather();
  void excuse();
  std::string nodes() const;
  std::string deletions() const;
  std::string pods() const;

  const StoreSnapshot& snapshot_;
  std::map<std::string, Known> objects_;  // by uid
  std::set<std::string> closing_;         // names of namespaces that are being deleted
  std::set<std::string> excused_;         // uids
  std::set<std::string> held_pods_of_;    // uids of controllers
  std::set<std::string> losing_;          // uids of deployments
  std::map<std::string, int64_t> active_;
  std::map<std::string, int64_t> by_deployment_;
};

// Whether a pod's, node's or job's condition is True.
bool is_true(auto conditions, std::string_view type) {
  for (auto c : conditions) {
    if (c.type() == type) return c.status() == "True";
  }
  return false;
}

// Why this state is not yet what its workloads ask for, or "" when it is: Look::common() and the
// check of every workload there is (workload.h), whether it was at work or not.
std::string why_not_converged(const StoreSnapshot& snapshot);

}  // namespace keles::sim
