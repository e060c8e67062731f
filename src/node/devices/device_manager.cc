#include "node/devices/device_manager.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "api/deviceplugin_v1beta1.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "machinery/quota/pod_resources.h"
#include "net/grpc.h"
#include "node/cgroup/resources.h"
#include "node/plugins/plugin_call.h"
#include "node/pods/plan.h"
#include "node/topology/checkpoint.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;
namespace v1beta1 = api::deviceplugin_v1beta1;

namespace {

constexpr const char* kFile = "kubelet_internal_checkpoint";
constexpr const char* kSocket = "kubelet.sock";
constexpr const char* kVersion = "v1beta1";
constexpr const char* kService = "/v1beta1.DevicePlugin/";
constexpr Duration kGrace = 5min, kDial = 10s, kAsk = 1min, kPreStart = 30s;
constexpr size_t kMostDevices = 100'000, kMostText = 4096;

metrics::Counter& registrations() {
  static metrics::Counter& c = metrics::counter(
      "kubelet_device_plugin_registration_total",
      "Cumulative number of device plugin registrations. Broken down by resource name.",
      {"resource_name"});
  return c;
}
metrics::Histogram& allocations() {
  static metrics::Histogram& h =
      metrics::histogram("kubelet_device_plugin_alloc_duration_seconds",
                         "Duration in seconds to serve a device plugin Allocation request. Broken "
                         "down by resource name.",
                         {"resource_name"}, {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10});
  return h;
}

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }
Status failed(const std::string& what) { return Status(Reason::kUnknown, what); }

DeviceIds minus(const DeviceIds& a, const DeviceIds& b) {
  DeviceIds out;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::inserter(out, out.end()));
  return out;
}
DeviceIds both(const DeviceIds& a, const DeviceIds& b) {
  DeviceIds out;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::inserter(out, out.end()));
  return out;
}
DeviceIds joined(DeviceIds a, const DeviceIds& b) {
  a.insert(b.begin(), b.end());
  return a;
}
// As many as are missing of `count`; whether that is all.
bool take(DeviceIds& to, const DeviceIds& from, size_t count) {
  for (const std::string& id : from) {
    if (to.size() >= count) break;
    to.insert(id);
  }
  return to.size() >= count;
}

// A claim stands for what the container asks of this resource.
bool is_claimed(const Pod& pod, std::string_view container, std::string_view resource) {
  for (auto m : pod.status().extended_resource_claim_status().request_mappings())
    if (m.container_name() == container && m.resource_name() == resource) return true;
  return false;
}

std::string resources_of(const DeviceIds& ids) {
  Draft<v1beta1::ContainerAllocateRequestEdit> one;
  Draft<v1beta1::AllocateRequestEdit> request;
  auto list = request->edit_container_requests().add().edit_devices_ids();
  for (const std::string& id : ids) list.add(std::string_view(id));
  return encode_protobuf(v1beta1::AllocateRequest::descriptor(), request.value());
}

}  // namespace

struct DeviceManager::Plugin {
  explicit Plugin(Context c) : ctx(c) {}
  Context ctx;  // of its stream
  std::string resource, socket;
  bool pre_start = false, prefers = false;
  std::optional<TimePoint> stopped;
};

DeviceManager::DeviceManager(Context ctx, Settings settings, const TopologyManager* topology)
    : ctx_(ctx),
      settings_(std::move(settings)),
      topology_(topology),
      giving_(1),
      tasks_(ctx.loop()) {}

Status DeviceManager::start() {
  TRY(make_directories(settings_.directory, 0750));
  const std::string path = settings_.directory + "/" + kFile;
  auto text = read_file(path, kMostCheckpoint);
  if (text.ok()) {
    fresh_ = false;
    auto book = DeviceBook::parse(*text);
    if (book.ok()) {
      book_ = std::move(*book);
      for (const std::string& resource : book_.resources()) {
        auto plugin = std::make_shared<Plugin>(ctx_.child());
        plugin->resource = resource;
        plugin->stopped = ctx_.loop().now();
        plugins_[resource] = plugin;
      }
    } else {
      log::error(
          "Continue after failing to read checkpoint file. Device allocation info may NOT "
          "be up-to-date",
          {{"path", path}, {"error", book.status()}});
    }
  }
  TRY_ASSIGN(names, list_directory(settings_.directory));
  for (const std::string& name : names) {
    const std::string at = settings_.directory + "/" + name;
    struct stat st {};
    if (::lstat(at.c_str(), &st) == 0 && S_ISSOCK(st.st_mode)) (void)::unlink(at.c_str());
  }
  net::GrpcServer::Handler handler = [this](Context ctx, std::string method, std::string message) {
    return answer(this, std::move(ctx), std::move(method), std::move(message));
  };
  TRY_ASSIGN(server,
             net::GrpcServer::start(ctx_.loop(), "unix:" + settings_.directory + "/" + kSocket,
                                    net::GrpcServerOptions(), std::move(handler)));
  server_ = std::move(server);
  return {};
}

Task<void> DeviceManager::stop() {
  if (server_) co_await server_->stop();
  co_await tasks_.join();
}

Status DeviceManager::save() const {
  const std::string path = settings_.directory + "/" + kFile;
  Status s = write_file(path, book_.text(), 0600);
  if (s.ok()) return s;
  log::error("Cannot keep whose devices are whose", {{"path", path}, {"error", s}});
  return s.with_prefix("failed to write checkpoint file " + quoted(kFile));
}

// --- plug-ins come and go ---

Task<Result<std::string>> DeviceManager::answer(DeviceManager* self, Context ctx,
                                                std::string method, std::string message) {
  if (method != "/v1beta1.Registration/Register")
    co_return Status(Reason::kMethodNotAllowed, "unknown method " + method);
  auto tree = decode_protobuf(v1beta1::RegisterRequest::descriptor(), message);
  if (!tree.ok()) co_return tree.status();
  const v1beta1::RegisterRequest r(tree->root);
  const std::string resource(r.resource_name());
  registrations().with({resource}).add();
  log::info("A device plug-in registers", {{"resource", resource}, {"endpoint", r.endpoint()}});
  if (r.version() != kVersion)
    co_return failed("requested API version " + quoted(r.version()) +
                     " is not supported by kubelet. Supported version is [\"v1beta1\"]");
  if (!quota::is_extended_resource(resource))
    co_return failed("the ResourceName " + quoted(resource) + " is invalid");
  std::string socket = self->settings_.directory + "/" + std::string(r.endpoint());
  Status s = co_await self->connect(ctx, resource, std::move(socket));
  if (!s.ok()) co_return s;
  co_return std::string();
}

Status DeviceManager::validate(const PluginInfo& info) {
  if (std::find(info.versions.begin(), info.versions.end(), kVersion) == info.versions.end()) {
    std::string versions;
    for (const std::string& v : info.versions) versions += (versions.empty() ? "" : " ") + v;
    return failed("manager version, v1beta1, is not among plugin supported versions [" + versions +
                  "]");
  }
  if (!quota::is_extended_resource(info.name))
    return failed("invalid name of device plugin socket: the ResourceName " + quoted(info.name) +
                  " is invalid");
  return {};
}

Task<Status> DeviceManager::add(Context ctx, PluginInfo info) {
  Status s = co_await connect(ctx, info.name, info.endpoint);
  co_return s;
}

Task<void> DeviceManager::remove(Context, PluginInfo info) {
  auto it = plugins_.find(info.name);
  if (it != plugins_.end() && it->second->socket == info.endpoint) gone(it->second);
  co_return;
}

Task<Status> DeviceManager::connect(Context ctx, std::string resource, std::string socket) {
  auto plugin = std::make_shared<Plugin>(ctx_.child());
  plugin->resource = resource;
  plugin->socket = std::move(socket);
  Context brief = ctx.with_timeout(kDial);
  auto got = co_await call(brief, plugin, "GetDevicePluginOptions", "");
  if (!got.ok()) co_return got.status().with_prefix("failed to get device plugin options");
  auto tree = decode_protobuf(v1beta1::DevicePluginOptions::descriptor(), *got);
  if (!tree.ok()) co_return tree.status();
  const v1beta1::DevicePluginOptions options(tree->root);
  plugin->pre_start = options.pre_start_required();
  plugin->prefers = options.get_preferred_allocation_available();
  if (std::shared_ptr<Plugin> before = plugins_[resource]) before->ctx.cancel();
  plugins_[resource] = plugin;
  if (!ctx_.done()) tasks_.spawn(follow(this, plugin));
  co_return Status();
}

// What it offers, until it goes.
Task<void> DeviceManager::follow(DeviceManager* self, std::shared_ptr<Plugin> plugin) {
  auto fd = open_plugin_socket(plugin->socket);
  Status s = fd.status();
  std::unique_ptr<net::GrpcChannel> channel;
  std::unique_ptr<net::GrpcStream> stream;
  if (s.ok()) {
    net::Endpoint endpoint;
    endpoint.host = "unix:" + fd->proc_path();
    channel = net::GrpcChannel::create(plugin->ctx.loop(), endpoint);
    auto opened =
        co_await channel->server_stream(plugin->ctx, std::string(kService) + "ListAndWatch", "");
    s = opened.status();
    if (opened.ok()) stream = std::move(*opened);
  }
  while (s.ok()) {
    auto message = co_await stream->next(plugin->ctx);
    s = message.status();
    if (!s.ok()) break;
    auto tree = decode_protobuf(v1beta1::ListAndWatchResponse::descriptor(), *message);
    s = tree.status();
    if (!s.ok()) break;
    DeviceBook::Offered devices;
    for (v1beta1::Device d : v1beta1::ListAndWatchResponse(tree->root).devices()) {
      if (devices.size() >= kMostDevices || d.id().empty() || d.id().size() > kMostText) continue;
      PluginDevice& device = devices[std::string(d.id())];
      device.healthy = d.health() == "Healthy";
      for (v1beta1::NUMANode n : d.topology().nodes()) device.nodes.push_back(n.id());
    }
    if (self->plugins_[plugin->resource] != plugin) break;  // another has come in its place
    std::set<std::string> pods = self->book_.offer(plugin->resource, std::move(devices));
    (void)self->save();
    if (self->changed_) self->changed_(std::move(pods));
  }
  stream.reset();
  if (plugin->ctx.done() && self->plugins_[plugin->resource] != plugin) co_return;
  if (!self->ctx_.done())
    log::warn("A device plug-in has gone", {{"resource", plugin->resource}, {"error", s}});
  self->gone(plugin);
}

void DeviceManager::gone(const std::shared_ptr<Plugin>& plugin) {
  plugin->ctx.cancel();
  auto it = plugins_.find(plugin->resource);
  if (it == plugins_.end() || it->second != plugin || plugin->stopped) return;
  plugin->stopped = ctx_.loop().now();
  std::set<std::string> pods;
  DeviceBook::Offered lost = book_.offered(plugin->resource);
  for (auto& [id, device] : lost) device.healthy = false;
  pods = book_.offer(plugin->resource, std::move(lost));
  if (changed_) changed_(std::move(pods));
}

Task<Result<std::string>> DeviceManager::call(Context ctx, std::shared_ptr<Plugin> plugin,
                                              const char* method, std::string message) {
  if (plugin->stopped) co_return failed("endpoint " + plugin->resource + " has been stopped");
  auto fd = open_plugin_socket(plugin->socket);
  if (!fd.ok()) co_return fd.status();
  auto got = co_await plugin_call(ctx, &*fd, std::string(kService) + method, std::move(message));
  co_return got;
}

PluginCapacity DeviceManager::capacity() {
  PluginCapacity out;
  for (const std::string& resource : book_.resources()) {
    auto it = plugins_.find(resource);
    const bool lost = it == plugins_.end() || !it->second ||
                      (it->second->stopped && ctx_.loop().now() - *it->second->stopped > kGrace);
    if (lost) {
      out.gone.insert(resource);
      continue;
    }
    out.all[resource] = Quantity::from_int(book_.count(resource, false));
    out.usable[resource] = Quantity::from_int(book_.count(resource, true));
  }
  for (const std::string& resource : out.gone) {
    book_.forget(resource);
    plugins_.erase(resource);
  }
  if (!out.gone.empty()) (void)save();
  return out;
}

void DeviceManager::drop_stale() {
  const LivingContainers* living = living_ ? living_() : nullptr;
  if (!living) return;
  std::set<std::string> pods;
  for (const auto& [uid, containers] : *living) pods.insert(uid);
  book_.drop_pods(pods);
}

// --- hints ---

ResourceHints DeviceManager::hints_for(
    const std::string& pod, const std::map<std::string, int>& wanted,
    const std::function<DeviceIds(const std::string&)>& given) const {
  ResourceHints out;
  for (const auto& [resource, count] : wanted) {
    if (!book_.has_places(resource)) {
      out[resource] = std::nullopt;
      continue;
    }
    const DeviceIds own = given(resource);
    std::vector<TopologyHint> list;
    if (!own.empty()) {
      if (static_cast<int>(own.size()) == count)
        list = book_.hints(resource, own, {}, count, settings_.numa_nodes);
    } else {
      const DeviceIds free = minus(book_.healthy(resource), book_.in_use(resource));
      auto again = reuse_.find(resource);
      const DeviceIds reusable =
          pod == reuse_pod_ && again != reuse_.end() ? again->second : DeviceIds();
      if (static_cast<int>(joined(free, reusable).size()) >= count)
        list = book_.hints(resource, free, reusable, count, settings_.numa_nodes);
    }
    out[resource] = std::move(list);
  }
  return out;
}

ResourceHints DeviceManager::hints(const Pod& pod, const Container& container) {
  drop_stale();
  std::map<std::string, int> wanted;
  for (auto [name, amount] : container.resources().limits())
    if (book_.known(std::string(name)))
      wanted[std::string(name)] = static_cast<int>(unit_value(amount));
  const std::string uid(pod.metadata().uid()), who(container.name());
  return hints_for(uid, wanted, [&](const std::string& resource) {
    const GivenDevices* own = book_.of(uid, who, resource);
    return own ? own->ids() : DeviceIds();
  });
}

ResourceHints DeviceManager::pod_hints(const Pod& pod) {
  drop_stale();
  std::map<std::string, int> wanted;
  for (const auto& [name, amount] :
       quota::pod_limits(pod.value(), quota::Actual::kLeftOut, quota::Overhead::kLeftOut))
    if (book_.known(name)) wanted[name] = static_cast<int>(amount.value());
  const std::string uid(pod.metadata().uid());
  return hints_for(uid, wanted, [&](const std::string& resource) {
    DeviceIds out;
    for (const Container& c : lasting_containers(pod))
      if (const GivenDevices* own = book_.of(uid, std::string(c.name()), resource))
        out = joined(out, own->ids());
    return out;
  });
}

// --- giving ---

Status DeviceManager::check_healthy(const std::string& pod, const std::string& container,
                                    const std::string& resource, int count) const {
  const GivenDevices* own = book_.of(pod, container, resource);
  if (own && static_cast<int>(own->ids().size()) != count)
    return failed("pod " + quoted(pod) + " container " + quoted(container) +
                  " changed request for resource " + quoted(resource) + " from " +
                  std::to_string(own->ids().size()) + " to " + std::to_string(count));
  if (!book_.resources().contains(resource))
    return failed("cannot allocate unregistered device " + resource);
  const DeviceIds healthy = book_.healthy(resource);
  if (healthy.empty())
    return failed("no healthy devices present; cannot allocate unhealthy devices " + resource);
  if (own && !minus(own->ids(), healthy).empty())
    return failed(
        "previously allocated devices are no longer healthy; cannot allocate unhealthy "
        "devices " +
        resource);
  return {};
}

Task<Result<DeviceIds>> DeviceManager::preferred(Context ctx, std::string resource,
                                                 DeviceIds available, DeviceIds must, int count) {
  std::shared_ptr<Plugin> plugin = plugins_[resource];
  if (!plugin)
    co_return failed("endpoint not found in cache for a registered resource: " + resource);
  DeviceIds out;
  if (!plugin->prefers) co_return out;
  Draft<v1beta1::PreferredAllocationRequestEdit> request;
  auto one = request->edit_container_requests().add();
  auto from = one.edit_available_device_ids();
  for (const std::string& id : available) from.add(std::string_view(id));
  auto with = one.edit_must_include_device_ids();
  for (const std::string& id : must) with.add(std::string_view(id));
  one.set_allocation_size(count);
  std::string message =
      encode_protobuf(v1beta1::PreferredAllocationRequest::descriptor(), request.value());
  auto got =
      co_await call(ctx.with_timeout(kAsk), plugin, "GetPreferredAllocation", std::move(message));
  Status s = got.status();
  if (s.ok()) {
    auto tree = decode_protobuf(v1beta1::PreferredAllocationResponse::descriptor(), *got);
    s = tree.status();
    if (s.ok()) {
      const v1beta1::PreferredAllocationResponse r(tree->root);
      if (!r.container_responses().empty())
        for (std::string_view id : r.container_responses()[0].device_ids()) out.emplace(id);
    }
  }
  if (!s.ok()) co_return s.with_prefix("device plugin GetPreferredAllocation rpc failed with err");
  co_return out;
}

// Those of its init containers first, then where the hint says; the plug-in's wish counts within
// that.
Task<Result<DeviceIds>> DeviceManager::choose(Context ctx, std::string pod, std::string container,
                                              std::string resource, int count) {
  const auto wanted = static_cast<size_t>(count);
  DeviceIds out;
  if (pod == reuse_pod_ && take(out, reuse_[resource], wanted)) co_return out;
  const DeviceIds free = minus(book_.healthy(resource), book_.in_use(resource));
  if (free.size() + out.size() < wanted)
    co_return failed("requested number of devices unavailable for " + resource +
                     ". Requested: " + std::to_string(wanted - out.size()) +
                     ", Available: " + std::to_string(free.size()));
  const DeviceBook::Ranked ranked = book_.rank(resource, free, topology_->affinity(pod, container));
  const bool enough_near = wanted - out.size() < ranked.near.size();
  if (!enough_near && take(out, ranked.near, wanted)) co_return out;
  const DeviceIds among = enough_near ? ranked.near : free;
  DeviceIds available = joined(among, out);
  auto liked = co_await preferred(ctx, resource, std::move(available), out, count);
  if (!liked.ok()) co_return liked.status();
  if (take(out, both(*liked, among), wanted)) co_return out;
  const bool all = enough_near ? take(out, ranked.near, wanted)
                               : take(out, ranked.far, wanted) || take(out, ranked.nowhere, wanted);
  if (all) co_return out;
  co_return failed("unexpectedly allocated less resources than required. Requested: " +
                   std::to_string(count) + ", Got: " + std::to_string(out.size()));
}

Task<Status> DeviceManager::allocate_one(Context ctx, std::string pod, std::string container,
                                         std::string resource, int count) {
  Status fit = check_healthy(pod, container, resource, count);
  if (!fit.ok()) co_return fit;
  if (book_.of(pod, container, resource) || count == 0) co_return Status();
  auto chosen = co_await choose(ctx, pod, container, resource, count);
  if (!chosen.ok()) co_return chosen.status();
  const DeviceIds ids = *chosen;
  std::shared_ptr<Plugin> plugin = plugins_[resource];
  if (!plugin) co_return failed("unknown Device Plugin " + resource);
  book_.mark(resource, ids);
  const TimePoint began = ctx.loop().now();
  auto got = co_await call(ctx.with_timeout(kAsk), plugin, "Allocate", resources_of(ids));
  allocations()
      .with({resource})
      .observe(static_cast<double>((ctx.loop().now() - began).count()) / 1e9);
  Status s = got.status();
  DeviceGrant grant;
  if (s.ok()) {
    auto tree = decode_protobuf(v1beta1::AllocateResponse::descriptor(), *got);
    s = tree.status();
    if (s.ok()) {
      const v1beta1::AllocateResponse r(tree->root);
      if (r.container_responses().empty()) {
        s = failed("no containers return in allocation response");
      } else {
        auto read = read_grant(encode_protobuf(v1beta1::ContainerAllocateResponse::descriptor(),
                                               r.container_responses()[0].value()));
        s = read.status();
        if (s.ok()) grant = std::move(*read);
      }
    }
  }
  if (!s.ok()) {
    book_.recount();
    co_return s;
  }
  book_.give(pod, container, resource, ids, std::move(grant));
  s = save();
  // What no file says could be another's once the agent is started anew.
  if (!s.ok()) book_.take_back(pod, container, resource);
  co_return s;
}

Task<Status> DeviceManager::allocate_all(Context ctx, Ref<Pod> pod, Container container) {
  const std::string uid(pod->metadata().uid()), name(container.name());
  if (reuse_pod_ != uid) reuse_.clear();
  reuse_pod_ = uid;
  bool looked = false;
  std::vector<std::pair<std::string, int>> wanted;
  for (auto [resource, amount] : container.resources().limits())
    if (book_.known(std::string(resource)) && !is_claimed(*pod, name, resource))
      wanted.emplace_back(resource, static_cast<int>(unit_value(amount)));
  for (const auto& [resource, count] : wanted) {
    if (!looked) drop_stale();
    looked = true;
    Status s = co_await allocate_one(ctx, uid, name, resource, count);
    if (!s.ok()) co_return s;
  }
  bool starting = false;
  for (Container c : pod->spec().init_containers())
    starting = starting || (c.name() == name && !is_sidecar(c));
  if (const DeviceBook::Container* own = book_.of(uid, name)) {
    for (const auto& [resource, given] : *own)
      reuse_[resource] =
          starting ? joined(reuse_[resource], given.ids()) : minus(reuse_[resource], given.ids());
  }
  co_return Status();
}

Task<Refused> DeviceManager::allocate(Context ctx, Ref<Pod> pod, Container container) {
  Status s = co_await giving_.acquire(ctx);
  if (!s.ok()) co_return unexpected(s);
  s = co_await allocate_all(ctx, pod, container);
  giving_.release();
  if (s.ok()) co_return std::nullopt;
  co_return unexpected(s);
}

Task<Result<ContainerExtras>> DeviceManager::extras(Context ctx, Ref<Pod> pod,
                                                    Container container) {
  const std::string uid(pod->metadata().uid()), name(container.name());
  std::vector<std::string> wanted;
  for (auto [resource, amount] : container.resources().limits())
    if (book_.known(std::string(resource)) && unit_value(amount) > 0 &&
        !is_claimed(*pod, name, resource))
      wanted.emplace_back(resource);
  bool missing = false;
  for (const std::string& resource : wanted) {
    const GivenDevices* own = book_.of(uid, name, resource);
    missing = missing || !own;
    std::shared_ptr<Plugin> plugin = plugins_[resource];
    if (!plugin)
      co_return failed("endpoint not found in cache for a registered resource: " + resource);
    if (!plugin->pre_start || !own) continue;
    Draft<v1beta1::PreStartContainerRequestEdit> request;
    auto list = request->edit_devices_ids();
    for (const std::string& id : own->ids()) list.add(std::string_view(id));
    std::string message =
        encode_protobuf(v1beta1::PreStartContainerRequest::descriptor(), request.value());
    auto got =
        co_await call(ctx.with_timeout(kPreStart), plugin, "PreStartContainer", std::move(message));
    if (!got.ok())
      co_return got.status().with_prefix("device plugin PreStartContainer rpc failed with err");
  }
  if (missing) {  // an agent of before did not know the resource
    Refused why = co_await allocate(ctx, pod, container);
    if (why) co_return failed(why->message);
  }
  ContainerExtras out;
  const DeviceBook::Container* own = book_.of(uid, name);
  if (!own) co_return out;
  std::set<std::string> env, mounts, devices, cdi;  // the first one that says it counts
  for (const auto& [resource, given] : *own) {
    const ContainerExtras& e = given.grant.extras;
    for (const auto& one : e.env)
      if (env.insert(one.first).second) out.env.push_back(one);
    for (const auto& one : e.mounts)
      if (mounts.insert(one.container_path).second) out.mounts.push_back(one);
    for (const auto& one : e.devices)
      if (devices.insert(one.container_path).second) out.devices.push_back(one);
    for (const auto& one : e.cdi_devices)
      if (cdi.insert(one).second) out.cdi_devices.push_back(one);
    out.annotations.insert(e.annotations.begin(), e.annotations.end());
  }
  co_return out;
}

void DeviceManager::fill_status(const Pod& pod, api::core_v1::PodStatusEdit status) const {
  const std::string uid(pod.metadata().uid());
  if (!book_.pods().contains(uid)) return;
  auto statuses = status.edit_container_statuses();
  for (size_t i = 0; i < statuses.size(); ++i) {
    auto one = statuses[i];
    const std::string name(one.name());
    const DeviceBook::Container* own = book_.of(uid, name);
    if (!own) continue;
    for (const auto& [resource, given] : *own) {
      auto entry = one.edit_allocated_resources_status().add();
      entry.set_name(resource);
      auto list = entry.edit_resources();
      const DeviceBook::Offered& all = book_.offered(resource);
      for (const std::string& id : given.ids()) {
        auto device = all.find(id);
        auto health = list.add();
        health.set_resource_id(id);
        health.set_health(device == all.end() || device->second.healthy ? "Healthy" : "Unhealthy");
      }
    }
  }
}

}  // namespace keles::node
