#include "dns/router.h"

#include <algorithm>

namespace keles::dns {
namespace {

bool in_any(std::string_view name, const std::vector<std::string>& zones) {
  return std::any_of(zones.begin(), zones.end(),
                     [&](const std::string& zone) { return in_zone(name, zone); });
}

// Without a zone everything falls through.
bool falls_through(const Fallthrough& rule, std::string_view name) {
  return rule && (rule->empty() || in_any(name, *rule));
}

Answer refused(Rcode rcode) {
  Answer a;
  a.rcode = rcode;
  a.authoritative = false;
  return a;
}

// Nothing where the table does not know and lets others answer.
std::optional<Answer> from_hosts(const HostsTable& table, const Query& q) {
  Answer a;
  if (q.type == kPtr) {
    if (auto ip = reverse_address(q.name)) {
      auto found = table.addresses.find(*ip);
      if (found != table.addresses.end()) {
        for (const std::string& name : found->second)
          a.answers.push_back({q.name, kPtr, table.ttl_seconds, name});
      }
    }
  } else if (!in_any(q.name, table.zones)) {
    return std::nullopt;
  }
  auto found = table.names.find(q.name);
  if (found != table.names.end()) {
    for (const IpAddress& ip : found->second) {
      const uint16_t type = ip.v6() ? kAaaa : kA;
      if (q.type == type) a.answers.push_back({q.name, type, table.ttl_seconds, ip.text()});
    }
  } else if (a.answers.empty()) {
    if (falls_through(table.fallthrough, q.name) || !in_any(q.name, table.zones))
      return std::nullopt;
    return refused(kServFail);  // CoreDNS': a table has no zone whose SOA could deny the name
  }
  return a;
}

std::optional<Answer> from_cluster(const ClusterZones& c, const Zone& zone, const Query& q) {
  if (!in_any(q.name, c.zones)) return std::nullopt;
  std::optional<Answer> a = zone.answer(q.name, q.type);
  const bool through = falls_through(c.fallthrough, q.name);
  const bool pod = !c.pods && in_zone(q.name, "pod." + zone.domain());
  if (!a || pod) {
    a = refused(kNxDomain);
    a->authoritative = a->soa = true;
  }
  if (a->rcode == kNxDomain && through) return std::nullopt;
  return a;
}

}  // namespace

Route route(const DnsConfig& config, const Zone& zone, const Query& q) {
  Route out;
  if (q.opcode != 0) {
    out.answer = refused(kNotImp);
    return out;
  }
  out.block = config.block_of(q.name);
  if (!out.block) {
    out.answer = refused(kRefused);
    return out;
  }
  const bool internet = q.klass == 1 || q.klass == 255;
  if (internet && out.block->hosts) {
    out.answer = from_hosts(*out.block->hosts, q);
    out.plugin = "hosts";
    if (out.answer) return out;
  }
  if (internet && out.block->cluster) {
    out.answer = from_cluster(*out.block->cluster, zone, q);
    out.plugin = "kubernetes";
    if (out.answer) return out;
  }
  out.plugin = "forward";
  for (const Forward& f : out.block->forwards) {
    if (!in_zone(q.name, f.from) || in_any(q.name, f.except)) continue;
    out.forward = &f;
    return out;
  }
  out.plugin = "";
  out.answer = refused(kRefused);
  return out;
}

}  // namespace keles::dns
