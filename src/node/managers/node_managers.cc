#include "node/managers/node_managers.h"

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "base/text_parts.h"
#include "node/cgroup/allocatable.h"
#include "node/dra/cdi.h"
#include "node/podresources/pod_resources.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;

Status parse_reserved_memory(const std::string& text, ReservedMemory* out) {
  const size_t colon = text.find(':');
  int node = -1;
  const char* end = text.data() + (colon == std::string::npos ? 0 : colon);
  auto [at, error] = std::from_chars(text.data(), end, node);
  if (colon == std::string::npos || error != std::errc() || at != end || node < 0)
    return Status::bad_request("invalid memory reservation \"" + text +
                               "\": want NODE:memory=QUANTITY");
  for (std::string_view one : split(std::string_view(text).substr(colon + 1), ',')) {
    const size_t eq = one.find('=');
    const std::string name(one.substr(0, eq));
    if (eq == one.npos)
      return Status::bad_request("invalid memory reservation \"" + text +
                                 "\": want NODE:memory=QUANTITY");
    TRY_ASSIGN(amount, Quantity::parse(one.substr(eq + 1)));
    if (name != "memory" && !name.starts_with("hugepages-"))
      return Status::bad_request("memory type \"" + name +
                                 "\" not supported, must be either memory or hugepages");
    if (amount.sign() <= 0)
      return Status::bad_request("reserved memory may not be zero for NUMA node " +
                                 std::to_string(node) + " and resource \"" + name + "\"");
    if (!(*out)[node].emplace(name, static_cast<uint64_t>(amount.value())).second)
      return Status::bad_request("the reserved memory has a duplicate value for NUMA node " +
                                 std::to_string(node) + " and resource \"" + name + "\"");
  }
  return {};
}

NodeManagers::NodeManagers(Context ctx, ManagerSettings settings, Client& client,
                           cri::Runtime& runtime, ManagersHost& host)
    : ctx_(ctx),
      settings_(std::move(settings)),
      runtime_(runtime),
      host_(host),
      dra_plugins_(ctx, client, settings_.node),
      claims_(ctx, client, dra_plugins_),
      tasks_(ctx.loop()) {}

Result<std::unique_ptr<NodeManagers>> NodeManagers::make(Context ctx, ManagerSettings settings,
                                                         Client& client, cri::Runtime& runtime,
                                                         ManagersHost& host) {
  const ManagerOptions o = settings.options;
  std::unique_ptr<NodeManagers> out(
      new NodeManagers(ctx, std::move(settings), client, runtime, host));
  auto machine = read_topology(out->settings_.sys, out->settings_.memory_bytes);
  // Where the kernel does not tell, nothing can be given to one alone.
  const bool needed =
      o.cpu_policy != "none" || o.memory_policy != "None" || o.topology.policy != "none";
  if (!machine.ok() && needed) return machine.status();
  if (machine.ok()) out->machine_ = std::move(*machine);
  TRY_ASSIGN(topology, TopologyManager::make(o.topology, out->machine_));
  out->topology_ = std::move(topology);
  auto reserved = [&](const char* name) {
    auto it = out->settings_.reserved.find(name);
    return it == out->settings_.reserved.end() ? Quantity() : it->second;
  };

  CpuManagerSettings cpu;
  cpu.policy = o.cpu_policy;
  cpu.options = o.cpu_options;
  cpu.reserved_milli = reserved("cpu").milli_value();
  if (!o.reserved_cpus.empty()) {
    auto set = CpuSet::parse(o.reserved_cpus);
    if (!set.ok()) return set.status().with_prefix("unable to parse reserved-cpus list");
    if (!set->within(out->machine_.cpus.cpus()))
      return Status::bad_request(
          "reserved-cpus: " + o.reserved_cpus +
          " is not a subset of online-cpus: " + out->machine_.cpus.cpus().to_string());
    cpu.reserved = *set;
  }
  TRY_ASSIGN(cpus, CpuManager::make(cpu, &out->machine_, &out->topology_));
  out->cpus_ = std::move(cpus);

  MemoryManagerSettings memory;
  memory.policy = o.memory_policy;
  memory.reserved = o.reserved_memory;
  memory.node_reserved = out->settings_.reserved;
  TRY_ASSIGN(manager, MemoryManager::make(memory, &out->machine_, &out->topology_));
  out->memory_ = std::move(manager);

  DeviceManager::Settings devices;
  devices.directory = out->settings_.root + "/device-plugins";
  devices.numa_nodes = out->machine_.numa_nodes();
  out->devices_ = std::make_unique<DeviceManager>(ctx, std::move(devices), &out->topology_);

  out->topology_.add(out->devices_.get());
  out->topology_.add(out->cpus_.get());
  out->topology_.add(out->memory_.get());
  return out;
}

Status NodeManagers::start(PluginRegistry& plugins) {
  auto living = [this] { return this->living(); };
  cpus_->use(living);
  memory_->use(living);
  devices_->use(living);
  claims_.use(living);
  devices_->on_change([this](std::set<std::string> pods) {
    host_.capacity_changed();
    for (const std::string& uid : pods) host_.status_changed(uid);
  });
  dra_plugins_.on_health([this](const std::string& driver, const auto& devices) {
    for (const std::string& uid : claims_.pods_with(driver, devices)) host_.status_changed(uid);
  });
  TRY(cpus_->start(settings_.root));
  TRY(memory_->start(settings_.root));
  TRY(claims_.start(settings_.root));
  TRY(devices_->start());
  plugins.handle(kDevicePlugin, devices_.get());
  plugins.handle(kDraPlugin, &dra_plugins_);
  PodResourcesSource source;
  source.cpus = cpus_.get();
  source.memory = memory_.get();
  source.devices = devices_.get();
  source.claims = &claims_;
  source.pods = [this] { return host_.living_pods(); };
  TRY_ASSIGN(server, serve_pod_resources(ctx_.loop(), settings_.root + "/pod-resources",
                                         std::move(source)));
  pod_resources_ = std::move(server);
  dra_plugins_.start();
  tasks_.spawn(claims_.keep_tidy());
  if (cpus_->exclusive_policy()) tasks_.spawn(reconcile_cpus(this));
  return {};
}

Task<void> NodeManagers::stop() {
  if (pod_resources_) co_await pod_resources_->stop();
  if (devices_) co_await devices_->stop();
  co_await dra_plugins_.stop();
  co_await tasks_.join();
}

const LivingContainers* NodeManagers::living() {
  if (!host_.pods_known()) return nullptr;
  living_.clear();
  for (const Ref<Pod>& pod : host_.living_pods()) {
    auto& names = living_[std::string(pod->metadata().uid())];
    for (const Container& c : lasting_containers(*pod)) names.emplace(c.name());
  }
  return &living_;
}

// --- what the workers ask ---

Task<Refused> NodeManagers::allocate(Context ctx, Ref<Pod> pod) {
  const CpuSet shared = cpus_->state().shared();
  if (const LivingContainers* pods = living()) topology_.keep_only(*pods);
  Refused why = co_await topology_.admit(ctx, pod);
  if (cpus_->state().shared() != shared) moved_.set();
  co_return why;
}

Task<Status> NodeManagers::prepare(Context ctx, Ref<Pod> pod) {
  return claims_.prepare(ctx, std::move(pod));
}
Task<Status> NodeManagers::unprepare(Context ctx, Ref<Pod> pod) {
  return claims_.unprepare(ctx, std::move(pod));
}
bool NodeManagers::holds_claims(const std::string& pod_uid) const { return claims_.holds(pod_uid); }

Task<Result<ContainerExtras>> NodeManagers::extras(Context ctx, Ref<Pod> pod, Container container) {
  auto claimed = claims_.cdi_devices(*pod, container);
  if (!claimed.ok()) co_return claimed.status();
  auto got = co_await devices_->extras(ctx, pod, container);
  if (!got.ok()) co_return got.status();
  ContainerExtras out = std::move(*got);
  std::vector<std::string> cdi = std::move(*claimed);
  cdi.insert(cdi.end(), out.cdi_devices.begin(), out.cdi_devices.end());
  out.cdi_devices = std::move(cdi);
  if (settings_.inject_cdi && settings_.inject_cdi() && !out.cdi_devices.empty()) {
    Status injected = inject_cdi(kCdiDirectories, out.cdi_devices, &out);
    if (!injected.ok()) co_return injected;
    out.cdi_devices.clear();
  }
  const std::string uid(pod->metadata().uid()), name(container.name());
  out.cpuset_cpus = cpus_->cpus_of(uid, name).to_string();
  out.cpuset_mems = memory_->nodes_of(uid, name);
  out.exclusive_cpus = cpus_->exclusive(uid, name) != nullptr;
  co_return out;
}

bool NodeManagers::exclusive_cpus(const std::string& pod_uid) const {
  return cpus_->state().all().contains(pod_uid);
}

// What was given as a container's own stays as it is.
std::string NodeManagers::resize_objection(const Pod& wanted, const Pod& given) const {
  if (qos_of(wanted) != Qos::kGuaranteed) return "";
  auto differs = [&](std::string_view resource) {
    const std::vector<Container> before = lasting_containers(given);
    const std::vector<Container> after = lasting_containers(wanted);
    for (size_t i = 0; i < after.size() && i < before.size(); ++i) {
      const auto a = Quantity::parse_or_zero(before[i].resources().requests().get(resource));
      const auto b = Quantity::parse_or_zero(after[i].resources().requests().get(resource));
      if (!(a == b)) return true;
    }
    return false;
  };
  if (cpus_->exclusive_policy() && differs("cpu"))
    return "Resize is infeasible for Guaranteed Pods alongside CPU Manager policy \"static\"";
  if (settings_.options.memory_policy == "Static" && differs("memory"))
    return "Resize is infeasible for Guaranteed Pods alongside Memory Manager policy \"Static\"";
  return "";
}

void NodeManagers::fill_status(const Pod& pod, api::core_v1::PodStatusEdit status) {
  devices_->fill_status(pod, status);
  claims_.fill_status(pod, status);
}

// --- CPUs of containers that run ---

Task<void> NodeManagers::reconcile_cpus(NodeManagers* self) {
  while (!self->ctx_.done()) {
    (void)co_await self->moved_.wait(
        self->ctx_.with_timeout(self->settings_.options.cpu_reconcile_period));
    self->moved_.reset();
    if (self->ctx_.done()) co_return;
    self->cpus_->release_stale();
    co_await self->set_cpus(self->ctx_);
  }
}

// Containers that share leave CPUs that became another's, and get back what became free.
Task<void> NodeManagers::set_cpus(Context ctx) {
  const std::vector<ManagersHost::Running> running = host_.running_containers();
  std::set<std::string> ids;
  for (const ManagersHost::Running& c : running) {
    ids.insert(c.id);
    const CpuSet cpus = cpus_->cpus_of(c.pod, c.container);
    auto told = applied_.find(c.id);
    if (cpus.empty() || (told != applied_.end() && told->second == cpus)) continue;
    cri::Resources resources;
    resources.cpuset_cpus = cpus.to_string();
    Status s = co_await runtime_.update_resources(ctx.with_timeout(30s), c.id, resources);
    if (ctx.done()) co_return;
    if (s.ok()) {
      applied_[c.id] = cpus;
    } else {
      log::warn("Cannot set a container's CPUs",
                {{"container", c.container}, {"cpus", resources.cpuset_cpus}, {"error", s}});
    }
  }
  std::erase_if(applied_, [&](const auto& entry) { return !ids.contains(entry.first); });
}

}  // namespace keles::node
