// Tokens of service accounts: made by TokenRequest, checked against the objects that they are bound
// to (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "machinery/object.h"
#include "server/auth/auth.h"
#include "store/store.h"

namespace keles::auth {

// What the API server is called: what its own tokens are meant for.
std::vector<std::string> api_audiences(const AuthOptions& options);
// Whether it says of itself that it was issued by this cluster, as any of its issuers. Nothing is
// verified.
bool is_service_account_token(const AuthOptions& options, std::string_view token);

// A token that is signed, in time, meant for one of `audiences`, and whose objects still are.
// kUnauthorized with the reason otherwise.
Result<TokenIdentity> check_service_account_token(const AuthOptions& options,
                                                  const StoreSnapshot& snapshot,
                                                  std::string_view token,
                                                  const std::vector<std::string>& audiences,
                                                  WallTime now);

// A TokenRequest as it is shown to validating admission: its metadata, and what it leaves to the
// server. Fails as upstream's validation.
Status prepare_token_request(const AuthOptions& options, const StoreSnapshot& snapshot,
                             std::string_view ns, std::string_view account, Document* request,
                             WallTime now);
// Of one that was prepared.
Result<IssuedToken> issue_service_account_token(const AuthOptions& options,
                                                const StoreSnapshot& snapshot, std::string_view ns,
                                                std::string_view account, Document request,
                                                WallTime now);

}  // namespace keles::auth
