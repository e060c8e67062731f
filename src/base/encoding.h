// Bytes as text and back: base64 (RFC 4648), percent-encoding (RFC 3986), quoting as Go does it,
// and a hash for names. Pure; any thread. What is made is at most six times as long as what comes
// in, and decoding makes nothing longer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keles {

// Standard base64, padded, as JSON holds bytes.
std::string base64_encode(std::string_view bytes);
// Line ends are skipped, as Go's decoder does. BadRequest "illegal base64 data at input byte N".
Result<std::string> base64_decode(std::string_view text);
// That N without decoding; -1 when the text is right.
long base64_error(std::string_view text);
// With '-' and '_', without padding: JWTs, continue tokens.
std::string base64url_encode(std::string_view bytes);
Result<std::string> base64url_decode(std::string_view text);

// Everything but RFC 3986's unreserved characters (letters, digits, "-_.~") and those of `also` as
// %XX.
std::string percent_encode(std::string_view s, std::string_view also = {});
// nullopt when a '%' is not followed by two hexadecimal digits. `plus`: '+' is a blank, as in a
// form.
std::optional<std::string> percent_decode(std::string_view s, bool plus = false);
// A '%' that is not followed by two hexadecimal digits stands for itself, as gRPC wants it.
std::string percent_decode_leniently(std::string_view s);

// Go's %q (strconv.Quote): "a\"b\n", with what cannot be printed escaped. Code points that Unicode
// has not given to anyone are taken as printable.
std::string quoted(std::string_view s);
void append_quoted(std::string& out, std::string_view s);

// FNV-1a: short, the same on every machine and in every version. Not for tables that strangers
// fill. To go on with more bytes, give what came out as `from`.
constexpr uint32_t fnv1a_32(std::string_view bytes, uint32_t from = 2166136261U) {
  for (char c : bytes) from = (from ^ static_cast<uint8_t>(c)) * 16777619U;
  return from;
}
constexpr uint64_t fnv1a_64(std::string_view bytes, uint64_t from = 14695981039346656037U) {
  for (char c : bytes) from = (from ^ static_cast<uint8_t>(c)) * 1099511628211U;
  return from;
}

}  // namespace keles
