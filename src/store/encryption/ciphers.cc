#include "store/encryption/ciphers.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include <memory>

#include "net/pki.h"

namespace keles::encryption {
namespace {

constexpr size_t kNonce = 12, kTag = 16, kBlock = 16, kInfo = 32, kKey = 32;
constexpr size_t kBoxNonce = crypto_secretbox_NONCEBYTES, kBoxTag = crypto_secretbox_MACBYTES;

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;
CipherContext context() { return {EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free}; }

const unsigned char* bytes(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}
unsigned char* bytes(std::string& s, size_t at = 0) {
  return reinterpret_cast<unsigned char*>(s.data()) + at;
}
int length(size_t n) { return static_cast<int>(n); }

const EVP_CIPHER* aes(size_t key_bytes, bool gcm) {
  switch (key_bytes) {
    case 16:
      return gcm ? EVP_aes_128_gcm() : EVP_aes_128_cbc();
    case 24:
      return gcm ? EVP_aes_192_gcm() : EVP_aes_192_cbc();
    default:
      return gcm ? EVP_aes_256_gcm() : EVP_aes_256_cbc();
  }
}

Status too_short() {
  return Status::internal("the stored data was shorter than the required size");
}

std::string derived_key(std::string_view seed, std::string_view info) {
  const std::string block = std::string(info) + '\x01';  // HKDF-Expand's first and only block
  std::string key(kKey, '\0');
  unsigned int n = 0;
  HMAC(EVP_sha256(), seed.data(), length(seed.size()), bytes(block), block.size(), bytes(key), &n);
  return key;
}

}  // namespace

std::string gcm_seal(std::string_view key, std::string_view bound, std::string_view plain) {
  std::string out = net::random_bytes(kNonce);
  out.resize(kNonce + plain.size() + kTag);
  CipherContext c = context();
  int n = 0;
  EVP_EncryptInit_ex(c.get(), aes(key.size(), true), nullptr, bytes(key), bytes(out));
  EVP_EncryptUpdate(c.get(), nullptr, &n, bytes(bound), length(bound.size()));
  EVP_EncryptUpdate(c.get(), bytes(out, kNonce), &n, bytes(plain), length(plain.size()));
  EVP_EncryptFinal_ex(c.get(), bytes(out, kNonce + plain.size()), &n);
  EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_GCM_GET_TAG, length(kTag),
                      bytes(out, kNonce + plain.size()));
  return out;
}

Result<std::string> gcm_open(std::string_view key, std::string_view bound, std::string_view data) {
  if (data.size() < kNonce) return too_short();
  if (data.size() < kNonce + kTag) return Status::internal("cipher: message authentication failed");
  const std::string_view nonce = data.substr(0, kNonce), tag = data.substr(data.size() - kTag),
                         text = data.substr(kNonce, data.size() - kNonce - kTag);
  std::string out(text.size(), '\0');
  CipherContext c = context();
  int n = 0;
  EVP_DecryptInit_ex(c.get(), aes(key.size(), true), nullptr, bytes(key), bytes(nonce));
  EVP_DecryptUpdate(c.get(), nullptr, &n, bytes(bound), length(bound.size()));
  EVP_DecryptUpdate(c.get(), bytes(out), &n, bytes(text), length(text.size()));
  EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_GCM_SET_TAG, length(kTag),
                      const_cast<unsigned char*>(bytes(tag)));
  unsigned char rest[kBlock];
  if (EVP_DecryptFinal_ex(c.get(), rest, &n) != 1) {
    return Status::internal("cipher: message authentication failed");
  }
  return out;
}

std::string cbc_seal(std::string_view key, std::string_view plain) {
  std::string out = net::random_bytes(kBlock);
  out.resize(kBlock + plain.size() + kBlock);
  CipherContext c = context();
  int n = 0, last = 0;
  EVP_EncryptInit_ex(c.get(), aes(key.size(), false), nullptr, bytes(key), bytes(out));
  EVP_EncryptUpdate(c.get(), bytes(out, kBlock), &n, bytes(plain), length(plain.size()));
  EVP_EncryptFinal_ex(c.get(), bytes(out, kBlock + static_cast<size_t>(n)), &last);
  out.resize(kBlock + static_cast<size_t>(n + last));
  return out;
}

Result<std::string> cbc_open(std::string_view key, std::string_view data) {
  if (data.size() < kBlock) return too_short();
  const std::string_view iv = data.substr(0, kBlock), text = data.substr(kBlock);
  if (text.size() % kBlock != 0) {
    return Status::internal("the stored data is not a multiple of the block size");
  }
  if (text.empty()) return Status::internal("invalid PKCS7 data (empty or not padded)");
  std::string out(text.size() + kBlock, '\0');
  CipherContext c = context();
  int n = 0, last = 0;
  EVP_DecryptInit_ex(c.get(), aes(key.size(), false), nullptr, bytes(key), bytes(iv));
  EVP_DecryptUpdate(c.get(), bytes(out), &n, bytes(text), length(text.size()));
  if (EVP_DecryptFinal_ex(c.get(), bytes(out, static_cast<size_t>(n)), &last) != 1) {
    return Status::internal("invalid padding on input");
  }
  out.resize(static_cast<size_t>(n + last));
  return out;
}

std::string secretbox_seal(std::string_view key, std::string_view plain) {
  std::string out = net::random_bytes(kBoxNonce);
  out.resize(kBoxNonce + kBoxTag + plain.size());
  crypto_secretbox_easy(bytes(out, kBoxNonce), bytes(plain), plain.size(), bytes(out), bytes(key));
  return out;
}

Result<std::string> secretbox_open(std::string_view key, std::string_view data) {
  if (data.size() < kBoxNonce + kBoxTag) return too_short();
  const std::string_view nonce = data.substr(0, kBoxNonce), box = data.substr(kBoxNonce);
  std::string out(box.size() - kBoxTag, '\0');
  if (crypto_secretbox_open_easy(bytes(out), bytes(box), box.size(), bytes(nonce), bytes(key)) !=
      0) {
    return Status::internal("secretbox: message authentication failed");
  }
  return out;
}

std::string extended_seal(std::string_view seed, std::string_view bound, std::string_view plain) {
  const std::string info = net::random_bytes(kInfo);
  return info + gcm_seal(derived_key(seed, info), bound, plain);
}

Result<std::string> extended_open(std::string_view seed, std::string_view bound,
                                  std::string_view data) {
  if (data.size() < kInfo) return too_short();
  return gcm_open(derived_key(seed, data.substr(0, kInfo)), bound, data.substr(kInfo));
}

}  // namespace keles::encryption
