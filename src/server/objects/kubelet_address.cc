#include "server/objects/kubelet_address.h"

namespace keles::registry {
namespace {

constexpr uint16_t kKubeletPort = 10250;

std::string_view node_address(const Value& node, const AddressTypes& order) {
  for (const std::string& type : order) {
    for (const Value& a : node["status"]["addresses"].items()) {
      if (a["type"].as_string() == type) return a["address"].as_string();
    }
  }
  return {};
}

}  // namespace

const AddressTypes& kubelet_address_types() {
  static const AddressTypes types{"InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS",
                                  "Hostname"};
  return types;
}

Result<KubeletAddress> kubelet_address(const Value& node, const AddressTypes& order) {
  KubeletAddress out;
  out.host = node_address(node, order);
  if (out.host.empty()) {
    return Status::internal("no preferred addresses found for node " +
                            std::string(node["metadata"]["name"].as_string()));
  }
  const int64_t port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_int();
  if (port > 65535) {
    return Status::bad_request("address " + std::to_string(port) + ": invalid port");
  }
  out.port = port > 0 ? static_cast<uint16_t>(port) : kKubeletPort;
  return out;
}

}  // namespace keles::registry
