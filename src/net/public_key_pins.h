// Pins of public keys: what a certificate is known by that nobody has vouched for yet.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles::net {

// "sha256:HEX" of the SubjectPublicKeyInfo of each certificate in the text (as kubeadm's
// --discovery-token-ca-cert-hash). An error: there is none, or one cannot be read.
Result<std::vector<std::string>> public_key_pins(std::string_view pem);
// In the form of public_key_pins(); kBadRequest, in kubeadm's words, for what is no pin.
Result<std::string> parse_pin(std::string_view text);

}  // namespace keles::net
