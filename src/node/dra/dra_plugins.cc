#include "node/dra/dra_plugins.h"

#include <algorithm>

#include "api/drahealth_v1alpha1.h"
#include "api/resource_v1.h"
#include "base/list_text.h"
#include "base/log.h"
#include "base/metrics.h"
#include "net/grpc.h"
#include "node/plugins/plugin_call.h"

namespace keles::node {

namespace health_v1 = api::drahealth_v1alpha1;
using api::resource_v1::ResourceSlice;

namespace {

constexpr Duration kCall = 45s, kWipeDelay = 30s, kHealthPause = 5s;
constexpr const char* kServices[] = {"v1.DRAPlugin", "v1beta1.DRAPlugin"};
constexpr size_t kMostMessage = 1024, kMostDevices = 100'000;

Status failed(const std::string& what) { return Status(Reason::kUnknown, what); }

metrics::Histogram& calls() {
  static metrics::Histogram& h =
      metrics::histogram("kubelet_dra_grpc_operations_duration_seconds",
                         "Duration in seconds of the DRA gRPC operations",
                         {"driver_name", "method_name", "grpc_status_code"},
                         {.1, .2, .5, 1, 2, 5, 10, 20, 30, 40, 50, 60});
  return h;
}

}  // namespace

struct DraPlugins::Plugin {
  explicit Plugin(Context c) : ctx(c) {}
  Context ctx;
  std::string driver, endpoint, service;
  bool connected = true;
  bool tells = false;  // of the health of devices, just now
};

Result<std::string> dra_service(const std::vector<std::string>& offered) {
  if (offered.empty())
    return failed("empty list of supported gRPC services (aka supported versions)");
  for (const std::string& o : offered)
    for (const char* known : kServices)
      if (o == known) return o;
  return failed("none of services supported by the plugin (" + go_quoted_list(offered) +
                ") are supported by the kubelet ([\"v1.DRAPlugin\" \"v1beta1.DRAPlugin\"])");
}

DraPlugins::DraPlugins(Context ctx, Client& client, std::string node)
    : ctx_(ctx), client_(client), node_(std::move(node)), tasks_(ctx.loop()) {}

void DraPlugins::start() { tasks_.spawn(wipe(this, ctx_, "")); }

Status DraPlugins::validate(const PluginInfo& info) {
  auto service = dra_service(info.versions);
  if (service.ok()) return {};
  return service.status().with_prefix("invalid supported gRPC versions of DRA driver plugin " +
                                      info.name + " at endpoint " + info.endpoint);
}

Task<Status> DraPlugins::add(Context, PluginInfo info) {
  auto service = dra_service(info.versions);
  if (!service.ok()) co_return service.status();
  auto& all = plugins_[info.name];
  for (const auto& p : all)
    if (p->endpoint == info.endpoint)
      co_return failed("endpoint " + info.endpoint + " already registered for DRA driver plugin " +
                       info.name);
  auto plugin = std::make_shared<Plugin>(ctx_.child());
  plugin->driver = info.name;
  plugin->endpoint = info.endpoint;
  plugin->service = *service;
  all.push_back(plugin);
  look(info.name);
  tasks_.spawn(watch_health(this, plugin));
  co_return Status();
}

Task<void> DraPlugins::remove(Context, PluginInfo info) {
  auto it = plugins_.find(info.name);
  if (it == plugins_.end()) co_return;
  auto& all = it->second;
  auto found = std::find_if(all.begin(), all.end(),
                            [&](const auto& p) { return p->endpoint == info.endpoint; });
  if (found == all.end()) co_return;
  (*found)->ctx.cancel();
  all.erase(found);
  if (all.empty()) plugins_.erase(it);
  look(info.name);
}

std::shared_ptr<DraPlugins::Plugin> DraPlugins::find(const std::string& driver) const {
  auto it = plugins_.find(driver);
  if (it == plugins_.end()) return nullptr;
  const auto& all = it->second;
  for (auto p = all.rbegin(); p != all.rend(); ++p)
    if ((*p)->connected) return *p;
  return all.back();
}

Status DraPlugins::check(const std::string& driver) const {
  if (driver.empty()) return failed("DRA driver name is empty");
  if (!find(driver)) return failed("DRA driver " + driver + " is not registered");
  return {};
}

Task<Result<std::string>> DraPlugins::call(Context ctx, std::string driver, const char* method,
                                           std::string message) {
  Status there = check(driver);
  if (!there.ok()) co_return there;
  std::shared_ptr<Plugin> plugin = find(driver);
  const std::string path = "/k8s.io.kubelet.pkg.apis.dra." + plugin->service + "/" + method;
  const TimePoint began = ctx.loop().now();
  Context limit = ctx.with_timeout(kCall);
  auto fd = open_plugin_socket(plugin->endpoint);
  Status s = fd.status();
  std::string answer;
  if (s.ok()) {
    auto got = co_await plugin_call(limit, &*fd, path, std::move(message));
    s = got.status();
    if (s.ok()) answer = std::move(*got);
  }
  connected(plugin, !s.is(Reason::kUnavailable) && !s.is(Reason::kNotFound));
  calls()
      .with({driver, path, s.ok() ? "OK" : "Unknown"})
      .observe(static_cast<double>((ctx.loop().now() - began).count()) / 1e9);
  if (!s.ok()) co_return s;
  co_return answer;
}

// --- health ---

Task<void> DraPlugins::watch_health(DraPlugins* self, std::shared_ptr<Plugin> plugin) {
  while (!plugin->ctx.done()) {
    Status s = co_await self->read_health(plugin->ctx, plugin);
    if (plugin->ctx.done()) break;
    // One that does not know the service is there all the same.
    self->connected(plugin, !s.is(Reason::kUnavailable) && !s.is(Reason::kNotFound));
    (void)co_await plugin->ctx.sleep(kHealthPause);
  }
}

Task<Status> DraPlugins::read_health(Context ctx, std::shared_ptr<Plugin> plugin) {
  auto fd = open_plugin_socket(plugin->endpoint);
  if (!fd.ok()) co_return fd.status();
  net::Endpoint endpoint;
  endpoint.host = "unix:" + fd->proc_path();
  std::unique_ptr<net::GrpcChannel> channel = net::GrpcChannel::create(ctx.loop(), endpoint);
  auto stream =
      co_await channel->server_stream(ctx, "/v1alpha1.DRAResourceHealth/NodeWatchResources", "");
  Status s = stream.status();
  while (s.ok()) {
    auto message = co_await (*stream)->next(ctx);
    s = message.status();
    if (!s.ok()) break;
    connected(plugin, true);
    plugin->tells = true;
    take_health(plugin->driver, *message);
  }
  lose_health(plugin);
  co_return s;
}

void DraPlugins::lose_health(const std::shared_ptr<Plugin>& plugin) {
  plugin->tells = false;
  auto all = plugins_.find(plugin->driver);
  if (all != plugins_.end())
    for (const auto& other : all->second)
      if (other->tells) return;
  auto known = health_.find(plugin->driver);
  if (known == health_.end()) return;
  std::vector<std::pair<std::string, std::string>> changed;
  for (const auto& [key, h] : known->second)
    if (h.status != "Unknown") changed.push_back(key);
  health_.erase(known);
  if (!changed.empty() && changed_ && !ctx_.done()) changed_(plugin->driver, changed);
}

void DraPlugins::take_health(const std::string& driver, const std::string& message) {
  auto tree = decode_protobuf(health_v1::NodeWatchResourcesResponse::descriptor(), message);
  if (!tree.ok()) return;
  auto& known = health_[driver];
  std::vector<std::pair<std::string, std::string>> changed;
  std::set<std::pair<std::string, std::string>> told;
  const TimePoint now = ctx_.loop().now();
  for (health_v1::DeviceHealth d : health_v1::NodeWatchResourcesResponse(tree->root).devices()) {
    if (told.size() >= kMostDevices) break;
    const std::pair<std::string, std::string> key(d.device().pool_name(), d.device().device_name());
    DeviceHealth h;
    if (d.health() == "HEALTHY") h.status = "Healthy";
    if (d.health() == "UNHEALTHY") h.status = "Unhealthy";
    h.message = d.message();
    if (h.message.size() > kMostMessage) h.message = h.message.substr(0, kMostMessage - 3) + "...";
    if (d.health_check_timeout_seconds() > 0 && d.health_check_timeout_seconds() < 86'400)
      h.timeout = std::chrono::seconds(d.health_check_timeout_seconds());
    h.told = now;
    told.insert(key);
    auto before = known.find(key);
    if (before == known.end() || !before->second.same(h)) changed.push_back(key);
    known[key] = std::move(h);
  }
  for (auto& [key, h] : known) {
    if (told.contains(key) || h.status == "Unknown" || now - h.told <= h.timeout) continue;
    h.status = "Unknown";
    h.message.clear();
    changed.push_back(key);
  }
  if (!changed.empty() && changed_) changed_(driver, changed);
}

DeviceHealth DraPlugins::health(const std::string& driver, const std::string& pool,
                                const std::string& device) const {
  auto known = health_.find(driver);
  if (known == health_.end()) return {};
  auto it = known->second.find({pool, device});
  if (it == known->second.end()) return {};
  if (ctx_.loop().now() - it->second.told > it->second.timeout) return {};
  return it->second;
}

// --- slices ---

void DraPlugins::connected(const std::shared_ptr<Plugin>& plugin, bool is) {
  if (plugin->connected == is || plugin->ctx.done()) return;
  plugin->connected = is;
  look(plugin->driver);
}

void DraPlugins::look(const std::string& driver) {
  auto it = plugins_.find(driver);
  const bool usable =
      it != plugins_.end() &&
      std::any_of(it->second.begin(), it->second.end(), [](const auto& p) { return p->connected; });
  auto pending = wiping_.find(driver);
  if (usable) {
    if (pending == wiping_.end()) return;
    pending->second.cancel();
    wiping_.erase(pending);
    return;
  }
  if (pending != wiping_.end() || ctx_.done()) return;
  Context ctx = ctx_.child();
  wiping_.emplace(driver, ctx);
  tasks_.spawn(wipe_later(this, ctx, driver));
}

Task<void> DraPlugins::wipe_later(DraPlugins* self, Context ctx, std::string driver) {
  Status s = co_await ctx.sleep(kWipeDelay);
  if (!s.ok() || ctx.done()) co_return;
  co_await wipe(self, ctx, driver);
  if (!ctx.done()) self->wiping_.erase(driver);
}

Task<void> DraPlugins::wipe(DraPlugins* self, Context ctx, std::string driver) {
  Duration pause = 1s;
  while (!ctx.done()) {
    Status s = co_await self->delete_slices(ctx.with_timeout(30s), driver);
    if (s.ok()) co_return;
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, 5min);
  }
}

// "" are all drivers.
Task<Status> DraPlugins::delete_slices(Context ctx, std::string driver) {
  ListOptions options;
  options.field_selector = "spec.nodeName=" + node_;
  if (!driver.empty()) options.field_selector += ",spec.driver=" + driver;
  auto slices = co_await client_.list<ResourceSlice>(ctx, "", options);
  if (!slices.ok()) co_return slices.status();
  for (const Ref<ResourceSlice>& slice : *slices) {
    DeleteOptions exactly;
    exactly.uid = slice->metadata().uid();
    const std::string name(slice->metadata().name());
    Status s = co_await client_.remove<ResourceSlice>(ctx, "", name, exactly);
    if (!s.ok() && !s.is(Reason::kNotFound)) co_return s;
    log::info("A ResourceSlice without a driver is deleted",
              {{"slice", name}, {"driver", slice->spec().driver()}});
  }
  co_return Status();
}

}  // namespace keles::node
