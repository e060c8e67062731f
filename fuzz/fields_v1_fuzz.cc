// Texts of fieldsV1. What is read is written in one form, which is read as the same; sets obey the
// laws of sets; what is a JSON object stays one when it is written as it is.
#include <cstdint>
#include <cstdlib>

#include "machinery/apply/path_set.h"
#include "machinery/codec_json.h"
#include "machinery/raw_text.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles;
  using namespace keles::apply;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t middle = all.find('\n');
  const std::string_view first = all.substr(0, middle);
  const std::string_view second = middle == all.npos ? std::string_view() : all.substr(middle + 1);

  if (is_json_object(first)) {
    std::string raw;
    append_raw_json(raw, first);
    if (!parse_json(raw).ok() && parse_json(first).ok()) std::abort();
  }
  Arena arena;
  auto a = parse_fields_v1(arena, first), b = parse_fields_v1(arena, second);
  if (!a) return 0;
  const std::string text = to_fields_v1(a->set);
  auto again = parse_fields_v1(arena, text);
  if (!again || !equal(again->set, a->set) || to_fields_v1(again->set) != text) std::abort();
  if (is_json_object(first) && !is_json_object(text)) std::abort();  // UTF-8 stays UTF-8
  (void)list_paths(a->set);
  if (!b) return 0;
  PathSet x = a->set, y = b->set;
  PathSet both = unite(arena, x, y), common = intersect(arena, x, y);
  if (size_t n = apply::size(x) + apply::size(y); apply::size(both) + apply::size(common) != n) {
    std::abort();
  }
  if (!equal(unite(arena, subtract(arena, x, y), common), x)) std::abort();
  if (intersect(arena, subtract(arena, x, y), y)) std::abort();
  if (!equal(both, unite(arena, y, x)) || subtract(arena, x, both)) std::abort();
  if (apply::size(subtract_deep(arena, x, y)) > apply::size(subtract(arena, x, y))) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      R"({"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:replicas":{}}})"
      "\n"
      R"({"f:spec":{".":{},"f:replicas":{},"f:paused":{}}})",
      R"({"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{}},)"
      R"("k:{\"containerPort\":443,\"protocol\":\"TCP\"}":{}}})"
      "\n"
      R"({"f:ports":{"k:{ \"protocol\":\"TCP\", \"containerPort\":80.0}":{}}})",
      R"({"v:1":{},"v:\"a\u003c\"":{},"i:3":{},"x:y":{"z":[1,2,{"a":null}]},"f:\ud83d\ude00":{}})"
      "\n{}",
  };
}
