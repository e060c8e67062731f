// The client configuration of webhooks (conversion, admission): a URL or a service, and a CA
// bundle, as upstream checks them (k8s.io/apiserver/pkg/util/webhook). Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "machinery/validation.h"
#include "machinery/value.h"

namespace keles::registry {

// Exactly one of `url` and `service` is there, and well formed. Not the bundle.
void check_webhook_client(FieldErrors& errors, const Value& config, const FieldPath& path);

// What is wrong with a bundle of CA certificates, PEM in base64; "" when a certificate is in it.
std::string check_ca_bundle(std::string_view base64);

}  // namespace keles::registry
