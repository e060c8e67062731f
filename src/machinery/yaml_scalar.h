// What a plain YAML scalar means. Inside machinery only.
#pragma once

#include <string_view>

#include "machinery/value.h"

namespace keles::yaml {

enum class ScalarKind : uint8_t { kNull, kBool, kInt, kFloat, kTimestamp, kMerge, kString };

struct Scalar {
  ScalarKind kind = ScalarKind::kString;
  bool boolean = false;
  int64_t integer = 0;
  double number = 0;  // kFloat; may be infinite or not a number
};

// YAML 1.1 as upstream's decoder resolves it. kTimestamp is text to a reader; a writer quotes it.
Scalar resolve_plain(std::string_view text);
// Text that a YAML 1.1 reader may take for a base-60 number ("1:30"), which writers quote.
bool looks_base60(std::string_view text);

}  // namespace keles::yaml
