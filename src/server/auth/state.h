// Internal to auth/: what Auth holds.
#pragma once

#include <atomic>
#include <memory>

#include "base/sync.h"
#include "server/auth/auth.h"
#include "server/auth/rbac.h"
#include "server/auth/tokens.h"

namespace keles::auth {

struct Auth::State {
  Store* store = nullptr;
  AuthOptions options;
  uint64_t instance = 0;  // of the token caches
  std::atomic<std::shared_ptr<const RbacIndex>> index;

  // One authorizer's word; not allowed is no opinion.
  Decision ask(Mode mode, const Caller& caller, const Access& access) const;
  // `audiences` empty: the API server's.
  Result<TokenIdentity> check_token(const std::string& token,
                                    const std::vector<std::string>& audiences, WallTime now) const;
};

}  // namespace keles::auth
