// The texts of path elements: canonical forms, their order, how they are shown. For this library.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "machinery/apply/path_set.h"
#include "machinery/value.h"

namespace keles::apply {

// The canonical text of a scalar, as an element of a set or the value of a key.
void write_scalar(std::string& out, const Value& v);
// Brings the body of a 'k' or a 'v' that somebody wrote into its canonical form; itself when it has
// it. Nothing when it is no JSON of that kind.
std::optional<std::string_view> canonical_body(Arena& arena, char kind, std::string_view body);
// A value as upstream's errors print it (%q of strings, %v of numbers).
std::string print_value(const Value& v);

}  // namespace keles::apply
