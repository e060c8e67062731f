#include "net/public_key_pins.h"

#include "net/openssl.h"
#include "net/pki.h"

namespace keles::net {
namespace {

constexpr size_t kMostCertificates = 100;

}  // namespace

Result<std::vector<std::string>> public_key_pins(std::string_view pem) {
  const openssl::Bio bio = openssl::reader(pem);
  std::vector<std::string> out;
  while (out.size() < kMostCertificates) {
    const openssl::Certificate one = openssl::next_certificate(bio);
    if (!one) break;
    unsigned char* der = nullptr;
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(one.get()), &der);
    const openssl::Owned<unsigned char> owned(der);
    if (size <= 0) return Status::bad_request("a certificate's public key cannot be read");
    out.push_back("sha256:" + hex(sha256(std::string_view(reinterpret_cast<const char*>(der),
                                                          static_cast<size_t>(size)))));
  }
  if (out.empty()) return Status::bad_request("there is no certificate in the text");
  return out;
}

Result<std::string> parse_pin(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos)
    return Status::bad_request(
        "invalid hash, expected \"format:hex-value\". Known format(s) are: sha256");
  std::string out;
  for (char c : text) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const std::string format = out.substr(0, colon), value = out.substr(colon + 1);
  if (format != "sha256")
    return Status::bad_request("unknown hash format \"" + std::string(text.substr(0, colon)) +
                               "\". Known format(s) are: sha256");
  const std::string what = "invalid hash \"" + std::string(text) + "\", ";
  if (value.size() != 64)
    return Status::bad_request(what + "expected a 32 byte SHA-256 hash, found " +
                               std::to_string(value.size() / 2) + " bytes");
  if (value.find_first_not_of("0123456789abcdef") != std::string::npos)
    return Status::bad_request(what + "could not decode SHA-256 from hex");
  return out;
}

}  // namespace keles::net
