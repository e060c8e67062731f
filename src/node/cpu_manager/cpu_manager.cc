#include "node/cpu_manager/cpu_manager.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "machinery/quota/pod_resources.h"
#include "node/cgroup/resources.h"
#include "node/pods/plan.h"
#include "node/topology/options.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;

namespace {

constexpr CpuMap::Part kNuma = &CpuPlace::numa, kSocket = &CpuPlace::socket,
                       kCore = &CpuPlace::core;

metrics::Counter& requests() {
  static metrics::Counter& c =
      metrics::counter("kubelet_cpu_manager_pinning_requests_total",
                       "The number of cpu core allocations which required pinning.", {});
  return c;
}
metrics::Counter& errors() {
  static metrics::Counter& c =
      metrics::counter("kubelet_cpu_manager_pinning_errors_total",
                       "The number of cpu core allocations which required pinning failed.", {});
  return c;
}
metrics::Gauge& pool() {
  static metrics::Gauge& g = metrics::gauge(
      "kubelet_cpu_manager_shared_pool_size_millicores",
      "The size of the shared CPU pool for non-guaranteed QoS pods, in millicores.", {});
  return g;
}
metrics::Gauge& exclusive_count() {
  static metrics::Gauge& g = metrics::gauge(
      "kubelet_cpu_manager_exclusive_cpu_allocation_count",
      "The total number of CPUs exclusively allocated to containers running on this node", {});
  return g;
}
metrics::Gauge& per_numa() {
  static metrics::Gauge& g =
      metrics::gauge("kubelet_cpu_manager_allocation_per_numa",
                     "Number of CPUs allocated per NUMA node", {"numa_node"});
  return g;
}

Status failed(const std::string& what) { return Status(Reason::kUnknown, what); }
Status bad(const std::string& what) { return Status::bad_request(what); }
std::string quoted(const std::string& s) { return "\"" + s + "\""; }

Status exclude(bool a, bool b, const char* first, const char* second) {
  if (!a || !b) return {};
  return bad(std::string("static policy options ") + first + " and " + second +
             " can not be used at the same time");
}

}  // namespace

Result<StaticCpuOptions> parse_cpu_options(const std::map<std::string, std::string>& options,
                                           bool alpha) {
  StaticCpuOptions out;
  const std::map<std::string_view, bool*> known = {
      {"full-pcpus-only", &out.full_cores},
      {"strict-cpu-reservation", &out.strict},
      {"prefer-align-cpus-by-uncorecache", &out.take.by_cache},
      {"distribute-cpus-across-numa", &out.take.spread_numa},
      {"align-by-socket", &out.by_socket},
      {"distribute-cpus-across-cores", &out.take.spread_cores}};
  for (const auto& [name, value] : options) {
    auto option = known.find(name);
    if (option == known.end()) return bad("unknown CPU Manager Policy option: " + quoted(name));
    if (!alpha && (option->second == &out.by_socket || option->second == &out.take.spread_cores))
      return bad("CPU Manager Policy Alpha-level Options not enabled, but option " + quoted(name) +
                 " provided");
    TRY_ASSIGN(on, parse_switch(name, value));
    *option->second = on;
  }
  const TakeOptions& t = out.take;
  const char *cores = "distribute-cpus-across-cores", *numa = "distribute-cpus-across-numa",
             *cache = "prefer-align-cpus-by-uncorecache";
  TRY(exclude(out.full_cores, t.spread_cores, "full-pcpus-only", cores));
  TRY(exclude(t.spread_numa, t.spread_cores, numa, cores));
  TRY(exclude(t.by_cache, t.spread_cores, cache, cores));
  TRY(exclude(t.by_cache, t.spread_numa, cache, numa));
  return out;
}

int exclusive_cpus(const Pod& pod, const Container& container) {
  if (qos_of(pod) != Qos::kGuaranteed || quota::has_pod_level_resources(pod.value())) return 0;
  const int64_t milli = milli_value(container.resources().requests().get("cpu"));
  return milli % 1000 == 0 && milli <= int64_t{CpuSet::kMost} * 1000
             ? static_cast<int>(milli / 1000)
             : 0;
}

int exclusive_cpus(const Pod& pod) {
  int starting = 0, sidecars = 0, main = 0;
  for (Container c : pod.spec().init_containers()) {
    const int n = exclusive_cpus(pod, c);
    if (is_sidecar(c)) {
      sidecars += n;
    } else {
      starting = std::max(starting, sidecars + n);
    }
  }
  for (Container c : pod.spec().containers()) main += exclusive_cpus(pod, c);
  return std::max(starting, main + sidecars);
}

Result<std::unique_ptr<CpuManager>> CpuManager::make(const CpuManagerSettings& settings,
                                                     const Topology* machine,
                                                     const TopologyManager* topology,
                                                     bool alpha_options) {
  std::unique_ptr<CpuManager> out(new CpuManager(machine, topology));
  if (settings.policy == "none") {
    if (!settings.options.empty())
      return bad("new none policy error: None policy: received unsupported options");
    return out;
  }
  if (settings.policy != "static") return bad("unknown policy: " + quoted(settings.policy));
  out->static_ = true;
  if (settings.reserved_milli <= 0)
    return bad(
        "[cpumanager] the static policy requires systemreserved.cpu + kubereserved.cpu to be "
        "greater than zero");
  auto options = parse_cpu_options(settings.options, alpha_options);
  if (!options.ok()) return options.status().with_prefix("new static policy error");
  out->options_ = *options;
  if (out->options_.full_cores) out->options_.take.group = machine->cpus_per(kCore);
  if (out->options_.by_socket) {
    if (topology->policy() == TopologyPolicy::kSingleNuma)
      return bad(
          "new static policy error: Topolgy manager single-numa-node policy is incompatible "
          "with CPUManager align-by-socket policy option");
    if (machine->count(kSocket) > machine->count(kNuma))
      return bad(
          "new static policy error: Align by socket is not compatible with hardware where "
          "number of sockets are more than number of NUMA");
  }
  const int count = static_cast<int>((settings.reserved_milli + 999) / 1000);
  if (!settings.reserved.empty()) {
    out->reserved_ = settings.reserved;
  } else {
    auto taken = take_cpus(*machine, machine->cpus.cpus(), count, out->options_.take);
    if (taken.ok()) out->reserved_ = *taken;
  }
  if (out->reserved_.size() != count)
    return bad(
        "new static policy error: [cpumanager] unable to reserve the required amount of CPUs "
        "(size of " +
        out->reserved_.to_string() + " did not equal " + std::to_string(count) + ")");
  const CpuMap& cpus = machine->cpus;
  out->reserved_cores_ = cpus.in(kCore, cpus.only(out->reserved_).all(kCore));
  return out;
}

Status CpuManager::start(const std::string& directory) {
  TRY_ASSIGN(state, CpuState::open(directory, static_ ? "static" : "none"));
  state_ = std::move(state);
  if (!static_) return {};
  TRY(validate());
  tell();
  return {};
}

// What an earlier agent gave must be what this machine and these settings could have given.
Status CpuManager::validate() {
  const CpuSet every = machine_->cpus.cpus(), shared = state_.shared();
  if (shared.empty()) {
    if (!state_.all().empty()) return failed("default cpuset cannot be empty");
    return state_.share(options_.strict ? every - reserved_ : every);
  }
  const CpuSet both = reserved_ & shared;
  if (options_.strict && !both.empty())
    return failed("some of strictly reserved cpus: " + quoted(both.to_string()) +
                  " are present in defaultCpuSet: " + quoted(shared.to_string()));
  if (!options_.strict && both != reserved_)
    return failed("not all reserved cpus: " + quoted(reserved_.to_string()) +
                  " are present in defaultCpuSet: " + quoted(shared.to_string()));
  CpuSet known = shared;
  for (const auto& [pod, containers] : state_.all()) {
    for (const auto& [name, cpus] : containers) {
      if (!(shared & cpus).empty())
        return failed("pod: " + pod + ", container: " + name +
                      " cpuset: " + quoted(cpus.to_string()) + " overlaps with default cpuset " +
                      quoted(shared.to_string()));
      known = known | cpus;
    }
  }
  // With strict reservation the reserved ones are nobody's.
  const CpuSet expected = options_.strict ? every - reserved_ : every;
  if (known != expected)
    return failed("current set of available CPUs " + quoted(expected.to_string()) +
                  " doesn't match with CPUs in state " + quoted(known.to_string()));
  return {};
}

CpuSet CpuManager::cpus_of(const std::string& pod, const std::string& container) const {
  const CpuSet* own = state_.of(pod, container);
  return own ? *own : state_.shared();
}

const CpuSet* CpuManager::exclusive(const std::string& pod, const std::string& container) const {
  return state_.of(pod, container);
}

CpuSet CpuManager::allocatable() const {
  return static_ ? machine_->cpus.cpus() - reserved_ : CpuSet();
}

void CpuManager::release_stale() {
  const LivingContainers* living = living_ ? living_() : nullptr;
  if (!living || !static_) return;
  std::vector<std::pair<std::string, std::string>> gone;
  for (const auto& [pod, containers] : state_.all()) {
    auto lives = living->find(pod);
    for (const auto& [name, cpus] : containers)
      if (lives == living->end() || !lives->second.contains(name)) gone.emplace_back(pod, name);
  }
  for (const auto& [pod, name] : gone) {
    CpuSet cpus = *state_.of(pod, name);
    // An init container's may be a later container's too.
    auto siblings = state_.all().find(pod);
    if (siblings != state_.all().end())
      for (const auto& [other, theirs] : siblings->second)
        if (other != name) cpus = cpus - theirs;
    if (!state_.take_back(pod, name, cpus).ok()) break;  // it is logged; the next time
    log::info("CPUs are shared again", {{"uid", pod}, {"container", name}});
  }
  if (!gone.empty()) tell();
}

void CpuManager::tell() const {
  const CpuSet own = state_.exclusive();
  pool().set(1000.0 * free().size());
  exclusive_count().set(own.size());
  for (int node : machine_->cpus.all(kNuma))
    per_numa().with({std::to_string(node)}).set((own & machine_->cpus.in(kNuma, node)).size());
}

// --- hints ---

std::vector<TopologyHint> CpuManager::hints_for(const CpuSet& free, const CpuSet& reusable,
                                                int count) const {
  const CpuMap& cpus = machine_->cpus;
  int smallest = cpus.all(kNuma).size();
  std::vector<TopologyHint> out;
  for_each_mask(cpus.all(kNuma).list(), [&](NumaMask mask) {
    const CpuSet in = cpus.in(kNuma, mask.set());
    if (in.size() >= count) smallest = std::min(smallest, mask.count());
    if (!reusable.within(in)) return;  // what the pod has already is to be used
    if (((free - reusable) & in).size() + reusable.size() >= count) out.emplace_back(mask, false);
  });
  prefer_smallest(out, smallest);
  const int sockets = machine_->count(kSocket);
  const int per_socket = sockets == 0 ? 0 : machine_->count(kNuma) / sockets;
  if (!options_.by_socket || per_socket == 0) return out;
  const int fewest = (smallest + per_socket - 1) / per_socket;
  for (TopologyHint& h : out)
    if (cpus.of(kSocket, kNuma, h.affinity->set()).size() == fewest) h.preferred = true;
  return out;
}

ResourceHints CpuManager::hints(const Pod& pod, const Container& container) {
  const int count = static_ ? exclusive_cpus(pod, container) : 0;
  if (count == 0) return {};
  release_stale();
  const std::string uid(pod.metadata().uid());
  ResourceHints out;
  std::vector<TopologyHint> list;
  if (const CpuSet* own = state_.of(uid, std::string(container.name()))) {
    if (own->size() == count) list = hints_for(*own, {}, count);
  } else {
    list = hints_for(free(), reuse_pod_ == uid ? reuse_ : CpuSet(), count);
  }
  out["cpu"] = std::move(list);
  return out;
}

ResourceHints CpuManager::pod_hints(const Pod& pod) {
  const int count = static_ ? exclusive_cpus(pod) : 0;
  if (count == 0) return {};
  release_stale();
  const std::string uid(pod.metadata().uid());
  CpuSet own;
  ResourceHints out;
  out["cpu"].emplace();
  for (const Container& c : lasting_containers(pod)) {
    const CpuSet* its = state_.of(uid, std::string(c.name()));
    if (!its) continue;
    if (its->size() != exclusive_cpus(pod, c)) return out;
    own = own | *its;
  }
  if (own.size() == count) {
    out["cpu"] = hints_for(own, {}, count);
  } else {
    out["cpu"] = hints_for(free(), (reuse_pod_ == uid ? reuse_ : CpuSet()) | own, count);
  }
  return out;
}

// --- giving ---

Refused CpuManager::misaligned(int count) const {
  if (!options_.full_cores) return std::nullopt;
  const int threads = machine_->cpus_per(kCore);
  if (count % threads != 0)
    return Refusal("SMTAlignmentError",
                   "SMT Alignment Error: requested " + std::to_string(count) +
                       " cpus not multiple cpus per core = " + std::to_string(threads));
  const int whole = (state_.shared() - reserved_cores_).size();
  if (count > whole)
    return Refusal(
        "SMTAlignmentError",
        "SMT Alignment Error: not enough free physical CPUs: available physical CPUs = " +
            std::to_string(whole) + ", requested CPUs = " + std::to_string(count) +
            ", CPUs per core = " + std::to_string(threads));
  return std::nullopt;
}

// As many as can be had where the hint says, the others from anywhere.
Result<CpuSet> CpuManager::choose(int count, const TopologyHint& hint,
                                  const CpuSet& reusable) const {
  const CpuSet able = free() | reusable;
  CpuSet out;
  if (hint.affinity) {
    const CpuMap& cpus = machine_->cpus;
    CpuSet there = hint.affinity->set();
    CpuSet near = options_.by_socket ? cpus.in(kSocket, cpus.of(kSocket, kNuma, there))
                                     : cpus.in(kNuma, there);
    near = near & able;
    TRY_ASSIGN(taken, take_cpus(*machine_, near, std::min(count, near.size()), options_.take));
    out = taken;
  }
  TRY_ASSIGN(rest, take_cpus(*machine_, able - out, count - out.size(), options_.take));
  return out | rest;
}

void CpuManager::note_reuse(const Pod& pod, std::string_view container, const CpuSet& cpus) {
  const std::string uid(pod.metadata().uid());
  if (reuse_pod_ != uid) reuse_ = CpuSet();
  reuse_pod_ = uid;
  for (Container c : pod.spec().init_containers()) {
    if (c.name() != container || is_sidecar(c)) continue;
    reuse_ = reuse_ | cpus;
    return;
  }
  reuse_ = reuse_ - cpus;
}

Refused CpuManager::give(const Pod& pod, const Container& container, int count) {
  const std::string uid(pod.metadata().uid()), name(container.name());
  if (Refused why = misaligned(count)) return why;
  if (const CpuSet* own = state_.of(uid, name)) {
    note_reuse(pod, name, *own);
    return std::nullopt;
  }
  auto cpus = choose(count, topology_->affinity(uid, name), reuse_pod_ == uid ? reuse_ : CpuSet());
  if (!cpus.ok()) return unexpected(cpus.status());
  Status kept = state_.give(uid, name, *cpus);
  if (!kept.ok()) return unexpected(kept);
  note_reuse(pod, name, *cpus);
  log::info("A container has CPUs of its own",
            {{"uid", uid}, {"container", name}, {"cpus", cpus->to_string()}});
  tell();
  return std::nullopt;
}

Task<Refused> CpuManager::allocate(Context, Ref<Pod> pod, Container container) {
  release_stale();
  const int count = static_ ? exclusive_cpus(*pod, container) : 0;
  if (count == 0) co_return std::nullopt;
  requests().add();
  Refused why = give(*pod, container, count);
  if (why) errors().add();
  co_return why;
}

}  // namespace keles::node
