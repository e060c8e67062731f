#include "machinery/base64.h"

#include <array>
#include <cstdint>

namespace keles {

namespace {
constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::array<int8_t, 256> make_table() {
  std::array<int8_t, 256> t{};
  for (auto& x : t) x = -1;
  for (int i = 0; i < 64; ++i) t[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
  return t;
}
constexpr auto kTable = make_table();

// Decodes into `out` when it is not null; the offset of the first wrong byte, or -1.
long decode(std::string_view text, std::string* out) {
  uint32_t bits = 0;
  int have = 0;
  size_t i = 0;
  for (; i < text.size(); ++i) {
    char c = text[i];
    if (c == '\n' || c == '\r') continue;
    if (c == '=') break;
    int v = kTable[static_cast<unsigned char>(c)];
    if (v < 0) return static_cast<long>(i);
    bits = bits << 6 | static_cast<uint32_t>(v);
    if (++have == 4) {
      if (out != nullptr) {
        out->push_back(static_cast<char>(bits >> 16));
        out->push_back(static_cast<char>(bits >> 8));
        out->push_back(static_cast<char>(bits));
      }
      have = 0;
      bits = 0;
    }
  }
  if (have == 0) return i == text.size() ? -1 : static_cast<long>(i);
  if (have == 1) return static_cast<long>(i);
  int pads = 0;
  for (; i < text.size(); ++i) {
    char c = text[i];
    if (c == '\n' || c == '\r') continue;
    if (c != '=' || pads == 4 - have) return static_cast<long>(i);
    ++pads;
  }
  if (pads != 4 - have) return static_cast<long>(text.size());
  if (out != nullptr) {
    bits <<= 6 * (4 - have);
    out->push_back(static_cast<char>(bits >> 16));
    if (have == 3) out->push_back(static_cast<char>(bits >> 8));
  }
  return -1;
}
}  // namespace

std::string base64_encode(std::string_view s) {
  std::string out;
  out.reserve((s.size() + 2) / 3 * 4);
  auto at = [&](size_t i) -> uint32_t { return static_cast<unsigned char>(s[i]); };
  size_t i = 0;
  for (; i + 2 < s.size(); i += 3) {
    uint32_t bits = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    out += kAlphabet[bits >> 18];
    out += kAlphabet[bits >> 12 & 63];
    out += kAlphabet[bits >> 6 & 63];
    out += kAlphabet[bits & 63];
  }
  if (i + 1 == s.size()) {
    uint32_t bits = at(i) << 16;
    out += kAlphabet[bits >> 18];
    out += kAlphabet[bits >> 12 & 63];
    out += "==";
  } else if (i + 2 == s.size()) {
    uint32_t bits = at(i) << 16 | at(i + 1) << 8;
    out += kAlphabet[bits >> 18];
    out += kAlphabet[bits >> 12 & 63];
    out += kAlphabet[bits >> 6 & 63];
    out += '=';
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  if (decode(text, &out) >= 0) return std::nullopt;
  return out;
}

long base64_error(std::string_view text) { return decode(text, nullptr); }

}  // namespace keles
