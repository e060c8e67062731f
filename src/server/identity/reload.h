// Keeps what authentication and authorization go by as the configuration files say: they are looked
// at every ten seconds, and one that has changed is read anew. A file that is faulty, or whose
// issuers cannot be reached within a minute, leaves what was, and the log and
// apiserver_*_config_controller_automatic_reloads_total say so.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "server/auth/auth.h"
#include "server/identity/authentication_config.h"
#include "server/identity/authorization_config.h"

namespace keles::identity {

struct TokenWebhookFlags {
  std::string config_file, version = "v1beta1";
  Duration ttl = 2min;
};

struct Sources {
  std::string authentication_config, authorization_config;  // files; "": none
  OidcFlags oidc;
  TokenWebhookFlags token_webhook;
  WebhookAuthorizerFlags access_webhook;
  std::vector<auth::Mode> modes;       // without authorization_config
  bool anonymous = true;               // where the file does not speak of it
  bool anonymous_given = false;        // by a flag: then the file may not speak of it
  std::string service_account_issuer;  // no other issuer may be called so
  std::vector<std::string> api_audiences;
};

class Reload {
 public:
  // Blocking. kBadRequest tells every fault of the flags and files.
  static Result<std::shared_ptr<Reload>> make(Sources sources);
  // What Auth is to go by (AuthOptions::live).
  std::shared_ptr<auth::LivePolicy> live() const { return live_; }
  // Fetches issuers' keys and follows the files until ctx ends. One loop; spawn it once.
  Task<void> run(Context ctx);

 private:
  using Issuers = std::vector<std::shared_ptr<JwtIssuer>>;
  struct Believing {
    std::shared_ptr<auth::Believed> believed;
    Issuers issuers;
  };
  explicit Reload(Sources sources) : sources_(std::move(sources)) {}
  Result<Believing> believe(const std::string& text) const;
  Task<void> follow_authentication(Context ctx);
  Task<void> follow_authorization(Context ctx);
  Task<bool> exchange(Context ctx, Believing next, std::shared_ptr<Context> generation);

  Sources sources_;
  std::shared_ptr<auth::LivePolicy> live_ = std::make_shared<auth::LivePolicy>();
  std::string authentication_text_, authorization_text_;  // as they were last read
  Issuers issuers_;
};

}  // namespace keles::identity
