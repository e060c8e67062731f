#include "node/network/pod_links.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "machinery/codec_json.h"
#include "net/host/nftables.h"

namespace keles {
namespace {

constexpr size_t kMaxName = 15;  // IFNAMSIZ
constexpr size_t kMaxAddresses = 16;

// A name that nftables' text can hold between quotes and that is no pattern ("veth*").
bool is_plain_name(std::string_view name) {
  auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kMaxName && std::all_of(name.begin(), name.end(), plain);
}

std::optional<NetMac> parse_mac(std::string_view text) {
  NetMac out{};
  if (text.size() != 17) return std::nullopt;
  for (size_t i = 0; i < 6; ++i) {
    const char* at = text.data() + 3 * i;
    if (std::from_chars(at, at + 2, out[i], 16).ptr != at + 2) return std::nullopt;
    if (i < 5 && at[2] != ':') return std::nullopt;
  }
  return out;
}

std::string number_of(const IpAddress& a) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "0x";
  for (uint8_t byte : a.bytes()) out += {kDigits[byte >> 4], kDigits[byte & 15]};
  return out;
}

// By the set's name.
using Elements = std::map<std::string, std::vector<std::string>>;

void add_elements(const PodLink& link, Elements* to) {
  const std::string name = "\"" + link.name + "\"", known = name + " . " + mac_text(link.mac);
  (*to)["links"].push_back(name);
  (*to)["macs"].push_back(known);
  std::vector<IpAddress> all = link.ips;
  all.push_back(link_local_of(link.mac));
  for (const IpAddress& ip : all) {
    (*to)[ip.v6() ? "sources6" : "sources4"].push_back(known + " . " + ip.text());
    if (ip.v6()) (*to)["targets6"].push_back(known + " . " + number_of(ip));
  }
}

Elements elements_of(const std::vector<PodLink>& links) {
  Elements out;
  for (const PodLink& link : links) add_elements(link, &out);
  return out;
}

std::string set(const std::string& name, const std::string& type, const Elements& elements) {
  std::string out = " set " + name + " {\n  " + type + "\n";
  auto it = elements.find(name);
  if (it != elements.end()) {
    out += "  elements = {\n";
    for (const std::string& e : it->second) out += "   " + e + ",\n";
    out += "  }\n";
  }
  return out + " }\n";
}

// The target of a neighbour's message (RFC 4861, 4.3 and 4.4): nftables has a name for it only
// since 1.0.7.
constexpr char kTarget[] = "@th,64,128";

std::string chains() {
  const std::string own = "iifname . ether saddr";
  return " chain from-ports {\n"
         "  type filter hook prerouting priority filter; policy accept;\n"
         "  iifname @links goto from-pod\n"
         " }\n"
         " chain from-pod {\n"
         "  ether type != { ip, ip6, arp } drop\n"
         "  " +
         own +
         " != @macs drop\n"
         "  " +
         own +
         " . ip saddr @sources4 accept\n"
         // An announcement of an address, and the question whether somebody has it (RFC 5227).
         "  ether type arp iifname . arp saddr ether . arp saddr ip @sources4 accept\n"
         "  arp operation request arp saddr ip 0.0.0.0 iifname . arp saddr ether @macs accept\n"
         // No pod is a router; a neighbour tells of, and takes, its own addresses only.
         "  icmpv6 type { nd-router-advert, nd-redirect } drop\n"
         "  icmpv6 type nd-neighbor-advert " +
         own + " . " + kTarget +
         " != @targets6 drop\n"
         "  ip6 saddr :: icmpv6 type nd-neighbor-solicit " +
         own + " . " + kTarget +
         " @targets6 accept\n"
         "  ip6 saddr :: icmpv6 type { nd-router-solicit, mld-listener-report, "
         "mld2-listener-report } accept\n"
         "  " +
         own +
         " . ip6 saddr @sources6 accept\n"
         "  counter drop\n"
         " }\n";
}

}  // namespace

IpAddress link_local_of(const NetMac& mac) {
  const std::array<uint8_t, 16> bytes{
      0xfe,   0x80,   0,    0,    0,      0,      0,     0, static_cast<uint8_t>(mac[0] ^ 2),
      mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
  return *IpAddress::from_bytes(bytes);
}

Result<PodLink> read_pod_link(std::string_view text, const std::string& sandbox,
                              std::string_view bridge) {
  TRY_ASSIGN(document, parse_json(text));
  const Value& kept = document.root["result"];
  const Value& result = kept.is_map() ? kept : document.root;
  PodLink out;
  out.sandbox = sandbox;
  std::optional<NetMac> mac;
  for (const Value& i : result["interfaces"].items()) {
    const std::string_view name = i["name"].as_string();
    if (!i["sandbox"].as_string().empty()) {
      if (mac) return Status::bad_request("the pod has several links");
      mac = parse_mac(i["mac"].as_string());
      if (!mac) return Status::bad_request("its link has no MAC");
    } else if (name != bridge) {
      if (!out.name.empty()) return Status::bad_request("the node has several links to the pod");
      if (!is_plain_name(name)) return Status::bad_request("its link's name is none");
      out.name = name;
    }
  }
  if (out.name.empty() || !mac) return Status::bad_request("the result names no link");
  out.mac = *mac;
  for (const Value& i : result["ips"].items()) {
    auto prefix = IpPrefix::parse(i["address"].as_string());
    if (!prefix || out.ips.size() == kMaxAddresses)
      return Status::bad_request("the result's addresses cannot be read");
    if (std::find(out.ips.begin(), out.ips.end(), prefix->base) == out.ips.end())
      out.ips.push_back(prefix->base);
  }
  if (out.ips.empty()) return Status::bad_request("the result has no address");
  return out;
}

std::string pod_link_rules(const std::vector<PodLink>& links) {
  const Elements all = elements_of(links);
  return nftables_without_table(kPodLinkTable, "bridge") + "table bridge " + kPodLinkTable +
         " {\n" + set("links", "type ifname", all) + set("macs", "type ifname . ether_addr", all) +
         set("sources4", "type ifname . ether_addr . ipv4_addr", all) +
         set("sources6", "type ifname . ether_addr . ipv6_addr", all) +
         set("targets6", std::string("typeof iifname . ether saddr . ") + kTarget, all) + chains() +
         "}\n";
}

std::string pod_link_changes(const std::vector<PodLink>& gone, const std::vector<PodLink>& come) {
  std::string out;
  auto lines = [&out](const char* verb, const Elements& elements) {
    for (const auto& [name, texts] : elements) {
      out += std::string(verb) + " element bridge " + kPodLinkTable + " " + name + " {";
      for (const std::string& e : texts) out += " " + e + ",";
      out += " }\n";
    }
  };
  lines("delete", elements_of(gone));
  lines("add", elements_of(come));
  return out;
}

}  // namespace keles
