// What a plan tells, as the objects' new status. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "ingress/gateway_plan.h"

namespace keles::ingress {

// Where the proxy is reached.
struct Address {
  std::string ip, hostname;
  auto operator<=>(const Address&) const = default;
};

// The object with that status; none when it has it already. What others wrote into the status
// stays; a condition keeps the time of its last change.
std::optional<Document> with_status(const ClassState& state, WallTime now);
std::optional<Document> with_status(const GatewayState& state,
                                    const std::vector<Address>& addresses, WallTime now);
std::optional<Document> with_status(const RouteState& state, WallTime now);

}  // namespace keles::ingress
