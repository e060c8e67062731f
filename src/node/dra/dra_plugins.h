// DRA drivers of this node (k8s.io/kubelet/pkg/apis/dra v1 and v1beta1): registered as plug-ins
// are, called for claims, and watched for the health of their devices (dra-health v1alpha1). When
// the last plug-in of a driver has gone for thirty seconds, or the agent starts, the driver's
// ResourceSlices of this node are deleted: nobody could prepare what they promise.
//
// One loop, a real one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/sync.h"
#include "client/client.h"
#include "node/plugins/plugin_registry.h"

namespace keles::node {

struct DeviceHealth {
  DeviceHealth() = default;
  std::string status = "Unknown";  // "Healthy", "Unhealthy"
  std::string message;
  Duration timeout = 30s;  // of no longer ago is what was told
  TimePoint told{};
  bool same(const DeviceHealth& o) const {
    return status == o.status && message == o.message && timeout == o.timeout;
  }
};

class DraPlugins final : public PluginHandler {
 public:
  DraPlugins(Context ctx, Client& client, std::string node);
  // Deletes this node's slices; drivers that live publish theirs again.
  void start();
  Task<void> stop() { co_await tasks_.join(); }
  using Changed = std::function<void(const std::string& driver,
                                     const std::vector<std::pair<std::string, std::string>>&)>;
  // Told of (pool, device) of a driver whose health is another.
  void on_health(Changed fn) { changed_ = std::move(fn); }

  // "DRA driver x is not registered".
  Status check(const std::string& driver) const;
  // The answer of the driver's newest plug-in to "NodePrepareResources" or its opposite.
  Task<Result<std::string>> call(Context ctx, std::string driver, const char* method,
                                 std::string message);
  DeviceHealth health(const std::string& driver, const std::string& pool,
                      const std::string& device) const;

  Status validate(const PluginInfo& info) override;
  Task<Status> add(Context ctx, PluginInfo info) override;
  Task<void> remove(Context ctx, PluginInfo info) override;

 private:
  struct Plugin;
  std::shared_ptr<Plugin> find(const std::string& driver) const;
  static Task<void> watch_health(DraPlugins* self, std::shared_ptr<Plugin> plugin);
  Task<Status> read_health(Context ctx, std::shared_ptr<Plugin> plugin);
  // Its stream has ended: what was told is of worth only if another plug-in of the driver tells.
  void lose_health(const std::shared_ptr<Plugin>& plugin);
  void take_health(const std::string& driver, const std::string& message);
  void connected(const std::shared_ptr<Plugin>& plugin, bool is);
  void look(const std::string& driver);
  static Task<void> wipe_later(DraPlugins* self, Context ctx, std::string driver);
  static Task<void> wipe(DraPlugins* self, Context ctx, std::string driver);
  Task<Status> delete_slices(Context ctx, std::string driver);

  Context ctx_;
  Client& client_;
  std::string node_;
  std::map<std::string, std::vector<std::shared_ptr<Plugin>>> plugins_;  // by driver, newest last
  std::map<std::string, Context> wiping_;                                // by driver: to come
  std::map<std::string, std::map<std::pair<std::string, std::string>, DeviceHealth>> health_;
  Changed changed_;
  TaskGroup tasks_;
};

// The service to speak of those that a plug-in offers, "v1.DRAPlugin".
Result<std::string> dra_service(const std::vector<std::string>& offered);

}  // namespace keles::node
