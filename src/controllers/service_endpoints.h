// What a service's selector means in addresses and ports: shared by the endpointslice and the
// endpoints controllers. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "api/core_v1.h"
#include "client/client.h"
#include "client/informer.h"

namespace keles::controllers {

struct PortData {
  std::string name, protocol, app_protocol;
  int64_t port = 0;
  auto operator<=>(const PortData&) const = default;
};
using Ports = std::vector<PortData>;

struct EndpointData {
  std::string address;
  bool ready = false, serving = false, terminating = false;
  std::string hostname, node, zone;
  std::string zone_hint, node_hint;  // whose clients are best served by it; "" for none
  std::string ns, pod, uid;
  bool operator==(const EndpointData&) const = default;
  // What stays the same while conditions change.
  std::string id() const { return address + "/" + uid; }
};

// The ports of the service as this pod serves them: named target ports are looked up among the
// pod's containers; one that the pod does not have is left out. Sorted.
Ports resolve_ports(const api::core_v1::Service& service, const api::core_v1::Pod& pod);
// The pod's address of a family ("IPv4", "IPv6"), "" when it has none.
std::string pod_address(const api::core_v1::Pod& pod, std::string_view family);
EndpointData endpoint_of(const api::core_v1::Service& service, const api::core_v1::Pod& pod,
                         std::string address);
// Whether the pod is an endpoint at all: it has an address and has not finished.
bool has_endpoint(const api::core_v1::Pod& pod);
// A change that an endpoint of the pod would show.
bool endpoint_changed(const Ref<api::core_v1::Pod>& before, const Ref<api::core_v1::Pod>& now);
// The families of the service, IPv4 when it does not say.
std::vector<std::string> families_of(const api::core_v1::Service& service);
bool has_selector(const api::core_v1::Service& service);
bool is_headless(const api::core_v1::Service& service);
// Keys of the services that select the pod, as it was or as it is (of an informer with
// index_by_selector).
std::vector<std::string> services_of(const Informer<api::core_v1::Service>& services,
                                     const Ref<api::core_v1::Pod>& before,
                                     const Ref<api::core_v1::Pod>& now);

}  // namespace keles::controllers
