// Token secrets controller: fills Secrets of type kubernetes.io/service-account-token (token,
// ca.crt, namespace), and deletes those whose account has gone (upstream: the tokens controller of
// pkg/controller/serviceaccount). Such a token has no end: it holds as long as Secret and account
// do, which the API server checks at every use.
//
// The signing key is not the controller's: it is handed a function that signs claims
// (Options::sign_token; upstream's --service-account-private-key-file). It does not run without.
#pragma once

#include <optional>
#include <string>

#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// What the Secret lacks. The token itself is made by the caller of plan_token_secret.
struct TokenSecretPlan {
  std::optional<Draft<api::core_v1::SecretEdit>> update;  // all but the token
  bool needs_token = false;
};
// `root_ca_pem` "" for none.
TokenSecretPlan plan_token_secret(const api::core_v1::Secret& secret,
                                  const api::core_v1::ServiceAccount& account,
                                  const std::string& root_ca_pem);

// The claims, as JSON.
std::string legacy_token_claims(const api::core_v1::ServiceAccount& account,
                                std::string_view secret);

class TokenSecretsController final : public Controller {
 public:
  explicit TokenSecretsController(Deps deps);
  // Keys: "ns/secret", or "gone|ns/account/secret": the account forgets a Secret that has gone.
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Secret = api::core_v1::Secret;
  using ServiceAccount = api::core_v1::ServiceAccount;
  Task<Status> forget_reference(Context ctx, std::string key);
  Task<Status> fill(Context ctx, Ref<Secret> secret, Ref<ServiceAccount> account);
  void secret_changed(const Ref<Secret>& before, const Ref<Secret>& now);

  Informer<Secret> secrets_;
  Informer<ServiceAccount> accounts_;
};

}  // namespace keles::controllers
