// Values and envelopes as a damaged disk might hold them.
#include <cstddef>
#include <cstdint>

#include "store/record_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)keles::stored_kind(bytes);
  auto record = keles::decode_record_value(bytes);
  if (record.ok()) (void)keles::stored_kind(*record->stored);
  return 0;
}
