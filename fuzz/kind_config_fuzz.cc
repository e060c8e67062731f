// The files that kind reads take any bytes: an error or a value, and a node's own file survives
// being written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "kind/cluster_config.h"
#include "kind/node_spec.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  auto config = keles::kind::parse_cluster_config(text);
  if (config.ok() && keles::kind::node_names(*config).size() != config->nodes.size()) std::abort();
  auto spec = keles::kind::parse_node_spec(text);
  if (!spec.ok()) return 0;
  std::string once = keles::kind::format_node_spec(*spec);
  auto again = keles::kind::parse_node_spec(once);
  if (!again.ok() || keles::kind::format_node_spec(*again) != once) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nname: c\nnodes:\n- role: worker\n"
      "- role: control-plane\n  labels: {a: b}\n  extraMounts: [{hostPath: /a, containerPath: "
      "/b}]\n"
      "  extraPortMappings: [{hostPort: 80, containerPort: 80}]\nnetworking: {podSubnet: "
      "10.0.0.0/16}\n",
      "cluster c\nname n\nrole worker\nnumber 3\naddress 10.0.0.3/16\nrootfs /r\\ x\nimage /i\n"
      "mount /a /b ro\nport 0.0.0.0 80 80\nservice kubelet keles kubelet --a=b\\ c\n"};
}
