// A scheduler plugin judges pods and nodes at the points at which upstream's framework asks
// (KEP 624). To add one: a file in plugins/, a line in plugins.cc.
//
// Life of an attempt, on the scheduler's loop, one decision at a time:
//   pre_filter() once, filter() for each node that is looked at, post_filter() when none will do;
//   pre_score() once, score() for each node that passed, normalize();
//   reserve(), permit(). All these are plain calls: while they run no object changes.
// Then, beside the next decisions, the binding: pre_bind() and bind() are tasks and may ask the
// API; post_bind() or, after any failure since reserve(), unreserve().
//
// What pre_filter() and pre_score() work out a plugin may keep in members, until the decision ends;
// what the binding needs goes into the Cycle.
//
// Preemption asks what would be without some pods: it takes them off the node, calls remove_pod(),
// filter(), and puts everything back by add_pod(). The two must undo each other exactly, in
// whatever order.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "machinery/value.h"
#include "scheduler/events.h"
#include "scheduler/pod_classes.h"
#include "scheduler/types.h"
#include "scheduler/verdict.h"

namespace keles::scheduler {

class Handle;
class Plugin;
class Profile;

// With the placed pods by classes, so that no plugin walks every node to find some.
struct ClusterView {
  std::vector<NodeInfo*> nodes;  // present ones, in name order
  const PodClasses* classes;     // of all placed pods; what a trial takes off is still there
  // How many present nodes have each value of a label.
  const ValueCounts& label_values(const std::string& key) const;
  const std::map<std::string, int64_t, std::less<>>* image_nodes;  // how many have the image
  const Namespaces* namespaces;
  // Null when there is none of that name.
  NodeInfo* find(std::string_view name) const;

 private:
  friend class Cache;
  mutable std::map<std::string, ValueCounts> label_values_;
};

// The points of a profile at which a plugin can stand.
enum Point : uint32_t {
  kPreEnqueue = 1,
  kQueueSort = 2,
  kPreFilter = 4,
  kFilter = 8,
  kPostFilter = 16,
  kPreScore = 32,
  kScore = 64,
  kReserve = 128,
  kPermit = 256,
  kPreBind = 512,
  kBind = 1024,
  kPostBind = 2048,
};

// One attempt to find a place for one pod. It lives until the binding has ended.
class Cycle {
 public:
  struct State {
    virtual ~State() = default;
  };
  Cycle(PodPtr p, Profile& by) : pod(std::move(p)), profile(by) {}
  Cycle(const Cycle&) = delete;
  Cycle& operator=(const Cycle&) = delete;

  const PodPtr pod;
  Profile& profile;
  const ClusterView* view = nullptr;  // while deciding; null afterwards
  std::vector<Plugin*> filters;       // those that did not skip, in order
  std::string nominated_node;         // tried first; "": none
  // Extenders choose among the nodes, too: enough are looked for even when no plugin scores; and
  // are asked about victims before preemption chooses.
  bool extended = false, victims_are_asked_about = false;

  // A plugin's own state for this attempt.
  template <class T>
  T& make(const Plugin& owner) {
    auto made = std::make_unique<T>();
    T& out = *made;
    drop(owner);
    states_.emplace_back(&owner, std::move(made));
    return out;
  }
  template <class T>
  T* find(const Plugin& owner) const {
    for (const auto& [who, state] : states_)
      if (who == &owner) return static_cast<T*>(state.get());
    return nullptr;
  }
  void drop(const Plugin& owner) {
    std::erase_if(states_, [&](const auto& e) { return e.first == &owner; });
  }

 private:
  std::vector<std::pair<const Plugin*, std::unique_ptr<State>>> states_;
};
using CyclePtr = std::shared_ptr<Cycle>;

struct PreFilter {
  Verdict verdict;  // kSkip: neither filter() nor add_pod() and remove_pod() are called
  // The only nodes that can do; none given: all.
  std::optional<std::set<std::string>> nodes;
};

// Why no node would do.
struct Failure {
  size_t nodes_total = 0;
  std::string pre_filter_message;
  std::map<std::string, int> reasons;  // text -> number of nodes
  std::vector<NodeInfo*> resolvable;   // rejected in a way that eviction may cure
  std::vector<Plugin*> rejected_by;    // each once
  std::string post_filter_message;
  bool by_extender = false;  // an extender, too: no event can be named
  // Upstream's: "0/3 nodes are available: 1 Insufficient cpu, ... preemption: ..."
  std::string message() const;
};

// A node on which preemption can make room, and who would have to go.
struct Candidate {
  std::string node;
  std::vector<PodPtr> victims;  // the most important first
  int violations = 0;           // victims whose budget would be overdrawn
};

struct PostFilter {
  // kSuccess: the pod is nominated; kUnschedulable with the reason otherwise; kWait, where
  // Cycle::victims_are_asked_about: `by` goes on in settle(), with those candidates that remain.
  Verdict verdict;
  // What the pod's nomination becomes ("": none); not given: it stays as it is.
  std::optional<std::string> nominated_node;
  std::vector<Candidate> candidates = {};
  Plugin* by = nullptr;
};

struct Permission {
  Verdict verdict;  // kWait: until Handle::allow or reject, or the time is over
  Duration timeout{};
};

class Plugin {
 public:
  virtual ~Plugin() = default;
  virtual std::string_view name() const = 0;
  // Where it stands, of Point's bits.
  virtual uint32_t points() const = 0;
  // What can make a pod that it rejected fit; and whether this change does, asked for those alone.
  virtual Events events() const { return kAnyEvent; }
  virtual Hint hint(const PodInfo& waiting, const Event& event) {
    (void)waiting, (void)event;
    return Hint::kQueue;
  }

  // Whether the pod may be tried at all. It is asked again when the pod or one of events() changes.
  virtual Verdict pre_enqueue(const PodInfo& pod) {
    (void)pod;
    return {};
  }

  virtual PreFilter pre_filter(Cycle& cycle, const PodInfo& pod) {
    (void)cycle, (void)pod;
    return {};
  }
  virtual Verdict filter(Cycle& cycle, const PodInfo& pod, const NodeInfo& node) {
    (void)cycle, (void)pod, (void)node;
    return {};
  }
  virtual void add_pod(Cycle& cycle, const PodInfo& added, const NodeInfo& node) {
    (void)cycle, (void)added, (void)node;
  }
  virtual void remove_pod(Cycle& cycle, const PodInfo& removed, const NodeInfo& node) {
    (void)cycle, (void)removed, (void)node;
  }
  virtual PostFilter post_filter(Cycle& cycle, const PodInfo& pod, const Failure& failure) {
    (void)cycle, (void)pod, (void)failure;
    return {Verdict{Code::kUnschedulable, nullptr}, std::nullopt};
  }
  // Ends a post_filter() that waited. Other decisions have been made meanwhile; there is no view.
  virtual PostFilter settle(Cycle& cycle, const std::vector<Candidate>& candidates) {
    (void)cycle, (void)candidates;
    return {Verdict{Code::kUnschedulable, nullptr}, std::nullopt};
  }

  // False: no opinion on this pod, score() and normalize() are not called.
  virtual bool pre_score(Cycle& cycle, const PodInfo& pod, const std::vector<NodeInfo*>& feasible) {
    (void)cycle, (void)pod, (void)feasible;
    return true;
  }
  virtual int64_t score(Cycle& cycle, const PodInfo& pod, const NodeInfo& node) {
    (void)cycle, (void)pod, (void)node;
    return 0;
  }
  // Brings raw scores to 0..100; scores[i] is of feasible[i].
  virtual void normalize(Cycle& cycle, const std::vector<NodeInfo*>& feasible,
                         std::vector<int64_t>& scores) {
    (void)cycle, (void)feasible, (void)scores;
  }

  virtual Verdict reserve(Cycle& cycle, const PodInfo& pod, const std::string& node) {
    (void)cycle, (void)pod, (void)node;
    return {};
  }
  // Also of what was never reserved; in the reverse order.
  virtual void unreserve(Cycle& cycle, const PodInfo& pod, const std::string& node) {
    (void)cycle, (void)pod, (void)node;
  }
  virtual Permission permit(Cycle& cycle, const PodInfo& pod, const std::string& node) {
    (void)cycle, (void)pod, (void)node;
    return {};
  }
  // Whether pre_bind() has anything to do: if any plugin has, the pod is first nominated.
  virtual bool wants_pre_bind(Cycle& cycle, const PodInfo& pod, const std::string& node) {
    (void)cycle, (void)pod, (void)node;
    return false;
  }
  virtual Task<Status> pre_bind(Context ctx, CyclePtr cycle, std::string node);
  // Nothing: this plugin does not bind this pod, the next one is asked.
  virtual Task<std::optional<Status>> bind(Context ctx, CyclePtr cycle, std::string node);
  virtual void post_bind(Cycle& cycle, const PodInfo& pod, const std::string& node) {
    (void)cycle, (void)pod, (void)node;
  }
};

inline constexpr int64_t kMaxScore = 100;

// Scales so that the largest becomes 100; `reverse` turns the scale round.
void scale_to_max(std::vector<int64_t>& scores, bool reverse);

}  // namespace keles::scheduler
