// Who answers a question: a Corefile's blocks and their plugins in CoreDNS' order (hosts,
// kubernetes, forward). Pure; any thread.
#pragma once

#include <optional>
#include <string_view>

#include "dns/corefile.h"
#include "dns/message.h"
#include "dns/zone.h"

namespace keles::dns {

// An answer, or who is to be asked (both within the configuration).
struct Route {
  std::optional<Answer> answer;
  std::string_view plugin;             // that gave the answer; "" for nobody
  const ServerBlock* block = nullptr;  // null: no zone of ours
  const Forward* forward = nullptr;
};

// The answers of the cluster come from `zone`, with its own TTL.
Route route(const DnsConfig& config, const Zone& zone, const Query& query);

}  // namespace keles::dns
