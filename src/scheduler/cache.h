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
  // Returns the ClusterEvents that the change amounts to (0: nothing that matters).
  uint32_t set_node(const api::core_v1::Node& node);
  void remove_node(std::string_view name);
  uint32_t set_namespace(const api::core_v1::Namespace& ns);
  void remove_namespace(std::string_view name);

  // An assigned pod as the API shows it: confirms an assumed one, or replaces what was known.
  void set_pod(PodPtr pod);
  void remove_pod(std::string_view uid);

  void assume(PodPtr pod, const std::string& node);
  // The binding failed: the assumption is withdrawn (nothing if the API has confirmed it
  // meanwhile).
  void forget(std::string_view uid);
  bool holds(std::string_view uid) const { return places_.contains(uid); }

  const ClusterView& view();

 private:
  struct Place {
    PodPtr pod;
    std::string node;
    bool assumed = false;
  };
  NodeInfo& node_for(std::string_view name);
  void take_off(const Place& place, std::string_view uid);
  void put_on(const std::string& node, PodPtr pod);
  void count_images(const NodeInfo& node, int sign);

  std::map<std::string, std::unique_ptr<NodeInfo>, std::less<>> nodes_;
  std::unordered_map<std::string, Place, TextHash, std::equal_to<>> places_;  // by pod uid
  Namespaces namespaces_;
  std::map<std::string, int64_t, std::less<>> image_nodes_;
  ClusterView view_;
  bool view_stale_ = true;
};

}  // namespace keles::scheduler
