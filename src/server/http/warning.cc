#include "server/http/warning.h"

#include <algorithm>
#include <set>

#include "machinery/kind_facts.h"

namespace keles::server {
namespace {

constexpr size_t kMostRunes = 4096, kMostRunesEach = 256;

// The bytes of the character at `i`; 0 where the text is not UTF-8 or has a control character.
size_t printable_at(std::string_view s, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(s[k]); };
  const unsigned lead = byte(i);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
  const size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || i + n > s.size()) return 0;
  unsigned rune = lead & (0xffU >> (n + 1));
  for (size_t k = 1; k < n; ++k) {
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
    rune = rune << 6 | (byte(i + k) & 0x3f);
  }
  const bool overlong = (n == 3 && rune < 0x800) || (n == 4 && rune < 0x10000);
  const bool surrogate = rune >= 0xd800 && rune < 0xe000;
  return overlong || surrogate || rune > 0x10ffff || rune < 0xa0 ? 0 : n;
}

bool is_printable(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    const size_t n = printable_at(s, i);
    if (n == 0) return false;
    i += n;
  }
  return true;
}

size_t runes(std::string_view s) {
  return static_cast<size_t>(std::count_if(
      s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// The first `most` characters of UTF-8.
std::string_view first_runes(std::string_view s, size_t most) {
  size_t i = 0;
  for (size_t n = 0; i < s.size(); ++i) {
    if ((static_cast<unsigned char>(s[i]) & 0xc0) != 0x80 && ++n > most) break;
  }
  return s.substr(0, i);
}

std::string value_of(std::string_view text) {
  std::string out = "299 - \"";
  for (char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "\"";
}

}  // namespace

std::vector<std::string> warning_values(const std::vector<std::string>& texts) {
  std::vector<std::string_view> once;
  std::set<std::string_view> seen;
  size_t total = 0, until = 0;
  for (const std::string& t : texts) {
    if (t.empty() || !seen.insert(t).second || !is_printable(t)) continue;
    once.push_back(t);
    total += runes(t);
    // The one that is too much has those before it cut too, all of which are said.
    if (until == 0 && total > kMostRunes) until = once.size();
  }
  std::vector<std::string> out;
  size_t written = 0;
  for (size_t i = 0; i < once.size(); ++i) {
    if (until == 0) {
      out.push_back(value_of(once[i]));
      continue;
    }
    if (i >= until && written >= kMostRunes) break;
    const std::string_view cut = first_runes(once[i], kMostRunesEach);
    written += runes(cut);
    out.push_back(value_of(cut));
  }
  return out;
}

std::string_view deprecation_warning(const KindDesc& kind) { return kind.facts->deprecated; }

std::string_view token_warning(std::string_view authorization) {
  constexpr std::string_view kBearer = "bearer  ";
  const size_t from = authorization.find_first_not_of(' ');
  const size_t last = authorization.find_last_not_of(' ');
  if (from == authorization.npos || last - from < kBearer.size()) return {};
  for (size_t i = 0; i < kBearer.size(); ++i) {
    const char c = authorization[from + i];
    if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != kBearer[i]) return {};
  }
  return "the provided Authorization header contains extra space before the bearer token, and is "
         "ignored";
}

}  // namespace keles::server
