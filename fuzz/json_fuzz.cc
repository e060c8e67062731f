// JSON: parsing, strict decoding as a Pod, defaults, and writing; what was written parses to the
// same tree.
#include <cstdint>
#include <cstdlib>

#include "api/core_v1.h"
#include "machinery/codec_json.h"
#include "machinery/decode.h"

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
