#include "machinery/validation.h"

#include <algorithm>
#include <cctype>

#include "base/ip.h"

namespace keles {
namespace {

constexpr std::string_view kLabel1123 = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
constexpr std::string_view kSubdomain1123 =
    "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

bool lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool alnum(char c) { return lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

bool matches_label1123(std::string_view s) {
  if (s.empty() || !lower_alnum(s.front()) || !lower_alnum(s.back())) return false;
  return std::all_of(s.begin(), s.end(), [](char c) { return lower_alnum(c) || c == '-'; });
}

bool matches_subdomain1123(std::string_view s) {
  while (true) {
    size_t dot = s.find('.');
    if (!matches_label1123(s.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    s.remove_prefix(dot + 1);
  }
}

// [A-Za-z0-9] at both ends, [-A-Za-z0-9_.] between.
bool matches_qualified_part(std::string_view s) {
  if (s.empty() || !alnum(s.front()) || !alnum(s.back())) return false;
  return std::all_of(s.begin(), s.end(),
                     [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
}

std::string max_characters(size_t n) {
  return "must be no more than " + std::to_string(n) + " characters";
}
std::string max_bytes_text(size_t n) {
  return "must be no more than " + std::to_string(n) + " bytes";
}

std::string regex_error(std::string_view message, std::string_view regex,
                        std::initializer_list<std::string_view> examples) {
  std::string s(message);
  s += " (";
  if (examples.size() != 0) {
    s += "e.g. ";
    bool first = true;
    for (std::string_view e : examples) {
      if (!first) s += " or ";
      first = false;
      s.append("'").append(e).append("', ");
    }
  }
  s.append("regex used for validation is '").append(regex).append("')");
  return s;
}

void check_dot_names(std::string_view s, Messages* out) {
  if (s == ".") {
    out->push_back("must not be '.'");
  } else if (s == "..") {
    out->push_back("must not be '..'");
  } else if (s.substr(0, 2) == "..") {
    out->push_back("must not start with '..'");
  }
}

// A generateName may end in '-'; the rest of the name follows it.
std::string mask_trailing_dash(std::string_view name, bool prefix) {
  std::string s(name);
  if (prefix && s.size() > 1 && s.back() == '-') s[s.size() - 2] = 'a', s.pop_back();
  return s;
}

}  // namespace

Messages check_dns1123_label(std::string_view s) {
  Messages out;
  if (s.size() > 63) out.push_back(max_characters(63));
  if (!matches_label1123(s)) {
    out.push_back(matches_subdomain1123(s)
                      ? "must not contain dots"
                      : regex_error("a lowercase RFC 1123 label must consist of lower case "
                                    "alphanumeric characters or '-', and must start and end with "
                                    "an alphanumeric character",
                                    kLabel1123, {"my-name", "123-abc"}));
  }
  return out;
}

Messages check_dns1123_subdomain(std::string_view s) {
  Messages out;
  if (s.size() > 253) out.push_back(max_characters(253));
  if (!matches_subdomain1123(s)) {
    out.push_back(
        regex_error("a lowercase RFC 1123 subdomain must consist of lower case "
                    "alphanumeric characters, '-' or '.', and must start and end with an "
                    "alphanumeric character",
                    kSubdomain1123, {"example.com"}));
  }
  return out;
}

Messages check_dns1035_label(std::string_view s) {
  Messages out;
  if (s.size() > 63) out.push_back(max_characters(63));
  if (!matches_label1123(s) || s[0] < 'a') {
    out.push_back(
        regex_error("a DNS-1035 label must consist of lower case alphanumeric characters "
                    "or '-', start with an alphabetic character, and end with an "
                    "alphanumeric character",
                    "[a-z]([-a-z0-9]*[a-z0-9])?", {"my-name", "abc-123"}));
  }
  return out;
}

Messages check_wildcard_dns1123_subdomain(std::string_view s) {
  Messages out;
  if (s.size() > 253) out.push_back(max_characters(253));
  if (s.substr(0, 2) != "*." || !matches_subdomain1123(s.substr(2))) {
    out.push_back(
        regex_error("a wildcard DNS-1123 subdomain must start with '*.', followed by a "
                    "valid DNS subdomain, which must consist of lower case alphanumeric "
                    "characters, '-' or '.' and end with an alphanumeric character",
                    "\\*\\." + std::string(kSubdomain1123), {"*.example.com"}));
  }
  return out;
}

Messages check_qualified_name(std::string_view s) {
  constexpr std::string_view kRegex = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
  constexpr std::string_view kText =
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
      "alphanumeric character";
  Messages out;
  size_t slash = s.find('/');
  std::string_view name = s;
  if (slash != std::string_view::npos) {
    std::string_view prefix = s.substr(0, slash);
    name = s.substr(slash + 1);
    if (name.find('/') != std::string_view::npos) {
      out.push_back("a valid label key " +
                    regex_error(kText, kRegex, {"MyName", "my.name", "123-abc"}) +
                    " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
      return out;
    }
    if (prefix.empty()) {
      out.push_back("prefix part must be non-empty");
    } else {
      if (prefix.size() > 253) out.push_back("prefix part " + max_bytes_text(253));
      for (auto& m : check_dns1123_subdomain(prefix.substr(0, 253))) {
        out.push_back("prefix part " + m);
      }
    }
  }
  if (name.empty()) {
    out.push_back("name part must be non-empty");
  } else if (name.size() > 63) {
    out.push_back("name part " + max_bytes_text(63));
  }
  if (!matches_qualified_part(name)) {
    out.push_back("name part " + regex_error(kText, kRegex, {"MyName", "my.name", "123-abc"}));
  }
  return out;
}

Messages check_label_value(std::string_view s) {
  Messages out;
  if (s.size() > 63) out.push_back(max_bytes_text(63));
  if (!s.empty() && !matches_qualified_part(s)) {
    out.push_back(regex_error(
        "a valid label must be an empty string or consist of alphanumeric "
        "characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character",
        "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", {"MyValue", "my_value", "12345"}));
  }
  return out;
}

Messages check_path_segment_name(std::string_view s) {
  if (s == "." || s == "..") return {"may not be '" + std::string(s) + "'"};
  Messages out;
  for (char c : {'/', '%'}) {
    if (s.find(c) != std::string_view::npos) {
      out.push_back("may not contain '" + std::string(1, c) + "'");
    }
  }
  return out;
}

Messages check_config_map_key(std::string_view s) {
  Messages out;
  if (s.size() > 253) out.push_back(max_characters(253));
  bool ok = !s.empty() && std::all_of(s.begin(), s.end(), [](char c) {
    return alnum(c) || c == '-' || c == '.' || c == '_';
  });
  if (!ok) {
    out.push_back(
        regex_error("a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                    "[-._a-zA-Z0-9]+", {"key.name", "KEY_NAME", "key-name"}));
  }
  check_dot_names(s, &out);
  return out;
}

Messages check_env_var_name(std::string_view s) {
  Messages out;
  if (s.empty()) out.push_back("environment variable name must be non-empty");
  bool ok =
      std::all_of(s.begin(), s.end(), [](char c) { return c >= ' ' && c < 0x7f && c != '='; });
  if (!ok) {
    out.push_back(
        "a valid environment variable name must consist only of printable ASCII characters other "
        "than '='");
  }
  return out;
}

Messages check_range(int64_t v, int64_t lo, int64_t hi) {
  if (v >= lo && v <= hi) return {};
  return {"must be between " + std::to_string(lo) + " and " + std::to_string(hi) + ", inclusive"};
}

Messages check_port_number(int64_t port) { return check_range(port, 1, 65535); }

Messages check_port_name(std::string_view s) {
  Messages out;
  if (s.size() > 15) out.push_back(max_characters(15));
  if (s.empty() ||
      !std::all_of(s.begin(), s.end(), [](char c) { return lower_alnum(c) || c == '-'; })) {
    out.push_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  if (std::none_of(s.begin(), s.end(), [](char c) { return c >= 'a' && c <= 'z'; })) {
    out.push_back("must contain at least one letter (a-z)");
  }
  if (s.find("--") != std::string_view::npos) {
    out.push_back("must not contain consecutive hyphens");
  }
  if (!s.empty() && (s.front() == '-' || s.back() == '-')) {
    out.push_back("must not begin or end with a hyphen");
  }
  return out;
}

Messages check_ip(std::string_view s) {
  if (IpAddress::parse(s)) return {};
  return {"must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"};
}

Messages check_cidr(std::string_view s) {
  if (IpPrefix::parse(s)) return {};
  return {"must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"};
}

Messages check_percent(std::string_view s) {
  bool ok = s.size() >= 2 && s.back() == '%' &&
            std::all_of(s.begin(), s.end() - 1, [](char c) { return c >= '0' && c <= '9'; });
  if (ok) return {};
  return {regex_error("a valid percent string must be a numeric string followed by an ending '%'",
                      "[0-9]+%", {"1%", "93%"})};
}

Messages check_http_header_name(std::string_view s) {
  if (!s.empty() && std::all_of(s.begin(), s.end(), [](char c) { return alnum(c) || c == '-'; })) {
    return {};
  }
  return {regex_error("a valid HTTP header must consist of alphanumeric characters or '-'",
                      "[-A-Za-z0-9]+", {"X-Header-Name"})};
}

Messages name_is_dns_subdomain(std::string_view name, bool prefix) {
  return check_dns1123_subdomain(mask_trailing_dash(name, prefix));
}
Messages name_is_dns_label(std::string_view name, bool prefix) {
  return check_dns1123_label(mask_trailing_dash(name, prefix));
}
Messages name_is_dns1035_label(std::string_view name, bool prefix) {
  return check_dns1035_label(mask_trailing_dash(name, prefix));
}
Messages name_is_path_segment(std::string_view name, bool prefix) {
  if (prefix && (name == "." || name == "..")) return {};
  return check_path_segment_name(name);
}

}  // namespace keles
