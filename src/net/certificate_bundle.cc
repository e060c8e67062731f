#include "net/certificate_bundle.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace keles::net {
namespace {

constexpr size_t kMostCertificates = 100;

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(X509* p) const { X509_free(p); }
};
using Certificate = std::unique_ptr<X509, Free>;

std::vector<Certificate> read_all(std::string_view pem) {
  std::unique_ptr<BIO, Free> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<Certificate> out;
  while (bio && out.size() < kMostCertificates) {
    Certificate one(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!one) break;
    out.push_back(std::move(one));
  }
  ERR_clear_error();
  return out;
}

std::string text_of(X509* certificate) {
  std::unique_ptr<BIO, Free> out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

// Names of CAs may be the same; their keys are not.
bool has_signed(X509* ca, X509* certificate) {
  const bool yes = X509_check_issued(ca, certificate) == X509_V_OK &&
                   X509_verify(certificate, X509_get0_pubkey(ca)) == 1;
  ERR_clear_error();
  return yes;
}

}  // namespace

std::vector<std::string> certificates_in(std::string_view pem) {
  std::vector<std::string> out;
  for (const Certificate& c : read_all(pem)) {
    std::string text = text_of(c.get());
    if (std::find(out.begin(), out.end(), text) == out.end()) out.push_back(std::move(text));
  }
  return out;
}

std::string first_certificate(std::string_view pem) {
  const std::vector<Certificate> all = read_all(pem);
  return all.empty() ? std::string() : text_of(all.front().get());
}

bool share_certificate(std::string_view a, std::string_view b) {
  const std::vector<std::string> ours = certificates_in(a);
  for (const std::string& c : certificates_in(b))
    if (std::find(ours.begin(), ours.end(), c) != ours.end()) return true;
  return false;
}

bool is_issued_by(std::string_view certificate_pem, std::string_view ca_pem) {
  const std::vector<Certificate> of = read_all(certificate_pem), by = read_all(ca_pem);
  return !of.empty() && !by.empty() && has_signed(by.front().get(), of.front().get());
}

bool is_of_former_ca(std::string_view certificate_pem, std::string_view bundle_pem) {
  const std::vector<Certificate> of = read_all(certificate_pem), by = read_all(bundle_pem);
  if (of.empty() || by.size() < 2 || has_signed(by.front().get(), of.front().get())) return false;
  return std::any_of(by.begin() + 1, by.end(),
                     [&](const Certificate& ca) { return has_signed(ca.get(), of.front().get()); });
}

}  // namespace keles::net
