// Arbitrary bytes into the decoders of the runtime's answers and of container logs.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "node/cri/codec.h"
#include "node/logs/cri_log.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles::node;
  std::string_view in(reinterpret_cast<const char*>(data), size);
  (void)cri::decode_sandbox_status(in);
  (void)cri::decode_container_status(in);
  (void)cri::decode_container_list(in);
  (void)cri::decode_event(in);
  (void)parse_log_entry(in);
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"\x0a\x04\x0a\x02id", "2026-01-02T03:04:05.123456789Z stdout F x"};
}
