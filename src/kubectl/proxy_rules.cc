#include <optional>

#include "base/encoding.h"
#include "base/text_parts.h"
#include "kubectl/cp.h"
#include "kubectl/proxy.h"

namespace keles::kubectl {
namespace {

// Without the port; an IPv6 address with a port loses its brackets, as Go's SplitHostPort has it.
std::string_view host_alone(std::string_view host) {
  size_t colon = host.rfind(':');
  if (host.starts_with('[')) {
    size_t close = host.find(']');
    if (close == host.npos || close + 1 != colon) return host;
    return host.substr(1, close - 1);
  }
  if (colon == host.npos || host.find(':') != colon) return host;
  return host.substr(0, colon);
}

// The path as a server's routes know it: no "." and "..", no empty parts; its last '/' stays.
std::string normal_path(const std::string& path) {
  std::string out = clean_path(path.starts_with('/') ? path : "/" + path);
  if (path.ends_with('/') && out != "/") out += '/';
  return out;
}

std::string encoded_path(std::string_view path) { return percent_encode(path, "/:@!$&'()*+,;="); }

}  // namespace

Status RequestFilter::List::add(std::string_view commas) {
  if (commas.empty()) return Status();
  for (std::string_view one : split_list(commas)) {
    std::string wrong = Pattern::error_of(one);
    if (!wrong.empty()) return Status::bad_request(wrong);
    patterns.emplace_back(texts.emplace_back(one));
  }
  return Status();
}

bool RequestFilter::List::match(std::string_view s) const {
  for (const Pattern& p : patterns) {
    if (p.matches(s)) return true;
  }
  return false;
}

Status RequestFilter::set(std::string_view accept_paths, std::string_view reject_paths,
                          std::string_view accept_hosts, std::string_view reject_methods) {
  TRY(accept_paths_.add(accept_paths));
  TRY(reject_paths_.add(reject_paths));
  TRY(accept_hosts_.add(accept_hosts));
  return reject_methods_.add(reject_methods);
}

bool RequestFilter::accepts(std::string_view method, std::string_view path,
                            std::string_view host) const {
  if (reject_paths_.match(path) || reject_methods_.match(method)) return false;
  return accept_paths_.match(path) && accept_hosts_.match(host_alone(host));
}

ProxyRoute route_of(const ProxyPrefixes& prefixes, std::string_view encoded) {
  using To = ProxyRoute::To;
  std::optional<std::string> decoded = percent_decode(encoded);
  if (!decoded || decoded->find('\0') != decoded->npos) return {};
  std::string normal = normal_path(*decoded);
  // Who asks by another spelling is told the right one: no filter is passed by it.
  if (normal != *decoded) return {To::kRedirect, encoded_path(normal)};
  auto within = [&](const std::string& prefix) { return normal.starts_with(prefix); };
  const bool files = !prefixes.files.empty() && within(prefixes.files) &&
                     (prefixes.files.size() > prefixes.api.size() || !within(prefixes.api));
  if (files) return {To::kFiles, normal.substr(prefixes.files.size() - 1)};
  if (!within(prefixes.api)) {
    bool root =
        normal + "/" == prefixes.api || (!prefixes.files.empty() && normal + "/" == prefixes.files);
    if (root) return {To::kRedirect, encoded_path(normal + "/")};
    return {};
  }
  if (prefixes.api.starts_with("/api") || prefixes.api == "/") {
    return {To::kApi, std::string(encoded)};
  }
  // A prefix that is written in another encoding than ours is taken off what it means.
  std::string rest = encoded.starts_with(prefixes.api)
                         ? std::string(encoded.substr(prefixes.api.size()))
                         : encoded_path(normal.substr(prefixes.api.size()));
  return {To::kApi, "/" + rest};
}

}  // namespace keles::kubectl
