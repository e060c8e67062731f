// What `proxy` lets through, and which part of it a request is for.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/pattern.h"

namespace keles::kubectl {

// Lists of regular expressions, parted by commas, that match anywhere.
class RequestFilter {
 public:
  static constexpr char kHosts[] = "^localhost$,^127\\.0\\.0\\.1$,^\\[::1\\]$";
  static constexpr char kPaths[] = "^.*";
  static constexpr char kRejectedPaths[] = "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach";
  static constexpr char kRejectedMethods[] = "^$";

  // "error parsing regexp: ..."
  Status set(std::string_view accept_paths, std::string_view reject_paths,
             std::string_view accept_hosts, std::string_view reject_methods);
  // `host` as the request's Host has it; `path` decoded.
  bool accepts(std::string_view method, std::string_view path, std::string_view host) const;

 private:
  struct List {
    std::deque<std::string> texts;  // that the patterns view
    std::deque<Pattern> patterns;
    Status add(std::string_view commas);
    bool match(std::string_view s) const;
  };
  List accept_paths_, reject_paths_, accept_hosts_, reject_methods_;
};

// Where a path leads.
struct ProxyRoute {
  enum class To : uint8_t { kApi, kFiles, kRedirect, kNowhere } to = To::kNowhere;
  std::string path;  // for the API (as encoded as it came) or below the files; or the new location
};
struct ProxyPrefixes {
  std::string api = "/", files;  // both end with '/'; files "": none are served
};
// `encoded` is the request's path.
ProxyRoute route_of(const ProxyPrefixes& prefixes, std::string_view encoded);

}  // namespace keles::kubectl
