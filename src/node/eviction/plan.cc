#include "node/eviction/plan.h"

#include <algorithm>

#include "base/encoding.h"
#include "machinery/quota/pod_resources.h"
#include "node/cgroup/resources.h"
#include "node/pods/containers.h"
#include "scheduler/types.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;

namespace {

constexpr int64_t kImmediate = 1;  // seconds
constexpr int64_t kSystemCritical = 2'000'000'000;

bool is_memory(Signal s) {
  return s == Signal::kMemoryAvailable || s == Signal::kAllocatableMemory;
}

Quantity bytes(uint64_t n) {
  return Quantity::from_int(static_cast<int64_t>(n), Quantity::Format::kBinarySI);
}
// An observation's amount: bytes, or a plain number.
Quantity amount(Signal s, int64_t n) {
  bool counted = resource_of(s) == "inodes" || resource_of(s) == "pids";
  return Quantity::from_int(n,
                            counted ? Quantity::Format::kDecimalSI : Quantity::Format::kBinarySI);
}

Quantity request_of_pod(const Pod& pod, std::string_view resource) {
  auto all = quota::pod_requests(pod.value(), quota::Actual::kLeftOut, quota::Overhead::kCounted);
  auto it = all.find(resource);
  return it == all.end() ? Quantity() : it->second;
}

// What of a pod lies on the file system that a signal is about.
struct Parts {
  bool writable = false, logs = false, volumes = false;
};
Parts parts_of(Signal s, DiskLayout layout) {
  if (!layout.image_fs) return {true, true, true};
  bool images = s == Signal::kImageFsAvailable || s == Signal::kImageFsInodes;
  bool containers = s == Signal::kContainerFsAvailable || s == Signal::kContainerFsInodes;
  if (layout.container_fs) return images ? Parts() : Parts{true, true, true};
  return images || containers ? Parts{true, false, false} : Parts{false, true, true};
}

DiskUse disk_use(const PodUse& use, Parts parts) {
  DiskUse out;
  for (const ContainerUse& c : use.containers) {
    if (parts.writable) out.add(c.writable);
    if (parts.logs) out.add(c.logs);
  }
  if (!parts.volumes) return out;
  for (const auto& [name, v] : use.volumes) out.add(v);
  return out;
}

// How a pod stands in the line: what is evicted first compares less.
struct Standing {
  bool known = true, exceeds = false;
  int64_t priority = 0;
  Quantity above;  // its request
  bool operator<(const Standing& o) const {
    if (known != o.known) return !known;
    if (exceeds != o.exceeds) return exceeds;
    if (priority != o.priority) return priority < o.priority;
    return above > o.above;
  }
};

Standing standing(const Candidate& c, Signal s, DiskLayout layout) {
  Standing out;
  out.priority = c.pod->spec().priority();
  out.known = c.use != nullptr;
  if (!out.known) return out;
  std::string_view resource = resource_of(s);
  if (resource == "pids") {
    out.above = Quantity::from_int(static_cast<int64_t>(c.use->processes));
    return out;
  }
  Quantity used, request;
  if (resource == "memory") {
    used = bytes(c.use->working_set_bytes);
    request = request_of_pod(*c.pod, "memory");
    out.exceeds = used > request;
  } else {
    DiskUse disk = disk_use(*c.use, parts_of(s, layout));
    used = bytes(resource == "inodes" ? disk.inodes : disk.bytes);
    request = request_of_pod(*c.pod, "ephemeral-storage");
    out.exceeds = resource == "inodes" ? used.sign() > 0 : used > request;
  }
  out.above = used;
  out.above.sub(request);
  return out;
}

std::string using_text(std::string_view what, std::string_view name, const Quantity& used,
                       const Quantity& request, std::string_view resource) {
  return std::string(what) + " " + std::string(name) + " was using " + used.to_string() +
         ", request is " + request.to_string() + ", has larger consumption of " +
         std::string(resource) + ". ";
}

// "Threshold quantity: ..." of the first that is about `resource`.
std::string threshold_text(std::string_view resource, const std::vector<Threshold>& crossed,
                           const Observations& seen) {
  for (const Threshold& t : crossed) {
    auto it = seen.find(t.signal);
    if (resource_of(t.signal) != resource || it == seen.end()) continue;
    return "Threshold quantity: " + t.value.of(it->second.capacity).to_string() +
           ", available: " + amount(t.signal, it->second.available).to_string() + ". ";
  }
  return "";
}

// Containers that use more than they asked for, and the pod when it asks as a whole.
std::string offenders_text(const Candidate& c, std::string_view resource) {
  std::string out;
  if (resource == "memory" && quota::has_pod_level_resources(c.pod->value())) {
    std::string_view request = c.pod->spec().resources().requests().get(resource);
    if (!request.empty())
      out += using_text("Pod", c.pod->metadata().name(), bytes(c.use->working_set_bytes),
                        Quantity::parse_or_zero(request), resource);
  }
  if (resource != "memory" && resource != "ephemeral-storage") return out;
  for (const ContainerUse& u : c.use->containers) {
    FoundContainer found = find_container(*c.pod, u.name);
    if (!found.container || found.role == Role::kEphemeral) continue;
    Quantity used =
        resource == "memory" ? bytes(u.working_set_bytes) : bytes(u.writable.bytes + u.logs.bytes);
    Quantity request =
        Quantity::parse_or_zero(found.container.resources().requests().get(resource));
    if (used > request) out += using_text("Container", u.name, used, request, resource);
  }
  return out;
}

bool tolerates_memory_pressure(const Pod& pod) {
  const scheduler::Taint taint{"node.kubernetes.io/memory-pressure", "", "NoSchedule"};
  for (auto t : pod.spec().tolerations()) {
    scheduler::Toleration one{std::string(t.key()), std::string(t.operator_()),
                              std::string(t.value()), std::string(t.effect())};
    if (scheduler::tolerates(one, taint)) return true;
  }
  return false;
}

Eviction excess(std::string message, const char* signal) {
  return {std::move(message), kImmediate, false, signal};
}

}  // namespace

bool crossed(const Threshold& t, const Observations& seen, bool reclaiming) {
  auto it = seen.find(t.signal);
  if (it == seen.end()) return false;
  Quantity wanted = t.value.of(it->second.capacity);
  if (reclaiming && t.minimum_reclaim) wanted.add(t.minimum_reclaim->of(it->second.capacity));
  return wanted > Quantity::from_int(it->second.available);
}

std::vector<Threshold> PressureWatch::observe(const Observations& seen, TimePoint now) {
  std::vector<Crossed> met;
  auto meet = [&](const Threshold& t) {
    for (const Crossed& m : met)
      if (m.threshold.same(t)) return;
    TimePoint since = now;
    for (const Crossed& before : crossed_)
      if (before.threshold.same(t)) since = before.since;
    met.push_back({t, since});
  };
  for (const Threshold& t : thresholds_)
    if (crossed(t, seen, false)) meet(t);
  for (const Threshold& t : acted_upon_)
    if (crossed(t, seen, true)) meet(t);
  crossed_ = std::move(met);
  for (const Crossed& c : crossed_) last_seen_[pressure_of(c.threshold.signal)] = now;
  pressures_.clear();
  for (const auto& [p, at] : last_seen_)
    if (at == now || now - at < transition_) pressures_.insert(p);
  std::vector<Threshold> out;
  for (const Crossed& c : crossed_)
    if (now - c.since >= c.threshold.grace) out.push_back(c.threshold);
  acted_upon_ = out;
  std::stable_sort(out.begin(), out.end(), [](const Threshold& a, const Threshold& b) {
    return is_memory(a.signal) && !is_memory(b.signal);
  });
  return out;
}

bool PressureWatch::relieved(const Observations& seen) const {
  return std::none_of(thresholds_.begin(), thresholds_.end(),
                      [&](const Threshold& t) { return crossed(t, seen, true); });
}

bool is_critical(const Pod& pod) {
  auto notes = pod.metadata().annotations();
  std::string_view source = notes.get("kubernetes.io/config.source");
  bool fixed =
      (!source.empty() && source != "api") || notes.contains("kubernetes.io/config.mirror");
  return fixed || pod.spec().priority() >= kSystemCritical;
}

std::string pressure_objection(const Pod& pod, const std::set<Pressure>& pressures) {
  if (pressures.empty() || is_critical(pod)) return "";
  bool only_memory = pressures.size() == 1 && pressures.contains(Pressure::kMemory);
  if (only_memory && (qos_of(pod) != Qos::kBestEffort || tolerates_memory_pressure(pod))) return "";
  std::string names;
  for (Pressure p : pressures) names += (names.empty() ? "" : " ") + std::string(condition_name(p));
  return "The node had condition: [" + names + "]. ";
}

DiskUse PodUse::ephemeral() const {
  DiskUse out = other;
  for (const ContainerUse& c : containers) {
    out.add(c.writable);
    out.add(c.logs);
  }
  for (const auto& [name, v] : volumes) out.add(v);
  return out;
}

std::vector<Candidate> rank(std::vector<Candidate> pods, Signal signal, DiskLayout layout) {
  std::vector<std::pair<Standing, Candidate>> line;
  for (const Candidate& c : pods) line.emplace_back(standing(c, signal, layout), c);
  std::stable_sort(line.begin(), line.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < line.size(); ++i) pods[i] = line[i].second;
  return pods;
}

Reclaim reclaim_first(Signal signal, DiskLayout layout) {
  if (pressure_of(signal) != Pressure::kDisk) return {};
  if (!layout.image_fs) return {true, true};
  bool images = signal == Signal::kImageFsAvailable || signal == Signal::kImageFsInodes;
  if (layout.container_fs) return images ? Reclaim{false, true} : Reclaim{true, false};
  bool node = signal == Signal::kNodeFsAvailable || signal == Signal::kNodeFsInodes;
  return node ? Reclaim() : Reclaim{true, true};
}

Duration patience(const Eviction& e) {
  const Duration end = std::chrono::milliseconds(1500) * std::max<int64_t>(e.grace_seconds, 0);
  return std::max<Duration>(end, 10s) + 30s;
}

Eviction pressure_eviction(const Candidate& pod, const Threshold& cause,
                           const std::vector<Threshold>& crossed, const Observations& seen,
                           int64_t max_pod_grace_seconds) {
  Eviction out;
  out.signal = signal_name(cause.signal);
  out.disruption = true;
  out.grace_seconds = kImmediate;
  if (!cause.hard()) {
    out.grace_seconds = max_pod_grace_seconds;
    auto spec = pod.pod->spec();
    if (spec.has_termination_grace_period_seconds())
      out.grace_seconds =
          std::min<int64_t>(out.grace_seconds, spec.termination_grace_period_seconds());
  }
  std::string_view resource = resource_of(cause.signal);
  out.message = "The node was low on resource: " + std::string(resource) + ". " +
                threshold_text(resource, crossed, seen);
  if (pod.use) out.message += offenders_text(pod, resource);
  return out;
}

bool has_storage_limits(const Pod& pod) {
  for (auto v : pod.spec().volumes())
    if (v.empty_dir() && Quantity::parse_or_zero(v.empty_dir().size_limit()).sign() > 0)
      return true;
  auto limits = quota::pod_limits(pod.value(), quota::Actual::kLeftOut, quota::Overhead::kCounted);
  return limits.contains("ephemeral-storage");
}

std::optional<Eviction> storage_excess(const Pod& pod, const PodUse& use, DiskLayout layout) {
  for (auto v : pod.spec().volumes()) {
    auto used = use.volumes.find(std::string(v.name()));
    if (!v.empty_dir() || used == use.volumes.end()) continue;
    Quantity limit = Quantity::parse_or_zero(v.empty_dir().size_limit());
    if (limit.sign() > 0 && bytes(used->second.bytes) > limit)
      return excess("Usage of EmptyDir volume " + quoted(v.name()) + " exceeds the limit " +
                        quoted(limit.to_string()) + ". ",
                    "emptydirfs.limit");
  }
  auto limits = quota::pod_limits(pod.value(), quota::Actual::kLeftOut, quota::Overhead::kCounted);
  auto whole = limits.find("ephemeral-storage");
  if (whole != limits.end() && bytes(use.ephemeral().bytes) > whole->second)
    return excess("Pod ephemeral local storage usage exceeds the total limit of containers " +
                      whole->second.to_string() + ". ",
                  "ephemeralpodfs.limit");
  for (const ContainerUse& u : use.containers) {
    FoundContainer found = find_container(pod, u.name);
    if (!found.container || found.role != Role::kMain) continue;
    Quantity limit =
        Quantity::parse_or_zero(found.container.resources().limits().get("ephemeral-storage"));
    uint64_t used = u.logs.bytes + (layout.image_fs ? 0 : u.writable.bytes);
    if (!limit.is_zero() && bytes(used) > limit)
      return excess("Container " + u.name + " exceeded its local ephemeral storage limit " +
                        quoted(limit.to_string()) + ". ",
                    "ephemeralcontainerfs.limit");
  }
  return std::nullopt;
}

}  // namespace keles::node
