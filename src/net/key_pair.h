// Whether a certificate and a private key belong together. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

namespace keles::net {

// Why the pair cannot serve TLS, in the words of Go's crypto/tls (X509KeyPair), which users know
// from every other server; "" when it can. The leaf is the first certificate in the text.
std::string key_pair_problem(std::string_view certificate_pem, std::string_view key_pem);

}  // namespace keles::net
