// The file of --admission-control-config-file: apiserver.config.k8s.io/v1 AdmissionConfiguration,
// and what it says of each plug-in, inline or in a file of its own. All of it is read by
// machinery/config_file.h: strictly, with errors that name file, line and field.
#pragma once

#include <optional>
#include <string>

#include "base/loop.h"
#include "base/status.h"
#include "server/admission/admission.h"

namespace keles::admission {

// ImagePolicyWebhook.
struct ImagePolicyConfig {
  std::string kubeconfig;
  Duration allow_ttl{}, deny_ttl{};  // 0: nothing is remembered
  Duration backoff{};                // before the second attempt
  bool default_allow = false;        // when nobody answers
};

// Kubeconfigs with what the server shows to webhooks, by their hosts; "": nothing.
struct WebhookKubeconfigs {
  std::string mutating, validating;
  std::optional<ImagePolicyConfig> images;  // none: it is not spoken of
};

// `name`: the file's; paths in it begin at its directory. kBadRequest. Blocking, if it names files.
Status parse_config(std::string name, std::string text, Config* config,
                    WebhookKubeconfigs* webhooks);

}  // namespace keles::admission
