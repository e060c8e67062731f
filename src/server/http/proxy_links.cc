#include "server/http/proxy_links.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "base/html.h"

namespace keles::server {
namespace {

constexpr size_t kMaxTag = 16384;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Attributes that hold URLs, by element (HTML 4.01 and 5).
constexpr std::pair<std::string_view, std::string_view> kUrlAttributes[] = {
    {"a", "href"},          {"applet", "codebase"},   {"area", "href"},
    {"audio", "src"},       {"base", "href"},         {"blockquote", "cite"},
    {"body", "background"}, {"button", "formaction"}, {"command", "icon"},
    {"del", "cite"},        {"embed", "src"},         {"form", "action"},
    {"frame", "longdesc"},  {"frame", "src"},         {"head", "profile"},
    {"html", "manifest"},   {"iframe", "longdesc"},   {"iframe", "src"},
    {"img", "longdesc"},    {"img", "src"},           {"img", "usemap"},
    {"input", "src"},       {"input", "usemap"},      {"input", "formaction"},
    {"ins", "cite"},        {"link", "href"},         {"object", "classid"},
    {"object", "codebase"}, {"object", "data"},       {"object", "usemap"},
    {"q", "cite"},          {"script", "src"},        {"source", "src"},
    {"video", "poster"},    {"video", "src"},
};

bool holds_url(std::string_view element, std::string_view attribute) {
  return std::any_of(std::begin(kUrlAttributes), std::end(kUrlAttributes), [&](const auto& row) {
    return row.first == element && row.second == attribute;
  });
}

// Elements whose content is text up to their end tag.
bool is_raw(std::string_view element) {
  static constexpr std::array<std::string_view, 8> kRaw{"script", "style",  "textarea", "title",
                                                        "xmp",    "iframe", "noembed",  "noframes"};
  return std::find(kRaw.begin(), kRaw.end(), element) != kRaw.end();
}

struct Url {
  std::string_view scheme, host, path, tail;  // tail: '?' or '#' and what follows
};

Url split_url(std::string_view text) {
  Url u;
  size_t end = std::min(text.find_first_of("?#"), text.size());
  u.tail = text.substr(end);
  text = text.substr(0, end);
  size_t colon = text.find(':');
  const bool scheme = colon != text.npos && colon > 0 && is_letter(text[0]) &&
                      text.substr(0, colon).find_first_of("/[") == text.npos;
  if (scheme) {
    u.scheme = text.substr(0, colon);
    text.remove_prefix(colon + 1);
  }
  if (text.substr(0, 2) == "//") {
    text.remove_prefix(2);
    size_t slash = std::min(text.find('/'), text.size());
    u.host = text.substr(0, slash);
    text.remove_prefix(slash);
  }
  u.path = text;
  return u;
}

// "/a/../b//c/" -> "/b/c/": never above the root.
std::string clean(std::string_view path) {
  std::vector<std::string_view> parts;
  const bool slash = !path.empty() && path.back() == '/';
  while (!path.empty()) {
    size_t end = std::min(path.find('/'), path.size());
    std::string_view part = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string out;
  for (std::string_view p : parts) out.append("/").append(p);
  if (slash || out.empty()) out += "/";
  return out;
}

// The few character references that URLs in attributes carry.
std::string unescape(std::string_view s) {
  static constexpr std::pair<std::string_view, char> kNames[] = {
      {"&amp;", '&'},  {"&quot;", '"'}, {"&lt;", '<'},   {"&gt;", '>'},
      {"&#39;", '\''}, {"&#34;", '"'},  {"&#38;", '&'},  {"&#47;", '/'},
      {"&#x2f;", '/'}, {"&#x2F;", '/'}, {"&apos;", '\''}};
  std::string out;
  while (!s.empty()) {
    size_t used = 1;
    char c = s[0];
    for (const auto& [name, value] : kNames) {
      if (s.substr(0, name.size()) != name) continue;
      used = name.size();
      c = value;
    }
    out += c;
    s.remove_prefix(used);
  }
  return out;
}

// Where the tag that starts `s` ends (after its '>'), quotes heeded; npos when not in sight.
size_t tag_end(std::string_view s) {
  char quote = 0;
  bool value = false;  // a quote opens a value only after '='
  for (size_t i = 1; i < s.size(); ++i) {
    char c = s[i];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '>') {
      return i + 1;
    } else if (value && (c == '"' || c == '\'')) {
      quote = c;
      value = false;
    } else if (c == '=') {
      value = true;
    } else if (!is_space(c)) {
      value = false;
    }
  }
  return std::string_view::npos;
}

}  // namespace

bool ProxyLinks::leads_elsewhere(std::string_view url) const {
  Url u = split_url(url);
  const std::string scheme = ascii_lower(u.scheme);
  if (!scheme.empty() && scheme != "http" && scheme != "https") return true;
  if (!scheme.empty() && u.host.empty()) return true;
  return !u.host.empty() && u.host != target_host && u.host != request_host;
}

std::optional<std::string> ProxyLinks::rewrite(std::string_view url) const {
  Url u = split_url(url);
  if (leads_elsewhere(url)) return std::nullopt;
  if (u.host.empty() && (u.path.empty() || u.path[0] != '/')) return std::nullopt;
  std::string path;
  if (u.path.substr(0, prefix.size()) == prefix) {
    if (u.host.empty()) return std::nullopt;
    path = u.path;
  } else {
    path = prefix + clean(u.path);
  }
  return path + std::string(u.tail);
}

void HtmlRewriter::tag(std::string_view whole, std::string* out) {
  size_t at = 1;
  while (at < whole.size() && !is_space(whole[at]) && whole[at] != '/' && whole[at] != '>') ++at;
  const std::string element = ascii_lower(whole.substr(1, at - 1));
  size_t copied = 0;
  const size_t end = whole.size() - 1;  // the '>'
  while (at < end) {
    while (at < end && (is_space(whole[at]) || whole[at] == '/')) ++at;
    const size_t name_at = at;
    while (at < end && !is_space(whole[at]) && whole[at] != '=' && whole[at] != '/') ++at;
    const std::string name = ascii_lower(whole.substr(name_at, at - name_at));
    while (at < end && is_space(whole[at])) ++at;
    if (at >= end || whole[at] != '=') {
      if (at == name_at) ++at;
      continue;
    }
    ++at;
    while (at < end && is_space(whole[at])) ++at;
    const char quote = at < end && (whole[at] == '"' || whole[at] == '\'') ? whole[at] : '\0';
    const size_t value_at = quote != 0 ? at + 1 : at;
    size_t value_end = value_at;
    if (quote != 0) {
      value_end = std::min(whole.find(quote, value_at), end);
      at = std::min(value_end + 1, end);
    } else {
      while (value_end < end && !is_space(whole[value_end])) ++value_end;
      at = value_end;
    }
    if (!holds_url(element, name)) continue;
    std::string value = unescape(whole.substr(value_at, value_end - value_at));
    auto changed = links_.rewrite(value);
    if (!changed) continue;
    // The old quotes go with the old value.
    const size_t from = quote != 0 ? value_at - 1 : value_at;
    out->append(whole.substr(copied, from - copied)).append("\"").append(html_escaped(*changed));
    out->append("\"");
    copied = at;
  }
  out->append(whole.substr(copied));
  if (is_raw(element) && (whole.size() < 2 || whole[whole.size() - 2] != '/')) raw_ = element;
}

// Takes a comment, declaration, end tag or tag that starts `rest`; 0: more is needed.
size_t HtmlRewriter::take_markup(std::string_view rest, bool last, std::string* out) {
  size_t end = 0;
  if (rest.substr(0, 4) == "<!--") {
    end = rest.find("-->", 4);
    if (end != rest.npos) end += 3;
  } else if (rest.size() > 1 && is_letter(rest[1])) {
    end = tag_end(rest);
  } else if (rest.size() > 1 && (rest[1] == '!' || rest[1] == '?' || rest[1] == '/')) {
    const bool comment_yet = rest.size() < 4 && std::string_view("<!--").starts_with(rest);
    end = comment_yet ? rest.npos : rest.find('>');
    if (end != rest.npos) ++end;
  } else if (rest.size() > 1) {
    end = 1;  // a '<' that is only that
  } else {
    end = rest.npos;
  }
  if (end == rest.npos) {
    if (!last && rest.size() < kMaxTag) return 0;
    out->append(rest);
    return rest.size();
  }
  if (end > 1 && is_letter(rest[1])) {
    tag(rest.substr(0, end), out);
  } else {
    out->append(rest.substr(0, end));
  }
  return end;
}

size_t HtmlRewriter::take(std::string_view rest, bool last, std::string* out) {
  if (!raw_.empty()) {
    const std::string close = "</" + raw_;
    auto same = [](char a, char b) { return ascii_lower(a) == ascii_lower(b); };
    auto it = std::search(rest.begin(), rest.end(), close.begin(), close.end(), same);
    if (it != rest.end()) {
      raw_.clear();
      auto n = static_cast<size_t>(it - rest.begin());
      out->append(rest.substr(0, n));
      return n == 0 ? take_markup(rest, last, out) : n;
    }
    const size_t keep = last ? 0 : std::min(rest.size(), close.size() - 1);
    out->append(rest.substr(0, rest.size() - keep));
    return rest.size() - keep;
  }
  size_t lt = std::min(rest.find('<'), rest.size());
  if (lt == 0) return take_markup(rest, last, out);
  out->append(rest.substr(0, lt));
  return lt;
}

std::string HtmlRewriter::feed(std::string_view piece) {
  std::string out;
  pending_.append(piece);
  size_t at = 0;
  while (at < pending_.size()) {
    size_t n = take(std::string_view(pending_).substr(at), false, &out);
    if (n == 0) break;
    at += n;
  }
  pending_.erase(0, at);
  return out;
}

std::string HtmlRewriter::finish() {
  std::string out;
  size_t at = 0;
  while (at < pending_.size()) {
    size_t n = take(std::string_view(pending_).substr(at), true, &out);
    if (n == 0) break;
    at += n;
  }
  pending_.clear();
  return out;
}

}  // namespace keles::server
