#include "server/discovery/content_name.h"

#include <cstdint>
#include <cstdio>

#include "base/encoding.h"

namespace keles::server {

std::string content_name(std::string_view bytes) {
  std::string out;
  for (const uint64_t h : {fnv1a_64(bytes), fnv1a_64(bytes, 1099511628211U * 7919U)}) {
    char hex[17];
    std::snprintf(hex, sizeof hex, "%016llX", static_cast<unsigned long long>(h));
    out += hex;
  }
  return out;
}

}  // namespace keles::server
