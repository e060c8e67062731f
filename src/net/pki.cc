#include "net/pki.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "base/encoding.h"
#include "base/ip.h"
#include "net/openssl.h"

namespace keles::net {
namespace {

using openssl::Bio;
using openssl::Certificate;
using openssl::next_certificate;
using openssl::next_private_key;
using openssl::Owned;
using openssl::pem_of;
using openssl::reader;
using openssl::text_of;
using openssl::writer;
using BnPtr = Owned<BIGNUM>;
using ReqPtr = Owned<X509_REQ>;
using NamesPtr = Owned<GENERAL_NAMES>;

Status failed(const char* what) {
  unsigned long e = ERR_get_error();
  ERR_clear_error();
  const char* why = e != 0 ? ERR_reason_error_string(e) : nullptr;
  return Status::bad_request(std::string("x509: ") + what + (why != nullptr ? ": " : "") +
                             (why != nullptr ? why : ""));
}

openssl::Key read_private(std::string_view pem) { return next_private_key(reader(pem)); }
Certificate read_cert(std::string_view pem) { return next_certificate(reader(pem)); }
std::string private_text(EVP_PKEY* key) {
  Bio b = writer();
  PEM_write_bio_PKCS8PrivateKey(b.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(b);
}
void set_subject(X509_NAME* name, const CertificateSpec& spec) {
  auto add = [name](const char* field, const std::string& v) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(v.data()),
                               static_cast<int>(v.size()), -1, 0);
  };
  for (const std::string& o : spec.organizations) add("O", o);
  if (!spec.common_name.empty()) add("CN", spec.common_name);
}

// The subject alternative names, or null when there are none.
NamesPtr alternative_names(const CertificateSpec& spec) {
  if (spec.dns_names.empty() && spec.ip_addresses.empty()) return nullptr;
  NamesPtr names(GENERAL_NAMES_new());
  for (const std::string& dns : spec.dns_names) {
    GENERAL_NAME* n = GENERAL_NAME_new();
    ASN1_IA5STRING* s = ASN1_IA5STRING_new();
    ASN1_STRING_set(s, dns.data(), static_cast<int>(dns.size()));
    GENERAL_NAME_set0_value(n, GEN_DNS, s);
    sk_GENERAL_NAME_push(names.get(), n);
  }
  for (const std::string& ip : spec.ip_addresses) {
    auto address = IpAddress::parse(ip);
    if (!address) continue;
    const auto raw = address->bytes();
    GENERAL_NAME* n = GENERAL_NAME_new();
    ASN1_OCTET_STRING* s = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(s, raw.data(), static_cast<int>(raw.size()));
    GENERAL_NAME_set0_value(n, GEN_IPADD, s);
    sk_GENERAL_NAME_push(names.get(), n);
  }
  return names;
}

bool add_extension(X509* cert, X509* issuer, int nid, const char* value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value);
  if (e == nullptr) return false;
  X509_add_ext(cert, e, -1);
  X509_EXTENSION_free(e);
  return true;
}

bool prepare(X509* cert, EVP_PKEY* key, const CertificateSpec& spec) {
  X509_set_version(cert, 2);
  std::string serial = random_bytes(16);
  serial[0] = static_cast<char>(serial[0] & 0x7f);
  BnPtr n(BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), 16, nullptr));
  BN_to_ASN1_INTEGER(n.get(), X509_get_serialNumber(cert));
  ASN1_TIME_set(X509_getm_notBefore(cert), spec.not_before.unix_seconds());
  ASN1_TIME_set(X509_getm_notAfter(cert), spec.not_after.unix_seconds());
  return X509_set_pubkey(cert, key) == 1;
}

void set_usages(X509* cert, X509* ca, const CertificateSpec& spec) {
  add_extension(cert, ca, NID_key_usage, "critical,digitalSignature,keyEncipherment");
  std::string usage;
  if (spec.server) usage = "serverAuth";
  if (spec.client) usage += usage.empty() ? "clientAuth" : ",clientAuth";
  if (!usage.empty()) add_extension(cert, ca, NID_ext_key_usage, usage.c_str());
}

// The API's usages and OpenSSL's words for them, extended ones in the order of their writing.
struct Usage {
  std::string_view name;
  const char* word;
  bool extended;
};
constexpr Usage kUsages[] = {{"signing", "digitalSignature", false},
                             {"digital signature", "digitalSignature", false},
                             {"content commitment", "nonRepudiation", false},
                             {"key encipherment", "keyEncipherment", false},
                             {"data encipherment", "dataEncipherment", false},
                             {"key agreement", "keyAgreement", false},
                             {"cert sign", "keyCertSign", false},
                             {"crl sign", "cRLSign", false},
                             {"encipher only", "encipherOnly", false},
                             {"decipher only", "decipherOnly", false},
                             {"any", "anyExtendedKeyUsage", true},
                             {"server auth", "serverAuth", true},
                             {"client auth", "clientAuth", true},
                             {"code signing", "codeSigning", true},
                             {"email protection", "emailProtection", true},
                             {"s/mime", "emailProtection", true},
                             {"ipsec end system", "ipsecEndSystem", true},
                             {"ipsec tunnel", "ipsecTunnel", true},
                             {"ipsec user", "ipsecUser", true},
                             {"timestamping", "timeStamping", true},
                             {"ocsp signing", "OCSPSigning", true},
                             {"microsoft sgc", "msSGC", true},
                             {"netscape sgc", "nsSGC", true}};

Status set_usages(X509* cert, X509* ca, const std::vector<std::string>& asked) {
  for (const std::string& name : asked) {
    const bool known = std::any_of(std::begin(kUsages), std::end(kUsages),
                                   [&](const Usage& u) { return u.name == name; });
    if (!known) return Status::bad_request("unrecognized usage values: [\"" + name + "\"]");
  }
  std::string plain = "critical", extended;
  const char* last = "";
  for (const Usage& u : kUsages) {
    if (std::find(asked.begin(), asked.end(), u.name) == asked.end()) continue;
    if (std::string_view(u.word) == last) continue;  // two names of one usage
    last = u.word;
    if (u.extended) {
      extended += std::string(extended.empty() ? "" : ",") + u.word;
    } else {
      plain += std::string(",") + u.word;
    }
  }
  if (plain != "critical") add_extension(cert, ca, NID_key_usage, plain.c_str());
  if (!extended.empty()) add_extension(cert, ca, NID_ext_key_usage, extended.c_str());
  return Status();
}

// Authority, names and the signature: all but subject, key, validity and usages, which are set.
Status finish(X509* cert, X509* ca, EVP_PKEY* ca_key, GENERAL_NAMES* names) {
  X509_set_issuer_name(cert, X509_get_subject_name(ca));
  add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(cert, ca, NID_authority_key_identifier, "keyid");
  const bool nameless = X509_NAME_entry_count(X509_get_subject_name(cert)) == 0;
  if (names != nullptr) {  // critical where nothing else says whose it is (RFC 5280, 4.2.1.6)
    X509_add1_ext_i2d(cert, NID_subject_alt_name, names, nameless ? 1 : 0, 0);
  }
  if (X509_sign(cert, ca_key, EVP_sha256()) == 0) return failed("signing a certificate");
  return Status();
}

std::string string_of(const ASN1_STRING* s) {
  unsigned char* out = nullptr;
  int n = ASN1_STRING_to_UTF8(&out, s);
  if (n < 0) return "";
  std::string text(reinterpret_cast<char*>(out), static_cast<size_t>(n));
  OPENSSL_free(out);
  return text;
}

void read_subject(X509_NAME* name, CertificateInfo* info) {
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    X509_NAME_ENTRY* e = X509_NAME_get_entry(name, i);
    int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
    std::string v = string_of(X509_NAME_ENTRY_get_data(e));
    if (nid == NID_commonName) info->common_name = v;
    if (nid == NID_organizationName) info->organizations.push_back(v);
  }
}

void read_names(const GENERAL_NAMES* names, CertificateInfo* info) {
  if (names == nullptr) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* n = sk_GENERAL_NAME_value(names, i);
    if (n->type == GEN_DNS) {
      info->dns_names.push_back(string_of(n->d.dNSName));
    } else if (n->type == GEN_EMAIL) {
      info->email_addresses.push_back(string_of(n->d.rfc822Name));
    } else if (n->type == GEN_URI) {
      info->uris.push_back(string_of(n->d.uniformResourceIdentifier));
    } else if (n->type == GEN_IPADD) {
      const auto size = static_cast<size_t>(ASN1_STRING_length(n->d.iPAddress));
      auto ip = IpAddress::from_bytes({ASN1_STRING_get0_data(n->d.iPAddress), size});
      if (ip) info->ip_addresses.push_back(ip->text());
    }
  }
}

int64_t unix_of(const ASN1_TIME* t) {
  tm when{};
  if (ASN1_TIME_to_tm(t, &when) != 1) return 0;
  return timegm(&when);
}

std::string digest(const EVP_MD* md, std::string_view data) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  EVP_Digest(data.data(), data.size(), out, &n, md, nullptr);
  return std::string(reinterpret_cast<char*>(out), n);
}

NamesPtr request_names(X509_REQ* req) {
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(req);
  if (extensions == nullptr) return nullptr;
  NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr)));
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  return names;
}

// Names of other kinds (directories, principals of other systems) mean something to somebody else.
void drop_other_names(GENERAL_NAMES* names) {
  for (int i = sk_GENERAL_NAME_num(names) - 1; i >= 0; --i) {
    const int type = sk_GENERAL_NAME_value(names, i)->type;
    if (type == GEN_DNS || type == GEN_IPADD || type == GEN_EMAIL || type == GEN_URI) continue;
    GENERAL_NAME_free(sk_GENERAL_NAME_delete(names, i));
  }
}

Result<ReqPtr> read_csr(std::string_view pem) {
  ReqPtr req(PEM_read_bio_X509_REQ(reader(pem).get(), nullptr, nullptr, nullptr));
  if (!req) return failed("no certificate request found");
  if (X509_REQ_verify(req.get(), X509_REQ_get0_pubkey(req.get())) != 1) {
    return failed("the request's signature");
  }
  return req;
}

class OpensslKey final : public SigningKey {
 public:
  OpensslKey(openssl::Key key, Algorithm algorithm, bool is_private)
      : key_(std::move(key)), algorithm_(algorithm), private_(is_private) {
    unsigned char* der = nullptr;
    int n = i2d_PUBKEY(key_.get(), &der);
    id_ = base64url_encode(
        sha256({reinterpret_cast<char*>(der), static_cast<size_t>(n > 0 ? n : 0)}));
    OPENSSL_free(der);
  }
  Algorithm algorithm() const override { return algorithm_; }
  std::string_view algorithm_name() const override {
    return algorithm_ == Algorithm::kRs256 ? "RS256" : "ES256";
  }
  const std::string& id() const override { return id_; }
  std::string private_pem() const override { return private_ ? private_text(key_.get()) : ""; }
  std::string public_pem() const override {
    Bio b = writer();
    PEM_write_bio_PUBKEY(b.get(), key_.get());
    return text_of(b);
  }

  std::string jwk() const override {
    std::string head = "{\"use\":\"sig\",\"kid\":\"" + id_ + "\",\"alg\":\"" +
                       std::string(algorithm_name()) + "\",";
    if (algorithm_ == Algorithm::kRs256) {
      return head + "\"kty\":\"RSA\",\"n\":\"" + number(OSSL_PKEY_PARAM_RSA_N, 0) + "\",\"e\":\"" +
             number(OSSL_PKEY_PARAM_RSA_E, 0) + "\"}";
    }
    return head + "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" +
           number(OSSL_PKEY_PARAM_EC_PUB_X, 32) + "\",\"y\":\"" +
           number(OSSL_PKEY_PARAM_EC_PUB_Y, 32) + "\"}";
  }

  Result<std::string> sign(std::string_view data) const override {
    if (!private_) return Status::internal("the key can only verify");
    Owned<EVP_MD_CTX> md(EVP_MD_CTX_new());
    size_t n = 0;
    auto* in = reinterpret_cast<const unsigned char*>(data.data());
    if (EVP_DigestSignInit(md.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
        EVP_DigestSign(md.get(), nullptr, &n, in, data.size()) != 1) {
      return failed("signing");
    }
    std::string out(n, '\0');
    if (EVP_DigestSign(md.get(), reinterpret_cast<unsigned char*>(out.data()), &n, in,
                       data.size()) != 1) {
      return failed("signing");
    }
    out.resize(n);
    if (algorithm_ == Algorithm::kRs256) return out;
    // JWS wants r and s as two 32-byte numbers (RFC 7518, 3.4).
    auto* p = reinterpret_cast<const unsigned char*>(out.data());
    ECDSA_SIG* sig = d2i_ECDSA_SIG(nullptr, &p, static_cast<long>(out.size()));
    if (sig == nullptr) return failed("signing");
    std::string raw(64, '\0');
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), reinterpret_cast<unsigned char*>(raw.data()), 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), reinterpret_cast<unsigned char*>(raw.data()) + 32, 32);
    ECDSA_SIG_free(sig);
    return raw;
  }

  bool verify(std::string_view data, std::string_view signature) const override {
    std::string der(signature);
    if (algorithm_ == Algorithm::kEs256) {
      if (signature.size() != 64) return false;
      auto* raw = reinterpret_cast<const unsigned char*>(signature.data());
      ECDSA_SIG* sig = ECDSA_SIG_new();
      ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, nullptr), BN_bin2bn(raw + 32, 32, nullptr));
      unsigned char* out = nullptr;
      int n = i2d_ECDSA_SIG(sig, &out);
      ECDSA_SIG_free(sig);
      if (n <= 0) return false;
      der.assign(reinterpret_cast<char*>(out), static_cast<size_t>(n));
      OPENSSL_free(out);
    }
    Owned<EVP_MD_CTX> md(EVP_MD_CTX_new());
    bool good =
        EVP_DigestVerifyInit(md.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
        EVP_DigestVerify(md.get(), reinterpret_cast<const unsigned char*>(der.data()), der.size(),
                         reinterpret_cast<const unsigned char*>(data.data()), data.size()) == 1;
    ERR_clear_error();
    return good;
  }

 private:
  std::string number(const char* name, int width) const {
    BIGNUM* raw = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), name, &raw);
    BnPtr n(raw);
    if (!n) return "";
    int size = width > 0 ? width : BN_num_bytes(n.get());
    std::string bytes(static_cast<size_t>(size), '\0');
    BN_bn2binpad(n.get(), reinterpret_cast<unsigned char*>(bytes.data()), size);
    return base64url_encode(bytes);
  }
  openssl::Key key_;
  Algorithm algorithm_;
  bool private_;
  std::string id_;
};

struct TokenParts {
  std::string_view signed_text, claims, signature;
  std::string header;  // decoded
};
Result<TokenParts> split(std::string_view token) {
  if (token.size() > 65536) return Status::unauthorized("token too long");
  size_t a = token.find('.');
  size_t b = a == token.npos ? token.npos : token.find('.', a + 1);
  if (b == token.npos || token.find('.', b + 1) != token.npos) {
    return Status::unauthorized("not a compact JWS");
  }
  TRY_ASSIGN(header, base64url_decode(token.substr(0, a)));
  return TokenParts{token.substr(0, b), token.substr(a + 1, b - a - 1), token.substr(b + 1),
                    header};
}

}  // namespace

Result<TlsIdentity> make_ca(const CertificateSpec& spec) {
  openssl::Key key(EVP_EC_gen("P-256"));
  Certificate cert(X509_new());
  if (!key || !prepare(cert.get(), key.get(), spec)) return failed("making a CA");
  set_subject(X509_get_subject_name(cert.get()), spec);
  X509_set_issuer_name(cert.get(), X509_get_subject_name(cert.get()));
  add_extension(cert.get(), cert.get(), NID_key_usage,
                "critical,digitalSignature,keyEncipherment,keyCertSign");
  add_extension(cert.get(), cert.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(cert.get(), cert.get(), NID_subject_key_identifier, "hash");
  if (X509_sign(cert.get(), key.get(), EVP_sha256()) == 0) return failed("signing a CA");
  return TlsIdentity{pem_of(cert.get()), private_text(key.get())};
}

Result<TlsIdentity> issue_certificate(const TlsIdentity& ca, const CertificateSpec& spec) {
  Certificate ca_cert = read_cert(ca.certificate_pem);
  openssl::Key ca_key = read_private(ca.key_pem);
  if (!ca_cert || !ca_key) return failed("reading the CA");
  openssl::Key key(EVP_EC_gen("P-256"));
  Certificate cert(X509_new());
  if (!key || !prepare(cert.get(), key.get(), spec)) return failed("making a certificate");
  set_subject(X509_get_subject_name(cert.get()), spec);
  NamesPtr names = alternative_names(spec);
  set_usages(cert.get(), ca_cert.get(), spec);
  TRY(finish(cert.get(), ca_cert.get(), ca_key.get(), names.get()));
  return TlsIdentity{pem_of(cert.get()), private_text(key.get())};
}

Result<TlsIdentity> issue_client(const TlsIdentity& ca, std::string common_name,
                                 std::vector<std::string> organizations, WallTime now) {
  CertificateSpec spec;
  spec.common_name = std::move(common_name);
  spec.organizations = std::move(organizations);
  spec.client = true;
  spec.not_before = now - 1h;
  spec.not_after = now + 24h * 365;
  return issue_certificate(ca, spec);
}

Result<CertificateInfo> parse_certificate(std::string_view pem) {
  Certificate cert = read_cert(pem);
  if (!cert) return failed("no certificate found");
  CertificateInfo info;
  read_subject(X509_get_subject_name(cert.get()), &info);
  NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(cert.get(), NID_subject_alt_name, nullptr, nullptr)));
  read_names(names.get(), &info);
  info.not_before_unix = unix_of(X509_get0_notBefore(cert.get()));
  info.not_after_unix = unix_of(X509_get0_notAfter(cert.get()));
  info.is_ca = X509_check_ca(cert.get()) == 1;
  unsigned char* der = nullptr;
  int n = i2d_X509(cert.get(), &der);
  info.fingerprint_sha256 =
      hex(sha256({reinterpret_cast<char*>(der), static_cast<size_t>(n > 0 ? n : 0)}));
  OPENSSL_free(der);
  ERR_clear_error();
  return info;
}

Result<CertificateInfo> parse_csr(std::string_view pem) {
  TRY_ASSIGN(req, read_csr(pem));
  CertificateInfo info;
  read_subject(X509_REQ_get_subject_name(req.get()), &info);
  read_names(request_names(req.get()).get(), &info);
  return info;
}

Result<std::string> make_csr(std::string_view key_pem, const CertificateSpec& spec) {
  openssl::Key key = read_private(key_pem);
  if (!key) return failed("no private key found");
  ReqPtr req(X509_REQ_new());
  set_subject(X509_REQ_get_subject_name(req.get()), spec);
  X509_REQ_set_pubkey(req.get(), key.get());
  if (NamesPtr names = alternative_names(spec)) {
    STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
    X509V3_add1_i2d(&extensions, NID_subject_alt_name, names.get(), 0, 0);
    X509_REQ_add_extensions(req.get(), extensions);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  }
  if (X509_REQ_sign(req.get(), key.get(), EVP_sha256()) == 0) return failed("signing a request");
  Bio b = writer();
  PEM_write_bio_X509_REQ(b.get(), req.get());
  return text_of(b);
}

Result<std::string> sign_csr(const TlsIdentity& ca, std::string_view csr_pem,
                             const CsrTerms& terms) {
  Certificate ca_cert = read_cert(ca.certificate_pem);
  openssl::Key ca_key = read_private(ca.key_pem);
  if (!ca_cert || !ca_key) return failed("reading the CA");
  TRY_ASSIGN(req, read_csr(csr_pem));
  const int64_t ca_ends = unix_of(X509_get0_notAfter(ca_cert.get()));
  if (terms.now.unix_seconds() >= ca_ends) {
    return Status::bad_request("the signer has expired: NotAfter=" + std::to_string(ca_ends));
  }
  CertificateSpec spec;
  spec.not_before = terms.not_before;
  spec.not_after = terms.not_after;
  Certificate cert(X509_new());
  if (!prepare(cert.get(), X509_REQ_get0_pubkey(req.get()), spec)) {
    return failed("making a certificate");
  }
  if (spec.not_after.unix_seconds() >= ca_ends) {
    ASN1_TIME_set(X509_getm_notAfter(cert.get()), ca_ends);
  }
  X509_set_subject_name(cert.get(), X509_REQ_get_subject_name(req.get()));
  TRY(set_usages(cert.get(), ca_cert.get(), terms.usages));
  NamesPtr names = request_names(req.get());
  if (names) drop_other_names(names.get());
  if (names && sk_GENERAL_NAME_num(names.get()) == 0) names.reset();
  TRY(finish(cert.get(), ca_cert.get(), ca_key.get(), names.get()));
  return pem_of(cert.get());
}

Result<std::string> make_key() {
  openssl::Key key(EVP_EC_gen("P-256"));
  if (!key) return failed("generating a key");
  return private_text(key.get());
}

std::string random_bytes(size_t n) {
  std::string out(n, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(n)) != 1) {
    std::abort();  // no secret is better than a guessable one
  }
  return out;
}
std::string sha256(std::string_view data) { return digest(EVP_sha256(), data); }
std::string sha1(std::string_view data) { return digest(EVP_sha1(), data); }
std::string hex(std::string_view bytes) {
  static const char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char c : bytes) {
    auto b = static_cast<unsigned char>(c);
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}
bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Result<std::shared_ptr<const SigningKey>> SigningKey::generate(Algorithm algorithm) {
  openssl::Key key(algorithm == Algorithm::kRs256 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  if (!key) return failed("generating a key");
  return std::shared_ptr<const SigningKey>(
      std::make_shared<OpensslKey>(std::move(key), algorithm, true));
}

Result<std::shared_ptr<const SigningKey>> SigningKey::from_pem(std::string_view pem) {
  bool is_private = true;
  openssl::Key key = read_private(pem);
  if (!key) {
    is_private = false;
    key.reset(PEM_read_bio_PUBKEY(reader(pem).get(), nullptr, nullptr, nullptr));
  }
  if (!key) {  // a certificate of one
    Certificate holder = read_cert(pem);
    if (holder) key.reset(X509_get_pubkey(holder.get()));
  }
  if (!key) return failed("no key found");
  ERR_clear_error();
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key.get()) >= 2048) {
    return std::shared_ptr<const SigningKey>(
        std::make_shared<OpensslKey>(std::move(key), Algorithm::kRs256, is_private));
  }
  char curve[64] = {};
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_EC &&
      EVP_PKEY_get_group_name(key.get(), curve, sizeof curve, nullptr) == 1 &&
      std::string_view(curve) == "prime256v1") {
    return std::shared_ptr<const SigningKey>(
        std::make_shared<OpensslKey>(std::move(key), Algorithm::kEs256, is_private));
  }
  return Status::bad_request("unsupported key: use RSA of 2048 bits or more, or ECDSA P-256");
}

Result<std::string> jwt_sign(const SigningKey& key, std::string_view claims_json) {
  std::string text = base64url_encode("{\"alg\":\"" + std::string(key.algorithm_name()) +
                                      "\",\"kid\":\"" + key.id() + "\"}") +
                     "." + base64url_encode(claims_json);
  TRY_ASSIGN(signature, key.sign(text));
  return text + "." + base64url_encode(signature);
}

namespace {

// The top level of a JSON object, a member at a time: its key and its value's text. False for what
// is no object, and for keys with escapes, under which a name could hide.
class HeaderScan {
 public:
  explicit HeaderScan(std::string_view text) : rest_(text) {}
  template <class Fn>
  bool each(Fn fn) {
    if (!take('{')) return false;
    if (take('}')) return done();
    for (;;) {
      std::string_view key = string();
      if (key.data() == nullptr || key.find('\\') != key.npos || !take(':')) return false;
      std::string_view value = this->value();
      if (value.empty()) return false;
      fn(key, value);
      if (take('}')) return done();
      if (!take(',')) return false;
    }
  }

 private:
  void skip() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_[0]) != std::string_view::npos)
      rest_.remove_prefix(1);
  }
  bool done() {
    skip();
    return rest_.empty();
  }
  bool take(char c) {
    skip();
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Without its quotes.
  std::string_view string() {
    if (!take('"')) return {};
    for (size_t i = 0; i < rest_.size(); ++i) {
      if (rest_[i] == '\\') {
        ++i;
      } else if (rest_[i] == '"') {
        std::string_view out = rest_.substr(0, i);
        rest_.remove_prefix(i + 1);
        return out;
      }
    }
    return {};
  }
  std::string_view value() {
    skip();
    std::string_view from = rest_;
    int depth = 0;
    while (!rest_.empty()) {
      char c = rest_[0];
      if (depth == 0 && (c == ',' || c == '}')) break;
      if (c == '"') {
        if (string().data() == nullptr) return {};
        continue;
      }
      depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
      rest_.remove_prefix(1);
    }
    return from.substr(0, from.size() - rest_.size());
  }

  std::string_view rest_;
};

struct JoseHeader {
  std::string_view algorithm;  // with its quotes and what follows
  bool critical = false;
};

Result<JoseHeader> read_header(std::string_view json) {
  JoseHeader out;
  const bool whole = HeaderScan(json).each([&](std::string_view key, std::string_view value) {
    if (key == "alg") out.algorithm = value;
    out.critical |= key == "crit";
  });
  if (!whole) return Status::unauthorized("the token's header is not a JSON object");
  return out;
}

}  // namespace

Result<std::string> jwt_verify(const SigningKeys& keys, std::string_view token) {
  TRY_ASSIGN(parts, split(token));
  TRY_ASSIGN(signature, base64url_decode(parts.signature));
  TRY_ASSIGN(header, read_header(parts.header));
  // RFC 7515, 4.1.11: what must be understood, and no extension is, ends it.
  if (header.critical) return Status::unauthorized("the token has an unsupported crit header");
  for (const auto& key : keys) {
    // The key decides the algorithm, never the token; the header must only agree with it.
    std::string algorithm = "\"" + std::string(key->algorithm_name()) + "\"";
    if (header.algorithm.substr(0, header.algorithm.find_last_not_of(" \t\r\n") + 1) != algorithm)
      continue;
    if (!key->verify(parts.signed_text, signature)) continue;
    return base64url_decode(parts.claims);
  }
  return Status::unauthorized("the token's signature matches no key");
}

std::string jwks(const SigningKeys& keys) {
  std::string out = "{\"keys\":[";
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i > 0) out += ',';
    out += keys[i]->jwk();
  }
  return out + "]}";
}

}  // namespace keles::net
