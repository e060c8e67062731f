// The one word between who gives Services addresses of a pool and the nodes that announce them.
#pragma once

#include <string_view>

namespace keles {

// An annotation of a Service: the name of the one node that answers for its load balancer addresses
// on the nodes' link. The controller writes it, together with the addresses in the status; nodes
// read it.
inline constexpr std::string_view kAnnouncedBy = "keles.dev/announced-by";

}  // namespace keles
