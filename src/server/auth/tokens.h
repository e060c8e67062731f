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

struct TokenIdentity {
  Caller caller;
  std::vector<std::string> audiences;  // of the token, of those asked for
};

// A token that is signed, in time, meant for one of `audiences`, and whose objects still are.
// kUnauthorized with the reason otherwise.
Result<TokenIdentity> check_service_account_token(const AuthOptions& options,
                                                  const StoreSnapshot& snapshot,
                                                  std::string_view token,
                                                  const std::vector<std::string>& audiences,
                                                  WallTime now);
Result<Document> make_service_account_token(const AuthOptions& options,
                                            const StoreSnapshot& snapshot, std::string_view ns,
                                            std::string_view account, Document request,
                                            WallTime now);

}  // namespace keles::auth
