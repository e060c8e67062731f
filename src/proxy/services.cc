#include "proxy/services.h"

#include <algorithm>

#include "base/log.h"

namespace keles::proxy {
namespace {

std::string key_of(std::string_view ns, std::string_view name) {
  return std::string(ns) + "/" + std::string(name);
}

// Says which part of which object is passed over. The text is escaped by the log.
void skipped(const std::string& object, std::string_view field, std::string_view value) {
  log::warn("Part of a service is not valid and is skipped",
            {{"object", object}, {"field", field}, {"value", value.substr(0, 100)}});
}

}  // namespace

std::vector<ServiceTable::Port> ServiceTable::read_ports(const auto& ports,
                                                         const std::string& key) {
  std::vector<Port> out;
  for (auto p : ports) {
    std::optional<Protocol> protocol = parse_protocol(p.protocol());
    std::optional<uint16_t> number = port_number(p.port());
    if (!protocol) {
      skipped(key, "ports.protocol", p.protocol());
    } else if (!number) {
      skipped(key, "ports.port", std::to_string(p.port()));
    } else {
      uint16_t node_port = 0;
      if constexpr (requires { p.node_port(); }) node_port = port_number(p.node_port()).value_or(0);
      out.push_back({std::string(p.name()), *protocol, *number, node_port});
    }
  }
  return out;
}

// An address of this family that may be a target.
std::optional<IpAddress> ServiceTable::target_address(std::string_view text,
                                                      const std::string& object,
                                                      std::string_view field) const {
  if (text.empty()) return std::nullopt;
  auto read = IpAddress::parse_sloppy(text);
  if (read && read->address.v6() != v6_) return std::nullopt;
  if (read && read->address.is_global_unicast()) return read->address;
  skipped(object, field, text);
  return std::nullopt;
}

void ServiceTable::read_addresses(const api::core_v1::Service& service, const std::string& key,
                                  Service& out) const {
  auto spec = service.spec();
  auto add = [](std::vector<IpAddress>& to, IpAddress ip) {
    if (std::find(to.begin(), to.end(), ip) == to.end()) to.push_back(ip);
  };
  for (std::string_view e : spec.external_ips()) {
    if (auto ip = target_address(e, key, "spec.externalIPs")) add(out.external_ips, *ip);
  }
  if (spec.type() != "LoadBalancer") return;
  // An empty list of ranges means everybody. One without any range of this family means nobody: who
  // asked for a restriction is not opened to the world because it could not be read.
  const bool guarded = !spec.load_balancer_source_ranges().empty();
  for (std::string_view range : spec.load_balancer_source_ranges()) {
    if (auto r = parse_range(range, v6_)) {
      out.source_ranges.push_back(*r);
    } else if (!parse_range(range, !v6_)) {
      skipped(key, "spec.loadBalancerSourceRanges", range);
    }
  }
  for (auto ingress : service.status().load_balancer().ingress()) {
    if (ingress.ip_mode() == "Proxy") continue;
    auto ip = target_address(ingress.ip(), key, "status.loadBalancer.ingress.ip");
    if (!ip) continue;
    if (guarded && std::find(out.external_ips.begin(), out.external_ips.end(), *ip) ==
                       out.external_ips.end()) {
      add(out.guarded_ips, *ip);
    }
    add(out.external_ips, *ip);
  }
}

void ServiceTable::set_service(const api::core_v1::Service& service) {
  std::string key = key_of(service.metadata().namespace_(), service.metadata().name());
  dirty_.insert(key);
  drop_service(key);
  auto spec = service.spec();
  if (spec.type() == "ExternalName" || spec.cluster_ip() == "None" ||
      service.metadata().labels().contains("service.kubernetes.io/service-proxy-name")) {
    return;
  }
  std::optional<IpAddress> ip = target_address(spec.cluster_ip(), key, "spec.clusterIP");
  for (std::string_view text : spec.cluster_ips()) {
    if (!ip && text != spec.cluster_ip()) ip = target_address(text, key, "spec.clusterIPs");
  }
  if (!ip) return;
  Service s;
  s.created = service.metadata().creation_timestamp();
  s.cluster_ip = *ip;
  for (Port& p : read_ports(spec.ports(), key)) {
    auto same = [&](const Port& o) { return o.port == p.port && o.protocol == p.protocol; };
    if (std::none_of(s.ports.begin(), s.ports.end(), same)) s.ports.push_back(std::move(p));
  }
  read_addresses(service, key, s);
  if (spec.session_affinity() == "ClientIP") {
    constexpr int64_t kDefault = 10800, kMost = 86400;  // the API's own bounds
    auto seconds = spec.session_affinity_config().client_ip().timeout_seconds();
    s.affinity_seconds =
        static_cast<int32_t>(seconds > 0 && seconds <= kMost ? int64_t{seconds} : kDefault);
  }
  s.external_local = spec.external_traffic_policy() == "Local";
  s.internal_local = spec.internal_traffic_policy() == "Local";
  if (spec.type() == "LoadBalancer" && s.external_local) {
    s.check_port = port_number(spec.health_check_node_port()).value_or(0);
  }
  change_claims(key, s, true);
  if (s.check_port != 0) checked_.insert(key);
  services_[key] = std::move(s);
}

void ServiceTable::change_claims(const std::string& key, const Service& service, bool add) {
  auto change = [&](IpAddress ip, const Port& port, bool external) {
    const Front front{ip, port.protocol, port.port};
    std::set<Claim>& claims = claims_[front];
    const Claim mine{external, service.created, key};
    if (add) {
      claims.insert(mine);
    } else {
      claims.erase(mine);
    }
    for (const Claim& c : claims) dirty_.insert(c.service);
    if (claims.empty()) claims_.erase(front);
  };
  for (const Port& p : service.ports) {
    change(service.cluster_ip, p, false);
    for (IpAddress ip : service.external_ips) change(ip, p, true);
  }
}

bool ServiceTable::owns(const std::string& service, IpAddress ip, const Port& port) const {
  auto it = claims_.find({ip, port.protocol, port.port});
  if (it == claims_.end()) return false;
  if (it->second.begin()->service == service) return true;
  skipped(service, "address of another service", ip.text());
  return false;
}

void ServiceTable::drop_service(const std::string& key) {
  auto it = services_.find(key);
  if (it == services_.end()) return;
  change_claims(key, it->second, false);
  checked_.erase(key);
  services_.erase(it);
}

void ServiceTable::remove_service(std::string_view ns, std::string_view name) {
  std::string key = key_of(ns, name);
  drop_service(key);
  dirty_.insert(std::move(key));
}

void ServiceTable::set_slice(const api::discovery_v1::EndpointSlice& slice) {
  std::string_view ns = slice.metadata().namespace_(), name = slice.metadata().name();
  remove_slice(ns, name);
  if (slice.address_type() != (v6_ ? "IPv6" : "IPv4")) return;
  // What belongs to a headless service is for DNS alone, whatever else has that service's name.
  if (slice.metadata().labels().contains("service.kubernetes.io/headless")) return;
  const std::string key = key_of(ns, name);
  Slice s;
  s.service = key_of(ns, slice.metadata().labels().get("kubernetes.io/service-name"));
  for (auto e : slice.endpoints()) {
    auto c = e.conditions();
    bool ready = !c.has_ready() || c.ready();
    bool serving = c.has_serving() ? c.serving() : ready;
    // Only the first address counts: the others are for dual-stack, which has slices of its own.
    if (e.addresses().empty()) continue;
    auto ip = target_address(e.addresses()[0], key, "endpoints.addresses");
    if (!ip) continue;
    Endpoint out{*ip,         ready, serving, c.terminating(), e.node_name() == node_name_,
                 Hint::kNone, {}};
    for (auto n : e.hints().for_nodes()) {
      if (out.node != Hint::kHere)
        out.node = n.name() == node_name_ ? Hint::kHere : Hint::kElsewhere;
    }
    for (auto z : e.hints().for_zones()) out.zones.emplace_back(z.name());
    s.endpoints.push_back(std::move(out));
  }
  s.ports = read_ports(slice.ports(), key);
  dirty_.insert(s.service);
  slices_of_[s.service].insert(key);
  slices_[key] = std::move(s);
}

void ServiceTable::remove_slice(std::string_view ns, std::string_view name) {
  auto it = slices_.find(key_of(ns, name));
  if (it == slices_.end()) return;
  dirty_.insert(it->second.service);
  auto of = slices_of_.find(it->second.service);
  of->second.erase(it->first);
  if (of->second.empty()) slices_of_.erase(of);
  slices_.erase(it);
}

void ServiceTable::mark_all_dirty() {
  for (const auto& [key, s] : services_) dirty_.insert(key);
}

bool ServiceTable::set_zone(std::string_view zone) {
  if (zone_ == zone) return false;
  zone_ = zone;
  mark_all_dirty();
  return true;
}

bool ServiceTable::here(const Endpoint& e, Prefer prefer) const {
  if (prefer == Prefer::kAny) return true;
  if (prefer == Prefer::kNode) return e.node == Hint::kHere;
  return std::find(e.zones.begin(), e.zones.end(), zone_) != e.zones.end();
}

// Hints count when every ready endpoint has one, and one at least is for us (KEP-2433).
ServiceTable::Prefer ServiceTable::preference(
    const std::vector<std::pair<const Endpoint*, uint16_t>>& endpoints) const {
  bool any = false, nodes = true, zones = true, node = false, zone = false;
  for (const auto& [e, port] : endpoints) {
    if (!e->ready) continue;
    any = true;
    nodes &= e->node != Hint::kNone;
    zones &= !e->zones.empty();
    node |= here(*e, Prefer::kNode);
    zone |= here(*e, Prefer::kZone);
  }
  if (any && nodes && node) return Prefer::kNode;
  if (any && zones && zone) return Prefer::kZone;
  return Prefer::kAny;
}

std::vector<Target> ServiceTable::pick(const std::string& service, const Port& port,
                                       bool local_only) const {
  auto of = slices_of_.find(service);
  if (of == slices_of_.end()) return {};
  std::vector<std::pair<const Endpoint*, uint16_t>> endpoints;
  for (const std::string& key : of->second) {
    const Slice& s = slices_.find(key)->second;
    for (const Port& p : s.ports) {
      if (p.name != port.name || p.protocol != port.protocol) continue;
      for (const Endpoint& e : s.endpoints) endpoints.emplace_back(&e, p.port);
    }
  }
  const Prefer prefer = local_only ? Prefer::kAny : preference(endpoints);
  std::vector<Target> ready, draining;
  for (const auto& [e, number] : endpoints) {
    if (local_only && !e->local) continue;
    if (e->ready && here(*e, prefer)) ready.push_back({e->ip, number});
    // KEP-1669: while nothing is ready, endpoints that still serve as they end are better than
    // none.
    if (e->serving && e->terminating) draining.push_back({e->ip, number});
  }
  std::vector<Target>& out = ready.empty() ? draining : ready;
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return std::move(out);
}

std::map<std::string, Forward> ServiceTable::forwards(const std::string& service) const {
  std::map<std::string, Forward> out;
  auto it = services_.find(service);
  if (it == services_.end()) return out;
  const Service& s = it->second;
  for (const Port& p : s.ports) {
    if (!owns(service, s.cluster_ip, p)) continue;
    Forward f;
    f.name = service + ":" + p.name;
    f.protocol = p.protocol;
    f.cluster_ip = s.cluster_ip;
    f.port = p.port;
    f.node_port = p.node_port;
    for (IpAddress ip : s.external_ips) {
      if (ip != s.cluster_ip && owns(service, ip, p)) f.external_ips.push_back(ip);
    }
    for (IpAddress ip : s.guarded_ips) {
      if (ip != s.cluster_ip && owns(service, ip, p)) f.guarded_ips.push_back(ip);
    }
    f.source_ranges = s.source_ranges;
    f.affinity_seconds = s.affinity_seconds;
    f.internal_local = s.internal_local;
    f.external_local = s.external_local;
    f.cluster_targets = pick(service, p, false);
    if (s.internal_local || s.external_local) f.local_targets = pick(service, p, true);
    std::string id = f.name + "/" + std::string(protocol_text(p.protocol));
    out.emplace(std::move(id), std::move(f));
  }
  return out;
}

std::map<std::string, ServiceCheck> ServiceTable::checks() const {
  std::map<std::string, ServiceCheck> out;
  for (const std::string& key : checked_) {
    const Service& service = services_.find(key)->second;
    std::set<IpAddress> ready;
    auto of = slices_of_.find(key);
    if (of != slices_of_.end()) {
      for (const std::string& slice : of->second) {
        for (const Endpoint& e : slices_.find(slice)->second.endpoints) {
          if (e.local && e.ready) ready.insert(e.ip);
        }
      }
    }
    out[key] = {service.check_port, static_cast<int>(ready.size())};
  }
  return out;
}

std::set<IpAddress> ServiceTable::local_ips(const std::string& service) const {
  std::set<IpAddress> out;
  auto of = slices_of_.find(service);
  if (of == slices_of_.end() || !services_.contains(service)) return out;
  for (const std::string& key : of->second) {
    for (const Endpoint& e : slices_.find(key)->second.endpoints) {
      if (e.local) out.insert(e.ip);
    }
  }
  return out;
}

}  // namespace keles::proxy
