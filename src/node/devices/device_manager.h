// Device plug-ins (deviceplugin v1beta1, https://kubernetes.io/docs/concepts/extend-kubernetes/
// compute-storage-net/device-plugins/): they register at <root>/device-plugins/kubelet.sock or as
// other plug-ins do, tell their devices for as long as they live, and are asked for some of them
// when a pod is taken. A plug-in that goes is waited for for five minutes before its resource is
// none of the node's any more.
//
// One loop, a real one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/sync.h"
#include "machinery/quota/resource_list.h"
#include "net/grpc_server.h"
#include "node/cgroup/allocatable.h"
#include "node/cpu_manager/cpu_manager.h"
#include "node/devices/device_book.h"
#include "node/plugins/plugin_registry.h"

namespace keles::node {

class DeviceManager final : public HintProvider, public PluginHandler {
 public:
  struct Settings {
    Settings() = default;
    std::string directory;        // <root>/device-plugins
    std::vector<int> numa_nodes;  // of this machine
  };
  // `topology` outlives it.
  DeviceManager(Context ctx, Settings settings, const TopologyManager* topology);
  // Goes on from the file, clears stale sockets away, and listens.
  Status start();
  Task<void> stop();
  void use(std::function<const LivingContainers*()> living) { living_ = std::move(living); }
  // Told when what the node has of a resource changed, and of pods whose devices did.
  void on_change(std::function<void(std::set<std::string> pods)> fn) { changed_ = std::move(fn); }

  // What the node has of each resource, how much of that can be used; and resources that are gone:
  // they are told once.
  PluginCapacity capacity();
  bool fresh() const { return fresh_; }  // there was no file: nothing is known of earlier plug-ins
  const DeviceBook& book() const { return book_; }
  void drop_stale();

  // Before a start of a container: what it gets of its devices.
  Task<Result<ContainerExtras>> extras(Context ctx, Ref<api::core_v1::Pod> pod,
                                       api::core_v1::Container container);
  void fill_status(const api::core_v1::Pod& pod, api::core_v1::PodStatusEdit status) const;

  // HintProvider
  ResourceHints hints(const api::core_v1::Pod& pod,
                      const api::core_v1::Container& container) override;
  ResourceHints pod_hints(const api::core_v1::Pod& pod) override;
  Task<Refused> allocate(Context ctx, Ref<api::core_v1::Pod> pod,
                         api::core_v1::Container container) override;

  // PluginHandler
  Status validate(const PluginInfo& info) override;
  Task<Status> add(Context ctx, PluginInfo info) override;
  Task<void> remove(Context ctx, PluginInfo info) override;

 private:
  struct Plugin;  // one that was registered
  using Reusable = std::map<std::string, DeviceIds>;
  static Task<Result<std::string>> answer(DeviceManager* self, Context ctx, std::string method,
                                          std::string message);
  Task<Status> connect(Context ctx, std::string resource, std::string socket);
  static Task<void> follow(DeviceManager* self, std::shared_ptr<Plugin> plugin);
  void gone(const std::shared_ptr<Plugin>& plugin);
  Task<Result<std::string>> call(Context ctx, std::shared_ptr<Plugin> plugin, const char* method,
                                 std::string message);
  Task<Status> allocate_all(Context ctx, Ref<api::core_v1::Pod> pod,
                            api::core_v1::Container container);
  Task<Status> allocate_one(Context ctx, std::string pod, std::string container,
                            std::string resource, int count);
  Task<Result<DeviceIds>> choose(Context ctx, std::string pod, std::string container,
                                 std::string resource, int count);
  Task<Result<DeviceIds>> preferred(Context ctx, std::string resource, DeviceIds available,
                                    DeviceIds must, int count);
  Status check_healthy(const std::string& pod, const std::string& container,
                       const std::string& resource, int count) const;
  ResourceHints hints_for(const std::string& pod, const std::map<std::string, int>& wanted,
                          const std::function<DeviceIds(const std::string&)>& given) const;
  Status save() const;  // a failure is logged, too

  Context ctx_;
  Settings settings_;
  const TopologyManager* topology_;
  bool fresh_ = true;
  DeviceBook book_;
  std::map<std::string, std::shared_ptr<Plugin>> plugins_;  // by resource
  std::string reuse_pod_;
  Reusable reuse_;  // of its init containers
  std::function<const LivingContainers*()> living_;
  std::function<void(std::set<std::string>)> changed_;
  std::unique_ptr<net::GrpcServer> server_;
  Semaphore giving_;  // one allocation at a time
  TaskGroup tasks_;
};

}  // namespace keles::node
