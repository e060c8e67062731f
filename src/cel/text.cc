#include "cel/text.h"

#include <cstring>

#include "cel/source.h"

namespace keles::cel {
namespace {

bool is_space(char32_t c) {
  switch (c) {
    case '\t':
    case '\n':
    case '\v':
    case '\f':
    case '\r':
    case ' ':
    case 0x85:
    case 0xA0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202F:
    case 0x205F:
    case 0x3000:
      return true;
    default:
      return c >= 0x2000 && c <= 0x200A;
  }
}

}  // namespace

size_t find_text(std::string_view s, std::string_view part, size_t from) {
  if (from > s.size()) return s.npos;
  if (part.empty()) return from;
  const void* at = memmem(s.data() + from, s.size() - from, part.data(), part.size());
  return at == nullptr ? s.npos : static_cast<size_t>(static_cast<const char*>(at) - s.data());
}

size_t rune_offset(std::string_view s, size_t n) {
  size_t at = 0;
  for (; n > 0 && at < s.size(); --n) next_rune(s, at);
  return n == 0 ? at : s.npos;
}

std::string_view trim_space(std::string_view s) {
  size_t begin = 0;
  while (begin < s.size()) {
    size_t next = begin;
    if (!is_space(next_rune(s, next))) break;
    begin = next;
  }
  size_t end = begin;
  for (size_t at = begin; at < s.size();) {
    if (!is_space(next_rune(s, at))) end = at;
  }
  return s.substr(begin, end - begin);
}

}  // namespace keles::cel
