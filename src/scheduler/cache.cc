#include "scheduler/cache.h"

#include <algorithm>

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

// Whether the one stands for the other on its node: nothing that is counted there differs. Ports,
// volumes and affinity do not change.
bool weighs_the_same(const PodInfo& a, const PodInfo& b) {
  return a.terminating == b.terminating && same(a.requests, b.requests) &&
         same(a.nonzero_requests, b.nonzero_requests) && a.labels == b.labels;
}

// Moves what the Node object said from `from` to `to`.
void take_facts(NodeInfo& from, NodeInfo& to) {
  to.present = from.present;
  to.unschedulable = from.unschedulable;
  to.allowed_pods = from.allowed_pods;
  to.taints = std::move(from.taints);
  to.allocatable = std::move(from.allocatable);
  to.name = from.name;
  to.labels = std::move(from.labels);
  to.images = std::move(from.images);
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

Cache::NodeChange Cache::set_node(const api::core_v1::Node& node) {
  NodeChange out;
  NodeInfo& n = node_for(node.metadata().name());
  out.now = &n;
  if (!n.present) {
    regroup(n, false);
    n.set_node(node);
    regroup(n, true);
    count_images(n, 1);
    view_stale_ = true;
    out.bits = kNodeAdded;
    return out;
  }
  out.before = std::make_unique<NodeInfo>();
  const bool moves = read_labels(node.metadata().labels()) != n.labels;
  if (moves) regroup(n, false);
  take_facts(n, *out.before);
  n.set_node(node);
  if (moves) {
    regroup(n, true);
    view_.label_values_.clear();
  }
  if (n.images != out.before->images) {
    count_images(*out.before, -1);
    count_images(n, 1);
  }
  const NodeInfo& b = *out.before;
  if (!same(b.allocatable, n.allocatable) || b.allowed_pods != n.allowed_pods)
    out.bits |= kNodeAllocatable;
  if (b.labels != n.labels) out.bits |= kNodeLabels;
  if (!same(b.taints, n.taints) || b.unschedulable != n.unschedulable) out.bits |= kNodeTaints;
  return out;
}

std::unique_ptr<NodeInfo> Cache::remove_node(std::string_view name) {
  auto it = nodes_.find(name);
  if (it == nodes_.end() || !it->second->present) return nullptr;
  view_stale_ = true;
  NodeInfo& n = *it->second;
  count_images(n, -1);
  n.present = false;  // its pods are still bound to the name
  auto before = std::make_unique<NodeInfo>();
  regroup(n, false);
  take_facts(n, *before);
  regroup(n, true);
  drop_if_unused(name);
  return before;
}

// Counts the node's pods in or out by its labels, which are about to change or have changed.
void Cache::regroup(NodeInfo& node, bool on) {
  for (const PodPtr& p : node.pods) {
    if (on) {
      classes_.add(p, node);
    } else {
      classes_.remove(*p, node);
    }
  }
}

// Entries without a Node object are kept for what refers to the name.
void Cache::drop_if_unused(std::string_view name) {
  auto it = nodes_.find(name);
  if (it == nodes_.end()) return;
  const NodeInfo& n = *it->second;
  if (!n.present && n.pods.empty() && n.nominated.empty()) nodes_.erase(it);
}

Events Cache::set_namespace(const api::core_v1::Namespace& ns) {
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
  classes_.remove(*place.pod, *it->second);
  it->second->remove_pod(uid);
  drop_if_unused(place.node);
}

void Cache::put_on(const std::string& node, PodPtr pod) {
  NodeInfo& n = node_for(node);
  classes_.add(pod, n);
  n.add_pod(std::move(pod));
}

void Cache::set_pod(PodPtr pod) {
  if (auto it = places_.find(pod->uid); it != places_.end() && it->second.node == pod->node_name &&
                                        weighs_the_same(*it->second.pod, *pod)) {
    Place& place = it->second;
    std::vector<PodPtr>& there = node_for(place.node).pods;
    *std::find(there.begin(), there.end(), place.pod) = pod;
    place.pod = std::move(pod);
    if (place.assumed) --assumed_;
    place.assumed = false;
    return;
  }
  remove_pod(pod->uid);
  put_on(pod->node_name, pod);
  std::string uid = pod->uid, node = pod->node_name;
  places_.insert_or_assign(std::move(uid), Place{std::move(pod), std::move(node), false});
}

void Cache::remove_pod(std::string_view uid) {
  auto it = places_.find(uid);
  if (it == places_.end()) return;
  take_off(it->second, uid);
  if (it->second.assumed) --assumed_;
  places_.erase(it);
}

void Cache::assume(PodPtr pod, const std::string& node) {
  remove_pod(pod->uid);
  put_on(node, pod);
  std::string uid = pod->uid;
  places_.insert_or_assign(std::move(uid), Place{std::move(pod), node, true});
  ++assumed_;
}

PodPtr Cache::placed(std::string_view uid) const {
  auto at = places_.find(uid);
  return at == places_.end() ? nullptr : at->second.pod;
}

void Cache::nominate(const PodPtr& pod, std::string_view node) {
  take_back_nomination(pod->uid);
  if (node.empty()) return;
  node_for(node).nominated.push_back(pod);
  nominations_.emplace(pod->uid, std::string(node));
}

void Cache::take_back_nomination(std::string_view uid) {
  auto it = nominations_.find(uid);
  if (it == nominations_.end()) return;
  const std::string node = std::move(it->second);
  nominations_.erase(it);
  std::erase_if(node_for(node).nominated, [&](const PodPtr& p) { return p->uid == uid; });
  drop_if_unused(node);
}

std::string Cache::nominated_node(std::string_view uid) const {
  auto it = nominations_.find(uid);
  return it == nominations_.end() ? std::string() : it->second;
}

void Cache::forget(std::string_view uid) {
  auto it = places_.find(uid);
  if (it != places_.end() && it->second.assumed) remove_pod(uid);
}

const ClusterView& Cache::view() {
  if (view_stale_) {
    view_.nodes.clear();
    view_.label_values_.clear();
    for (const auto& [name, n] : nodes_) {
      if (!n->present) continue;
      view_.nodes.push_back(n.get());
    }
    view_.classes = &classes_;
    view_.image_nodes = &image_nodes_;
    view_.namespaces = &namespaces_;
    view_stale_ = false;
  }
  return view_;
}

}  // namespace keles::scheduler
