// How tokens of service accounts are issued and which are believed, beyond who signs them
// (--service-account-*), and what issuing one gives.
// Source: Kubernetes, "Managing Service Accounts"; OpenID Connect Discovery 1.0; KEP-1205,
// KEP-1393.
#pragma once

#include <string>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "machinery/object.h"
#include "net/pki.h"

namespace keles::auth {

struct AccountTokens {
  std::vector<std::string> also_from;  // issuers that are believed beside the one that signs
  // Where the keys are to be fetched, as discovery says; "": below the issuer.
  std::string jwks_uri;
  Duration longest = Duration::zero();  // tokens are shortened to it; 0: as long as is asked for
  // A pod's token for this server lives for a year, and is stale when it would have ended.
  bool extend = true;
};

// OK, or what is wrong with issuers and with the rest, in upstream's words, all at once.
Status check_account_tokens(const std::vector<std::string>& issuers, const AccountTokens& how);

// The keys in files, each of which holds one or several in PEM; errors name the file. Blocking.
Result<net::SigningKeys> read_keys(const std::vector<std::string>& files);
// Unless it is there already.
void add_key(const net::SigningKeys::value_type& key, net::SigningKeys* keys);

struct IssuedToken {
  Document request;  // the TokenRequest with its status
  std::vector<std::string> warnings;
  std::string credential_id;  // for the audit: "JTI=..."
};

}  // namespace keles::auth
