// Bootstrap tokens: ID.SECRET, kept in Secrets kube-system/bootstrap-token-ID of type
// bootstrap.kubernetes.io/token, for who has no identity yet
// (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/). Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/auth/caller.h"
#include "store/store.h"

namespace keles::auth {

// "abcdef.0123456789abcdef" in its two parts; false for what is no such token.
bool split_bootstrap_token(std::string_view token, std::string_view* id, std::string_view* secret);

// system:bootstrap:ID in the groups of its Secret; none when the token is none, or does not hold.
std::optional<Caller> check_bootstrap_token(const StoreSnapshot& snapshot, std::string_view token,
                                            WallTime now);

}  // namespace keles::auth
