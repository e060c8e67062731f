// AuthorizationConfiguration (apiserver.config.k8s.io/v1, v1beta1, v1alpha1): who decides, in their
// order, webhooks among them (KEP-3221). Every fault is told, with its field, in upstream's words.
#pragma once

#include <string>

#include "base/status.h"
#include "server/auth/auth.h"

namespace keles::identity {

// Blocking (reads webhooks' kubeconfigs). `name` is what errors call the text.
Result<auth::Authorizers> read_authorization_config(const std::string& name, std::string text);

// The webhook of --authorization-mode=Webhook.
struct WebhookAuthorizerFlags {
  std::string config_file, version = "v1beta1";
  Duration authorized_ttl = 5min, unauthorized_ttl = 30s;
};
Result<auth::Authorizers> authorizers_of_flags(const std::vector<auth::Mode>& modes,
                                               const WebhookAuthorizerFlags& flags);

}  // namespace keles::identity
