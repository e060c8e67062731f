// Where a relayed request goes: the kubelet of a node (log, exec, attach, portforward,
// nodes/proxy), a pod, or a pod behind a service. Reads the store; dials nothing.
#pragma once

#include <optional>
#include <string>

#include "net/http.h"
#include "server/http/exchange.h"
#include "server/objects/kubelet_address.h"
#include "store/store.h"

namespace keles::server {

struct RelayTarget {
  // An address or a node's host name, as the API has it; "": nothing to say yet (204). Only what
  // net::relay_addresses() makes of it may be dialled.
  std::string host;
  uint16_t port = 0;
  std::optional<net::ClientTls> tls;
  std::string path, query;    // as they go on the wire
  bool default_port = false;  // nobody named a port: the scheme's own
};

// How kubelets are found and known: which of their addresses, their CA, what is shown to them,
// whether their subject counts.
struct KubeletTrust {
  net::ClientTls tls;
  bool subject = true;
  registry::AddressTypes addresses = registry::kubelet_address_types();
};

// kBadRequest, kNotFound and kServiceUnavailable with upstream's messages.
Result<RelayTarget> relay_target(Store& store, const Exchange& x, const KubeletTrust& trust,
                                 Random& random);

}  // namespace keles::server
