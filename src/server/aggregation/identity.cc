#include "server/aggregation/identity.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/ascii.h"

namespace keles::aggregation {
namespace {

bool is_remote_field(const std::string& name) {
  const std::string n = ascii_lower(name);
  return n == "x-remote-user" || n == "x-remote-uid" || n == "x-remote-group" ||
         n.starts_with("x-remote-extra-");
}

// A key of a user's extra as part of a field's name: what may not stand in one is percent-encoded.
std::string escaped_key(std::string_view key) {
  constexpr std::string_view kToken = "!#$&'*+-.^_`|~";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (char c : key) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       kToken.find(c) != kToken.npos;
    if (plain) {
      out.push_back(c);
    } else {
      const auto u = static_cast<unsigned char>(c);
      out.append({'%', kHex[u >> 4], kHex[u & 15]});
    }
  }
  return out;
}

}  // namespace

void set_caller(net::Headers* headers, const Caller& who) {
  std::vector<std::string> theirs;
  for (const auto& [name, value] : *headers) {
    if (is_remote_field(name)) theirs.push_back(name);
  }
  for (const std::string& name : theirs) headers->erase(name);
  headers->set("X-Remote-User", who.name);
  if (!who.uid.empty()) headers->set("X-Remote-Uid", who.uid);
  for (const std::string& g : who.groups) headers->add("X-Remote-Group", g);
  for (const auto& [key, values] : who.extra) {
    for (const std::string& v : values) headers->add("X-Remote-Extra-" + escaped_key(key), v);
  }
}

const Caller& aggregator_caller() {
  static const Caller caller = [] {
    Caller c;
    c.name = "system:kube-aggregator";
    c.groups = {"system:masters"};
    return c;
  }();
  return caller;
}

}  // namespace keles::aggregation
