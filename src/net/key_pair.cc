#include "net/key_pair.h"

#include <vector>

#include "net/openssl.h"

namespace keles::net {
namespace {

using openssl::Certificate;
using openssl::Key;

struct Found {
  std::string der;                   // of the first block that was wanted
  std::vector<std::string> skipped;  // the types of those before it
  bool found = false;
};

template <class Wanted>
Found first_block(std::string_view pem, Wanted wanted) {
  Found out;
  const openssl::Bio in = openssl::reader(pem);
  char *name = nullptr, *header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  while (!out.found && in && PEM_read_bio(in.get(), &name, &header, &data, &size) == 1) {
    if (wanted(std::string_view(name))) {
      out.found = true;
      out.der.assign(reinterpret_cast<char*>(data), static_cast<size_t>(size));
    } else {
      out.skipped.emplace_back(name);
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  ERR_clear_error();
  return out;
}

std::string no_block(const Found& f, const char* input, const char* wanted) {
  if (f.skipped.empty()) return std::string("tls: failed to find any PEM data in ") + input;
  std::string types;
  for (const std::string& t : f.skipped) types += (types.empty() ? "" : " ") + t;
  return std::string("tls: failed to find ") + wanted + " in " + input +
         " after skipping PEM blocks of the following types: [" + types + "]";
}

Certificate read_certificate(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return Certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

Key read_key(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return Key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(der.size())));
}

std::string mismatch(const X509* certificate, const EVP_PKEY* key) {
  const EVP_PKEY* own = X509_get0_pubkey(certificate);
  const int type = own ? EVP_PKEY_get_base_id(own) : 0;
  if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC && type != EVP_PKEY_ED25519) {
    return "tls: unknown public key algorithm";
  }
  if (EVP_PKEY_get_base_id(key) != type) {
    return "tls: private key type does not match public key type";
  }
  return EVP_PKEY_eq(own, key) == 1 ? "" : "tls: private key does not match public key";
}

}  // namespace

std::string key_pair_problem(std::string_view certificate_pem, std::string_view key_pem) {
  const Found leaf =
      first_block(certificate_pem, [](std::string_view t) { return t == "CERTIFICATE"; });
  if (!leaf.found) {
    if (leaf.skipped.size() == 1 && leaf.skipped[0].ends_with("PRIVATE KEY")) {
      return "tls: failed to find certificate PEM data in certificate input, but did find a "
             "private key; PEM inputs may have been switched";
    }
    return no_block(leaf, "certificate input", "\"CERTIFICATE\" PEM block");
  }
  const Found secret = first_block(key_pem, [](std::string_view t) {
    return t == "PRIVATE KEY" || t.ends_with(" PRIVATE KEY");
  });
  if (!secret.found) {
    if (secret.skipped.size() == 1 && secret.skipped[0] == "CERTIFICATE") {
      return "tls: found a certificate rather than a key in the PEM for the private key";
    }
    return no_block(secret, "key input", "PEM block with type ending in \"PRIVATE KEY\"");
  }
  const Certificate certificate = read_certificate(leaf.der);
  const Key key = read_key(secret.der);
  std::string why = !certificate ? "x509: malformed certificate"
                    : !key       ? "tls: failed to parse private key"
                                 : mismatch(certificate.get(), key.get());
  ERR_clear_error();
  return why;
}

}  // namespace keles::net
