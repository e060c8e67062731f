// The system's resolver. Inside net only: others resolve by net/address.h.
#pragma once

#include <string>
#include <vector>

#include "base/ip.h"

namespace keles::net {

struct LookUp {
  std::vector<IpAddress> ips;  // at most 8, in the resolver's order
  std::string error;           // why there are none
};

// Blocking: to be run off the loop.
LookUp look_up(const std::string& host);

}  // namespace keles::net
