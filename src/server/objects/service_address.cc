#include "server/objects/service_address.h"

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "server/objects/keys.h"

namespace keles::registry {
namespace {

// The pod that an endpoint names, when it is one of this namespace and has that address.
bool is_pod_address(const StoreSnapshot& snapshot, std::string_view ns, const Value& ref,
                    const IpAddress& ip) {
  if (ref["kind"].as_string() != "Pod" || ref["namespace"].as_string() != ns) return false;
  ObjectPtr found =
      snapshot.get(object_key(kind_of<api::core_v1::Pod>(), ns, ref["name"].as_string()));
  if (!found) return false;
  DocumentPtr tree = found->tree();
  for (const Value& p : tree->root["status"]["podIPs"].items()) {
    if (IpAddress::parse(p["ip"].as_string()) == ip) return true;
  }
  return false;
}

bool counts(const StoreSnapshot& snapshot, std::string_view ns, const Value& endpoint,
            const IpAddress& ip, bool by_hand) {
  const Value& ready = endpoint["conditions"]["ready"];
  if (!ready.is_null() && !ready.as_bool()) return false;
  const Value& ref = endpoint["targetRef"];
  if (ref.is_null()) return by_hand;
  return is_pod_address(snapshot, ns, ref, ip);
}

}  // namespace

std::vector<ServiceAddress> ready_endpoints(const StoreSnapshot& snapshot, const Value& service,
                                            std::string_view port_name, EndpointRule rule) {
  const std::string_view ns = service["metadata"]["namespace"].as_string();
  const std::string_view name = service["metadata"]["name"].as_string();
  const std::string_view family = service["spec"]["ipFamilies"].at(0).as_string();
  const bool by_hand = rule == EndpointRule::kAlsoByHand && service["spec"]["selector"].empty();
  std::vector<ServiceAddress> first, others;
  const std::string prefix = list_prefix(kind_of<api::discovery_v1::EndpointSlice>(), ns);
  snapshot.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr slice = o->tree();
    if (slice->root["metadata"]["labels"]["kubernetes.io/service-name"].as_string() != name) {
      return true;
    }
    const bool preferred = family.empty() || slice->root["addressType"].as_string() == family;
    for (const Value& p : slice->root["ports"].items()) {
      const int64_t port = p["port"].as_int();
      if (p["name"].as_string() != port_name || port < 1 || port > 65535) continue;
      for (const Value& e : slice->root["endpoints"].items()) {
        auto ip = IpAddress::parse(e["addresses"].at(0).as_string());
        if (!ip || !counts(snapshot, ns, e, *ip, by_hand)) continue;
        (preferred ? first : others).push_back({ip->text(), static_cast<uint16_t>(port)});
      }
    }
    return true;
  });
  return first.empty() ? others : first;
}

Result<ServiceAddress> resolve_service(const StoreSnapshot& snapshot, const std::string& ns,
                                       const std::string& name, int64_t port, Random& random) {
  ObjectPtr found = snapshot.get(object_key(kind_of<api::core_v1::Service>(), ns, name));
  if (!found) return Status::not_found("", "services", name);
  DocumentPtr tree = found->tree();
  const Value& spec = tree->root["spec"];
  if (spec["type"].as_string() == "ExternalName") {
    if (port < 1 || port > 65535) {
      return Status(Reason::kServiceUnavailable, "port " + std::to_string(port) + " is no port");
    }
    return ServiceAddress{std::string(spec["externalName"].as_string()),
                          static_cast<uint16_t>(port)};
  }
  const Value* wanted = nullptr;
  for (const Value& p : spec["ports"].items()) {
    if (!wanted && p["port"].as_int() == port) wanted = &p;
  }
  if (!wanted) {
    return Status(Reason::kServiceUnavailable, "no service port " + std::to_string(port) +
                                                   " found for service \"" + name + "\"");
  }
  auto choices = ready_endpoints(snapshot, tree->root, (*wanted)["name"].as_string(),
                                 EndpointRule::kAlsoByHand);
  if (choices.empty()) {
    return Status(Reason::kServiceUnavailable,
                  "no endpoints available for service \"" + name + "\"");
  }
  return std::move(choices[random.below(choices.size())]);
}

}  // namespace keles::registry
