// A webhook that reviews bearer tokens (authentication.k8s.io TokenReview v1, v1beta1;
// --authentication-token-webhook-*). What it says is remembered for a time, a yes and a no alike;
// errors are not.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/auth/outside.h"
#include "server/identity/memory.h"
#include "server/identity/remote.h"

namespace keles::identity {

struct TokenWebhookOptions {
  std::string version = "v1beta1";  // of the TokenReview
  Duration ttl = 2min;              // 0: nothing is remembered
  Duration timeout = 30s;           // of one attempt
  std::vector<std::string> api_audiences;
};

std::string token_review_text(std::string_view version, std::string_view token,
                              const std::vector<std::string>& audiences);
// What a review's answer says of a token that is asked for these audiences.
auth::TokenWord read_token_review(std::string_view answer,
                                  const std::vector<std::string>& audiences,
                                  const std::vector<std::string>& api_audiences);

class TokenWebhook final : public auth::OutsideTokens,
                           public std::enable_shared_from_this<TokenWebhook> {
 public:
  TokenWebhook(std::shared_ptr<Remote> at, TokenWebhookOptions options)
      : at_(std::move(at)), options_(std::move(options)) {}
  auth::TokenWord now(std::string_view token, const std::vector<std::string>& audiences,
                      WallTime now) const override;
  Task<auth::TokenWord> ask(Context ctx, std::string token,
                            std::vector<std::string> audiences) override;

 private:
  std::shared_ptr<Remote> at_;
  TokenWebhookOptions options_;
  Memory<auth::TokenWord> memory_;
};

}  // namespace keles::identity
