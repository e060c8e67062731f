// Go's fmt for the values of templates: print, println, printf with its verbs and flags, and what
// it writes of a wrong one. Pure functions, any thread. Texts are bounded: beyond `kMaxGoText`
// bytes there is an error.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "kubectl/go_value.h"

namespace keles::kubectl {

inline constexpr size_t kMaxGoText = 64u << 20;

Result<std::string> go_sprint(std::span<const GoValue> args);
Result<std::string> go_sprintln(std::span<const GoValue> args);
Result<std::string> go_sprintf(std::string_view format, std::span<const GoValue> args);

// The code point that `s` begins with and its length; 0xFFFD and 1 when it is none. `s` has bytes.
struct Rune {
  char32_t value;
  size_t size;
};
Rune first_rune(std::string_view s);
void append_rune(std::string& out, char32_t r);
bool rune_is_printable(char32_t r);
// "U+0041 'A'"
std::string rune_name(char32_t r);
// As strconv.Quote does; everything but ASCII escaped when `ascii`.
std::string go_quote(std::string_view s, bool ascii = false);

}  // namespace keles::kubectl
