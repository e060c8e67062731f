// JSON: parsing, strict decoding as a Pod, defaults, and writing; what was written parses to the
// same tree.
#include <cstdint>
#include <cstdlib>

#include "api/core_v1.h"
#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> duplicates;
  auto doc = parse_json(text, {&duplicates});
  if (!doc.ok()) return 0;
  auto again = parse_json(to_json(doc->root));
  if (!again.ok() || !again->root.equals(doc->root)) std::abort();
  const KindDesc& pod = kind_of<api::core_v1::Pod>();
  if (!decode_object(pod, *doc, FieldValidation::kIgnore).ok()) return 0;
  apply_defaults(pod, *doc);
  std::string out;
  write_json(out, pod, doc->root);
  if (!parse_json(out).ok()) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {R"({"metadata":{"name":"a","creationTimestamp":"2024-01-01T02:00:00+02:00"},"spec":{)"
          R"("containers":[{"name":"c","image":"x","resources":{"limits":{"cpu":"1000m"}}}]}})",
          R"({"spec":{"containers":[{"ports":[{"containerPort":80,"hostPort":1.5}]}],"x":null}})",
          R"([1,-2.5e10,"\u00e9\ud83d\ude00",true,null,{"a":[],"b":{}}])",
          "{\"a\":1,\"a\":2}",
          "5e19",
          "[18446744073709551616,-9223372036854775809,-0,1.0,1E3,1e308,\"5e19,\\\"\"]"};
}
