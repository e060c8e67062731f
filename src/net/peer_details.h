// What else a verified client certificate says, for those who look closer than PeerCertificate:
// the user's uid, and which CA vouches for it. Pure; any thread.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace keles::net {

struct PeerDetails {
  // Values of the subject's attribute 1.3.6.1.4.1.57683.2: a user's uid.
  std::vector<std::string> uids;
  // SHA-256 (hex, lower case, over DER) of the certificate that the verified chain ends at.
  std::string root_sha256;
};

// They go with the certificate's pointer, and with copies of it.
std::shared_ptr<const PeerCertificate> with_details(PeerCertificate peer, PeerDetails details);
// Null for a certificate that came without.
const PeerDetails* details_of(const std::shared_ptr<const PeerCertificate>& peer);

// Of the first certificate in the text.
std::vector<std::string> subject_uids(std::string_view pem);
// SHA-256 of each certificate in the text, as bundles of CAs hold them; what is none is skipped.
std::set<std::string, std::less<>> certificate_fingerprints(std::string_view pem);

}  // namespace keles::net
