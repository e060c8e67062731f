// The exchange of a cluster's CA under a running cluster, in three steps: a new one is believed
// beside the old, then signs in its place, then is the only one. What has been done is told by the
// files alone (`pki/ca.crt` with one or both certificates, `ca-next.crt` and `.key` until the new
// one signs, `ca-previous.crt` until the old one is dropped), so that a step that was broken off is
// done again. A running server and its nodes follow the files. Blocking.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "machines/certificates.h"

namespace keles::machines {

enum class CaPhase : uint8_t {
  kNone,   // one CA
  kTrust,  // a new one is believed, the old one signs
  kIssue,  // the new one signs, the old one is still believed
};

struct CaRotation {
  CaRotation() = default;
  CaPhase phase = CaPhase::kNone;
  std::string bundle;          // pki/ca.crt
  std::string next, previous;  // certificates; "": there is none
  WallTime began;              // of kTrust
};

// kBadRequest where no server has run, and where the CA's key is kept elsewhere.
Result<CaRotation> read_ca_rotation(const CertificatePlaces& places);

// How long a new CA is believed before it signs: machines and pods learn of it within this.
constexpr Duration kCaTrustTime = 10min;
// Each is done anew when it was broken off. begin_issue() takes the new CA into use for all of this
// machine's certificates; who calls it has waited. end_rotation() drops the old one.
Status begin_trust(const CertificatePlaces& places, WallTime now);
Status begin_issue(const CertificatePlaces& places, WallTime now);
Status end_rotation(const CertificatePlaces& places, WallTime now);

// Of the nodes those that a server's metrics (`gauge`: NAME{node="...",ca="SHA-256"} 1) do not tell
// to have shown a certificate of the first CA of the bundle: a server may not have taken it yet.
std::vector<std::string> nodes_of_former_ca(std::string_view metrics, std::string_view gauge,
                                            std::string_view bundle,
                                            const std::vector<std::string>& nodes);

// Where an exchange stands and what is next, as lines; "" when there is none.
std::string rotation_text(const CaRotation& rotation, WallTime now);

// The CA that a kubeconfig holds itself becomes `bundle`, when they share a certificate; all else
// in the file stays. One that is not there, or is of another cluster, is left alone.
Status trust_in_kubeconfig(const std::string& path, const std::string& bundle);

}  // namespace keles::machines
