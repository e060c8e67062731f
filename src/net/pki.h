// Certificates, keys, signatures and digests (OpenSSL underneath). Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "net/http.h"

namespace keles::net {

struct CertificateSpec {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  bool server = false;  // extended key usage: serverAuth
  bool client = false;  // clientAuth
  WallTime not_before;
  WallTime not_after;
};

struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  std::vector<std::string> email_addresses, uris;
  int64_t not_before_unix = 0;
  int64_t not_after_unix = 0;
  bool is_ca = false;
  std::string fingerprint_sha256;  // hex, lower case, over the DER form
};

// ECDSA P-256 keys; PKCS#8 "PRIVATE KEY" in PEM. The CA is self-signed.
Result<TlsIdentity> make_ca(const CertificateSpec& spec);
// The certificate is followed by nothing: append the CA's where a chain is wanted.
Result<TlsIdentity> issue_certificate(const TlsIdentity& ca, const CertificateSpec& spec);
// A client's certificate as kubeconfigs carry it: for a year from `now`, and good an hour before it
// (clocks differ).
Result<TlsIdentity> issue_client(const TlsIdentity& ca, std::string common_name,
                                 std::vector<std::string> organizations, WallTime now);
Result<CertificateInfo> parse_certificate(std::string_view pem);  // the first in the text

// What a signer grants to a certificate signing request. Usages are those of the API
// (certificates.k8s.io/v1 KeyUsage: "client auth", "digital signature", ...), in any order.
struct CsrTerms {
  WallTime now;  // a CA that has ended by then signs nothing
  WallTime not_before, not_after;
  std::vector<std::string> usages;
};

// A certificate signing request in PEM (subject and SANs), its signature checked; and one signed by
// `ca`: subject, DNS names, IP and mail addresses and URIs are the request's own, all else that it
// asks for is dropped, and it never outlives the CA. An unknown usage is kBadRequest.
Result<CertificateInfo> parse_csr(std::string_view pem);
Result<std::string> make_csr(std::string_view key_pem, const CertificateSpec& spec);
Result<std::string> sign_csr(const TlsIdentity& ca, std::string_view csr_pem,
                             const CsrTerms& terms);
// A new private key (ECDSA P-256) in PEM.
Result<std::string> make_key();

std::string random_bytes(size_t n);  // from the operating system; fit for secrets
std::string sha256(std::string_view data);
std::string sha1(std::string_view data);
std::string hex(std::string_view bytes);
bool equal_in_constant_time(std::string_view a, std::string_view b);

// A private key for signing tokens, or a public one that can only verify.
class SigningKey {
 public:
  enum class Algorithm : uint8_t { kRs256, kEs256 };
  static Result<std::shared_ptr<const SigningKey>> generate(Algorithm algorithm);
  // RSA (>= 2048 bits) or EC P-256; PKCS#1, PKCS#8, SEC1, a public key, or a certificate
  // of one.
  static Result<std::shared_ptr<const SigningKey>> from_pem(std::string_view pem);
  virtual ~SigningKey() = default;
  virtual Algorithm algorithm() const = 0;
  virtual std::string_view algorithm_name() const = 0;  // "RS256"
  // base64url(SHA-256 of the public key's DER form), as upstream's key ids.
  virtual const std::string& id() const = 0;
  virtual std::string private_pem() const = 0;
  virtual std::string public_pem() const = 0;
  virtual std::string jwk() const = 0;  // a JSON object, public part only
  virtual Result<std::string> sign(std::string_view data) const = 0;  // JWS form
  virtual bool verify(std::string_view data, std::string_view signature) const = 0;
};
using SigningKeys = std::vector<std::shared_ptr<const SigningKey>>;

// A compact JWS with header {"alg","kid"} over `claims_json`.
Result<std::string> jwt_sign(const SigningKey& key, std::string_view claims_json);
// Checks the signature only, with whichever of `keys` matches; the claims are the caller's to
// check. kUnauthorized otherwise. Tokens above 64 KiB are refused.
Result<std::string> jwt_verify(const SigningKeys& keys, std::string_view token);
std::string jwks(const SigningKeys& keys);  // {"keys":[...]}

}  // namespace keles::net
