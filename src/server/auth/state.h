// Internal to auth/: what Auth holds.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

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
  std::shared_ptr<LivePolicy> live;
  // Certificates (SHA-256) of the CAs that vouch for front proxies, and for users beside.
  std::set<std::string, std::less<>> proxy_roots, user_roots;

  // One authorizer's word.
  Verdict ask(const Authorizer& whom, const Caller& caller, const Access& access,
              Questions* open) const;
  // `audiences` empty: the API server's. kUnauthorized with the reason, or "" when the token is
  // nobody's.
  Result<TokenIdentity> check_token(const std::string& token,
                                    const std::vector<std::string>& audiences, WallTime now,
                                    Questions* open) const;
  // Whether a certificate was shown that names a user (kOk with its caller), a front proxy that
  // says whom it speaks for, or neither.
  std::optional<Result<Caller>> by_front_proxy(const net::Request& request, WallTime now) const;
  std::optional<Result<Caller>> by_certificate(const net::Request& request, WallTime now) const;
  bool is_proxy(const net::Request& request) const;
};

// Forbidden, in upstream's words.
Status refusal(const Caller& caller, const Access& access, const std::string& reason);
bool has_group(const Caller& c, std::string_view group);

}  // namespace keles::auth
