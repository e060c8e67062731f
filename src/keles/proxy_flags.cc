#include "keles/proxy_flags.h"

#include <algorithm>
#include <charconv>
#include <thread>

#include "base/file.h"
#include "base/text_parts.h"
#include "net/host/netlink.h"

namespace keles {
namespace {

// The node's own addresses where they are asked for ("primary", the default), this host's in the
// ranges else; none: every address.
Result<std::optional<std::vector<IpAddress>>> node_port_ips(const std::vector<std::string>& wanted,
                                                            const std::vector<IpAddress>& node) {
  std::vector<IpPrefix> ranges;
  for (const std::string& text : wanted) {
    if (text == "primary" && wanted.size() == 1) continue;
    auto range = IpPrefix::parse_sloppy(text);
    if (!range) {
      return Status::bad_request("--nodeport-addresses: \"" + text +
                                 "\" is neither a CIDR nor, alone, \"primary\"");
    }
    if (range->prefix.length == 0) return std::optional<std::vector<IpAddress>>();
    ranges.push_back(range->prefix);
  }
  if (ranges.empty()) return std::optional(node);
  TRY_ASSIGN(netlink, Netlink::open());
  TRY_ASSIGN(all, netlink.addresses());
  std::vector<IpAddress> out;
  for (const NetAddress& a : all) {
    auto in = [&](const IpPrefix& r) { return r.contains(a.prefix.base); };
    if (std::any_of(ranges.begin(), ranges.end(), in)) out.push_back(a.prefix.base);
  }
  return std::optional(out);
}

}  // namespace

void ProxyFlags::add(Flags& f) {
  f.add("proxy", &enabled, "Run the service proxy.");
  f.add("proxy-healthz-port", &healthz_port,
        "The port of the service proxy's health check, for load balancers; 0 to disable.");
  f.add("proxy-metrics-port", &metrics_port,
        "The port of the service proxy's metrics, on loopback; 0 to disable.");
  add_rules(f);
}

void ProxyFlags::add_rules(Flags& f) {
  f.add("cluster-cidr", &cluster_cidr,
        "The address range of pods in the cluster; of each family, comma-separated.");
  f.add("nodeport-addresses", &node_port_addresses,
        "A list of CIDR ranges that contain valid node IPs, or alternatively, the single string "
        "'primary', which is the default: connections to NodePort services will only be accepted "
        "on those of this node's addresses.");
  f.add("masquerade-all", &masquerade_all,
        "SNAT all traffic sent via service cluster IPs. This may be required with some CNI "
        "plugins.");
  f.add("masquerade-bit", &masquerade_bit,
        "The bit of the packet mark that marks packets requiring SNAT, from 0 to 31.");
  f.add("conntrack-tcp-timeout-established", &conntrack.tcp_established,
        "Idle timeout for established TCP connections (0 to leave as-is).");
  f.add("conntrack-tcp-timeout-close-wait", &conntrack.tcp_close_wait,
        "NAT timeout for TCP connections in the CLOSE_WAIT state (0 to leave as-is).");
  f.add(
      "conntrack-tcp-be-liberal", &conntrack.tcp_be_liberal,
      "Enable liberal mode for tracking TCP packets by setting nf_conntrack_tcp_be_liberal to 1.");
  f.add("conntrack-udp-timeout", &conntrack.udp,
        "Idle timeout for UNREPLIED UDP connections (0 to leave as-is).");
  f.add("conntrack-udp-timeout-stream", &conntrack.udp_stream,
        "Idle timeout for ASSURED UDP connections (0 to leave as-is).");
  f.add("conntrack-max-per-core", &conntrack_max_per_core,
        "Maximum number of NAT connections to track per CPU core (0 to leave the limit as-is and "
        "ignore conntrack-min).");
  f.add("conntrack-min", &conntrack_min,
        "Minimum number of conntrack entries to allocate, regardless of conntrack-max-per-core.");
}

Status ProxyFlags::read_address(const char* flag, std::string_view text, std::string* address,
                                int64_t* port) {
  if (text.empty()) return {};
  const Status bad = Status::bad_request("--" + std::string(flag) + ": \"" + std::string(text) +
                                         "\": want ADDRESS:PORT");
  const size_t colon = text.rfind(':');
  std::string_view host = colon == text.npos ? std::string_view() : text.substr(0, colon);
  const std::string_view number = colon == text.npos ? text : text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (!host.empty() && !IpAddress::parse(host)) return bad;
  int64_t n = -1;
  auto read = std::from_chars(number.data(), number.data() + number.size(), n);
  if (read.ec != std::errc() || read.ptr != number.data() + number.size()) return bad;
  if (n < 0 || n > 65535) return bad;
  if (!host.empty()) *address = host;
  *port = n;
  return {};
}

Result<proxy::HealthPorts> ProxyFlags::ports() const {
  for (int64_t port : {healthz_port, metrics_port}) {
    if (port < 0 || port > 65535) {
      return Status::bad_request(
          "--proxy-healthz-port and --proxy-metrics-port: want a port number up to 65535");
    }
  }
  proxy::HealthPorts out;
  out.address = healthz_address;
  out.metrics_address = metrics_address;
  out.health = static_cast<uint16_t>(healthz_port);
  out.metrics = static_cast<uint16_t>(metrics_port);
  return out;
}

Result<std::vector<IpPrefix>> ProxyFlags::cluster_cidrs() const {
  std::vector<IpPrefix> out;
  for (std::string_view one : split_list(cluster_cidr)) {
    auto range = IpPrefix::parse_sloppy(one);
    auto same = [&](const IpPrefix& o) { return range && o.v6() == range->prefix.v6(); };
    if (!range || std::any_of(out.begin(), out.end(), same)) {
      return Status::bad_request("--cluster-cidr: \"" + cluster_cidr +
                                 "\": want one CIDR, or one of each family");
    }
    out.push_back(range->prefix.network());
  }
  return out;
}

Result<proxy::ProxyOptions> ProxyFlags::options(const std::string& node_name,
                                                const std::vector<IpAddress>& node_ips) const {
  if (masquerade_bit < 0 || masquerade_bit > 31) {
    return Status::bad_request("--masquerade-bit: want a number from 0 to 31");
  }
  proxy::ProxyOptions out;
  out.node_name = node_name;
  out.conntrack = conntrack;
  if (conntrack_max_per_core > 0) {
    const int64_t cores = std::max(1U, std::thread::hardware_concurrency());
    out.conntrack.max = std::max(conntrack_min, conntrack_max_per_core * cores);
  }
  TRY_ASSIGN(ranges, cluster_cidrs());
  TRY_ASSIGN(ports, node_port_ips(node_port_addresses, node_ips));
  const bool bridged = proxy::bridge_passes_ip_hooks();
  for (bool v6 : {false, true}) {
    if (v6 && !path_exists("/proc/net/if_inet6")) continue;  // a kernel without
    proxy::RulesetOptions o;
    o.v6 = v6;
    o.node_port_ips = ports;
    o.masquerade_all = masquerade_all;
    o.masquerade_mark = 1U << masquerade_bit;
    for (const IpPrefix& r : ranges) {
      if (r.v6() == v6) o.cluster_cidr = r;
    }
    if (!bridged) o.unfiltered_bridge = "cni0";
    out.rules.push_back(std::move(o));
  }
  return out;
}

}  // namespace keles
