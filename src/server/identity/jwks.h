// A JSON Web Key Set (RFC 7517) and a compact JWS (RFC 7515), as strangers send them. Pure; any
// thread. Bounded: 1 MiB and 100 keys of a set, 64 KiB of a token, depth as codec_json.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"
#include "net/jws.h"

namespace keles::identity {

inline constexpr size_t kMaxKeySetBytes = 1 << 20, kMaxKeys = 100, kMaxTokenBytes = 64 * 1024;

struct PublicKey {
  std::string id;         // "" when it has none
  std::string algorithm;  // the only one, where the key says so
  net::VerifyingKeyPtr key;
};

// Keys of other uses and kinds are left out.
Result<std::vector<PublicKey>> parse_key_set(std::string_view json);

// The parts of a token, of which nothing has been verified.
struct Token {
  Document header, claims;
  std::string_view signed_text;  // of the token's own text
  std::string signature;
  std::string_view algorithm() const { return header.root["alg"].as_string(); }
  std::string_view key_id() const { return header.root["kid"].as_string(); }
};
Result<Token> parse_token(std::string_view token);

// Whether one of the keys that the token may mean has signed it.
bool is_signed_by(const Token& token, const std::vector<PublicKey>& keys);

}  // namespace keles::identity
