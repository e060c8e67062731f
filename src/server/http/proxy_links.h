// Links in what a proxied pod or service answers: they lead to the pod's own root, and must lead
// back through the proxy's path. Pure; bounded; any input is HTML of some kind.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace keles::server {

struct ProxyLinks {
  std::string prefix;        // "/api/v1/namespaces/NS/pods/NAME/proxy"
  std::string target_host;   // "10.244.1.7:80"
  std::string request_host;  // the request's Host

  // Whether the URL names another server than the proxied one, or no server at all
  // ("javascript:...").
  bool leads_elsewhere(std::string_view url) const;
  // A URL with an absolute path on the proxied server, led through the proxy; none when it is to
  // stay as it is.
  std::optional<std::string> rewrite(std::string_view url) const;
};

// Rewrites the URL-valued attributes of an HTML document that comes in pieces; everything else
// passes byte for byte. A tag that is longer than 16 KiB passes unread.
class HtmlRewriter {
 public:
  explicit HtmlRewriter(ProxyLinks links) : links_(std::move(links)) {}
  std::string feed(std::string_view piece);
  std::string finish();  // what is left: a document may end anywhere

 private:
  size_t take(std::string_view rest, bool last, std::string* out);
  size_t take_markup(std::string_view rest, bool last, std::string* out);
  void tag(std::string_view whole, std::string* out);

  ProxyLinks links_;
  std::string pending_;
  std::string raw_;  // inside <script>, <style> and the like: the element's name
};

}  // namespace keles::server
