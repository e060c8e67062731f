// What a request is to priority and fairness: who asks for what. Views into the request, which
// outlives it.
#pragma once

#include <string_view>

#include "server/auth/caller.h"

namespace keles::flow {

struct Digest {
  const Caller* caller = nullptr;
  bool is_resource = false;
  std::string_view verb, path;  // of no resource: the method in lower case
  std::string_view group, version, resource, subresource, ns, name;
};

}  // namespace keles::flow
