#include "kind/host_network.h"

#include <unistd.h>

#include <vector>

#include "base/file.h"
#include "kind/layout.h"
#include "kind/run_program.h"
#include "net/host/nftables.h"

namespace keles::kind {
namespace {

constexpr char kForwardSysctl[] = "/proc/sys/net/ipv4/ip_forward";

// There while forwarding is on because of us.
std::string forwarding_mark() { return clusters_directory() + "/.ip-forward-was-off"; }

Status set_forwarding(bool on) { return write_in_place(kForwardSysctl, on ? "1\n" : "0\n"); }

// The two rules of a bridge in the iptables chain FORWARD: out to anywhere, and answers back in.
std::vector<std::vector<std::string>> forward_rules(const std::string& bridge) {
  return {{"-i", bridge, "-j", "ACCEPT"},
          {"-o", bridge, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"}};
}

bool iptables(const std::string& verb, const std::vector<std::string>& rule) {
  std::vector<std::string> argv{"iptables", "-w", "5", verb, "FORWARD"};
  argv.insert(argv.end(), rule.begin(), rule.end());
  auto r = run_program(argv);
  return r.ok() && r->exit_code == 0;
}

bool iptables_drop_forwarded() {
  auto r = run_program({"iptables", "-w", "5", "-S", "FORWARD"});
  return r.ok() && r->exit_code == 0 && r->output.find("-P FORWARD DROP") != std::string::npos;
}

}  // namespace

std::string outside_rules(const std::string& bridge, const IpPrefix& subnet) {
  return nftables_without_table(bridge) + "table ip " + bridge +
         " {\n chain postrouting {\n  type nat hook postrouting priority srcnat;\n  ip saddr " +
         subnet.network().text() + " oifname != \"" + bridge + "\" masquerade\n }\n}\n";
}

Status open_outside(const std::string& cluster, const IpPrefix& subnet) {
  std::string bridge = bridge_name(cluster);
  if (read_file(kForwardSysctl).value_or("").starts_with("0")) {
    TRY(write_file(forwarding_mark(), ""));
    TRY(set_forwarding(true));
  }
  TRY(apply_nftables(outside_rules(bridge, subnet)));
  if (!iptables_drop_forwarded()) return Status();
  for (const auto& rule : forward_rules(bridge))
    if (!iptables("-C", rule) && !iptables("-I", rule))
      return Status::internal("iptables drop what the nodes send out, and no rule can be added");
  return Status();
}

Status close_outside(const std::string& cluster) {
  std::string bridge = bridge_name(cluster);
  if (iptables_drop_forwarded())
    for (const auto& rule : forward_rules(bridge))
      while (iptables("-D", rule)) continue;
  return apply_nftables(nftables_without_table(bridge));
}

void restore_forwarding() {
  if (!path_exists(forwarding_mark())) return;
  if (set_forwarding(false).ok()) unlink(forwarding_mark().c_str());
}

}  // namespace keles::kind
