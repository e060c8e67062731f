#include "kind/host_network.h"

#include <unistd.h>

#include <vector>

#include "base/file.h"
#include "kind/layout.h"
#include "kind/run_program.h"
#include "net/host/nftables.h"

namespace keles::kind {
namespace {

// What differs between the two families.
struct Family {
  const char *sysctl, *mark, *iptables, *nft;
};
constexpr Family kV4{"/proc/sys/net/ipv4/ip_forward", "/.ip-forward-was-off", "iptables", "ip"};
constexpr Family kV6{"/proc/sys/net/ipv6/conf/all/forwarding", "/.ip6-forward-was-off", "ip6tables",
                     "ip6"};

// There while forwarding is on because of us.
std::string forwarding_mark(const Family& f) { return clusters_directory() + f.mark; }

Status set_forwarding(const Family& f, bool on) {
  return write_in_place(f.sysctl, on ? "1\n" : "0\n");
}

// The two rules of a bridge in the iptables chain FORWARD: out to anywhere, and answers back in.
std::vector<std::vector<std::string>> forward_rules(const std::string& bridge) {
  return {{"-i", bridge, "-j", "ACCEPT"},
          {"-o", bridge, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"}};
}

bool iptables(const Family& f, const std::string& verb, const std::vector<std::string>& rule) {
  std::vector<std::string> argv{f.iptables, "-w", "5", verb, "FORWARD"};
  argv.insert(argv.end(), rule.begin(), rule.end());
  auto r = run_program(argv);
  return r.ok() && r->exit_code == 0;
}

bool iptables_drop_forwarded(const Family& f) {
  auto r = run_program({f.iptables, "-w", "5", "-S", "FORWARD"});
  return r.ok() && r->exit_code == 0 && r->output.find("-P FORWARD DROP") != std::string::npos;
}

Status open_family(const Family& f, const std::string& bridge, const IpPrefix& subnet) {
  if (read_file(f.sysctl).value_or("").starts_with("0")) {
    TRY(write_file(forwarding_mark(f), ""));
    TRY(set_forwarding(f, true));
  }
  TRY(apply_nftables(outside_rules(bridge, subnet)));
  if (!iptables_drop_forwarded(f)) return Status();
  for (const auto& rule : forward_rules(bridge))
    if (!iptables(f, "-C", rule) && !iptables(f, "-I", rule))
      return Status::internal(std::string(f.iptables) +
                              " drop what the nodes send out, and no rule can be added");
  return Status();
}

}  // namespace

std::string outside_rules(const std::string& bridge, const IpPrefix& subnet) {
  const std::string ip = subnet.v6() ? kV6.nft : kV4.nft;
  return nftables_without_table(bridge, ip) + "table " + ip + " " + bridge +
         " {\n chain postrouting {\n  type nat hook postrouting priority srcnat;\n  " + ip +
         " saddr " + subnet.network().text() + " oifname != \"" + bridge + "\" masquerade\n }\n}\n";
}

Status open_outside(const std::string& cluster, const NodeSubnets& subnets) {
  const std::string bridge = bridge_name(cluster);
  TRY(open_family(kV4, bridge, subnets.v4));
  return subnets.v6 ? open_family(kV6, bridge, *subnets.v6) : Status();
}

Status close_outside(const std::string& cluster) {
  const std::string bridge = bridge_name(cluster);
  Status first;
  for (const Family& f : {kV4, kV6}) {
    if (iptables_drop_forwarded(f))
      for (const auto& rule : forward_rules(bridge))
        while (iptables(f, "-D", rule)) continue;
    Status s = apply_nftables(nftables_without_table(bridge, f.nft));
    if (first.ok()) first = s;
  }
  return first;
}

void restore_forwarding() {
  for (const Family& f : {kV4, kV6}) {
    if (!path_exists(forwarding_mark(f))) continue;
    if (set_forwarding(f, false).ok()) unlink(forwarding_mark(f).c_str());
  }
}

}  // namespace keles::kind
