#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

// spec.schedulingGates: somebody else decides when the pod may be tried (KEP 3521).
class SchedulingGates final : public Plugin {
 public:
  std::string_view name() const override { return "SchedulingGates"; }
  uint32_t points() const override { return kPreEnqueue; }
  Events events() const override { return kSelfGatesGone; }
  Verdict pre_enqueue(const PodInfo& pod) override {
    if (pod.gates.empty()) return {};
    std::string names;
    for (const std::string& g : pod.gates) names += (names.empty() ? "" : " ") + g;
    return Verdict::unresolvable("waiting for scheduling gates: [" + names + "]");
  }
};

// Highest priority first, then who has waited longest: how the queue is ordered (queue.h).
class PrioritySort final : public Plugin {
 public:
  std::string_view name() const override { return "PrioritySort"; }
  uint32_t points() const override { return kQueueSort; }
  Events events() const override { return 0; }
};

}  // namespace

MadePlugin make_scheduling_gates(const PluginContext&) {
  return std::unique_ptr<Plugin>(std::make_unique<SchedulingGates>());
}
MadePlugin make_priority_sort(const PluginContext&) {
  return std::unique_ptr<Plugin>(std::make_unique<PrioritySort>());
}

}  // namespace keles::scheduler
