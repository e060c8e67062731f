// A routing table as HAProxy's files: a configuration whose shape does not depend on the table but
// for the list of backends and the Gateway API's rules, and maps of hosts and paths that it looks
// up. Pure.
//
// Every text in them is a value of routing.h (no blanks, no quotes, no line ends), a quoted() value
// of rules.h, or one of our own.
#pragma once

#include <map>
#include <string>

#include "ingress/routing_table.h"

namespace keles::ingress {

struct ProxyOptions {
  ProxyOptions() = default;
  std::string directory = "/run/ingress";  // of its sockets
  uint16_t http_port = 8080, https_port = 8443;
  uint16_t status_port = 10254;  // /healthz, /metrics
  // Where in the pod a listener's port is: 80 and 443 at these, others at their own number, but for
  // those that a pod's user may not have, or that are these: beyond kLastListenerPort.
  uint16_t inner_port(uint16_t listener) const;
  net::TlsIdentity fallback;  // for hosts of no certificate
};

// Name and content of each file; "haproxy.cfg" names the others in `place`.
using ProxyFiles = std::map<std::string, std::string>;
ProxyFiles write_proxy_files(const RoutingTable& table, const ProxyOptions& options,
                             const std::string& place);
// What HAProxy calls an endpoint, and what it is told of it: a server's line without the word.
std::string server_name(const Target& target);
std::string server_line(const BackendName& name, const Backend& backend, const Target& target);
// What a worker with the files at `place` says of itself (show info).
std::string worker_description(const std::string& place);
// One that serves nothing but this certificate: for `haproxy -c`, which says whether it would.
ProxyFiles write_certificate_check(const net::TlsIdentity& identity, const std::string& place);
// Likewise of an Expression's text.
ProxyFiles write_expression_check(const std::string& expression, const std::string& place);

}  // namespace keles::ingress
