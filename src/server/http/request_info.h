// What a request asks for, from its method, path and query: upstream's RequestInfo
// (k8s.io/apiserver/pkg/endpoints/request/requestinfo.go). Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace keles::server {

// The query, decoded, in order. Lookups find the first.
class Query {
 public:
  static Query parse(std::string_view text);
  const std::string* find(std::string_view name) const;
  std::string get(std::string_view name) const;
  std::vector<std::string> get_all(std::string_view name) const;
  // Go's strconv.ParseBool, and "" (a name without value) is true for watch-like options.
  bool flag(std::string_view name) const;
  std::string encode() const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return values_; }

 private:
  std::vector<std::pair<std::string, std::string>> values_;
};

struct RequestInfo {
  bool is_resource = false;
  std::string path;  // decoded
  // get list watch create update patch delete deletecollection; where the path begins with it, watch
  // or proxy, whatever the method; else the method
  std::string verb;
  std::string group, version, ns, resource, subresource, name;
  // What follows the subresource ("proxy" paths), with its leading '/': still encoded, as it came.
  // Whoever sends it on sends these bytes; decoded and written anew it could become another
  // request.
  std::string rest;
  bool verb_by_path = false;  // .../VERSION/watch/...: selectors say nothing of what is asked
  bool nowhere = false;       // no such path is served, whatever resource it names
};

RequestInfo parse_request_info(std::string_view method, std::string_view encoded_path,
                               const Query& query);

}  // namespace keles::server
