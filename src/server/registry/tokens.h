// Continue tokens: base64url of {"v":"meta.k8s.io/v1","rv":N,"start":"ns/name\u0000"}, as upstream.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::registry {

struct ContinueToken {
  int64_t revision = 0;  // negative: the newest
  std::string start;     // the first key to return, relative to the kind's prefix
};

std::string encode_continue(int64_t revision, std::string_view start);
// kBadRequest for anything that is not such a token.
Result<ContinueToken> decode_continue(std::string_view token);

}  // namespace keles::registry
