// What plugins of every profile know of extended resources as devices (KEP-5004): the classes that
// stand for them, the pods' claims for them, and how many devices of a class a node has. One loop's
// thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "api/resource_v1.h"
#include "scheduler/dra/allocator.h"
#include "scheduler/dra/extended_resources.h"
#include "scheduler/handle.h"
#include "scheduler/plugins/assumed_devices.h"

namespace keles::scheduler {

// The cluster's devices, read once for all profiles.
class DeviceInventory {
 public:
  explicit DeviceInventory(Handle& handle);
  // Another one after slices have changed.
  std::shared_ptr<const dra::Inventory> now();
  dra::SelectorCache& selectors() { return selectors_; }
  // Of the inventory that now() gave last.
  dra::Selections& selections() { return selections_; }

 private:
  Informer<api::resource_v1::ResourceSlice> slices_;
  std::shared_ptr<const dra::Inventory> inventory_;  // null: slices have changed
  dra::SelectorCache selectors_;
  dra::Selections selections_;
};

class ExtendedResources {
 public:
  explicit ExtendedResources(Handle& handle);

  // The class that stands for the resource; null: none.
  Ref<api::resource_v1::DeviceClass> class_of(std::string_view resource);
  // Whether the node gives it as devices: a class stands for it, and no device plug-in has any.
  bool is_devices(std::string_view resource, const NodeInfo& node);
  // Whether a class stands for any resource that the pod asks for.
  bool any(const PodInfo& pod);
  // The claim that was made for the pod in an earlier attempt; null: none.
  dra::Claim claim_of(std::string_view pod_uid) const;

  // How many of the node's devices are of the resource's class, and how many of those are in
  // claims: 0 where that cannot be told.
  struct Count {
    int64_t all = 0, taken = 0;
  };
  Count count(std::string_view resource, const NodeInfo& node);

 private:
  Informer<api::resource_v1::DeviceClass> classes_;
  Informer<api::resource_v1::ResourceClaim> claims_;
  AssumedDevices& assumed_;
  DeviceInventory& devices_;
  std::unique_ptr<dra::ClassesByResource> by_resource_;  // null: classes have changed
};

}  // namespace keles::scheduler
