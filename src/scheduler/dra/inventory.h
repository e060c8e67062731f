// The devices of a cluster: pools, as ResourceSlices (resource.k8s.io/v1) describe them. Of a pool
// the slices of the newest generation count; it is complete when there are as many as they say.
//
// Made anew when slices change; constant otherwise. One loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "api/core_v1.h"
#include "api/resource_v1.h"
#include "machinery/value.h"
#include "scheduler/dra/amounts.h"
#include "scheduler/types.h"

namespace keles::scheduler::dra {

struct DeviceId {
  std::string driver, pool, device;
  auto operator<=>(const DeviceId&) const = default;
};

// Which devices are in claims.
struct InUse {
  struct Shared {
    int claims = 0;
    Amounts taken;  // of its capacity
  };
  std::map<DeviceId, int> whole;      // in how many claims; those that look only are left out
  std::map<DeviceId, Shared> shared;  // by several at once, each with its share
  bool any(const DeviceId& id) const { return whole.contains(id) || shared.contains(id); }
};

std::vector<NodeSelectorTerm> read_node_selector(const api::core_v1::NodeSelector& selector);

// Where something can be used: nowhere, on one node, on those that a selector picks, everywhere.
struct Places {
  bool everywhere = false;
  std::string node;
  std::vector<NodeSelectorTerm> terms;  // any of them
  bool include(const NodeInfo& n) const;
};

// What of a device is looked at for every node, read once.
struct Device {
  api::resource_v1::Device said;
  DeviceId id;
  size_t serial = 0;        // among all devices of the inventory
  size_t index = 0;         // in its slice
  bool shared = false;      // several claims may have it at once
  bool has_enough = false;  // of every capacity, for one that asks for none
};

struct Slice {
  Ref<api::resource_v1::ResourceSlice> object;
  Places places;
  std::vector<Places> of_device;  // where the slice says so device by device; else empty
  bool binds = false;             // some of its devices have binding conditions
  std::vector<Device> devices;
  // Of a slice that has anything for the node: whether it has this.
  bool includes(const Device& d, const NodeInfo& node) const {
    return of_device.empty() || of_device[d.index].include(node);
  }
};

struct Pool {
  std::string driver, name;
  int64_t generation = 0, expected = 0;
  std::vector<Slice> slices;  // of that generation, by name
  bool complete() const { return static_cast<int64_t>(slices.size()) == expected; }
  CounterSets counters;  // that its devices share
  bool invalid = false;  // two devices have one name, or counters are not as they should be
};

class Inventory {
 public:
  explicit Inventory(const std::vector<Ref<api::resource_v1::ResourceSlice>>& slices = {});
  Inventory(const Inventory&) = delete;
  Inventory(Inventory&&) = default;
  Inventory& operator=(Inventory&&) = default;

  // The pools that have anything for the node, each with its slices that do.
  struct NodePool {
    const Pool* pool;
    std::vector<const Slice*> slices;
  };
  std::vector<NodePool> of(const NodeInfo& node) const;
  size_t devices() const { return devices_; }

 private:
  using Place = std::pair<size_t, size_t>;  // pool, slice
  std::vector<Pool> pools_;                 // by driver and name
  std::map<std::string, std::vector<Place>, std::less<>> by_node_;
  std::vector<Place> others_;  // not of one node
  size_t devices_ = 0;
};

}  // namespace keles::scheduler::dra
