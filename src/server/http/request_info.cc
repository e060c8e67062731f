#include "server/http/request_info.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "base/encoding.h"

namespace keles::server {
namespace {

// The parts between slashes, of which the first few say what is asked for. What follows them is
// left in one.
class PathParts {
 public:
  explicit PathParts(std::string_view path) {
    while (!path.empty() && path.front() == '/') path.remove_prefix(1);
    while (!path.empty() && path.back() == '/') path.remove_suffix(1);
    while (!path.empty()) {
      const size_t slash = n_ + 1 < parts_.size() ? path.find('/') : path.npos;
      parts_[n_++] = path.substr(0, slash);
      if (slash == path.npos) break;
      path.remove_prefix(slash + 1);
    }
  }
  size_t size() const { return n_; }
  std::string_view operator[](size_t i) const { return parts_[i]; }

 private:
  // apis/GROUP/VERSION/watch/namespaces/NS/RESOURCE/NAME/SUBRESOURCE and the rest
  std::array<std::string_view, 10> parts_;
  size_t n_ = 0;
};

std::string verb_of(std::string_view method, bool named) {
  if (method == "POST") return "create";
  if (method == "GET" || method == "HEAD") return named ? "get" : "list";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return named ? "delete" : "deletecollection";
  return "";
}

// Where byte `at` of the decoded text stands in `encoded`.
size_t encoded_offset(std::string_view encoded, size_t at) {
  size_t i = 0;
  for (; at > 0 && i < encoded.size(); --at) i += encoded[i] == '%' ? 3 : 1;
  return std::min(i, encoded.size());
}

}  // namespace

Query Query::parse(std::string_view text) {
  Query q;
  while (!text.empty()) {
    size_t amp = text.find('&');
    std::string_view pair = text.substr(0, amp);
    text.remove_prefix(amp == std::string_view::npos ? text.size() : amp + 1);
    if (pair.empty()) continue;
    size_t eq = pair.find('=');
    auto name = percent_decode(pair.substr(0, eq), true);
    auto value = eq == std::string_view::npos ? std::optional<std::string>("")
                                              : percent_decode(pair.substr(eq + 1), true);
    if (name && value) q.values_.emplace_back(std::move(*name), std::move(*value));
  }
  return q;
}

const std::string* Query::find(std::string_view name) const {
  for (const auto& [n, v] : values_) {
    if (n == name) return &v;
  }
  return nullptr;
}

std::string Query::get(std::string_view name) const {
  const std::string* v = find(name);
  return v ? *v : std::string();
}

std::vector<std::string> Query::get_all(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [n, v] : values_) {
    if (n == name) out.push_back(v);
  }
  return out;
}

bool Query::flag(std::string_view name) const {
  const std::string* v = find(name);
  return v && *v != "0" && ascii_lower(*v) != "false";
}

std::string Query::encode() const {
  std::string out;
  for (const auto& [n, v] : values_) {
    if (!out.empty()) out.push_back('&');
    out += percent_encode(n) + "=" + percent_encode(v);
  }
  return out;
}

RequestInfo parse_request_info(std::string_view method, std::string_view encoded_path,
                               const Query& query) {
  RequestInfo info;
  auto decoded = percent_decode(encoded_path);
  info.path = decoded ? std::move(*decoded) : std::string(encoded_path);
  info.verb = ascii_lower(method);
  const PathParts parts(info.path);
  if (parts.size() < 3 || (parts[0] != "api" && parts[0] != "apis")) return info;
  size_t at = 1;
  if (parts[0] == "apis") {
    if (parts.size() < 4) return info;
    info.group = parts[at++];
    info.nowhere = info.group.empty();
  }
  info.version = parts[at++];
  if (at >= parts.size()) return info;
  info.is_resource = true;
  if (parts[at] == "watch" || parts[at] == "proxy") {
    info.verb_by_path = true;
    info.verb = parts[at++];
    info.nowhere |= info.verb == "proxy" || at >= parts.size();
  }

  // namespaces/NS/RESOURCE...; but namespaces/NS/status|finalize are the namespace's own.
  if (at < parts.size() && parts[at] == "namespaces" && at + 1 < parts.size()) {
    info.ns = parts[at + 1];
    if (at + 2 < parts.size() && parts[at + 2] != "status" && parts[at + 2] != "finalize") at += 2;
  }
  if (at < parts.size()) info.resource = parts[at++];
  if (at < parts.size()) info.name = parts[at++];
  if (at < parts.size()) info.subresource = parts[at++];
  if (at < parts.size()) {
    const auto offset = static_cast<size_t>(parts[at].data() - info.path.data());
    info.rest = "/";
    info.rest += encoded_path.substr(decoded ? encoded_offset(encoded_path, offset) : offset);
  } else if (!info.subresource.empty() && info.path.back() == '/') {
    info.rest = "/";
  }
  if (info.resource == "namespaces" && info.group.empty()) info.ns.clear();

  if (info.verb_by_path) return info;
  info.verb = verb_of(method, !info.name.empty());
  if (info.verb == "list" && query.flag("watch")) info.verb = "watch";
  return info;
}

}  // namespace keles::server
