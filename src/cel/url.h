// URLs as Go's net/url reads them with ParseRequestURI, which is what `url(...)`, `isURL` and the
// format "uri" take: an absolute URL, or an absolute path. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace keles::cel {

struct ParsedUrl {
  std::string scheme;  // in small letters
  std::string user;    // as it is printed, "" when there is none
  bool has_user = false;
  std::string host;  // with port and brackets
  std::string escaped_path;
  std::string query;  // without '?'
  bool has_query = false;
  std::string opaque;
  std::string fragment;
  std::string to_string() const;
};

// The error's message is Go's: parse "x": invalid URI for request.
Result<ParsedUrl> parse_url(std::string_view text);

std::string_view url_hostname(std::string_view host);
std::string_view url_port(std::string_view host);
// Keys in the order in which they come first; pairs that cannot be read are left out.
std::vector<std::pair<std::string, std::vector<std::string>>> parse_query(std::string_view query);

}  // namespace keles::cel
