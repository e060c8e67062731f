// All that the proxy is to do. Ingresses are looked up by host and path; the rules of the Gateway
// API are asked one after another. Ingresses are served at the ports 80 and 443 alone.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ingress/routing.h"
#include "ingress/rules.h"

namespace keles::ingress {

struct RoutingTable {
  std::map<BackendName, Backend> backends;
  // By host and path (the elements' for prefixes).
  std::map<std::pair<Host, std::string>, BackendName> exact, prefix;
  std::map<Host, BackendName> defaults;
  std::vector<Rule> rules;         // asked before those, in this order
  std::vector<TlsRule> tls_rules;  // asked before a connection is taken for HTTPS
  // The ports of listeners; HTTP at 80 and HTTPS at 443 are there in any case. A port of
  // `passthrough` may be one of `https`.
  std::set<uint16_t> http, https, passthrough;
  std::vector<Certificate> certificates;  // who comes first has a host
};

}  // namespace keles::ingress
