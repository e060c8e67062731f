// Which devices plug-ins offer, how they are, and which container has which; kept in the file
// kubelet_internal_checkpoint as upstream keeps it (pkg/kubelet/cm/devicemanager). Pure but for
// that file.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/status.h"
#include "node/managers/container_managers.h"
#include "node/topology/topology_manager.h"

namespace keles::node {

struct PluginDevice {
  bool healthy = false;
  std::vector<int64_t> nodes;  // NUMA nodes; none: it lies near none
};
using DeviceIds = std::set<std::string>;

// What a plug-in said with an allocation: deviceplugin's ContainerAllocateResponse.
struct DeviceGrant {
  std::string bytes;  // as it said it
  ContainerExtras extras;
};
Result<DeviceGrant> read_grant(std::string bytes);

struct GivenDevices {
  static constexpr int64_t kNowhere = -1;
  std::map<int64_t, std::vector<std::string>> by_node;
  DeviceGrant grant;
  DeviceIds ids() const;
};

class DeviceBook {
 public:
  using Container = std::map<std::string, GivenDevices>;  // by resource
  using Pod = std::map<std::string, Container>;           // by container
  using Offered = std::map<std::string, PluginDevice>;    // by id

  // What a plug-in offers, in place of what it offered. Pods whose devices are not as they were.
  std::set<std::string> offer(const std::string& resource, Offered devices);
  // It has gone: nothing of it is healthy.
  void lose(const std::string& resource);
  void forget(const std::string& resource);

  bool known(const std::string& resource) const;
  const Offered& offered(const std::string& resource) const;
  DeviceIds healthy(const std::string& resource) const;
  int count(const std::string& resource, bool healthy_only) const;
  std::set<std::string> resources() const;  // those that have been offered

  const std::map<std::string, Pod>& pods() const { return pods_; }
  // null: it has none.
  const GivenDevices* of(const std::string& pod, const std::string& container,
                         const std::string& resource) const;
  const Container* of(const std::string& pod, const std::string& container) const;
  // Marked as in use before the plug-in was asked; give() makes it so, recount() takes it back.
  void mark(const std::string& resource, const DeviceIds& ids);
  void recount();
  void give(const std::string& pod, const std::string& container, const std::string& resource,
            const DeviceIds& ids, DeviceGrant grant);
  void take_back(const std::string& pod, const std::string& container, const std::string& resource);
  void drop_pods(const std::set<std::string>& living);
  DeviceIds in_use(const std::string& resource) const;

  // Those of `free` in the order in which they are to be taken: where the hint says, elsewhere,
  // nowhere in particular.
  struct Ranked {
    DeviceIds near, far, nowhere;
  };
  Ranked rank(const std::string& resource, const DeviceIds& free, const TopologyHint& hint) const;
  bool has_places(const std::string& resource) const;
  std::vector<TopologyHint> hints(const std::string& resource, const DeviceIds& free,
                                  const DeviceIds& reusable, int count,
                                  const std::vector<int>& numa_nodes) const;

  // The file's text, and what a text says: the resources that had been offered are left without
  // devices.
  std::string text() const;
  static Result<DeviceBook> parse(const std::string& text);

 private:
  std::string dump() const;
  std::map<std::string, Offered> offered_;
  std::map<std::string, Pod> pods_;
  std::map<std::string, DeviceIds> in_use_;
};

}  // namespace keles::node
