// Ruleset: forwarding entries as nftables text (nft(8)), in one table of our own for a family.
//
// A service's address is an element, and so is each of its endpoints: the address leads by a map to
// a chain that is shared by all services of so many endpoints ("deal-tcp-3"), which draws a number
// and finds the endpoint under (address, port, number). A change costs the elements that
// differ, however many services there are. Only services with session affinity have chains of their
// own: what remembers their clients.
//
// Pure: it writes text, something else applies it. Everything in the text is a value (address.h), a
// hash, or a constant of ours.
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
  bool v6 = false;
  std::optional<IpPrefix> cluster_cidr;  // pods' addresses, where known
  uint32_t masquerade_mark = 0x4000;     // as upstream's
  bool masquerade_all = false;           // what pods send to services, too
  // Where node ports answer; none: at every address of this node but loopback.
  std::optional<std::vector<IpAddress>> node_port_ips;
  // The pods' bridge (a constant of the program), when its traffic does not pass the IP hooks (no
  // br_netfilter): a connection from pod to pod of one node through a service must then be
  // masqueraded, or its replies go astray.
  std::string unfiltered_bridge;
};

class Ruleset {
 public:
  explicit Ruleset(RulesetOptions options) : options_(std::move(options)) {}

  // The next transaction replaces whatever there is by an empty table; the state is then empty.
  void reset();
  // From the state so far to these entries of one service; part of the next transaction. Once for
  // a service between two take()s.
  void update(const std::string& service, std::map<std::string, Forward> forwards,
              const std::set<IpAddress>& local_ips);
  // The transaction; "" when nothing differs. The state is what it makes: one that fails is
  // followed by reset().
  std::string take();
  // A transaction that removes the table.
  std::string remove() const;

  // What the state holds for a service (for conntrack clean-up).
  std::map<std::string, Forward> applied(const std::string& service) const;
  std::vector<std::string> services() const;
  const RulesetOptions& options() const { return options_; }

 private:
  // (map or set, key) to value; "" for a set's.
  using Elements = std::map<std::pair<std::string_view, std::string>, std::string>;
  struct Entry {
    Forward forward;
    std::vector<Target> cluster, local;  // by the number that is drawn
  };
  struct Applied {
    std::map<std::string, Entry> entries;
    std::set<IpAddress> local_ips;
  };
  Elements elements(const Entry& e);
  void front(Elements& out, const Entry& e, std::string_view chain, std::optional<IpAddress> ip);
  std::string dealer(bool local, bool node, Protocol protocol, size_t count);
  void keep(const Elements& before, const Elements& now);
  void use(std::map<IpAddress, size_t>& uses, std::string_view set, IpAddress ip, bool add);
  void guard(const Forward& f);
  void remember_clients(const Entry& e);
  void forget_clients(const Entry& old, const Entry* now);
  void base();

  RulesetOptions options_;
  std::map<std::string, Applied> applied_;
  std::map<IpAddress, size_t> cluster_ips_, hairpins_;  // by how many entries
  std::set<std::string> dealers_;
  // Of the next transaction, in this order.
  std::string head_, tail_;
  std::map<std::string_view, std::vector<std::string>> removed_, added_;
};

}  // namespace keles::proxy
