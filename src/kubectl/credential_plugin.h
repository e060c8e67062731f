// Credential plug-ins of kubeconfigs (users[].user.exec): a program that says who the user is, by
// client.authentication.k8s.io/v1 and v1beta1.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "client/kubeconfig.h"
#include "machinery/value.h"

namespace keles::kubectl {

// If the choice's user has one, runs it and puts what it says (a token, a certificate and key) in
// its place; the credentials last as long as this process. Blocking; the program has ten minutes
// (a person may be asked for something), and a mebibyte to say it in.
// `needed` false: it is only taken out.
Status use_credential_plugin(Document& config, const KubeconfigChoice& choice, bool needed = true);

// What a plug-in's output says, as a kubeconfig's user; "decoding stdout: ...".
Result<Document> read_exec_credential(std::string_view output, std::string_view api_version);
// What a plug-in is told, for KUBERNETES_EXEC_INFO. `cluster` is a kubeconfig's; null: not told.
std::string exec_info(std::string_view api_version, const Value& cluster, bool interactive);

}  // namespace keles::kubectl
