// What the name server keeps in the API: the kube-dns Service with its EndpointSlice, and the
// ConfigMap with the Corefile, as people look for it there.
#pragma once

#include <cstdint>
#include <string>

#include "client/client.h"

namespace keles::dns {

inline constexpr std::string_view kConfigNamespace = "kube-system", kConfigName = "coredns";

struct Published {
  std::string service_ip, endpoint_ip, corefile;
  uint16_t port = 53;
};

// Makes what is not there, and the slice what it should be; looks again every minute, until ctx
// ends. A Service or ConfigMap that is there is its owner's.
Task<void> publish(Context ctx, Client* client, Published what);

}  // namespace keles::dns
