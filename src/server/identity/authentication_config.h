// AuthenticationConfiguration (apiserver.config.k8s.io/v1, v1beta1, v1alpha1): which issuers of
// JWTs are believed, how their claims become users, and whom anonymous requests are let to. Every
// fault is told, with its field, in upstream's words.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/identity/jwt_issuer.h"

namespace keles::identity {

struct AuthenticationConfig {
  std::vector<IssuerOptions> issuers;  // without api_audiences
  bool says_anonymous = false;         // whether it speaks of anonymous requests at all
  bool anonymous = false;
  std::optional<std::vector<std::string>> anonymous_paths;
};

// `name` is what errors call the text. `not_issuers`: URLs that no issuer may have (the cluster's
// own service accounts').
Result<AuthenticationConfig> read_authentication_config(const std::string& name, std::string text,
                                                        std::vector<std::string> not_issuers);

// The one issuer that --oidc-* flags describe.
struct OidcFlags {
  std::string issuer_url, client_id, ca_file, username_claim = "sub", username_prefix;
  std::string groups_claim, groups_prefix;
  std::vector<std::string> signing_algs = {"RS256"}, required_claims;  // KEY=VALUE
  bool used() const;
};
// Blocking (reads the CA's file). kBadRequest names the flags.
Result<IssuerOptions> issuer_of_flags(const OidcFlags& flags, std::vector<std::string> not_issuers);

}  // namespace keles::identity
