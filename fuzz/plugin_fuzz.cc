// Arbitrary bytes as what a program on a plug-in socket says of itself: read within bounds or
// refused.
#include <cstdint>
#include <cstdlib>

#include "node/plugins/plugin_registry.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  auto info = keles::node::read_plugin_info(in, "/registry/x.sock");
  if (!info.ok()) return 0;
  if (info->endpoint.empty() || info->name.size() > 253 || info->versions.size() > 64) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "\x0a\x09"
      "CSIPlugin\x12\x05"
      "fruit\x1a\x02/s\x22\x05"
      "1.0.0",
      "\x0a\xff\xff\xff\xff\x0f"};
}
