// Protobuf: decoding a Pod; what it encodes to decodes to the same tree.
#include <cstdint>
#include <cstdlib>

#include "api/core_v1.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)open_protobuf(bytes);
  const TypeDesc& pod = api::core_v1::Pod::descriptor();
  auto doc = decode_protobuf(pod, bytes);
  if (!doc.ok()) return 0;
  const std::string once = encode_protobuf(pod, doc->root);
  auto again = decode_protobuf(pod, once);
  if (!again.ok() || encode_protobuf(pod, again->root) != once) std::abort();
  return 0;
}
