// One issuer of JWTs: OpenID Connect's ID tokens (OpenID Connect Core 1.0, Discovery 1.0). His keys
// are fetched when he is first needed and every ten seconds until that works, and again when a
// token was signed with one that is not among them and they may have changed (Cache-Control).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/auth/outside.h"
#include "server/identity/claims.h"
#include "server/identity/jwks.h"
#include "server/identity/memory.h"
#include "server/identity/remote.h"

namespace keles::identity {

struct IssuerOptions {
  std::string url, discovery_url;  // discovery_url "": below `url`
  std::string ca_pem;              // "": the system's roots
  std::vector<std::string> audiences;
  std::vector<std::string> algorithms;     // those that count
  std::vector<std::string> api_audiences;  // of the API server: his tokens are for no other
  ClaimRules rules;
};

// RS256, ..., PS512, sorted: what may be asked for.
const std::vector<std::string>& signing_algorithms();

class JwtIssuer final : public auth::OutsideTokens, public std::enable_shared_from_this<JwtIssuer> {
 public:
  static Result<std::shared_ptr<JwtIssuer>> make(IssuerOptions options);

  auth::TokenWord now(std::string_view token, const std::vector<std::string>& audiences,
                      WallTime now) const override;
  Task<auth::TokenWord> ask(Context ctx, std::string token,
                            std::vector<std::string> audiences) override;
  // Fetches the keys, with patience, until there are some or ctx ends.
  Task<void> prepare(Context ctx);
  bool ready() const { return keys_.load() != nullptr; }
  const std::string& url() const { return options_.url; }

 private:
  struct KeySet {
    std::vector<PublicKey> keys;
    TimePoint fetched, good_until;
  };
  using KeySetPtr = std::shared_ptr<const KeySet>;
  explicit JwtIssuer(IssuerOptions options) : options_(std::move(options)) {}
  auth::TokenWord check(const Token& token, WallTime now) const;
  bool is_his(const Token& token) const;
  Task<Status> discover(Context ctx);
  Task<Status> fetch_keys(Context ctx);

  IssuerOptions options_;
  std::shared_ptr<Remote> at_;  // where discovery is
  std::string discovery_path_;
  mutable std::mutex mutex_;
  std::shared_ptr<Remote> keys_at_;  // null until discovered
  std::string keys_path_;
  std::atomic<bool> fetching_{false};
  std::atomic<KeySetPtr> keys_;
  mutable Memory<auth::TokenWord> checked_;
};

}  // namespace keles::identity
