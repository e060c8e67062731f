// OpenSSL's objects owned, and its PEM texts read and written: for the sources of net/ alone.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

namespace keles::net::openssl {

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(BIGNUM* p) const { BN_free(p); }
  void operator()(EVP_MD_CTX* p) const { EVP_MD_CTX_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(GENERAL_NAMES* p) const { GENERAL_NAMES_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_REQ* p) const { X509_REQ_free(p); }
  void operator()(unsigned char* p) const { OPENSSL_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;
using Bio = Owned<BIO>;
using Key = Owned<EVP_PKEY>;
using Certificate = Owned<X509>;

// The text must outlive it.
inline Bio reader(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}
inline Bio writer() { return Bio(BIO_new(BIO_s_mem())); }
inline std::string text_of(const Bio& b) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(b.get(), &data);
  return {data, static_cast<size_t>(size)};
}

// The next certificate, blocks of other labels passed over; null: there is none, or it cannot be
// read (the error stays in OpenSSL's queue).
inline Certificate next_certificate(const Bio& b) {
  return Certificate(b ? PEM_read_bio_X509(b.get(), nullptr, nullptr, nullptr) : nullptr);
}
inline Key next_private_key(const Bio& b) {
  return Key(b ? PEM_read_bio_PrivateKey(b.get(), nullptr, nullptr, nullptr) : nullptr);
}
inline std::string pem_of(X509* certificate) {
  const Bio b = writer();
  PEM_write_bio_X509(b.get(), certificate);
  return text_of(b);
}

}  // namespace keles::net::openssl
