// Internal to net/: a server's TLS 1.3 connection whose handshake is over.
#pragma once

#include <memory>

#include "net/tls_records.h"
#include "net/transport.h"

namespace keles::net {

// Nothing of the connection's records may have been read or written since the handshake.
TransportPtr sealed_transport(std::shared_ptr<Fd> fd, TrafficSecret theirs, TrafficSecret ours);

}  // namespace keles::net
