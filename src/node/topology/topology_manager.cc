#include "node/topology/topology_manager.h"

#include <algorithm>

#include "base/loop.h"
#include "base/metrics.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;

namespace {

// Every set of nodes is looked at for every container: 2^16 of them is what can be afforded.
constexpr int kMostNodes = 16;

metrics::Counter& aligned() {
  static metrics::Counter& c = metrics::counter(
      "kubelet_container_aligned_compute_resources_count",
      "Cumulative number of aligned compute resources allocated to containers by alignment type.",
      {"scope", "boundary"});
  return c;
}
metrics::Counter& not_aligned() {
  static metrics::Counter& c =
      metrics::counter("kubelet_container_aligned_compute_resources_failure_count",
                       "Cumulative number of failures to allocate aligned compute resources to "
                       "containers by alignment type.",
                       {"scope", "boundary"});
  return c;
}
metrics::Counter& asked() {
  static metrics::Counter& c =
      metrics::counter("kubelet_topology_manager_admission_requests_total",
                       "The number of admission requests where resources have to be aligned.", {});
  return c;
}
metrics::Counter& refused() {
  static metrics::Counter& c = metrics::counter(
      "kubelet_topology_manager_admission_errors_total",
      "The number of admission request failures where resources could not be aligned.", {});
  return c;
}
metrics::Histogram& took() {
  static metrics::Histogram& h = metrics::histogram(
      "kubelet_topology_manager_admission_duration_ms",
      "Duration in milliseconds to serve a pod admission request.", {},
      {.05, .1, .2, .4, .8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6, 819.2});
  return h;
}

const char* scope_name(bool pod) { return pod ? "pod" : "container"; }

}  // namespace

Refusal unexpected(const Status& why) {
  return Refusal("UnexpectedAdmissionError",
                 "Allocate failed due to " + why.message() + ", which is unexpected");
}

std::vector<Container> lasting_containers(const Pod& pod) {
  std::vector<Container> out;
  for (Container c : pod.spec().init_containers()) out.push_back(c);
  for (Container c : pod.spec().containers()) out.push_back(c);
  return out;
}

Result<TopologyManager> TopologyManager::make(const TopologySettings& settings,
                                              const Topology& machine) {
  static const std::map<std::string_view, TopologyPolicy> kPolicies = {
      {"none", TopologyPolicy::kNone},
      {"best-effort", TopologyPolicy::kBestEffort},
      {"restricted", TopologyPolicy::kRestricted},
      {"single-numa-node", TopologyPolicy::kSingleNuma}};
  TopologyManager out;
  auto policy = kPolicies.find(settings.policy);
  if (policy == kPolicies.end())
    return Status::bad_request("unknown policy: \"" + settings.policy + "\"");
  out.policy_ = policy->second;
  out.numa_ = machine.numa;
  if (settings.scope != "container" && settings.scope != "pod")
    return Status::bad_request("unknown scope: \"" + settings.scope + "\"");
  out.pod_scope_ = settings.scope == "pod";
  if (out.policy_ == TopologyPolicy::kNone) return out;
  TRY_ASSIGN(options, parse_topology_options(settings.options));
  out.options_ = options;
  const int most = std::min(options.most_nodes, kMostNodes);
  if (static_cast<int>(machine.numa.size()) > most)
    return Status::bad_request("unsupported on machines with more than " + std::to_string(most) +
                               " NUMA Nodes");
  for (const auto& [node, memory] : machine.numa)
    if (options.closest && memory.distances.empty())
      return Status::internal("cannot discover NUMA topology: error getting NUMA distances");
  for (bool pod : {false, true}) {
    aligned().with({scope_name(pod), "numa_node"}).add(0);
    not_aligned().with({scope_name(pod), "numa_node"}).add(0);
  }
  return out;
}

TopologyHint TopologyManager::affinity(const std::string& pod_uid,
                                       const std::string& container) const {
  auto pod = chosen_.find(pod_uid);
  if (pod == chosen_.end()) return {};
  auto hint = pod->second.find(container);
  return hint == pod->second.end() ? TopologyHint() : hint->second;
}

std::optional<TopologyHint> TopologyManager::choose(const Pod& pod, const Container* container) {
  std::vector<ResourceHints> hints;
  for (HintProvider* p : providers_)
    hints.push_back(container ? p->hints(pod, *container) : p->pod_hints(pod));
  Merged merged = merge_hints(policy_, options_, numa_, hints);
  if (!merged.admit) return std::nullopt;
  return merged.best;
}

Refused TopologyManager::fail(bool allocation, Refusal why) {
  if (policy_ == TopologyPolicy::kNone) return why;
  refused().add();
  if (!allocation && policy_ == TopologyPolicy::kSingleNuma)
    not_aligned().with({scope_name(pod_scope_), "numa_node"}).add();
  return why;
}

Task<Refused> TopologyManager::admit(Context ctx, Ref<Pod> pod) {
  asked().add();
  const TimePoint began = ctx.loop().now();
  const std::string uid(pod->metadata().uid());
  const Refusal far("TopologyAffinityError",
                    "Resources cannot be allocated with Topology locality");
  const bool aligns = policy_ != TopologyPolicy::kNone;
  std::optional<TopologyHint> best;
  if (aligns && pod_scope_) {
    best = choose(*pod, nullptr);
    if (!best) co_return fail(false, far);
  }
  const std::vector<Container> containers = lasting_containers(*pod);
  for (const Container& c : containers) {
    if (aligns && !pod_scope_) {
      best = choose(*pod, &c);
      if (!best) co_return fail(false, far);
    }
    if (best) chosen_[uid][std::string(c.name())] = *best;
    for (HintProvider* p : providers_) {
      Refused why = co_await p->allocate(ctx, pod, c);
      if (why) co_return fail(true, *why);
    }
    if (policy_ == TopologyPolicy::kSingleNuma && !pod_scope_)
      aligned().with({"container", "numa_node"}).add();
  }
  if (policy_ == TopologyPolicy::kSingleNuma && pod_scope_)
    aligned().with({"pod", "numa_node"}).add();
  took().with({}).observe(static_cast<double>((ctx.loop().now() - began).count()) / 1e6);
  co_return std::nullopt;
}

}  // namespace keles::node
