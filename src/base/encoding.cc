#include "base/encoding.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace keles {
namespace {

constexpr char kHexLower[] = "0123456789abcdef";
constexpr char kHexUpper[] = "0123456789ABCDEF";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// --- base64 ---

struct Base64 {
  const char* alphabet;
  std::array<int8_t, 256> values;  // -1: no digit
  bool padded;
};

constexpr Base64 make_base64(const char* alphabet, bool padded) {
  Base64 b{alphabet, {}, padded};
  for (auto& v : b.values) v = -1;
  for (int i = 0; i < 64; ++i)
    b.values[static_cast<unsigned char>(alphabet[i])] = static_cast<int8_t>(i);
  return b;
}
constexpr Base64 kStandard =
    make_base64("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true);
constexpr Base64 kUrl =
    make_base64("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false);

std::string encode(std::string_view s, const Base64& form) {
  std::string out((s.size() + 2) / 3 * 4, '=');
  char* to = out.data();
  auto at = [&](size_t i) -> uint32_t { return static_cast<unsigned char>(s[i]); };
  size_t i = 0;
  for (; i + 2 < s.size(); i += 3) {
    const uint32_t bits = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    *to++ = form.alphabet[bits >> 18];
    *to++ = form.alphabet[bits >> 12 & 63];
    *to++ = form.alphabet[bits >> 6 & 63];
    *to++ = form.alphabet[bits & 63];
  }
  if (const size_t left = s.size() - i; left > 0) {
    const uint32_t bits = at(i) << 16 | (left == 2 ? at(i + 1) << 8 : 0);
    *to++ = form.alphabet[bits >> 18];
    *to++ = form.alphabet[bits >> 12 & 63];
    if (left == 2) *to++ = form.alphabet[bits >> 6 & 63];
  }
  if (!form.padded) out.resize(static_cast<size_t>(to - out.data()));
  return out;
}

// Decodes into `out` when it is not null; the offset of the first wrong byte, or -1.
long decode(std::string_view text, std::string* out, const Base64& form) {
  uint32_t bits = 0;
  int have = 0;
  size_t i = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' || c == '\r') continue;
    if (c == '=' && form.padded) break;
    const int v = form.values[static_cast<unsigned char>(c)];
    if (v < 0) return static_cast<long>(i);
    bits = bits << 6 | static_cast<uint32_t>(v);
    if (++have == 4) {
      if (out != nullptr) {
        const char bytes[] = {static_cast<char>(bits >> 16), static_cast<char>(bits >> 8),
                              static_cast<char>(bits)};
        out->append(bytes, sizeof bytes);
      }
      have = 0;
      bits = 0;
    }
  }
  if (have == 0) return i == text.size() ? -1 : static_cast<long>(i);
  // What ends within four characters is wrong where those begin.
  if (i == text.size() && (have == 1 || form.padded)) return static_cast<long>(i) - have;
  if (have == 1) return static_cast<long>(i);
  int pads = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' || c == '\r') continue;
    if (c != '=' || pads == 4 - have) return static_cast<long>(i);
    ++pads;
  }
  if (form.padded && pads != 4 - have) return static_cast<long>(text.size());
  if (out != nullptr) {
    bits <<= 6 * (4 - have);
    out->push_back(static_cast<char>(bits >> 16));
    if (have == 3) out->push_back(static_cast<char>(bits >> 8));
  }
  return -1;
}

Result<std::string> decode(std::string_view text, const Base64& form) {
  std::string out;
  out.reserve(text.size() / 4 * 3 + 3);
  const long bad = decode(text, &out, form);
  if (bad < 0) return out;
  return Status::bad_request("illegal base64 data at input byte " + std::to_string(bad));
}

// --- quoting ---

// The code point that `s` begins with, and its size; size 1 and kBad for what is no UTF-8.
constexpr uint32_t kBad = 0xffffffff;
struct Rune {
  uint32_t value;
  size_t size;
};
Rune first_rune(std::string_view s) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned lead = byte(0);
  const size_t size = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (size == 0 || s.size() < size) return {kBad, 1};
  uint32_t value = lead & (0xff >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {kBad, 1};
    value = value << 6 | (byte(i) & 0x3f);
  }
  const bool too_long = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
  if (too_long || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return {kBad, 1};
  return {value, size};
}

// Controls, separators, formats and private use, beyond ASCII.
struct Range {
  uint32_t first, last;
};
constexpr Range kUnprintable[] = {
    {0x80, 0xa0},       {0xad, 0xad},       {0x600, 0x605},     {0x61c, 0x61c},
    {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},     {0x8e2, 0x8e2},
    {0x1680, 0x1680},   {0x180e, 0x180e},   {0x2000, 0x200f},   {0x2028, 0x202f},
    {0x205f, 0x206f},   {0x3000, 0x3000},   {0xe000, 0xf8ff},   {0xfeff, 0xfeff},
    {0xfff0, 0xfffb},   {0xfffe, 0xffff},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
    {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff},
    {0xf0000, 0x10ffff}};

bool printable(uint32_t rune) {
  const auto* at = std::lower_bound(std::begin(kUnprintable), std::end(kUnprintable), rune,
                                    [](const Range& r, uint32_t x) { return r.last < x; });
  return at == std::end(kUnprintable) || rune < at->first;
}

void append_hex(std::string& out, char kind, uint32_t value, int digits) {
  out.push_back('\\');
  out.push_back(kind);
  while (digits-- > 0) out.push_back(kHexLower[value >> (4 * digits) & 15]);
}

void append_escaped(std::string& out, char c) {
  constexpr std::string_view kFrom = "\a\b\f\n\r\t\v\"\\", kTo = "abfnrtv\"\\";
  if (const size_t i = kFrom.find(c); i != kFrom.npos) {
    out.push_back('\\');
    out.push_back(kTo[i]);
  } else {
    append_hex(out, 'x', static_cast<unsigned char>(c), 2);
  }
}

}  // namespace

std::string base64_encode(std::string_view bytes) { return encode(bytes, kStandard); }
std::string base64url_encode(std::string_view bytes) { return encode(bytes, kUrl); }
Result<std::string> base64_decode(std::string_view text) { return decode(text, kStandard); }
Result<std::string> base64url_decode(std::string_view text) { return decode(text, kUrl); }
long base64_error(std::string_view text) { return decode(text, nullptr, kStandard); }

std::string percent_encode(std::string_view s, std::string_view also) {
  std::string out;
  out.reserve(s.size());
  for (char c : s) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' || also.find(c) != also.npos;
    if (plain) {
      out.push_back(c);
    } else {
      const auto u = static_cast<unsigned char>(c);
      out.push_back('%');
      out.push_back(kHexUpper[u >> 4]);
      out.push_back(kHexUpper[u & 15]);
    }
  }
  return out;
}

namespace {
// The byte that "%XX" at `i` stands for; -1 when it is not of that form.
int percent_byte(std::string_view s, size_t i) {
  if (i + 2 >= s.size()) return -1;
  const int high = hex_digit(s[i + 1]), low = hex_digit(s[i + 2]);
  return high < 0 || low < 0 ? -1 : high << 4 | low;
}
}  // namespace

std::optional<std::string> percent_decode(std::string_view s, bool plus) {
  if (s.find('%') == s.npos && !(plus && s.find('+') != s.npos)) return std::string(s);
  std::string out;
  out.reserve(s.size());
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '%') {
      const int byte = percent_byte(s, i);
      if (byte < 0) return std::nullopt;
      out.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      out.push_back(plus && s[i] == '+' ? ' ' : s[i]);
    }
  }
  return out;
}

std::string percent_decode_leniently(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (size_t i = 0; i < s.size(); ++i) {
    const int byte = s[i] == '%' ? percent_byte(s, i) : -1;
    out.push_back(byte < 0 ? s[i] : static_cast<char>(byte));
    if (byte >= 0) i += 2;
  }
  return out;
}

void append_quoted(std::string& out, std::string_view s) {
  out.push_back('"');
  for (size_t i = 0; i < s.size();) {
    size_t run = i;  // of what is written as it is, in one piece
    while (run < s.size() && s[run] >= 0x20 && s[run] < 0x7f && s[run] != '"' && s[run] != '\\')
      ++run;
    out.append(s.substr(i, run - i));
    if ((i = run) == s.size()) break;
    if (static_cast<unsigned char>(s[i]) < 0x80) {
      append_escaped(out, s[i++]);
      continue;
    }
    const Rune rune = first_rune(s.substr(i));
    if (rune.value == kBad) {
      append_hex(out, 'x', static_cast<unsigned char>(s[i]), 2);
    } else if (printable(rune.value)) {
      out.append(s.substr(i, rune.size));
    } else {
      const bool wide = rune.value > 0xffff;
      append_hex(out, wide ? 'U' : 'u', rune.value, wide ? 8 : 4);
    }
    i += rune.size;
  }
  out.push_back('"');
}

std::string quoted(std::string_view s) {
  std::string out;
  out.reserve(s.size() + 2);
  append_quoted(out, s);
  return out;
}

}  // namespace keles
