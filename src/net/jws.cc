#include "net/jws.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "net/openssl.h"

namespace keles::net {
namespace {

using KeyPtr = openssl::Key;
using DigestPtr = openssl::Owned<EVP_MD_CTX>;
using NumberPtr = openssl::Owned<BIGNUM>;
struct BuilderDelete {
  void operator()(OSSL_PARAM_BLD* b) const { OSSL_PARAM_BLD_free(b); }
};
using BuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, BuilderDelete>;

const unsigned char* bytes(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}
NumberPtr number(std::string_view s) {
  return NumberPtr(BN_bin2bn(bytes(s), static_cast<int>(s.size()), nullptr));
}

KeyPtr key_from(const char* type, OSSL_PARAM_BLD* builder) {
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY_CTX* ctx = EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr);
  EVP_PKEY* key = nullptr;
  const bool made = params != nullptr && ctx != nullptr && EVP_PKEY_fromdata_init(ctx) == 1 &&
                    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;
  KeyPtr out(made ? key : nullptr);
  if (out) {
    EVP_PKEY_CTX* check = EVP_PKEY_CTX_new(out.get(), nullptr);
    if (check == nullptr || EVP_PKEY_public_check(check) != 1) out.reset();
    EVP_PKEY_CTX_free(check);
  }
  EVP_PKEY_CTX_free(ctx);
  OSSL_PARAM_free(params);
  ERR_clear_error();
  return out;
}

const EVP_MD* digest_of(std::string_view algorithm) {
  const std::string_view size = algorithm.substr(2);
  if (size == "256") return EVP_sha256();
  if (size == "384") return EVP_sha384();
  return size == "512" ? EVP_sha512() : nullptr;
}

// An EC signature in JWS is r and s side by side; OpenSSL wants them in DER.
std::string der_signature(std::string_view joined) {
  ECDSA_SIG* sig = ECDSA_SIG_new();
  NumberPtr r = number(joined.substr(0, joined.size() / 2));
  NumberPtr s = number(joined.substr(joined.size() / 2));
  std::string out;
  if (sig != nullptr && r && s && ECDSA_SIG_set0(sig, r.get(), s.get()) == 1) {
    (void)r.release();
    (void)s.release();
    unsigned char* der = nullptr;
    const int n = i2d_ECDSA_SIG(sig, &der);
    if (n > 0) out.assign(reinterpret_cast<char*>(der), static_cast<size_t>(n));
    OPENSSL_free(der);
  }
  ECDSA_SIG_free(sig);
  return out;
}

class Key final : public VerifyingKey {
 public:
  // `algorithm`: the one of an EC key; "" for RSA, which has six.
  Key(KeyPtr key, std::string algorithm, size_t signature_size)
      : key_(std::move(key)), algorithm_(std::move(algorithm)), size_(signature_size) {}

  bool verify(std::string_view algorithm, std::string_view data,
              std::string_view signature) const override {
    if (algorithm.size() != 5) return false;
    const EVP_MD* md = digest_of(algorithm);
    if (md == nullptr) return false;
    if (!algorithm_.empty()) {
      if (algorithm != algorithm_ || signature.size() != size_) return false;
      return check(md, data, der_signature(signature), false);
    }
    const bool pss = algorithm.starts_with("PS");
    if (!pss && !algorithm.starts_with("RS")) return false;
    return check(md, data, std::string(signature), pss);
  }

 private:
  bool check(const EVP_MD* md, std::string_view data, const std::string& signature,
             bool pss) const {
    DigestPtr ctx(EVP_MD_CTX_new());
    EVP_PKEY_CTX* how = nullptr;
    bool ok = !signature.empty() && ctx &&
              EVP_DigestVerifyInit(ctx.get(), &how, md, nullptr, key_.get()) == 1;
    if (ok && pss) {
      ok = EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_AUTO) == 1;
    }
    ok = ok && EVP_DigestVerify(ctx.get(), bytes(signature), signature.size(), bytes(data),
                                data.size()) == 1;
    ERR_clear_error();
    return ok;
  }

  KeyPtr key_;
  std::string algorithm_;
  size_t size_;
};

struct Curve {
  std::string_view name;
  const char* group;
  const char* algorithm;
  size_t bytes;
};
constexpr Curve kCurves[] = {{"P-256", "prime256v1", "ES256", 32},
                             {"P-384", "secp384r1", "ES384", 48},
                             {"P-521", "secp521r1", "ES512", 66}};

}  // namespace

Result<VerifyingKeyPtr> rsa_verifying_key(std::string_view n, std::string_view e) {
  constexpr size_t kLeast = 2048 / 8, kMost = 16384 / 8;
  while (!n.empty() && n[0] == '\0') n.remove_prefix(1);
  if (n.size() < kLeast || n.size() > kMost || e.empty() || e.size() > 8)
    return Status::bad_request("an RSA key of 2048 to 16384 bits is wanted");
  NumberPtr modulus = number(n), exponent = number(e);
  BuilderPtr b(OSSL_PARAM_BLD_new());
  if (!modulus || !exponent || !b || BN_is_odd(exponent.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(b.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(b.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1)
    return Status::bad_request("not an RSA key");
  KeyPtr key = key_from("RSA", b.get());
  if (!key) return Status::bad_request("not an RSA key");
  return VerifyingKeyPtr(std::make_shared<const Key>(std::move(key), "", 0));
}

Result<VerifyingKeyPtr> ec_verifying_key(std::string_view curve, std::string_view x,
                                         std::string_view y) {
  for (const Curve& c : kCurves) {
    if (c.name != curve) continue;
    if (x.size() > c.bytes || y.size() > c.bytes) break;
    std::string point = "\x04";
    point += std::string(c.bytes - x.size(), '\0') + std::string(x);
    point += std::string(c.bytes - y.size(), '\0') + std::string(y);
    BuilderPtr b(OSSL_PARAM_BLD_new());
    if (!b || OSSL_PARAM_BLD_push_utf8_string(b.get(), OSSL_PKEY_PARAM_GROUP_NAME, c.group, 0) != 1)
      break;
    if (OSSL_PARAM_BLD_push_octet_string(b.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                         point.size()) != 1)
      break;
    KeyPtr key = key_from("EC", b.get());
    if (!key) break;
    return VerifyingKeyPtr(std::make_shared<const Key>(std::move(key), c.algorithm, 2 * c.bytes));
  }
  return Status::bad_request("not a point of P-256, P-384 or P-521");
}

}  // namespace keles::net
