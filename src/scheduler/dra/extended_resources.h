// Extended resources that device classes stand for (KEP-5004): which, and what a pod's claim asks
// for where a node has them as devices and not by a device plug-in. Pure; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/resource_v1.h"
#include "machinery/value.h"

namespace keles::scheduler::dra {

// The annotation ("true") of the claim that a scheduler makes for a pod's extended resources.
inline constexpr std::string_view kExtendedClaim = "resource.kubernetes.io/extended-resource-claim";

// Whether a device class may stand for it: an extended resource, or one named after a class
// ("deviceclass.resource.kubernetes.io/NAME").
bool may_be_devices(std::string_view resource);

// The device class for a resource: the newest of those that name it, of as old ones that with the
// lesser name; and of the name of each class itself.
class ClassesByResource {
 public:
  using DeviceClass = api::resource_v1::DeviceClass;
  ClassesByResource() = default;
  explicit ClassesByResource(const std::vector<Ref<DeviceClass>>& classes);
  // Null: none.
  Ref<DeviceClass> find(std::string_view resource) const;

 private:
  std::map<std::string, Ref<DeviceClass>, std::less<>> classes_;
};

// Requests of a claim, and which container's resource each is for.
struct ExtendedRequests {
  struct Request {
    std::string name, device_class;
    int64_t count;
    bool operator==(const Request&) const = default;
  };
  struct Mapping {
    std::string container, resource, request;
    bool operator==(const Mapping&) const = default;
  };
  std::vector<Request> requests;  // by name
  std::vector<Mapping> mappings;
};

// For those resources of the pod that are named here, with the class of each. Init containers take
// what later containers will have before they ask for more, and of what they ask for more the most
// is enough for all.
ExtendedRequests extended_requests(const api::core_v1::Pod& pod,
                                   const std::map<std::string, std::string>& class_of);

// The pod's claim for them, which the API gives its name.
Document extended_claim(const api::core_v1::Pod& pod, const ExtendedRequests& wanted);

bool is_extended_claim(const api::resource_v1::ResourceClaim& claim);

}  // namespace keles::scheduler::dra
