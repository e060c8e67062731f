#include "cel/url.h"

#include <optional>

#include "base/encoding.h"
#include "base/ip.h"

namespace keles::cel {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
int hex_of(char c) { return is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10; }

Status fault(std::string_view text, std::string_view why) {
  return Status(Reason::kInvalid, "parse " + quoted(text) + ": " + std::string(why));
}

// The first escape that is none: "%zz", "%4".
std::optional<std::string> bad_escape(std::string_view s) {
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '%') continue;
    if (i + 2 >= s.size() || !is_hex(s[i + 1]) || !is_hex(s[i + 2])) {
      return "invalid URL escape " + quoted(s.substr(i, 3));
    }
    i += 2;
  }
  return std::nullopt;
}

std::string unescaped(std::string_view s) {
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '%' && i + 2 < s.size() && is_hex(s[i + 1]) && is_hex(s[i + 2])) {
      out += static_cast<char>(hex_of(s[i + 1]) * 16 + hex_of(s[i + 2]));
      i += 2;
    } else {
      out += s[i];
    }
  }
  return out;
}

// "http:rest" is "http" and "rest"; no scheme is "".
std::optional<std::string> split_scheme(std::string_view& rest, std::string_view& scheme) {
  for (size_t i = 0; i < rest.size(); ++i) {
    const char c = rest[i];
    if (is_letter(c)) continue;
    if (is_digit(c) || c == '+' || c == '-' || c == '.') {
      if (i == 0) return std::nullopt;
      continue;
    }
    if (c != ':') return std::nullopt;
    if (i == 0) return "missing protocol scheme";
    scheme = rest.substr(0, i);
    rest.remove_prefix(i + 1);
    return std::nullopt;
  }
  return std::nullopt;
}

bool valid_port(std::string_view s) {
  if (s.empty()) return true;
  if (s[0] != ':') return false;
  for (const char c : s.substr(1)) {
    if (!is_digit(c)) return false;
  }
  return true;
}

std::optional<std::string> parse_host(std::string_view host, std::string& out) {
  if (host.starts_with('[')) {
    const size_t end = host.rfind(']');
    if (end == host.npos) return "missing ']' in host";
    const std::string_view port = host.substr(end + 1);
    if (!valid_port(port)) return "invalid port " + quoted(port) + " after host";
    std::string_view address = host.substr(1, end - 1);
    if (const size_t zone = address.find("%25"); zone != address.npos) {
      address = address.substr(0, zone);
    }
    const auto ip = IpAddress::parse_mapped(address);
    if (!ip || !ip->v6()) return "invalid host: ParseAddr(" + quoted(address) + ")";
    out = unescaped(host);
    return std::nullopt;
  }
  if (const size_t colon = host.rfind(':'); colon != host.npos) {
    if (!valid_port(host.substr(colon))) {
      return "invalid port " + quoted(host.substr(colon)) + " after host";
    }
  }
  if (auto bad = bad_escape(host)) return bad;
  for (size_t i = 0; i < host.size(); ++i) {
    const auto c = static_cast<unsigned char>(host[i]);
    if (c == '%') {
      // Only what is no ASCII may be escaped in a host.
      if (hex_of(host[i + 1]) < 8) return "invalid URL escape " + quoted(host.substr(i, 3));
      i += 2;
    } else if (c < 0x80 && !is_letter(host[i]) && !is_digit(host[i]) &&
               std::string_view("-_.~!$&'()*+,;=:[]<>\"").find(host[i]) == std::string_view::npos) {
      return "invalid character " + quoted(host.substr(i, 1)) + " in host name";
    }
  }
  out = unescaped(host);
  return std::nullopt;
}

std::optional<std::string> parse_authority(std::string_view authority, ParsedUrl& url) {
  const size_t at = authority.rfind('@');
  if (at != authority.npos) {
    const std::string_view user = authority.substr(0, at);
    for (const char c : user) {
      if (!is_letter(c) && !is_digit(c) &&
          std::string_view("-._:~!$&'()*+,;=%@").find(c) == std::string_view::npos) {
        return "net/url: invalid userinfo";
      }
    }
    if (auto bad = bad_escape(user)) return bad;
    url.user = user;
    url.has_user = true;
    authority.remove_prefix(at + 1);
  }
  return parse_host(authority, url.host);
}

// A path as Go prints it: as it came where that is a proper escaping, else escaped anew.
std::string escape_path(std::string_view path) {
  constexpr std::string_view kPlain = "-_.~!$&'()*+,;=:@[]/";
  bool proper = true;
  for (const char c : path) {
    proper &= is_letter(c) || is_digit(c) || c == '%' || kPlain.find(c) != kPlain.npos;
  }
  if (proper) return std::string(path);
  return percent_encode(unescaped(path), "$&+,/:;=@");
}

}  // namespace

std::string ParsedUrl::to_string() const {
  std::string out;
  if (!scheme.empty()) out += scheme + ":";
  if (!opaque.empty()) {
    out += opaque;
  } else {
    if (!scheme.empty() || !host.empty() || has_user) {
      if (!host.empty() || !escaped_path.empty() || has_user) out += "//";
      if (has_user) out += user + "@";
      out += host;
    }
    out += escaped_path;
  }
  if (has_query || !query.empty()) out += "?" + query;
  if (!fragment.empty()) out += "#" + fragment;
  return out;
}

Result<ParsedUrl> parse_url(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      return fault(text, "net/url: invalid control character in URL");
    }
  }
  if (text.empty()) return fault(text, "empty url");
  ParsedUrl url;
  if (text == "*") {
    url.escaped_path = "*";
    return url;
  }
  std::string_view rest = text, scheme;
  if (const auto bad = split_scheme(rest, scheme)) return fault(text, *bad);
  for (const char c : scheme) {
    url.scheme += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  // A fragment is taken off only when a URL is read as such, which is done after this has passed.
  std::string_view before = rest;
  if (const size_t hash = rest.find('#'); hash != rest.npos) {
    before = rest.substr(0, hash);
    url.fragment = unescaped(rest.substr(hash + 1));
  }
  std::string_view path = before;
  if (const size_t mark = before.find('?'); mark != before.npos) {
    url.query = before.substr(mark + 1);
    url.has_query = url.query.empty();
    path = before.substr(0, mark);
  }
  if (!path.starts_with('/')) {
    if (url.scheme.empty()) return fault(text, "invalid URI for request");
    url.opaque = path;
    return url;
  }
  if ((!url.scheme.empty() || !path.starts_with("///")) && path.starts_with("//")) {
    std::string_view authority = path.substr(2);
    const size_t slash = authority.find('/');
    path = slash == authority.npos ? std::string_view() : authority.substr(slash);
    authority = authority.substr(0, slash);
    if (url.scheme.empty()) {
      // ParseRequestURI takes "//x/y" for a path.
      path = before.substr(0, before.find('?'));
    } else if (const auto bad = parse_authority(authority, url)) {
      return fault(text, *bad);
    }
  }
  if (const auto bad = bad_escape(path)) return fault(text, *bad);
  url.escaped_path = escape_path(path);
  return url;
}

std::string_view url_hostname(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    return host.substr(1, end == host.npos ? host.npos : end - 1);
  }
  const size_t colon = host.rfind(':');
  return colon == host.npos ? host : host.substr(0, colon);
}

std::string_view url_port(std::string_view host) {
  const size_t end = host.rfind(']');
  const size_t colon = host.rfind(':');
  if (colon == host.npos || (end != host.npos && colon < end)) return "";
  return host.substr(colon + 1);
}

std::vector<std::pair<std::string, std::vector<std::string>>> parse_query(std::string_view query) {
  std::vector<std::pair<std::string, std::vector<std::string>>> out;
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == query.npos ? std::string_view() : query.substr(end + 1);
    if (pair.empty() || pair.find(';') != pair.npos) continue;
    const size_t equals = pair.find('=');
    const auto key = percent_decode(pair.substr(0, equals), true);
    const auto value =
        percent_decode(equals == pair.npos ? std::string_view() : pair.substr(equals + 1), true);
    if (!key || !value) continue;
    auto at = out.begin();
    while (at != out.end() && at->first != *key) ++at;
    if (at == out.end()) at = out.insert(at, {*key, {}});
    at->second.push_back(*value);
  }
  return out;
}

}  // namespace keles::cel
