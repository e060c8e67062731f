// A Corefile: CoreDNS' configuration, as far as a cluster's name server has use for it. Zones are
// lower case, without the trailing dot; "" is the root.
//
// Understood: errors, log, health, ready, prometheus, kubernetes, hosts (inline), forward, cache,
// loop, reload, loadbalance. Whatever else a Corefile says is an error that names it, or a warning
// that says why it has no effect. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/loop.h"
#include "base/status.h"

namespace keles::dns {

struct Upstream {
  std::string ip;
  uint16_t port = 53;
  bool operator==(const Upstream&) const = default;
};

struct Forward {
  enum class Policy : uint8_t { kRandom, kRoundRobin, kSequential };
  std::string from;  // names of this zone
  std::vector<Upstream> to;
  bool hosts_own = false;           // and those of the host's resolv.conf, first
  std::vector<std::string> except;  // zones that are not asked about
  Policy policy = Policy::kRandom;
  bool force_tcp = false;
  int max_concurrent = 0;  // 0: no limit
};

// Where a plugin hands on what it does not know: everything, or names of some zones.
using Fallthrough = std::optional<std::vector<std::string>>;

struct HostsTable {
  std::vector<std::string> zones;  // of the block where it names none
  std::map<std::string, std::vector<IpAddress>, std::less<>> names;
  std::map<IpAddress, std::vector<std::string>> addresses;  // for reverse names
  uint32_t ttl_seconds = 3600;
  Fallthrough fallthrough;
};

struct ClusterZones {
  std::vector<std::string> zones;  // "cluster.local", "in-addr.arpa" ...
  Fallthrough fallthrough;
  uint32_t ttl_seconds = 5;
  bool pods = false;  // names of pods' addresses, made up of what is asked
};

// What answers questions of some zones: of all blocks that with the longest zone that fits.
struct ServerBlock {
  std::vector<std::string> zones;
  bool errors = false, log = false, loop = false, rotate = false;
  std::optional<uint32_t> cache_seconds;  // the longest that a reply is kept
  std::optional<HostsTable> hosts;
  std::optional<ClusterZones> cluster;
  std::vector<Forward> forwards;
};

struct ListenAddress {
  std::string ip;  // "" for the server's own
  uint16_t port = 0;
};

struct DnsConfig {
  std::vector<ServerBlock> blocks;
  std::optional<ListenAddress> health, ready, metrics;
  std::vector<std::string> warnings;  // what is read and has no effect, each with the reason

  // Of the name; null when nobody answers for it.
  const ServerBlock* block_of(std::string_view name) const;
};

// kBadRequest: "Corefile:LINE - Error during parsing: ...", in the words of CoreDNS where it has
// some. `domain`: the cluster's, the only one that `kubernetes` can serve.
Result<DnsConfig> parse_corefile(std::string_view text, std::string_view domain);

// The Corefile of a cluster that has said nothing.
std::string default_corefile(std::string_view domain);

// Whether the name is the zone, or of it.
bool in_zone(std::string_view name, std::string_view zone);

}  // namespace keles::dns
