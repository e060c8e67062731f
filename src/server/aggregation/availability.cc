#include "server/aggregation/availability.h"

#include <algorithm>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/unreadable.h"

namespace keles::aggregation {
namespace {

Availability no(std::string reason, std::string message) {
  return {"False", std::move(reason), std::move(message)};
}

// Whether any slice of the service has a ready endpoint and the port; `slices` counts them.
bool has_endpoint(const StoreSnapshot& snapshot, const ApiService& service,
                  std::string_view port_name, size_t* slices) {
  bool found = false;
  const std::string prefix =
      registry::list_prefix(kind_of<api::discovery_v1::EndpointSlice>(), service.service_namespace);
  snapshot.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr tree = o->tree();
    const Value& slice = tree->root;
    const Value& labels = slice["metadata"]["labels"];
    if (labels["kubernetes.io/service-name"].as_string() != service.service_name) return true;
    ++*slices;
    auto ready = [](const Value& e) {
      const Value& r = e["conditions"]["ready"];
      return r.is_null() || r.as_bool();
    };
    auto fits = [&](const Value& p) {
      return !p["name"].is_null() && p["name"].as_string() == port_name && !p["port"].is_null();
    };
    const auto endpoints = slice["endpoints"].items();
    const auto ports = slice["ports"].items();
    found |= std::any_of(endpoints.begin(), endpoints.end(), ready) &&
             std::any_of(ports.begin(), ports.end(), fits);
    return true;
  });
  return found;
}

}  // namespace

std::optional<Availability> judge(const StoreSnapshot& snapshot, const ApiService& service) {
  const std::string in = "\"" + service.service_namespace + "\"";
  const std::string where = "service/" + service.service_name + " in " + in;
  auto unknown = [&](std::string reason, const Status& why) {
    return Availability{"Unknown", std::move(reason),
                        where + " cannot be checked due to: " + why.message()};
  };
  const KindDesc& services = kind_of<api::core_v1::Service>();
  const std::string key =
      registry::object_key(services, service.service_namespace, service.service_name);
  ObjectPtr found = snapshot.get(key);
  if (!found) {
    Status hidden = unreadable_in(snapshot, key);
    if (!hidden.ok()) return unknown("ServiceAccessError", hidden);
    return no("ServiceNotFound", where + " is not present");
  }
  DocumentPtr tree = found->tree();
  const Value& spec = tree->root["spec"];
  const std::string_view type = spec["type"].as_string();
  if (!type.empty() && type != "ClusterIP") return std::nullopt;
  const Value* port = nullptr;
  for (const Value& p : spec["ports"].items()) {
    if (!port && p["port"].as_int() == service.service_port) port = &p;
  }
  if (!port) {
    return no("ServicePortError",
              where + " is not listening on port " + std::to_string(service.service_port));
  }
  const std::string port_name((*port)["name"].as_string());
  size_t slices = 0;
  if (has_endpoint(snapshot, service, port_name, &slices)) return std::nullopt;
  Status hidden =
      unreadable_in(snapshot, registry::list_prefix(kind_of<api::discovery_v1::EndpointSlice>(),
                                                    service.service_namespace));
  if (!hidden.ok()) return unknown("EndpointsAccessError", hidden);
  if (slices == 0) return no("EndpointsNotFound", "cannot find endpointslices for " + where);
  return no("MissingEndpoints", "endpointslices for " + where +
                                    " have no addresses with port name \"" + port_name + "\"");
}

Availability discovery_check(const std::string& failure) {
  if (failure.empty()) return {"True", "Passed", "all checks passed"};
  return no("FailedDiscoveryCheck", failure);
}

std::optional<Document> with_availability(const Value& object, const Availability& a,
                                          WallTime now) {
  Document d;
  d.root = deep_copy(d.arena, object);
  if (!registry::set_condition(d, "Available", a.status, a.reason, a.message, now)) {
    return std::nullopt;
  }
  return d;
}

}  // namespace keles::aggregation
