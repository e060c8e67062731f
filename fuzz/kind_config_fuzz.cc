// The files that kind reads take any bytes: an error or a value, and a node's own file survives being
// written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "kind/cluster_config.h"
#include "kind/node_spec.h"

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
