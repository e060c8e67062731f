// Protobuf: decoding a Pod; what it encodes to decodes to the same tree; the check without
// a tree agrees.
#include <cstdint>
#include <cstdlib>

#include "api/core_v1.h"
#include "machinery/codec_protobuf.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)open_protobuf(bytes);
  const TypeDesc& pod = api::core_v1::Pod::descriptor();
  auto doc = decode_protobuf(pod, bytes);
  if (is_protobuf_of(pod, bytes) != doc.ok()) std::abort();
  if (!doc.ok()) return 0;
  const std::string once = encode_protobuf(pod, doc->root);
  auto again = decode_protobuf(pod, once);
  if (!again.ok() || encode_protobuf(pod, again->root) != once) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  // metadata {name: "a", labels: {k: v}}, spec {containers [{name: "c"}], nodeName: "n"}.
  static constexpr char kPod[] =
      "\x0a\x0d\x0a\x01"
      "a"
      "\x5a\x06\x0a\x01k\x12\x01v\x12\x08\x12\x03\x0a\x01"
      "c"
      "\x52\x01n";
  static constexpr char kEnvelope[] = "k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x00\x1a\x00\"\x00";
  return {{kPod, sizeof(kPod) - 1}, {kEnvelope, sizeof(kEnvelope) - 1}};
}
