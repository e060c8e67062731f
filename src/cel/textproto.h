// Reads protobuf's text format into a tree of names: for the tests only.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace keles::cel {

struct TextProto {
  std::string scalar;  // of a leaf: a number, a word, or the bytes of a string
  std::vector<std::pair<std::string, TextProto>> fields;

  // The first of that name; an empty one when there is none.
  const TextProto& operator[](std::string_view name) const;
  bool has(std::string_view name) const;
  std::vector<const TextProto*> all(std::string_view name) const;
};

// At most 100 levels deep.
Result<TextProto> parse_textproto(std::string_view text);

}  // namespace keles::cel
