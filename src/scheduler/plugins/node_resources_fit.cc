#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
std::vector<Insufficient> insufficient_resources(const PodInfo& pod, const NodeInfo& node) {
  std::vector<Insufficient> out;
  auto check = [&out](std::string_view what, int64_t want, int64_t used, int64_t total) {
    if (want <= 0 || want <= total - used) return;
    out.push_back({std::string(what), want, used, total});
  };
  check("pods", 1, static_cast<int64_t>(node.pods.size()), node.allowed_pods);
  if (pod.requests.none()) return out;
  const Resources &want = pod.requests, &used = node.requested, &total = node.allocatable;
  check("cpu", want.milli_cpu, used.milli_cpu, total.milli_cpu);
  check("memory", want.memory, used.memory, total.memory);
  check("ephemeral-storage", want.ephemeral_storage, used.ephemeral_storage,
        total.ephemeral_storage);
  auto amount = [](const Resources& of, const std::string& name) {
    auto it = of.scalar.find(name);
    return it == of.scalar.end() ? 0 : it->second;
  };
  for (const auto& [name, n] : want.scalar) check(name, n, amount(used, name), amount(total, name));
  return out;
}

namespace {

// Requests against what is free; scores by upstream's default strategy LeastAllocated over cpu and
// memory.
class NodeResourcesFit final : public Plugin {
 public:
  std::string_view name() const override { return "NodeResourcesFit"; }
  uint32_t events() const override { return kNodeAdded | kNodeAllocatable | kPodRemoved; }
  bool wants_filter(const PodInfo&, const ClusterView&) override { return true; }
  std::optional<Rejection> filter(const PodInfo& pod, const NodeInfo& node) override {
    Rejection r{true, {}};
    for (const Insufficient& i : insufficient_resources(pod, node)) {
      bool pods = i.resource == "pods";
      r.reasons.push_back(pods ? "Too many pods" : "Insufficient " + i.resource);
      // Too much for the empty node: no eviction can help.
      if (!pods && i.requested > i.capacity) r.resolvable = false;
    }
    if (r.reasons.empty()) return std::nullopt;
    return r;
  }

  int weight() const override { return 1; }
  int64_t score(const PodInfo& pod, const NodeInfo& node) override {
    auto least = [](int64_t used, int64_t total) -> int64_t {
      return total <= 0 || used > total ? 0 : (total - used) * kMaxScore / total;
    };
    int64_t cpu = least(node.nonzero_requested.milli_cpu + pod.nonzero_requests.milli_cpu,
                        node.allocatable.milli_cpu);
    int64_t memory =
        least(node.nonzero_requested.memory + pod.nonzero_requests.memory, node.allocatable.memory);
    return (cpu + memory) / 2;
  }
};

}  // namespace

std::unique_ptr<Plugin> make_node_resources_fit() { return std::make_unique<NodeResourcesFit>(); }

}  // namespace keles::scheduler
