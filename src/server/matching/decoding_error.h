// What is wrong with an object that a webhook or a policy has made.
#pragma once

#include <string>

#include "base/status.h"

namespace keles::matching {

// The decoder's words without those for a request's body.
inline std::string decoding_error(const Status& s) {
  constexpr std::string_view kBefore = " cannot be handled as a ";
  std::string why = s.message();
  if (const size_t at = why.find(kBefore); at != std::string::npos) {
    why.erase(0, at + kBefore.size());
    why.erase(0, why.find(": ") + 2);
  }
  return why;
}

}  // namespace keles::matching
