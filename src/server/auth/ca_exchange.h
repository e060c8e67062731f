// While the CA of client certificates is exchanged (its file holds several, of which the first
// signs): which nodes have shown a certificate of the first. Told by the gauge
// keles_node_client_certificate_current (1, or 0 of another; with the SHA-256 of the first), which
// `keles certs rotate-ca` reads before the old one is dropped. The process's own, as metrics are.
// Any thread.
#pragma once

#include <string>
#include <string_view>

namespace keles::auth {

inline constexpr std::string_view kCurrentCertificate = "keles_node_client_certificate_current";

// The CAs of clients from now on. When the first is another, or a second comes or goes, nobody has
// shown anything.
void expect_client_ca(std::string_view ca_pem);
// Who has shown a certificate, and the SHA-256 of the CA at the end of its chain.
void note_client_ca(const std::string& user, const std::string& root_sha256);

}  // namespace keles::auth
