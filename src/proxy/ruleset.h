// Ruleset: forwarding entries as nftables text (nft(8)), in one table of our own: maps from
// (address, protocol, port) to a chain per entry. A change touches only the entries that differ.
// Pure: it writes text, something else applies it. Everything in the text is a value (address.h) or
// a constant of ours; of the services' names only a hash and its harmless characters remain.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "proxy/services.h"

namespace keles::proxy {

struct RulesetOptions {
  std::string table = "keles-proxy";
  std::optional<IpPrefix> cluster_cidr;  // pods' addresses, where known
  uint32_t masquerade_mark = 0x4000;     // as upstream's
  // The pods' bridge (a constant of the program), when its traffic does not pass the IP hooks (no
  // br_netfilter): a connection from pod to pod of one node through a service must then be
  // masqueraded, or its replies go astray.
  std::string unfiltered_bridge;
};

class Ruleset {
 public:
  explicit Ruleset(RulesetOptions options) : options_(std::move(options)) {}

  // A transaction that replaces whatever there is by an empty table; the state is then empty.
  std::string reset();
  // A transaction that removes the table.
  std::string remove() const;
  // A transaction from the state applied so far to these entries of one service ("" when nothing
  // differs). commit() once it is in force; a failed one leaves the state: reset() and begin again.
  std::string update(const std::string& service, const std::map<std::string, Forward>& forwards,
                     const std::set<IpAddress>& local_ips);
  void commit(const std::string& service, std::map<std::string, Forward> forwards,
              std::set<IpAddress> local_ips);
  // What is in force for a service (for conntrack clean-up).
  const std::map<std::string, Forward>& applied(const std::string& service) const;
  std::vector<std::string> services() const;

 private:
  void remove_entry(std::string& out, const Forward& f) const;
  void add_entry(std::string& out, const Forward& f) const;
  void elements(std::string& out, std::string_view verb, const Forward& f) const;
  void guard(std::string& out, const Forward& f) const;
  void target_chain(std::string& out, const Forward& f, const std::string& chain,
                    const std::set<Target>& targets) const;

  struct Applied {
    std::map<std::string, Forward> forwards;
    std::set<IpAddress> local_ips;
  };
  RulesetOptions options_;
  std::map<std::string, Applied> applied_;
};

}  // namespace keles::proxy
