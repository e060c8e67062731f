// The file of --admission-control-config-file: apiserver.config.k8s.io/v1 AdmissionConfiguration,
// and what it says of each plug-in, inline or in a file of its own. All of it is read by
// machinery/config_file.h: strictly, with errors that name file, line and field.
#pragma once

#include <string>

#include "base/status.h"
#include "server/admission/admission.h"

namespace keles::admission {

// Kubeconfigs with what the server shows to webhooks, by their hosts; "": nothing.
struct WebhookKubeconfigs {
  std::string mutating, validating;
};

// `name`: the file's; paths in it begin at its directory. kBadRequest. Blocking, if it names files.
Status parse_config(std::string name, std::string text, Config* config,
                    WebhookKubeconfigs* webhooks);

}  // namespace keles::admission
