// Public keys of strangers, as JSON Web Keys (RFC 7517, 7518) tell them, and signatures of theirs.
// Immutable; any thread. The key decides which algorithms it can verify, never the token.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles::net {

class VerifyingKey {
 public:
  virtual ~VerifyingKey() = default;
  // `algorithm`: RS256, RS384, RS512, PS256, PS384, PS512 of an RSA key; ES256, ES384, ES512 of an
  // EC key, each for its own curve. False for any other.
  virtual bool verify(std::string_view algorithm, std::string_view data,
                      std::string_view signature) const = 0;
};
using VerifyingKeyPtr = std::shared_ptr<const VerifyingKey>;

// Big-endian bytes. RSA of 2048 to 16384 bits.
Result<VerifyingKeyPtr> rsa_verifying_key(std::string_view n, std::string_view e);
// `curve`: P-256, P-384 or P-521; the point's coordinates, big-endian.
Result<VerifyingKeyPtr> ec_verifying_key(std::string_view curve, std::string_view x,
                                         std::string_view y);

}  // namespace keles::net
