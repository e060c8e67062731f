#include "machinery/text_formats.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <iterator>
#include <string>

#include "base/ip.h"
#include "machinery/pattern.h"
#include "machinery/time.h"

namespace keles {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool hex(char c) { return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
int number(std::string_view s) {
  int n = 0;
  for (char c : s) n = n * 10 + (c - '0');
  return n;
}
bool all_digits(std::string_view s) { return std::all_of(s.begin(), s.end(), digit); }

// --- addresses ----------------------------------------------------------------------------------

bool is_ipv4(std::string_view s) {
  return s.find('.') != s.npos && IpAddress::parse_sloppy(s).has_value();
}
bool is_ipv6(std::string_view s) {
  return s.find(':') != s.npos && IpAddress::parse_mapped(s).has_value();
}
bool is_cidr(std::string_view s) { return IpPrefix::parse_sloppy(s).has_value(); }

// 6, 8 or 20 bytes: pairs between ':' or '-', or fours between dots.
bool is_mac(std::string_view s) {
  if (s.size() < 14) return false;
  const char separator = s[2] == ':' || s[2] == '-' ? s[2] : '.';
  const size_t wide = separator == '.' ? 4 : 2;
  if ((s.size() + 1) % (wide + 1) != 0) return false;
  for (size_t i = 0; i < s.size(); ++i) {
    if (i % (wide + 1) == wide ? s[i] != separator : !hex(s[i])) return false;
  }
  const size_t bytes = (s.size() + 1) / (wide + 1) * (wide / 2);
  return bytes == 6 || bytes == 8 || bytes == 20;
}

bool is_hostname(std::string_view s) {
  static const Pattern pattern(
      R"(^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|)"
      R"(([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,})"
      R"(([a-zA-Z\p{L}]){2,63})$)");
  if (s.size() > 255 || !pattern.matches(s)) return false;
  while (true) {
    size_t dot = s.find('.');
    if (std::min(dot, s.size()) > 63) return false;
    if (dot == s.npos) return true;
    s.remove_prefix(dot + 1);
  }
}

// --- numbers in texts ---------------------------------------------------------------------------

// Luhn's check of the digits, whatever stands between them.
bool is_credit_card(std::string_view s) {
  static const Pattern pattern(
      R"(^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|)"
      R"(3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$)");
  std::string digits;
  std::copy_if(s.begin(), s.end(), std::back_inserter(digits), digit);
  if (!pattern.matches(digits)) return false;
  int sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    int n = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1) n *= 2;
    sum += n >= 10 ? n % 10 + 1 : n;
  }
  return sum % 10 == 0;
}

std::string without_blanks_and_dashes(std::string_view s) {
  std::string out;
  std::copy_if(s.begin(), s.end(), std::back_inserter(out), [](char c) {
    return c != '-' && c != ' ' && c != '\t' && c != '\n' && c != '\f' && c != '\r';
  });
  return out;
}

bool is_isbn10(std::string_view text) {
  const std::string s = without_blanks_and_dashes(text);
  if (s.size() != 10 || !all_digits(std::string_view(s).substr(0, 9))) return false;
  if (!digit(s[9]) && s[9] != 'X') return false;
  int sum = 0;
  for (int i = 0; i < 9; ++i) sum += (i + 1) * (s[static_cast<size_t>(i)] - '0');
  sum += 10 * (s[9] == 'X' ? 10 : s[9] - '0');
  return sum % 11 == 0;
}

bool is_isbn13(std::string_view text) {
  const std::string s = without_blanks_and_dashes(text);
  if (s.size() != 13 || !all_digits(s)) return false;
  int sum = 0;
  for (size_t i = 0; i < 12; ++i) sum += (i % 2 == 0 ? 1 : 3) * (s[i] - '0');
  return s[12] - '0' == (10 - sum % 10) % 10;
}
bool is_isbn(std::string_view s) { return is_isbn10(s) || is_isbn13(s); }

bool is_ssn(std::string_view s) {
  static const Pattern pattern(R"(^\d{3}[- ]?\d{2}[- ]?\d{4}$)");
  return s.size() == 11 && pattern.matches(s);
}

// --- identities, colours, bytes -----------------------------------------------------------------

bool is_object_id(std::string_view s) {
  return s.size() == 24 && std::all_of(s.begin(), s.end(), hex);
}

bool is_uuid_of(std::string_view s, char version, bool variant) {
  std::string digits;
  size_t at = 0;
  for (size_t width : {8, 4, 4, 4, 12}) {
    if (at > 0 && at < s.size() && s[at] == '-') ++at;
    if (s.size() - at < width || !std::all_of(s.begin() + at, s.begin() + at + width, hex)) {
      return false;
    }
    digits += s.substr(at, width);
    at += width;
  }
  if (at != s.size()) return false;
  if (version != 0 && digits[12] != version) return false;
  return !variant || std::string_view("89abAB").find(digits[16]) != std::string_view::npos;
}
bool is_uuid(std::string_view s) { return is_uuid_of(s, 0, false); }
bool is_uuid3(std::string_view s) { return is_uuid_of(s, '3', false); }
bool is_uuid4(std::string_view s) { return is_uuid_of(s, '4', true); }
bool is_uuid5(std::string_view s) { return is_uuid_of(s, '5', true); }

bool is_hex_color(std::string_view s) {
  if (!s.empty() && s[0] == '#') s.remove_prefix(1);
  return (s.size() == 3 || s.size() == 6) && std::all_of(s.begin(), s.end(), hex);
}

bool is_rgb_color(std::string_view s) {
  static const Pattern pattern(
      R"(^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5]))"
      R"(\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$)");
  return pattern.matches(s);
}

bool is_base64(std::string_view s) {
  if (s.empty() || s.size() % 4 != 0) return false;
  size_t end = s.find('=');
  if (end == s.npos) end = s.size();
  if (s.size() - end > 2 || s.find_first_not_of('=', end) != s.npos) return false;
  return std::all_of(s.begin(), s.begin() + static_cast<ptrdiff_t>(end),
                     [](char c) { return letter(c) || digit(c) || c == '+' || c == '/'; });
}

bool is_password(std::string_view) { return true; }

// --- times --------------------------------------------------------------------------------------

bool is_date(std::string_view s) {
  if (s.size() != 10 || s[4] != '-' || s[7] != '-') return false;
  if (!all_digits(s.substr(0, 4)) || !all_digits(s.substr(5, 2)) || !all_digits(s.substr(8, 2))) {
    return false;
  }
  const int year = number(s.substr(0, 4)), month = number(s.substr(5, 2)),
            day = number(s.substr(8, 2));
  if (month < 1 || month > 12 || day < 1) return false;
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return day <= kDays[static_cast<size_t>(month - 1)] + (month == 2 && leap ? 1 : 0);
}

// Upstream looks at what stands between the first T and the second, and takes any time zone.
bool is_date_time(std::string_view text) {
  static const Pattern pattern(
      R"(^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$)");
  std::string s(text);
  std::transform(s.begin(), s.end(), s.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const size_t t = s.find('t');
  if (t == s.npos || !is_date(std::string_view(s).substr(0, t))) return false;
  std::string_view time = std::string_view(s).substr(t + 1);
  return pattern.matches(time.substr(0, time.find('t')));
}

bool is_unit(std::string_view unit) {
  for (std::string_view whole : {"ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"}) {
    if (unit == whole) return true;
  }
  for (std::string_view start : {"nano", "micro", "milli", "sec", "min", "hour", "day", "week"}) {
    if (unit.starts_with(start)) return true;
  }
  return false;
}

// Go's, or numbers with units anywhere ("3 days").
bool is_duration(std::string_view s) {
  if (parse_duration(s).ok()) return true;
  bool found = false;
  for (size_t at = 0; at < s.size();) {
    if (!digit(s[at])) {
      ++at;
      continue;
    }
    const size_t begin = at;
    while (at < s.size() && digit(s[at])) ++at;
    const std::string_view digits = s.substr(begin, at - begin);
    size_t unit_at = at;
    while (unit_at < s.size() && std::isspace(static_cast<unsigned char>(s[unit_at]))) ++unit_at;
    std::string unit;
    while (unit_at < s.size()) {
      if (letter(s[unit_at])) {
        unit.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(s[unit_at++]))));
      } else if (s.substr(unit_at).starts_with("µ")) {
        unit += "µ";
        unit_at += 2;
      } else {
        break;
      }
    }
    if (unit.empty()) continue;
    at = unit_at;
    if (digits.size() > 19 || (digits.size() == 19 && digits > "9223372036854775807")) return false;
    found = found || is_unit(unit);
  }
  return found;
}

// --- Kubernetes' names --------------------------------------------------------------------------

bool is_label(std::string_view s) {
  auto inner = [](char c) { return digit(c) || (c >= 'a' && c <= 'z'); };
  return !s.empty() && inner(s.front()) && inner(s.back()) &&
         std::all_of(s.begin(), s.end(), [&](char c) { return inner(c) || c == '-'; });
}
bool is_short_name(std::string_view s) { return s.size() <= 63 && is_label(s); }
bool is_long_name(std::string_view s) {
  if (s.size() > 253) return false;
  while (true) {
    size_t dot = s.find('.');
    if (!is_label(s.substr(0, dot))) return false;
    if (dot == s.npos) return true;
    s.remove_prefix(dot + 1);
  }
}

constexpr std::array<TextFormat, 26> kFormats = {{
    {"bsonobjectid", is_object_id},
    {"uri", is_request_uri},
    {"email", is_email},
    {"hostname", is_hostname},
    {"ipv4", is_ipv4},
    {"ipv6", is_ipv6},
    {"cidr", is_cidr},
    {"mac", is_mac},
    {"uuid", is_uuid},
    {"uuid3", is_uuid3},
    {"uuid4", is_uuid4},
    {"uuid5", is_uuid5},
    {"isbn", is_isbn},
    {"isbn10", is_isbn10},
    {"isbn13", is_isbn13},
    {"creditcard", is_credit_card},
    {"ssn", is_ssn},
    {"hexcolor", is_hex_color},
    {"rgbcolor", is_rgb_color},
    {"byte", is_base64},
    {"password", is_password},
    {"date", is_date},
    {"duration", is_duration},
    {"datetime", is_date_time},
    {"k8sshortname", is_short_name},
    {"k8slongname", is_long_name},
}};

// --- mail addresses (RFC 5322) ------------------------------------------------------------------

class MailParser {
 public:
  explicit MailParser(std::string_view s) : s_(s) {}

  bool address() {
    if (!blanks() || s_.empty()) return false;
    std::string_view start = s_;
    if (spec()) return blanks() && s_.empty();
    s_ = start;
    if (s_[0] != '<' && !phrase()) return false;
    return blanks() && take('<') && spec() && take('>') && blanks() && s_.empty();
  }

 private:
  static bool atom_char(char c, bool dot) {
    return letter(c) || digit(c) || static_cast<unsigned char>(c) >= 0x80 || (dot && c == '.') ||
           std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
  }
  bool take(char c) {
    if (s_.empty() || s_[0] != c) return false;
    s_.remove_prefix(1);
    return true;
  }
  // Blanks and comments, which may lie in each other.
  bool blanks() {
    while (!s_.empty()) {
      if (s_[0] == ' ' || s_[0] == '\t') {
        s_.remove_prefix(1);
      } else if (s_[0] == '(') {
        if (!comment()) return false;
      } else {
        break;
      }
    }
    return true;
  }
  bool comment() {
    size_t depth = 0;
    while (!s_.empty()) {
      char c = s_[0];
      s_.remove_prefix(c == '\\' && s_.size() > 1 ? 2 : 1);
      if (c == '(') ++depth;
      if (c == ')' && --depth == 0) return true;
    }
    return false;
  }
  bool atom(bool permissive) {
    size_t n = 0;
    while (n < s_.size() && atom_char(s_[n], true)) ++n;
    if (n == 0) return false;
    std::string_view text = s_.substr(0, n);
    if (!permissive &&
        (text.front() == '.' || text.back() == '.' || text.find("..") != std::string_view::npos)) {
      return false;
    }
    s_.remove_prefix(n);
    return true;
  }
  bool quoted_text(bool* empty) {
    if (!take('"')) return false;
    *empty = true;
    while (!s_.empty()) {
      char c = s_[0];
      s_.remove_prefix(1);
      if (c == '"') return true;
      if (c == '\\') {
        if (s_.empty()) return false;
        s_.remove_prefix(1);
      } else if (static_cast<unsigned char>(c) < ' ' && c != '\t') {
        return false;
      }
      *empty = false;
    }
    return false;
  }
  bool phrase() {
    bool any = false, empty = false;
    while (true) {
      if (!blanks()) return false;
      if (s_.empty() || s_[0] == '<') return any;
      if (s_[0] == '"' ? !quoted_text(&empty) : !atom(true)) return any && s_[0] == '<';
      any = true;
    }
  }
  bool domain_literal() {
    size_t end = s_.find(']');
    if (end == s_.npos) return false;
    std::string_view inside = s_.substr(1, end - 1);
    if (inside.starts_with("IPv6:")) inside.remove_prefix(5);
    s_.remove_prefix(end + 1);
    return IpAddress::parse_mapped(inside).has_value();
  }
  bool spec() {
    bool empty = false;
    if (!blanks() || s_.empty()) return false;
    if (s_[0] == '"' ? !quoted_text(&empty) || empty : !atom(false)) return false;
    if (!take('@') || !blanks() || s_.empty()) return false;
    return s_[0] == '[' ? domain_literal() : atom(false);
  }

  std::string_view s_;
};

// --- URIs ---------------------------------------------------------------------------------------

// Each '%' is followed by two hexadecimal digits.
bool well_escaped(std::string_view s) {
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '%' && (i + 2 >= s.size() || !hex(s[i + 1]) || !hex(s[i + 2]))) return false;
  }
  return true;
}

bool valid_port(std::string_view s) {
  return s.empty() || (s[0] == ':' && all_digits(s.substr(1)));
}

bool valid_host(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t end = host.rfind(']');
    if (end == host.npos || !valid_port(host.substr(end + 1))) return false;
  } else if (size_t colon = host.rfind(':'); colon != host.npos) {
    if (!valid_port(host.substr(colon))) return false;
  }
  if (!well_escaped(host)) return false;
  for (size_t i = 0; i < host.size(); ++i) {
    const char c = host[i];
    if (c == '%') {  // of bytes beyond ASCII only, and of the zone's '%' itself
      if (host[i + 1] < '8' && host.substr(i, 3) != "%25") return false;
      continue;
    }
    if (static_cast<unsigned char>(c) >= 0x80 || letter(c) || digit(c)) continue;
    if (std::string_view("-_.~!$&'()*+,;=:[]<>\"").find(c) == std::string_view::npos) return false;
  }
  return true;
}

bool valid_user(std::string_view user) {
  return well_escaped(user) && std::all_of(user.begin(), user.end(), [](char c) {
           return letter(c) || digit(c) ||
                  std::string_view("-._:~!$&'()*+,;=%@").find(c) != std::string_view::npos;
         });
}

bool valid_authority(std::string_view s) {
  const size_t at = s.rfind('@');
  if (at == s.npos) return valid_host(s);
  return valid_user(s.substr(0, at)) && valid_host(s.substr(at + 1));
}

}  // namespace

bool is_email(std::string_view s) { return MailParser(s).address(); }

bool is_request_uri(std::string_view s) {
  if (s.empty()) return false;
  if (std::any_of(s.begin(), s.end(),
                  [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; })) {
    return false;
  }
  if (s == "*") return true;
  size_t n = 0;
  while (n < s.size() &&
         (letter(s[n]) || (n > 0 && (digit(s[n]) || s[n] == '+' || s[n] == '-' || s[n] == '.')))) {
    ++n;
  }
  bool scheme = false;
  if (n < s.size() && s[n] == ':') {
    if (n == 0) return false;
    scheme = true;
    s.remove_prefix(n + 1);
  }
  s = s.substr(0, s.find('?'));
  if (!s.starts_with('/')) return scheme;
  if (scheme && s.starts_with("//")) {
    s.remove_prefix(2);
    const size_t end = std::min(s.find('/'), s.size());
    if (!valid_authority(s.substr(0, end))) return false;
    s.remove_prefix(end);
  }
  return well_escaped(s);
}

const TextFormat* find_text_format(std::string_view name) {
  std::string plain;
  std::copy_if(name.begin(), name.end(), std::back_inserter(plain),
               [](char c) { return c != '-'; });
  for (const TextFormat& f : kFormats) {
    if (f.name == plain) return &f;
  }
  return nullptr;
}

}  // namespace keles
