#include "server/objects/kubelet_address.h"

namespace keles::registry {
namespace {

constexpr uint16_t kKubeletPort = 10250;

std::string_view node_address(const Value& node) {
  for (std::string_view type :
       {"InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname"}) {
    for (const Value& a : node["status"]["addresses"].items()) {
      if (a["type"].as_string() == type) return a["address"].as_string();
    }
  }
  return {};
}

}  // namespace

Result<KubeletAddress> kubelet_address(const Value& node) {
  KubeletAddress out;
  out.host = node_address(node);
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
