#include <algorithm>
#include <cmath>

#include "scheduler/plugins/extended_resources.h"
#include "scheduler/plugins/plugins.h"
#include "scheduler/plugins/resource_scoring.h"

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

// What is lacking, as bits; the texts of each set are made once.
enum Lacking : uint32_t { kPods = 1, kCpu = 2, kMemory = 4, kStorage = 8 };

Reasons reasons_of(uint32_t lacking, const std::vector<std::string>& scalars) {
  static std::vector<Reasons> made(16);
  if (scalars.empty() && made[lacking]) return made[lacking];
  std::vector<std::string> texts;
  if (lacking & kPods) texts.emplace_back("Too many pods");
  if (lacking & kCpu) texts.emplace_back("Insufficient cpu");
  if (lacking & kMemory) texts.emplace_back("Insufficient memory");
  if (lacking & kStorage) texts.emplace_back("Insufficient ephemeral-storage");
  for (const std::string& s : scalars) texts.push_back("Insufficient " + s);
  auto out = std::make_shared<const std::vector<std::string>>(std::move(texts));
  if (scalars.empty()) made[lacking] = out;
  return out;
}

bool is_extended(std::string_view name) {
  return name.find('/') != std::string_view::npos &&
         name.find("kubernetes.io/") == std::string_view::npos;
}

bool asks_less(const Resources& before, const Resources& now, const Resources& of_interest) {
  if (of_interest.milli_cpu > 0 && now.milli_cpu < before.milli_cpu) return true;
  if (of_interest.memory > 0 && now.memory < before.memory) return true;
  if (of_interest.ephemeral_storage > 0 && now.ephemeral_storage < before.ephemeral_storage)
    return true;
  auto amount = [](const Resources& of, const std::string& name) {
    auto it = of.scalar.find(name);
    return it == of.scalar.end() ? 0 : it->second;
  };
  return std::any_of(of_interest.scalar.begin(), of_interest.scalar.end(), [&](const auto& want) {
    return want.second > 0 && amount(now, want.first) < amount(before, want.first);
  });
}

struct Scoring {
  enum class Strategy : uint8_t { kLeast, kMost, kRatio } strategy = Strategy::kLeast;
  std::vector<ScoredResource> resources;
  std::vector<ShapePoint> shape;
};

// Requests against what is free (KEP-753 and KEP-2837 say what a pod requests: types.cc).
class NodeResourcesFit final : public Plugin {
 public:
  NodeResourcesFit(ExtendedResources* devices, Scoring scoring,
                   std::set<std::string, std::less<>> ignored,
                   std::set<std::string, std::less<>> ignored_groups)
      : devices_(devices),
        scoring_(std::move(scoring)),
        ignored_(std::move(ignored)),
        ignored_groups_(std::move(ignored_groups)) {}
  std::string_view name() const override { return "NodeResourcesFit"; }
  uint32_t points() const override { return kFilter | kScore; }
  Events events() const override {
    const Events own =
        kNodeAdded | kNodeAllocatable | kPodRemoved | kPodScaledDown | kSelfScaledDown;
    if (!devices_) return own;
    return own | added(Watched::kDeviceClass) | updated(Watched::kDeviceClass);
  }
  Hint hint(const PodInfo& waiting, const Event& e) override {
    if (e.bits & (added(Watched::kDeviceClass) | updated(Watched::kDeviceClass)))
      return names_a_resource(waiting, e) ? Hint::kQueue : Hint::kSkip;
    if (e.bits & kPodScaledDown) {
      const bool less = e.pod_before && e.pod &&
                        asks_less(e.pod_before->requests, e.pod->requests, waiting.requests);
      return less ? Hint::kQueue : Hint::kSkip;
    }
    if (!e.node) return Hint::kQueue;
    return fits_empty(waiting, *e.node) &&
                   (!e.node_before || grew(waiting, *e.node_before, *e.node))
               ? Hint::kQueue
               : Hint::kSkip;
  }

  Verdict filter(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    uint32_t lacking = 0;
    bool hopeless = false;  // too much for the empty node: no eviction can help
    std::vector<std::string> scalars;
    if (static_cast<int64_t>(node.pods.size()) + 1 > node.allowed_pods) lacking |= kPods;
    const Resources &want = pod.requests, &used = node.requested, &total = node.allocatable;
    auto check = [&](uint32_t bit, int64_t w, int64_t u, int64_t t) {
      if (w <= 0 || w <= t - u) return;
      lacking |= bit;
      hopeless |= w > t;
    };
    check(kCpu, want.milli_cpu, used.milli_cpu, total.milli_cpu);
    check(kMemory, want.memory, used.memory, total.memory);
    check(kStorage, want.ephemeral_storage, used.ephemeral_storage, total.ephemeral_storage);
    for (const auto& [resource, n] : want.scalar) {
      if (n <= 0 || is_ignored(resource)) continue;
      auto t = total.scalar.find(resource);
      auto u = used.scalar.find(resource);
      const int64_t all = t == total.scalar.end() ? 0 : t->second;
      if (all == 0 && devices_ && devices_->is_devices(resource, node)) continue;
      if (n <= all - (u == used.scalar.end() ? 0 : u->second)) continue;
      scalars.push_back(resource);
      hopeless |= n > all;
    }
    if (lacking == 0 && scalars.empty()) return {};
    return {hopeless ? Code::kUnresolvable : Code::kUnschedulable, reasons_of(lacking, scalars)};
  }

  int64_t score(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    int64_t sum = 0, weights = 0;
    for (const ScoredResource& r : scoring_.resources) {
      const bool estimated =
          r.what == ScoredResource::What::kCpu || r.what == ScoredResource::What::kMemory;
      const int64_t wanted = amount_of(estimated ? pod.nonzero_requests : pod.requests, r);
      if (wanted == 0 && r.what == ScoredResource::What::kScalar) continue;
      int64_t total = amount_of(node.allocatable, r);
      int64_t used = amount_of(estimated ? node.nonzero_requested : node.requested, r);
      if (total == 0) count_devices(devices_, r, node, &total, &used);
      if (total == 0) continue;
      used += wanted;
      const int64_t one = rate(used, total);
      if (scoring_.strategy == Scoring::Strategy::kRatio && one <= 0) continue;
      sum += one * r.weight;
      weights += r.weight;
    }
    if (weights == 0) return 0;
    if (scoring_.strategy != Scoring::Strategy::kRatio) return sum / weights;
    return std::llround(static_cast<double>(sum) / static_cast<double>(weights));
  }

 private:
  bool is_ignored(const std::string& resource) const {
    if ((ignored_.empty() && ignored_groups_.empty()) || !is_extended(resource)) return false;
    return ignored_.contains(resource) ||
           ignored_groups_.contains(std::string_view(resource).substr(0, resource.find('/')));
  }
  int64_t rate(int64_t used, int64_t total) const {
    switch (scoring_.strategy) {
      case Scoring::Strategy::kLeast:
        return used > total ? 0 : (total - used) * kMaxScore / total;
      case Scoring::Strategy::kMost:
        return std::min(used, total) * kMaxScore / total;
      case Scoring::Strategy::kRatio:
        return along_shape(scoring_.shape, used > total ? 100 : used * 100 / total);
    }
    return 0;
  }
  // Whether the class stands for a resource that the pod asks for, which it did not before.
  static bool names_a_resource(const PodInfo& pod, const Event& e) {
    using api::resource_v1::DeviceClass;
    const Ref<DeviceClass> before = read<DeviceClass>(e.before), now = read<DeviceClass>(e.now);
    const std::string_view name = now->spec().extended_resource_name();
    if (before && before->spec().extended_resource_name() == name) return false;
    std::vector<Ref<DeviceClass>> fresh;
    if (!before) fresh.push_back(now);
    const dra::ClassesByResource alone(fresh);
    return std::any_of(pod.requests.scalar.begin(), pod.requests.scalar.end(), [&](const auto& r) {
      return (!name.empty() && r.first == name) || alone.find(r.first);
    });
  }
  bool fits_empty(const PodInfo& pod, const NodeInfo& node) {
    const Resources &want = pod.requests, &total = node.allocatable;
    if (node.allowed_pods < 1 || want.milli_cpu > total.milli_cpu || want.memory > total.memory ||
        want.ephemeral_storage > total.ephemeral_storage)
      return false;
    return std::all_of(want.scalar.begin(), want.scalar.end(), [&](const auto& w) {
      auto t = total.scalar.find(w.first);
      return w.second <= (t == total.scalar.end() ? 0 : t->second) || is_devices(w, node);
    });
  }
  bool grew(const PodInfo& pod, const NodeInfo& before, const NodeInfo& now) {
    const auto& scalars = pod.requests.scalar;
    return now.allowed_pods > before.allowed_pods ||
           asks_less(now.allocatable, before.allocatable, pod.requests) ||
           std::any_of(scalars.begin(), scalars.end(),
                       [&](const auto& w) { return is_devices(w, now); });
  }
  bool is_devices(const std::pair<const std::string, int64_t>& wanted, const NodeInfo& node) {
    return wanted.second > 0 && devices_ && devices_->is_devices(wanted.first, node);
  }

  ExtendedResources* devices_;  // null: there is no cluster to ask
  Scoring scoring_;
  std::set<std::string, std::less<>> ignored_, ignored_groups_;
};

}  // namespace

MadePlugin make_node_resources_fit(const PluginContext& context) {
  using Strategy = Scoring::Strategy;
  constexpr int64_t kMaxCustomScore = 10;  // scores in configuration are 0 to 10
  const Value& strategy = context.args["scoringStrategy"];
  const std::string_view type = strategy["type"].as_string();
  Scoring scoring;
  scoring.strategy = type == "MostAllocated"              ? Strategy::kMost
                     : type == "RequestedToCapacityRatio" ? Strategy::kRatio
                                                          : Strategy::kLeast;
  scoring.resources = read_scored_resources(strategy["resources"]);
  scoring.shape =
      read_shape(strategy["requestedToCapacityRatio"]["shape"], kMaxScore / kMaxCustomScore);
  std::set<std::string, std::less<>> ignored, groups;
  for (const Value& r : context.args["ignoredResources"].items()) ignored.emplace(r.as_string());
  for (const Value& r : context.args["ignoredResourceGroups"].items())
    groups.emplace(r.as_string());
  return std::unique_ptr<Plugin>(std::make_unique<NodeResourcesFit>(
      devices_of(context), std::move(scoring), std::move(ignored), std::move(groups)));
}

}  // namespace keles::scheduler
