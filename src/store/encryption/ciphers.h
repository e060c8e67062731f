// The ciphers of encryption at rest, each with the bytes that upstream stores (OpenSSL, libsodium).
// Keys are of the right length: read_config() saw to that. Pure but for random numbers; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::encryption {

// AES-GCM: 12 bytes of nonce, the ciphertext, 16 bytes of tag. `bound`: authenticated besides.
std::string gcm_seal(std::string_view key, std::string_view bound, std::string_view plain);
Result<std::string> gcm_open(std::string_view key, std::string_view bound, std::string_view data);

// AES-CBC with PKCS#7 padding: 16 bytes of IV, the ciphertext. Nothing is authenticated.
std::string cbc_seal(std::string_view key, std::string_view plain);
Result<std::string> cbc_open(std::string_view key, std::string_view data);

// XSalsa20-Poly1305 (NaCl's secretbox): 24 bytes of nonce, 16 of tag, the ciphertext.
std::string secretbox_seal(std::string_view key, std::string_view plain);
Result<std::string> secretbox_open(std::string_view key, std::string_view data);

// AES-GCM with a key of its own for each value: 32 random bytes, and what gcm_seal() makes under
// the first 32 bytes of HKDF-Expand(SHA-256, seed, those bytes) (RFC 5869).
std::string extended_seal(std::string_view seed, std::string_view bound, std::string_view plain);
Result<std::string> extended_open(std::string_view seed, std::string_view bound,
                                  std::string_view data);

}  // namespace keles::encryption
