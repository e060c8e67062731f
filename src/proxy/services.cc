#include "proxy/services.h"

namespace keles::proxy {
namespace {

std::string key_of(std::string_view ns, std::string_view name) {
  return std::string(ns) + "/" + std::string(name);
}

std::string protocol_of(std::string_view p) {
  if (p == "UDP") return "udp";
  if (p == "SCTP") return "sctp";
  return "tcp";
}

bool is_v4(std::string_view ip) { return !ip.empty() && ip.find(':') == ip.npos; }

}  // namespace

void ServiceTable::set_service(const api::core_v1::Service& service) {
  std::string key = key_of(service.metadata().namespace_(), service.metadata().name());
  dirty_.insert(key);
  auto spec = service.spec();
  std::string_view ip = spec.cluster_ip();
  if (spec.type() == "ExternalName" || ip == "None" || !is_v4(ip) ||
      service.metadata().labels().contains("service.kubernetes.io/service-proxy-name")) {
    services_.erase(key);
    return;
  }
  Service s;
  s.cluster_ip = ip;
  for (auto p : spec.ports()) {
    s.ports.push_back({std::string(p.name()), protocol_of(p.protocol()),
                       static_cast<uint16_t>(p.port()), static_cast<uint16_t>(p.node_port())});
  }
  for (std::string_view e : spec.external_ips()) {
    if (is_v4(e)) s.external_ips.emplace_back(e);
  }
  for (auto ingress : service.status().load_balancer().ingress()) {
    if (is_v4(ingress.ip()) && ingress.ip_mode() != "Proxy")
      s.external_ips.emplace_back(ingress.ip());
  }
  if (spec.session_affinity() == "ClientIP") {
    auto seconds = spec.session_affinity_config().client_ip().timeout_seconds();
    s.affinity_seconds = seconds > 0 ? static_cast<int32_t>(seconds) : 10800;
  }
  s.external_local = spec.external_traffic_policy() == "Local";
  s.internal_local = spec.internal_traffic_policy() == "Local";
  services_[key] = std::move(s);
}

void ServiceTable::remove_service(std::string_view ns, std::string_view name) {
  std::string key = key_of(ns, name);
  services_.erase(key);
  dirty_.insert(std::move(key));
}

void ServiceTable::set_slice(const api::discovery_v1::EndpointSlice& slice) {
  std::string_view ns = slice.metadata().namespace_(), name = slice.metadata().name();
  remove_slice(ns, name);
  if (slice.address_type() != "IPv4") return;
  Slice s;
  s.service = key_of(ns, slice.metadata().labels().get("kubernetes.io/service-name"));
  for (auto e : slice.endpoints()) {
    auto c = e.conditions();
    bool ready = !c.has_ready() || c.ready();
    bool serving = c.has_serving() ? c.serving() : ready;
    // Only the first address counts: the others are for dual-stack, which has slices of its own.
    if (e.addresses().empty()) continue;
    s.endpoints.push_back({std::string(e.addresses()[0]), ready, serving, c.terminating(),
                           e.node_name() == node_name_});
  }
  for (auto p : slice.ports()) {
    s.ports.push_back(
        {std::string(p.name()), protocol_of(p.protocol()), static_cast<uint16_t>(p.port()), 0});
  }
  std::string key = key_of(ns, name);
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

std::set<Target> ServiceTable::pick(const std::string& service, const Port& port,
                                    bool local_only) const {
  auto of = slices_of_.find(service);
  if (of == slices_of_.end()) return {};
  std::set<Target> ready, draining;
  for (const std::string& key : of->second) {
    const Slice& s = slices_.find(key)->second;
    for (const Port& p : s.ports) {
      if (p.name != port.name || p.protocol != port.protocol) continue;
      for (const Endpoint& e : s.endpoints) {
        if (local_only && !e.local) continue;
        if (e.ready) ready.insert({e.ip, p.port});
        // KEP-1669: while nothing is ready, endpoints that still serve as they end are better than
        // none.
        if (e.serving && e.terminating) draining.insert({e.ip, p.port});
      }
    }
  }
  return ready.empty() ? draining : ready;
}

std::map<std::string, Forward> ServiceTable::forwards(const std::string& service) const {
  std::map<std::string, Forward> out;
  auto it = services_.find(service);
  if (it == services_.end()) return out;
  const Service& s = it->second;
  for (const Port& p : s.ports) {
    Forward f;
    f.name = service + ":" + p.name;
    f.protocol = p.protocol;
    f.cluster_ip = s.cluster_ip;
    f.port = p.port;
    f.node_port = p.node_port;
    f.external_ips = s.external_ips;
    f.affinity_seconds = s.affinity_seconds;
    f.external_local = s.external_local;
    f.targets = pick(service, p, s.internal_local);
    f.external_targets = pick(service, p, s.external_local);
    out.emplace(f.name + "/" + p.protocol, std::move(f));
  }
  return out;
}

std::set<std::string> ServiceTable::local_ips(const std::string& service) const {
  std::set<std::string> out;
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
