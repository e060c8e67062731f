#include "proxy/policy/ruleset.h"

#include <algorithm>
#include <array>

namespace keles::policy {
namespace {

const std::string kHead = std::string("inet ") + kPolicyTable + " ";

// How the rules of a family are written.
struct Family {
  bool v6;
  const char* word;    // ip, ip6
  const char* suffix;  // of a set's name
  const char* type;
};
constexpr std::array<Family, 2> kFamilies{
    {{false, "ip", "-4", "ipv4_addr"}, {true, "ip6", "-6", "ipv6_addr"}}};

const Family& family_of(IpAddress ip) { return kFamilies[ip.v6() ? 1 : 0]; }

// A condition, and of which family it speaks (none: of both).
struct Match {
  std::string text;
  const Family* family = nullptr;
};

std::string comma_list(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& t : texts) out += (out.empty() ? "" : ", ") + t;
  return out;
}

std::vector<Match> peer_matches(const PlainRule& r, Direction d) {
  if (r.everyone) return {Match()};
  const std::string end = d == Direction::kIngress ? " saddr " : " daddr ";
  std::vector<Match> out;
  for (const AddressBlock& b : r.blocks) {
    const Family& f = family_of(b.range.base);
    std::string text = f.word + end + b.range.text() + " ";
    std::vector<std::string> except;
    for (const IpPrefix& p : b.except) except.push_back(p.text());
    if (!except.empty()) text += f.word + end + "!= { " + comma_list(except) + " } ";
    out.push_back({std::move(text), &f});
  }
  for (const std::string& set : r.pods) {
    for (const Family& f : kFamilies)
      out.push_back({f.word + end + "@" + set + f.suffix + " ", &f});
  }
  return out;
}

// Ranges that touch become one: nftables refuses those that overlap.
std::vector<std::string> merged(std::vector<std::pair<uint16_t, uint16_t>> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<std::pair<uint16_t, uint16_t>> wide;
  for (const auto& r : ranges) {
    if (!wide.empty() && r.first <= uint32_t{wide.back().second} + 1) {
      wide.back().second = std::max(wide.back().second, r.second);
    } else {
      wide.push_back(r);
    }
  }
  std::vector<std::string> out;
  for (const auto& [first, last] : wide) {
    std::string text = std::to_string(first);
    if (last != first) text += "-" + std::to_string(last);
    out.push_back(std::move(text));
  }
  return out;
}

std::vector<Match> port_matches(const PlainRule& r) {
  if (r.every_port) return {Match()};
  std::vector<Match> out;
  for (Protocol p : {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp}) {
    const std::string of = "meta l4proto " + std::string(proxy::protocol_text(p)) + " ";
    std::vector<std::pair<uint16_t, uint16_t>> ranges;
    bool all = false;
    for (const PortChoice& c : r.ports) {
      if (c.protocol != p) continue;
      if (!c.name.empty()) {
        for (const Family& f : kFamilies) {
          out.push_back({of + f.word + " daddr . th dport @" + c.name + f.suffix + " ", &f});
        }
      } else if (c.first == 0) {
        all = true;
      } else {
        ranges.emplace_back(c.first, c.last);
      }
    }
    if (all) {
      out.push_back({of, nullptr});
    } else if (!ranges.empty()) {
      out.push_back({of + "th dport { " + comma_list(merged(std::move(ranges))) + " } ", nullptr});
    }
  }
  return out;
}

void write_chain(std::string& out, const Changes::Chain& chain) {
  out += "flush chain " + kHead + chain.name + "\n";
  // Who may send goes on to be asked whether he may be received.
  const char* verdict = chain.direction == Direction::kIngress ? "accept" : "goto ingress";
  for (const PlainRule& r : chain.rules) {
    for (const Match& peer : peer_matches(r, chain.direction)) {
      for (const Match& port : port_matches(r)) {
        if (peer.family && port.family && peer.family != port.family) continue;
        out += "add rule " + kHead + chain.name + " " + peer.text + port.text + verdict + "\n";
      }
    }
  }
}

std::string element_text(const Element& e, bool with_port) {
  return with_port ? e.ip.text() + " . " + std::to_string(e.port) : e.ip.text();
}

void write_elements(std::string& out, const char* verb, const Changes::Set& set,
                    const std::vector<Element>& elements) {
  constexpr size_t kLine = 512;
  for (const Family& f : kFamilies) {
    std::vector<std::string> texts;
    auto flush = [&] {
      if (texts.empty()) return;
      out += std::string(verb) + " element " + kHead + set.name + f.suffix + " { " +
             comma_list(texts) + " }\n";
      texts.clear();
    };
    for (const Element& e : elements) {
      if (e.ip.v6() != f.v6) continue;
      texts.push_back(element_text(e, set.with_ports));
      if (texts.size() == kLine) flush();
    }
    flush();
  }
}

void write_set(std::string& out, const Changes::Set& set) {
  if (set.made) {
    for (const Family& f : kFamilies) {
      const std::string name = kHead + set.name + f.suffix;
      out += "add set " + name + " { type " + f.type + (set.with_ports ? " . inet_service" : "") +
             "; }\n";
      out += "flush set " + name + "\n";
    }
  }
  write_elements(out, "delete", set, set.removed);
  write_elements(out, "add", set, set.added);
}

void write_address(std::string& out, const Changes::Address& a) {
  const Family& f = family_of(a.ip);
  const std::string ip = a.ip.text();
  auto change = [&](const char* map, const std::string& before, const std::string& now) {
    if (before == now) return;
    const std::string name = kHead + map + f.suffix;
    if (!before.empty()) {
      out += "delete element " + name + " { " + ip + " : goto " + before + " }\n";
    }
    if (!now.empty()) out += "add element " + name + " { " + ip + " : goto " + now + " }\n";
  };
  change("ingress", a.ingress_before, a.ingress);
  change("egress", a.egress_before, a.egress);
  auto mark = [&](const char* set, bool was, bool is, const std::string& element) {
    if (was == is) return;
    out += std::string(is ? "add" : "delete") + " element " + kHead + set + f.suffix + " { " +
           element + " }\n";
  };
  mark("here", a.here_before, a.here, ip);
  const bool was = !a.ingress_before.empty() || !a.egress_before.empty();
  const bool is = !a.ingress.empty() || !a.egress.empty();
  mark("self", was, is, ip + " . " + ip);
}

// What cannot be judged by addresses that the API shows.
std::string strangers() {
  const std::string from = std::string("  iifname \"") + kPodBridge + "\" ";
  const std::string within = from + "oifname \"" + kPodBridge + "\" ";
  std::string out =
      // Without neighbours there is no network; on a bridge their packets pass here, too.
      "  icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, "
      "nd-neighbor-advert } accept\n"
      "  ip6 saddr fe80::/10 drop\n"
      "  ip6 daddr fe80::/10 drop\n";
  for (const Family& f : kFamilies) {
    const std::string here = std::string(" != @here") + f.suffix + " drop\n";
    out += from + f.word + " saddr" + here;
    out += within + f.word + " daddr" + here;
  }
  return out;
}

std::string empty_table() {
  return no_policy_rules() + "table inet " + kPolicyTable +
         " {\n"
         " comment \"network policies of this node's pods\"\n"
         " map ingress-4 { type ipv4_addr : verdict; }\n"
         " map ingress-6 { type ipv6_addr : verdict; }\n"
         " map egress-4 { type ipv4_addr : verdict; }\n"
         " map egress-6 { type ipv6_addr : verdict; }\n"
         " set here-4 { type ipv4_addr; }\n"
         " set here-6 { type ipv6_addr; }\n"
         " set self-4 { type ipv4_addr . ipv4_addr; }\n"
         " set self-6 { type ipv6_addr . ipv6_addr; }\n"
         " chain ingress {\n"
         "  ip daddr vmap @ingress-4\n"
         "  ip6 daddr vmap @ingress-6\n"
         "  accept\n"
         " }\n"
         " chain forward {\n"
         "  type filter hook forward priority filter; policy accept;\n" +
         strangers() +
         "  ct direction reply accept\n"
         "  ct state related accept\n"
         "  ip saddr . ip daddr @self-4 accept\n"
         "  ip6 saddr . ip6 daddr @self-6 accept\n"
         "  ip saddr vmap @egress-4\n"
         "  ip6 saddr vmap @egress-6\n"
         "  goto ingress\n"
         " }\n"
         "}\n";
}

}  // namespace

std::string no_policy_rules() {
  // Adding first makes the deletion succeed when there is none.
  const std::string table = std::string("table inet ") + kPolicyTable + "\n";
  return "add " + table + "delete " + table;
}

std::string policy_rules(const Changes& c) {
  std::string out = c.everything ? empty_table() : "";
  for (const Changes::Set& s : c.sets) write_set(out, s);
  for (const Changes::Chain& chain : c.chains) {
    if (chain.made) out += "add chain " + kHead + chain.name + "\n";
  }
  for (const Changes::Chain& chain : c.chains) write_chain(out, chain);
  for (const Changes::Profile& p : c.profiles) {
    out += "add chain " + kHead + p.name + "\n";
    for (const std::string& chain : p.chains) {
      out += "add rule " + kHead + p.name + " jump " + chain + "\n";
    }
    out += "add rule " + kHead + p.name + " drop\n";
  }
  for (const Changes::Address& a : c.addresses) write_address(out, a);
  auto drop = [&](const std::vector<std::string>& chains) {
    for (const std::string& name : chains) out += "flush chain " + kHead + name + "\n";
    for (const std::string& name : chains) out += "delete chain " + kHead + name + "\n";
  };
  drop(c.dropped_profiles);
  drop(c.dropped_chains);
  for (const std::string& set : c.dropped_sets) {
    for (const Family& f : kFamilies) out += "delete set " + kHead + set + f.suffix + "\n";
  }
  return out;
}

}  // namespace keles::policy
