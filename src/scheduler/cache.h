// Cache: nodes with the pods placed on them, from the informers, plus "assumed" pods: those whose
// binding is under way, so that the next decision already counts them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "scheduler/framework.h"
#include "scheduler/types.h"

namespace keles::scheduler {

class Cache {
 public:
  struct NodeChange {
    Events bits = 0;                   // 0: nothing that matters
    std::unique_ptr<NodeInfo> before;  // its own facts, without pods; null when it is new
    const NodeInfo* now = nullptr;
  };
  NodeChange set_node(const api::core_v1::Node& node);
  // What it was; null when it was not known.
  std::unique_ptr<NodeInfo> remove_node(std::string_view name);
  Events set_namespace(const api::core_v1::Namespace& ns);
  void remove_namespace(std::string_view name);

  // An assigned pod as the API shows it: confirms an assumed one, or replaces what was known.
  void set_pod(PodPtr pod);
  void remove_pod(std::string_view uid);

  void assume(PodPtr pod, const std::string& node);
  // The binding failed: the assumption is withdrawn (nothing if the API has confirmed it
  // meanwhile).
  void forget(std::string_view uid);
  bool holds(std::string_view uid) const { return places_.contains(uid); }
  bool holds_assumed(std::string_view uid) const {
    auto at = places_.find(uid);
    return at != places_.end() && at->second.assumed;
  }
  // What is known of a placed pod, and where; null when there is none.
  PodPtr placed(std::string_view uid) const;

  // Nominations: a waiting pod for which room is made on a node ("": none any more). Filters count
  // it there for less important ones.
  void nominate(const PodPtr& pod, std::string_view node);
  void take_back_nomination(std::string_view uid);
  std::string nominated_node(std::string_view uid) const;

  size_t nodes() const { return view_stale_ ? nodes_.size() : view_.nodes.size(); }
  size_t pods() const { return places_.size(); }
  size_t assumed() const { return assumed_; }

  const ClusterView& view();

 private:
  struct Place {
    PodPtr pod;
    std::string node;
    bool assumed = false;
  };
  NodeInfo& node_for(std::string_view name);
  void drop_if_unused(std::string_view name);
  void take_off(const Place& place, std::string_view uid);
  void put_on(const std::string& node, PodPtr pod);
  void regroup(NodeInfo& node, bool on);
  void count_images(const NodeInfo& node, int sign);

  std::map<std::string, std::unique_ptr<NodeInfo>, std::less<>> nodes_;
  std::unordered_map<std::string, Place, TextHash, std::equal_to<>> places_;  // by pod uid
  Namespaces namespaces_;
  std::map<std::string, int64_t, std::less<>> image_nodes_;
  std::unordered_map<std::string, std::string, TextHash, std::equal_to<>> nominations_;
  size_t assumed_ = 0;
  PodClasses classes_;
  ClusterView view_;
  bool view_stale_ = true;
};

}  // namespace keles::scheduler
