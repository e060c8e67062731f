// Values and envelopes as a damaged disk might hold them.
#include <cstddef>
#include <cstdint>

#include "seeds.h"
#include "store/record_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)keles::stored_kind(bytes);
  auto record = keles::decode_record_value(bytes);
  if (record.ok()) (void)keles::stored_kind(*record->stored);
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  using namespace std::string_view_literals;
  static constexpr std::string_view kEnvelope =
      "k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x05\n\x03\n\x01"
      "a"sv;
  static const std::string kValue = "\x01\x07\x03\x02" + std::string(kEnvelope);
  return {kEnvelope, kValue, "\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x01"sv, ""sv};
}
