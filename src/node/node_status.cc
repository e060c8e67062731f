#include "node/node_status.h"

#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "api/coordination_v1.h"
#include "base/file.h"
#include "base/list_text.h"
#include "base/log.h"
#include "base/recurring.h"
#include "base/text_parts.h"
#include "machinery/quantity.h"
#include "machinery/time.h"

namespace keles::node {

using api::core_v1::Node;
using api::core_v1::NodeCondition;
using api::core_v1::NodeEdit;
using api::core_v1::NodeStatusEdit;

namespace {

constexpr Duration kLeasePeriod = 10s;
constexpr Duration kHeartbeat = 5min;
constexpr Duration kLook = 10s;
constexpr size_t kMaxImages = 50;

std::string trimmed_file(const std::string& path) {
  auto text = read_file(path, 4096);
  if (!text.ok()) return "";
  return std::string(trim_right(*text));
}

std::string os_release_name() {
  auto text = read_file("/etc/os-release", 65536);
  if (!text.ok()) return "Linux";
  size_t at = text->find("PRETTY_NAME=");
  if (at == std::string::npos) return "Linux";
  std::string line = text->substr(at + 12, text->find('\n', at) - at - 12);
  std::erase(line, '"');
  return line;
}

// Measured by the node; other names in its capacity are put there by others.
bool is_own_resource(std::string_view name) {
  return name == "cpu" || name == "memory" || name == "ephemeral-storage" || name == "pods" ||
         name.starts_with("hugepages-");
}

std::string kibibytes(int64_t bytes) { return std::to_string(bytes / 1024) + "Ki"; }

// Memory and disks are told in Ki, whatever else would be shorter.
std::string amount_text(std::string_view name, const Quantity& amount) {
  bool bytes = name == "memory" || name == "ephemeral-storage";
  return bytes ? kibibytes(amount.value()) : amount.to_string();
}

}  // namespace

namespace {

// One line of /proc/meminfo, which tells KiB.
int64_t memory_line(std::string_view name) {
  auto text = read_file("/proc/meminfo", 65536);
  if (!text.ok()) return 0;
  size_t at = text->find(name);
  if (at != std::string::npos) at = text->find_first_of("0123456789", at);
  if (at == std::string::npos) return 0;
  int64_t kb = 0;
  std::from_chars(text->data() + at, text->data() + text->size(), kb);
  return kb * 1024;
}

// Whether cgroups of containers count swap: the root of v2 has no file for it, where we are does.
bool counts_swap(const std::string& cgroups, bool unified) {
  if (!unified) return path_exists(cgroups + "/memory/memory.memsw.limit_in_bytes");
  auto own = read_file("/proc/self/cgroup", 65536);
  if (!own.ok()) return false;
  const size_t at = own->find("0::");
  if (at == std::string::npos) return false;
  std::string path = own->substr(at + 3, own->find('\n', at) - at - 3);
  return path_exists(cgroups + path + "/memory.swap.max");
}

}  // namespace

int64_t machine_memory_bytes() { return memory_line("MemTotal:"); }

MachineInfo read_machine(const std::string& root, const std::string& cgroups) {
  MachineInfo m;
  m.cpus = std::max<int64_t>(sysconf(_SC_NPROCESSORS_ONLN), 1);
  m.memory_bytes = machine_memory_bytes();
  m.swap_bytes = memory_line("SwapTotal:");
  m.unified_cgroups = path_exists(cgroups + "/cgroup.controllers");
  m.swap_controlled = counts_swap(cgroups, m.unified_cgroups);
  struct statvfs fs;
  if (statvfs(root.c_str(), &fs) == 0)
    m.disk_bytes = static_cast<int64_t>(fs.f_blocks) * static_cast<int64_t>(fs.f_frsize);
  struct utsname u;
  if (uname(&u) == 0) {
    m.kernel = u.release;
    std::string arch = u.machine;
    m.architecture = arch == "x86_64" ? "amd64" : arch == "aarch64" ? "arm64" : arch;
  }
  m.huge_pages = huge_pages("/sys/kernel/mm/hugepages");
  m.machine_id = trimmed_file("/etc/machine-id");
  m.system_uuid = trimmed_file("/sys/class/dmi/id/product_uuid");
  if (m.system_uuid.empty()) m.system_uuid = m.machine_id;
  m.boot_id = trimmed_file("/proc/sys/kernel/random/boot_id");
  m.os_image = os_release_name();
  return m;
}

quota::ResourceList node_capacity(const MachineInfo& m, int64_t max_pods) {
  constexpr auto kBinary = Quantity::Format::kBinarySI;
  quota::ResourceList out = m.huge_pages;
  for (const char* usual : {"hugepages-1Gi", "hugepages-2Mi"}) out.try_emplace(usual);
  out["cpu"] = Quantity::from_int(m.cpus);
  out["memory"] = Quantity::from_int(m.memory_bytes, kBinary);
  out["ephemeral-storage"] = Quantity::from_int(m.disk_bytes, kBinary);
  out["pods"] = Quantity::from_int(max_pods);
  return out;
}

NodeStatus::NodeStatus(NodeFacts facts, Client& client, cri::Runtime& runtime, Events& events)
    : facts_(std::move(facts)),
      client_(client),
      runtime_(runtime),
      events_(events),
      machine_(read_machine(facts_.root)) {}

Task<void> NodeStatus::run(Context ctx) {
  TaskGroup group(ctx.loop());
  co_await look(ctx);
  Duration pause = 50ms;
  Recurring failing;
  while (!ctx.done()) {
    Status s = co_await register_node(ctx);
    if (s.ok()) break;
    if (failing.news(ctx.loop().now(), s.message())) {
      log::warn("Cannot register the node", {{"node", facts_.name}, {"error", s}});
    }
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, 5s);
  }
  events_.node("Normal", "Starting", "Starting kubelet.");
  group.spawn(keep_lease(ctx));
  while (!ctx.done()) {
    bool heartbeat = ctx.loop().now() - last_report_ >= kHeartbeat;
    Status s = co_await report(ctx, heartbeat);
    if (!s.ok() && !ctx.done())
      log::warn("Cannot report the node's status", {{"node", facts_.name}, {"error", s}});
    poke_.reset();
    // Until the network is there, every moment counts.
    Duration wait = !s.ok()                            ? Duration(1s)
                    : network_ready_ && runtime_ready_ ? kLook
                                                       : Duration(100ms);
    (void)co_await poke_.wait(ctx.with_timeout(wait));
    if (ctx.done()) break;
    co_await look(ctx);
  }
  co_await group.join();
}

std::string NodeStatus::network_trouble() const {
  if (network_ready_) return "";
  if (!network_trouble_.empty()) return network_trouble_;
  return runtime_trouble_.empty() ? "network state unknown" : runtime_trouble_;
}

// What the runtime says of itself.
Task<void> NodeStatus::look(Context ctx) {
  if (runtime_version_.version.empty()) {
    auto v = co_await runtime_.version(ctx.with_timeout(10s));
    if (v.ok()) runtime_version_ = *v;
  }
  auto s = co_await runtime_.status(ctx.with_timeout(10s));
  if (!s.ok()) {
    runtime_ready_ = network_ready_ = false;
    runtime_trouble_ = "container runtime is down: " + s.status().message();
    co_return;
  }
  runtime_ready_ = network_ready_ = true;
  runtime_trouble_.clear();
  network_trouble_.clear();
  runtime_status_ = std::move(*s);
  if (!runtime_version_.name.empty()) runtime_status_.name = runtime_version_.name;
  for (const cri::RuntimeCondition& c : runtime_status_.conditions) {
    std::string text = c.type + "=" + (c.status ? "true" : "false") + " reason:" + c.reason +
                       " message:" + c.message;
    if (c.type == "NetworkReady" && !c.status) {
      network_ready_ = false;
      network_trouble_ = "container runtime network not ready: " + text;
    }
    if (c.type == "RuntimeReady" && !c.status) {
      runtime_ready_ = false;
      runtime_trouble_ = "container runtime not ready: " + text;
    }
  }
  auto images = co_await runtime_.list_images(ctx.with_timeout(10s));
  if (!images.ok()) co_return;
  images_ = std::move(*images);
  std::sort(images_.begin(), images_.end(), [](const cri::Image& a, const cri::Image& b) {
    return a.size_bytes != b.size_bytes ? a.size_bytes > b.size_bytes : a.id < b.id;
  });
  if (images_.size() > kMaxImages) images_.resize(kMaxImages);
}

// --- the object ---

void NodeStatus::fill_object(NodeEdit node, bool fresh) {
  auto meta = node.edit_metadata();
  meta.set_name(facts_.name);
  auto labels = meta.edit_labels();
  labels.set("kubernetes.io/hostname", facts_.hostname);
  labels.set("kubernetes.io/os", "linux");
  labels.set("kubernetes.io/arch", machine_.architecture);
  labels.set("beta.kubernetes.io/os", "linux");
  labels.set("beta.kubernetes.io/arch", machine_.architecture);
  for (const auto& [k, v] : facts_.labels) labels.set(k, v);
  meta.edit_annotations().set("volumes.kubernetes.io/controller-managed-attach-detach", "true");
  if (!fresh) return;
  if (!facts_.provider_id.empty()) node.edit_spec().set_provider_id(facts_.provider_id);
  for (const NodeTaint& t : facts_.taints) {
    auto taint = node.edit_spec().edit_taints().add();
    taint.set_key(t.key);
    if (!t.value.empty()) taint.set_value(t.value);
    taint.set_effect(t.effect);
  }
}

Task<Status> NodeStatus::register_node(Context ctx) {
  now_ = ctx.loop().wall_now();
  Document body;
  NodeEdit node(EditTarget{&body.root, &body.arena});
  fill_object(node, true);
  fill_status(node.edit_status(), api::core_v1::NodeStatus());
  WriteOptions options;
  Context brief = ctx.with_timeout(10s);
  auto made = co_await client_.create(brief, &kind_of<Node>(), "", "", std::move(body), options);
  if (made.ok()) {
    node_uid_ = (*made)->uid();
    log::info("Registered the node", {{"node", facts_.name}});
    co_return Status();
  }
  if (!made.status().is(Reason::kAlreadyExists)) co_return made.status();
  Document labels;
  NodeEdit patch(EditTarget{&labels.root, &labels.arena});
  fill_object(patch, false);
  auto r = co_await client_.patch(brief, &kind_of<Node>(), "", facts_.name, PatchType::kMerge,
                                  std::move(labels), options);
  if (r.ok()) node_uid_ = (*r)->uid();
  co_return r.status();
}

namespace {

// How a pressure is told of, when it is there and when it is not.
struct PressureTexts {
  Pressure pressure;
  const char *reason, *message, *event;
  const char *calm_reason, *calm_message, *calm_event;
};
constexpr PressureTexts kPressures[] = {
    {Pressure::kMemory, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available",
     "NodeHasInsufficientMemory", "KubeletHasSufficientMemory",
     "kubelet has sufficient memory available", "NodeHasSufficientMemory"},
    {Pressure::kDisk, "KubeletHasDiskPressure", "kubelet has disk pressure", "NodeHasDiskPressure",
     "KubeletHasNoDiskPressure", "kubelet has no disk pressure", "NodeHasNoDiskPressure"},
    {Pressure::kPid, "KubeletHasInsufficientPID", "kubelet has insufficient PID available",
     "NodeHasInsufficientPID", "KubeletHasSufficientPID", "kubelet has sufficient PID available",
     "NodeHasSufficientPID"},
};

}  // namespace

void NodeStatus::set_pressures(std::set<Pressure> now) {
  pressures_ = std::move(now);
  poke_.set();
}

void NodeStatus::set_shutting_down(bool now) {
  shutting_down_ = now;
  poke_.set();
}

// Events of what changed since the last time; the first time, of all.
void NodeStatus::tell_pressures() {
  for (const PressureTexts& t : kPressures) {
    bool now = pressures_.contains(t.pressure);
    if (!last_digest_.empty() && now == told_pressures_.contains(t.pressure)) continue;
    std::string reason = now ? t.event : t.calm_event;
    events_.node("Normal", reason, "Node " + facts_.name + " status is now: " + reason);
  }
  told_pressures_ = pressures_;
}

std::string NodeStatus::trouble() const {
  std::vector<std::string> all;
  for (const std::string& one : {runtime_trouble_, network_trouble_,
                                 std::string(shutting_down_ ? "node is shutting down" : "")}) {
    if (!one.empty()) all.push_back(one);
  }
  return aggregate(all);
}

std::vector<NodeStatus::Condition> NodeStatus::conditions() const {
  std::vector<Condition> out;
  for (const PressureTexts& t : kPressures) {
    std::string type(condition_name(t.pressure));
    out.push_back(pressures_.contains(t.pressure)
                      ? Condition{type, "True", t.reason, t.message}
                      : Condition{type, "False", t.calm_reason, t.calm_message});
  }
  const std::string why = trouble();
  out.push_back(why.empty()
                    ? Condition{"Ready", "True", "KubeletReady", "kubelet is posting ready status"}
                    : Condition{"Ready", "False", "KubeletNotReady", why});
  return out;
}

bool NodeStatus::is_own(std::string_view resource) const {
  const std::string name(resource);
  return is_own_resource(resource) || plugins_.all.contains(name) || plugins_.gone.contains(name);
}

void NodeStatus::look_at_plugins() {
  if (!ask_plugins_) return;
  std::set<std::string> gone = std::move(plugins_.gone);
  plugins_ = ask_plugins_();
  plugins_.gone.merge(gone);
  for (const auto& [name, amount] : plugins_.all) plugins_.gone.erase(name);
}

void NodeStatus::observe(const Node& node) {
  auto allocatable = node.status().allocatable();
  auto capacity = node.status().capacity();
  bool differ = false;
  for (auto [name, amount] : capacity)
    differ = differ || (!is_own(name) && allocatable.get(name) != amount);
  for (auto [name, amount] : allocatable)
    differ = differ || (!is_own(name) && !capacity.contains(name));
  if (!differ) return;
  foreign_changed_ = true;
  poke_.set();
}

void NodeStatus::fill_status(NodeStatusEdit out, const api::core_v1::NodeStatus& old) {
  const quota::ResourceList have = node_capacity(machine_, facts_.max_pods);
  auto capacity = out.edit_capacity();
  auto allocatable = out.edit_allocatable();
  for (const auto& [name, amount] : have) capacity.set(name, amount_text(name, amount));
  for (const auto& [name, amount] : node::allocatable(have, facts_.reserved))
    allocatable.set(name, amount_text(name, amount));
  for (const auto& [name, amount] : plugins_.all) capacity.set(name, amount.to_string());
  for (const auto& [name, amount] : plugins_.usable) allocatable.set(name, amount.to_string());
  for (const std::string& name : plugins_.gone) {
    capacity.set(name, "0");
    allocatable.set(name, "0");
  }
  for (auto [name, amount] : old.capacity())
    if (!is_own(name)) allocatable.set(name, amount);
  for (auto [name, amount] : old.allocatable())  // null takes it away
    if (!is_own(name) && !old.capacity().contains(name)) allocatable.set(name, Value());
  std::string stamp = format_time(now_);
  for (const Condition& c : conditions()) {
    NodeCondition before;
    for (NodeCondition o : old.conditions())
      if (o.type() == c.type) before = o;
    auto e = out.edit_conditions().add();
    e.set_type(c.type);
    e.set_status(c.status);
    e.set_last_heartbeat_time(stamp);
    e.set_last_transition_time(before && before.status() == c.status ? before.last_transition_time()
                                                                     : std::string_view(stamp));
    e.set_reason(c.reason);
    e.set_message(c.message);
  }
  auto addresses = out.edit_addresses();
  for (const std::string& address : {facts_.address, facts_.second_address}) {
    if (address.empty()) continue;
    auto ip = addresses.add();
    ip.set_type("InternalIP");
    ip.set_address(address);
  }
  auto host = addresses.add();
  host.set_type("Hostname");
  host.set_address(facts_.hostname);
  out.edit_daemon_endpoints().edit_kubelet_endpoint().set_port(facts_.port);
  for (const auto& [name, features] : runtime_status_.handlers) {
    auto handler = out.edit_runtime_handlers().add();
    handler.set_name(name);
    handler.edit_features().set_recursive_read_only_mounts(features.recursive_read_only_mounts);
    handler.edit_features().set_user_namespaces(features.user_namespaces);
  }
  if (runtime_status_.supplemental_groups_policy)
    out.edit_features().set_supplemental_groups_policy(true);
  auto info = out.edit_node_info();
  info.set_machine_id(machine_.machine_id);
  info.set_system_uuid(machine_.system_uuid);
  info.set_boot_id(machine_.boot_id);
  info.set_kernel_version(machine_.kernel);
  info.set_os_image(machine_.os_image);
  std::string runtime = runtime_version_.version;
  if (size_t cut = runtime.find('~'); cut != std::string::npos) runtime.resize(cut);
  info.set_container_runtime_version(
      (runtime_version_.name.empty() ? "containerd" : runtime_version_.name) + "://" + runtime);
  info.set_kubelet_version(facts_.version);
  info.set_kube_proxy_version("");
  info.set_operating_system("linux");
  info.set_architecture(machine_.architecture);
  if (machine_.swap_bytes > 0) info.edit_swap().set_capacity(machine_.swap_bytes);
  auto images = out.edit_images();
  for (const cri::Image& i : images_) {
    auto e = images.add();
    auto names = e.edit_names();
    for (const std::string& d : i.digests) names.add(d);
    for (const std::string& t : i.tags) names.add(t);
    e.set_size_bytes(static_cast<int64_t>(i.size_bytes));
  }
}

// Sends the status when it says something new, or as a heartbeat.
Task<Status> NodeStatus::report(Context ctx, bool heartbeat) {
  look_at_plugins();
  std::string digest = runtime_version_.version;
  digest += "|" + quota::text_of(plugins_.all) + "|" + quota::text_of(plugins_.usable);
  for (const std::string& name : plugins_.gone) digest += "|" + name;
  for (const Condition& c : conditions()) digest += "|" + c.type + c.status + c.reason + c.message;
  for (const cri::Image& i : images_) {
    digest += "|" + i.id;
    for (const std::string& t : i.tags) digest += " " + t;
  }
  if (digest == last_digest_ && !heartbeat && !foreign_changed_) co_return Status();
  foreign_changed_ = false;
  Context brief = ctx.with_timeout(10s);
  auto got = co_await client_.get(brief, &kind_of<Node>(), "", facts_.name);
  if (got.status().is(Reason::kNotFound)) co_return co_await register_node(ctx);
  if (!got.ok()) co_return got.status();
  Ref<Node> node = read<Node>(*got);
  pod_cidr_ = node->spec().pod_cidr();
  now_ = ctx.loop().wall_now();
  Document body;
  NodeEdit edit(EditTarget{&body.root, &body.arena});
  fill_status(edit.edit_status(), node->status());
  // Lists are replaced as a whole: conditions that others keep here stay.
  for (NodeCondition c : node->status().conditions()) {
    std::string_view t = c.type();
    if (t != "Ready" && t != "MemoryPressure" && t != "DiskPressure" && t != "PIDPressure")
      edit.edit_status().edit_conditions().add(c);
  }
  WriteOptions options;
  options.subresource = "status";
  auto r = co_await client_.patch(brief, &kind_of<Node>(), "", facts_.name, PatchType::kMerge,
                                  std::move(body), options);
  foreign_changed_ = foreign_changed_ || !r.ok();
  if (!r.ok()) co_return r.status();
  tell_pressures();
  last_digest_ = digest;
  last_report_ = ctx.loop().now();
  bool ready = trouble().empty();
  if (ready != reported_ready_) {
    reported_ready_ = ready;
    std::string reason = ready ? "NodeReady" : "NodeNotReady";
    events_.node("Normal", reason, "Node " + facts_.name + " status is now: " + reason);
    log::info("Node status changed", {{"node", facts_.name}, {"ready", ready}});
  }
  co_return Status();
}

// --- the lease ---

Task<Status> NodeStatus::renew_lease(Context ctx) {
  using api::coordination_v1::Lease;
  using api::coordination_v1::LeaseEdit;
  Context brief = ctx.with_timeout(kLeasePeriod);
  Document body;
  LeaseEdit lease(EditTarget{&body.root, &body.arena});
  lease.edit_metadata().set_name(facts_.name);
  lease.edit_metadata().set_namespace_("kube-node-lease");
  auto spec = lease.edit_spec();
  spec.set_holder_identity(facts_.name);
  spec.set_lease_duration_seconds(40);
  spec.set_renew_time(format_micro_time(ctx.loop().wall_now()));
  WriteOptions options;
  Document patch = body.clone();
  auto r = co_await client_.patch(brief, &kind_of<Lease>(), "kube-node-lease", facts_.name,
                                  PatchType::kMerge, std::move(patch), options);
  if (!r.status().is(Reason::kNotFound)) co_return r.status();
  if (!node_uid_.empty()) {
    auto owner = lease.edit_metadata().edit_owner_references().add();
    owner.set_api_version("v1");
    owner.set_kind("Node");
    owner.set_name(facts_.name);
    owner.set_uid(node_uid_);
  }
  auto made = co_await client_.create(brief, &kind_of<Lease>(), "kube-node-lease", "",
                                      std::move(body), options);
  co_return made.status();
}

Task<void> NodeStatus::keep_lease(Context ctx) {
  Duration failed = 200ms;
  Recurring failing;
  while (!ctx.done()) {
    const TimePoint begun = ctx.loop().now();
    Status s = co_await renew_lease(ctx);
    if (ctx.done()) co_return;
    if (s.ok()) failing.over();
    if (s.ok() && tell_renewed_) tell_renewed_(begun);
    if (!s.ok() && failing.news(ctx.loop().now(), s.message())) {
      log::warn("Cannot renew the node's lease", {{"node", facts_.name}, {"error", s}});
    }
    Duration wait = s.ok() ? kLeasePeriod : failed;
    failed = s.ok() ? Duration(200ms) : std::min<Duration>(failed * 2, 7s);
    (void)co_await ctx.sleep(wait);
  }
}

}  // namespace keles::node
