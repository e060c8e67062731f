#include "scheduler/plugins/extended_resources.h"

#include <algorithm>

namespace keles::scheduler {

using api::resource_v1::DeviceClass;
using api::resource_v1::ResourceClaim;
using api::resource_v1::ResourceSlice;

namespace {

constexpr const char* kByPod = "extended-by-pod";

std::string controller_of(const ResourceClaim& claim) {
  for (auto owner : claim.metadata().owner_references())
    if (owner.controller()) return std::string(owner.uid());
  return "";
}

}  // namespace

DeviceInventory::DeviceInventory(Handle& handle)
    : slices_(handle.watch<ResourceSlice>(Watched::kResourceSlice)) {
  slices_.on_change([this](const auto&, const auto&) { inventory_.reset(); });
}

std::shared_ptr<const dra::Inventory> DeviceInventory::now() {
  if (inventory_) return inventory_;
  inventory_ = std::make_shared<const dra::Inventory>(slices_.list());
  selections_ = dra::Selections();
  return inventory_;
}

ExtendedResources::ExtendedResources(Handle& handle)
    : classes_(handle.watch<DeviceClass>(Watched::kDeviceClass)),
      claims_(handle.watch<ResourceClaim>(Watched::kResourceClaim)),
      assumed_(handle.shared<AssumedDevices>()),
      devices_(handle.shared<DeviceInventory>()) {
  classes_.on_change([this](const auto&, const auto&) { by_resource_.reset(); });
  claims_.base().add_index(kByPod, [](const ObjectPtr& o) -> std::vector<std::string> {
    const Ref<ResourceClaim> claim = read<ResourceClaim>(o);
    if (!dra::is_extended_claim(*claim)) return {};
    return {controller_of(*claim)};
  });
}

Ref<DeviceClass> ExtendedResources::class_of(std::string_view resource) {
  if (!dra::may_be_devices(resource)) return Ref<DeviceClass>();
  if (!by_resource_) by_resource_ = std::make_unique<dra::ClassesByResource>(classes_.list());
  return by_resource_->find(resource);
}

bool ExtendedResources::is_devices(std::string_view resource, const NodeInfo& node) {
  auto there = node.allocatable.scalar.find(std::string(resource));
  if (there != node.allocatable.scalar.end() && there->second > 0) return false;
  return static_cast<bool>(class_of(resource));
}

bool ExtendedResources::any(const PodInfo& pod) {
  return std::any_of(pod.requests.scalar.begin(), pod.requests.scalar.end(),
                     [this](const auto& r) { return r.second > 0 && class_of(r.first); });
}

dra::Claim ExtendedResources::claim_of(std::string_view pod_uid) const {
  auto found = claims_.by_index(kByPod, pod_uid);
  return found.empty() ? dra::Claim() : found.front();
}

ExtendedResources::Count ExtendedResources::count(std::string_view resource, const NodeInfo& node) {
  Count out;
  const Ref<DeviceClass> of = class_of(resource);
  if (!of) return out;
  const std::shared_ptr<const dra::Inventory> inventory = devices_.now();
  for (const dra::Inventory::NodePool& p : inventory->of(node)) {
    for (const dra::Slice* slice : p.slices) {
      for (const dra::Device& d : slice->devices) {
        if (!slice->includes(d, node)) continue;
        auto is = dra::is_of_class(*of, *slice, d, devices_.selectors());
        if (!is.ok()) return {};
        if (!*is) continue;
        ++out.all;
        out.taken += assumed_.in_use().any(d.id);
      }
    }
  }
  return out;
}

}  // namespace keles::scheduler
