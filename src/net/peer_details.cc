#include "net/peer_details.h"

#include "net/openssl.h"
#include "net/pem.h"
#include "net/pki.h"

namespace keles::net {
namespace {

constexpr std::string_view kUidAttribute = "1.3.6.1.4.1.57683.2";

// The details lie in the pointer's deleter: there they cost those nothing who do not ask.
struct DeleteWithDetails {
  std::shared_ptr<const PeerDetails> details;
  void operator()(const PeerCertificate* p) const { delete p; }
};

}  // namespace

std::shared_ptr<const PeerCertificate> with_details(PeerCertificate peer, PeerDetails details) {
  auto held = std::make_shared<const PeerDetails>(std::move(details));
  return std::shared_ptr<const PeerCertificate>(new PeerCertificate(std::move(peer)),
                                                DeleteWithDetails{std::move(held)});
}

const PeerDetails* details_of(const std::shared_ptr<const PeerCertificate>& peer) {
  const auto* with = std::get_deleter<DeleteWithDetails>(peer);
  return with == nullptr ? nullptr : with->details.get();
}

std::vector<std::string> subject_uids(std::string_view pem) {
  std::vector<std::string> out;
  const openssl::Certificate cert = openssl::next_certificate(openssl::reader(pem));
  X509_NAME* subject = cert ? X509_get_subject_name(cert.get()) : nullptr;
  const int n = subject == nullptr ? 0 : X509_NAME_entry_count(subject);
  for (int i = 0; i < n; ++i) {
    X509_NAME_ENTRY* e = X509_NAME_get_entry(subject, i);
    char name[64] = {};
    if (OBJ_obj2txt(name, sizeof name, X509_NAME_ENTRY_get_object(e), 1) <= 0) continue;
    if (std::string_view(name) != kUidAttribute) continue;
    unsigned char* text = nullptr;
    const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(e));
    out.emplace_back(size > 0
                         ? std::string(reinterpret_cast<char*>(text), static_cast<size_t>(size))
                         : std::string());
    const openssl::Owned<unsigned char> owned(text);
  }
  ERR_clear_error();
  return out;
}

std::set<std::string, std::less<>> certificate_fingerprints(std::string_view pem) {
  std::set<std::string, std::less<>> out;
  for (const PemBlock& b : pem_blocks(pem)) {
    auto info = parse_certificate(b.text);
    if (b.label == "CERTIFICATE" && info.ok()) out.insert(info->fingerprint_sha256);
  }
  return out;
}

}  // namespace keles::net
