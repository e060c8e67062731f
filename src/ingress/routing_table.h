// All that the proxy is to do. Ingresses are looked up by host and path; the rules of the Gateway
// API are asked one after another.
#pragma once

#include <map>
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
  std::vector<Rule> rules;                // asked before those, in this order
  std::vector<Certificate> certificates;  // who comes first has a host
};

}  // namespace keles::ingress
