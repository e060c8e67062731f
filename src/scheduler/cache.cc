#include "scheduler/cache.h"

namespace keles::scheduler {
namespace {

bool same(const Resources& a, const Resources& b) {
  return a.milli_cpu == b.milli_cpu && a.memory == b.memory &&
         a.ephemeral_storage == b.ephemeral_storage && a.scalar == b.scalar;
}

bool same(const std::vector<Taint>& a, const std::vector<Taint>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].key != b[i].key || a[i].value != b[i].value || a[i].effect != b[i].effect)
      return false;
  }
  return true;
}

}  // namespace

NodeInfo& Cache::node_for(std::string_view name) {
  auto it = nodes_.find(name);
  if (it == nodes_.end()) {
    it = nodes_.emplace(std::string(name), std::make_unique<NodeInfo>()).first;
    it->second->name = name;
  }
  return *it->second;
}

uint32_t Cache::set_node(const api::core_v1::Node& node) {
  NodeInfo& n = node_for(node.metadata().name());
  if (!n.present) {
    n.set_node(node);
    count_images(n, 1);
    view_stale_ = true;
    return kNodeAdded;
  }
  Resources allocatable = n.allocatable;
  int64_t allowed_pods = n.allowed_pods;
  Labels labels = n.labels;
  std::vector<Taint> taints = n.taints;
  bool unschedulable = n.unschedulable;
  count_images(n, -1);
  n.set_node(node);
  count_images(n, 1);
  uint32_t events = 0;
  if (!same(allocatable, n.allocatable) || allowed_pods != n.allowed_pods)
    events |= kNodeAllocatable;
  if (labels != n.labels) events |= kNodeLabels;
  if (!same(taints, n.taints) || unschedulable != n.unschedulable) events |= kNodeTaints;
  return events;
}

void Cache::remove_node(std::string_view name) {
  auto it = nodes_.find(name);
  if (it == nodes_.end()) return;
  view_stale_ = true;
  if (it->second->present) count_images(*it->second, -1);
  if (it->second->pods.empty()) {
    nodes_.erase(it);
  } else {
    it->second->present = false;  // its pods are still bound to the name
  }
}

uint32_t Cache::set_namespace(const api::core_v1::Namespace& ns) {
  auto [at, fresh] = namespaces_.try_emplace(std::string(ns.metadata().name()));
  Labels now = read_labels(ns.metadata().labels());
  if (!fresh && at->second == now) return 0;
  at->second = std::move(now);
  return kNamespaceLabels;
}

void Cache::remove_namespace(std::string_view name) {
  auto it = namespaces_.find(name);
  if (it != namespaces_.end()) namespaces_.erase(it);
}

void Cache::count_images(const NodeInfo& node, int sign) {
  for (const auto& [name, bytes] : node.images) {
    auto at = image_nodes_.try_emplace(name).first;
    if ((at->second += sign) == 0) image_nodes_.erase(at);
  }
}

void Cache::take_off(const Place& place, std::string_view uid) {
  auto it = nodes_.find(place.node);
  if (it == nodes_.end()) return;
  NodeInfo& n = *it->second;
  const bool any = n.pods_with_affinity > 0, anti = n.pods_with_anti_affinity > 0;
  n.remove_pod(uid);
  view_stale_ |= any != (n.pods_with_affinity > 0) || anti != (n.pods_with_anti_affinity > 0);
  if (!n.present && n.pods.empty()) nodes_.erase(it);
}

void Cache::put_on(const std::string& node, PodPtr pod) {
  NodeInfo& n = node_for(node);
  const bool any = n.pods_with_affinity > 0, anti = n.pods_with_anti_affinity > 0;
  n.add_pod(std::move(pod));
  view_stale_ |= any != (n.pods_with_affinity > 0) || anti != (n.pods_with_anti_affinity > 0);
}

void Cache::set_pod(PodPtr pod) {
  remove_pod(pod->uid);
  put_on(pod->node_name, pod);
  std::string uid = pod->uid, node = pod->node_name;
  places_.insert_or_assign(std::move(uid), Place{std::move(pod), std::move(node), false});
}

void Cache::remove_pod(std::string_view uid) {
  auto it = places_.find(uid);
  if (it == places_.end()) return;
  take_off(it->second, uid);
  places_.erase(it);
}

void Cache::assume(PodPtr pod, const std::string& node) {
  remove_pod(pod->uid);
  put_on(node, pod);
  std::string uid = pod->uid;
  places_.insert_or_assign(std::move(uid), Place{std::move(pod), node, true});
}

void Cache::forget(std::string_view uid) {
  auto it = places_.find(uid);
  if (it != places_.end() && it->second.assumed) remove_pod(uid);
}

const ClusterView& Cache::view() {
  if (view_stale_) {
    view_.nodes.clear();
    view_.with_affinity.clear();
    view_.with_anti_affinity.clear();
    for (const auto& [name, n] : nodes_) {
      if (!n->present) continue;
      view_.nodes.push_back(n.get());
      if (n->pods_with_affinity > 0) view_.with_affinity.push_back(n.get());
      if (n->pods_with_anti_affinity > 0) view_.with_anti_affinity.push_back(n.get());
    }
    view_.image_nodes = &image_nodes_;
    view_.namespaces = &namespaces_;
    view_stale_ = false;
  }
  return view_;
}

}  // namespace keles::scheduler
