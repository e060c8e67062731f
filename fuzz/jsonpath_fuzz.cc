// A JSONPath template is read or refused, and run over a document within its bounds; what it
// prints is the same each time.
#include <cstdint>
#include <cstdlib>

#include "kubectl/jsonpath.h"
#include "machinery/codec_json.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const keles::Document kDocument = *keles::parse_json(
      R"({"kind":"List","items":[{"metadata":{"name":"a","labels":{"x.y/z":"1"}},"n":1,"ok":true},
      {"metadata":{"name":"b"},"n":2.5,"ports":[80,443,{"p":[null,[],{}]}]}],"s":"text"})");
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto path = keles::kubectl::JsonPath::parse(text);
  if (path.ok()) {
    auto first = path->execute(kDocument.root), second = path->execute(kDocument.root);
    if (first.ok() != second.ok()) std::abort();
    if (first.ok() && *first != *second) std::abort();
    path->set_allow_missing(false);
    auto strict = path->execute(kDocument.root);
    // Strictness refuses; it never prints anything else. (A text behind a missing field is there or
    // not, and a filter may ask for it.)
    const bool asks_for_text =
        text.find("[?(") != text.npos && text.find_first_of("\"'") != text.npos;
    if (!asks_for_text && first.ok() && strict.ok() && *first != *strict) std::abort();
  }
  auto relaxed = keles::kubectl::JsonPath::relaxed(text);
  if (relaxed.ok() && !relaxed->empty() && relaxed->front() != '{') std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"{.items[*].metadata.name}",
          "{range .items[?(@.n>1)]}{.metadata.name}{\"\\t\"}{end}",
          "{.items[0].metadata.labels['x\\.y/z']}",
          "{..name}{.items[-1:]['n','ok']}",
          "{.items[0:2:1].ports[?(@.p)]} text {@}",
          "metadata.name",
          "{range .items[?(.~.@0)]}d}"};
}
