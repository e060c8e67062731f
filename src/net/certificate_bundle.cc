#include "net/certificate_bundle.h"

#include <algorithm>
#include <utility>

#include "net/openssl.h"

namespace keles::net {
namespace {

constexpr size_t kMostCertificates = 100;

using openssl::Certificate;

std::vector<Certificate> read_all(std::string_view pem) {
  const openssl::Bio bio = openssl::reader(pem);
  std::vector<Certificate> out;
  while (out.size() < kMostCertificates) {
    Certificate one = openssl::next_certificate(bio);
    if (!one) break;
    out.push_back(std::move(one));
  }
  ERR_clear_error();
  return out;
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
    std::string text = openssl::pem_of(c.get());
    if (std::find(out.begin(), out.end(), text) == out.end()) out.push_back(std::move(text));
  }
  return out;
}

std::string first_certificate(std::string_view pem) {
  const std::vector<Certificate> all = read_all(pem);
  return all.empty() ? std::string() : openssl::pem_of(all.front().get());
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
