#include "controllers/service_endpoints.h"

#include <algorithm>
#include <set>

#include "controllers/ownership.h"
#include "controllers/selector_index.h"
#include "machinery/labels.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

int64_t named_port(const List<Container>& containers, std::string_view name,
                   std::string_view protocol, bool sidecars_only) {
  for (Container c : containers) {
    if (sidecars_only && c.restart_policy() != "Always") continue;
    for (ContainerPort p : c.ports()) {
      std::string_view has = p.protocol().empty() ? "TCP" : p.protocol();
      if (p.name() == name && has == protocol) return p.container_port();
    }
  }
  return 0;
}

}  // namespace

Ports resolve_ports(const Service& service, const Pod& pod) {
  Ports out;
  for (ServicePort p : service.spec().ports()) {
    PortData d;
    d.name = p.name();
    d.protocol = p.protocol().empty() ? "TCP" : p.protocol();
    d.app_protocol = p.app_protocol();
    const Value& target = p.target_port();
    if (target.is_string()) {
      d.port = named_port(pod.spec().containers(), target.as_string(), d.protocol, false);
      if (d.port == 0) {
        d.port = named_port(pod.spec().init_containers(), target.as_string(), d.protocol, true);
      }
    } else {
      d.port = target.as_int() != 0 ? target.as_int() : p.port();
    }
    if (d.port != 0) out.push_back(std::move(d));
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string pod_address(const Pod& pod, std::string_view family) {
  auto is_of = [family](std::string_view ip) {
    return !ip.empty() && (ip.find(':') != std::string_view::npos) == (family == "IPv6");
  };
  for (PodIP ip : pod.status().pod_ips()) {
    if (is_of(ip.ip())) return std::string(ip.ip());
  }
  std::string_view ip = pod.status().pod_ip();
  return is_of(ip) ? std::string(ip) : std::string();
}

EndpointData endpoint_of(const Service& service, const Pod& pod, std::string address) {
  EndpointData e;
  e.address = std::move(address);
  e.serving = pod_is_ready(pod);
  e.terminating = !pod.metadata().deletion_timestamp().empty();
  e.ready = service.spec().publish_not_ready_addresses() || (e.serving && !e.terminating);
  if (!pod.spec().hostname().empty() && pod.spec().subdomain() == service.metadata().name()) {
    e.hostname = pod.spec().hostname();
  }
  e.node = pod.spec().node_name();
  e.ns = pod.metadata().namespace_();
  e.pod = pod.metadata().name();
  e.uid = pod.metadata().uid();
  return e;
}

bool has_endpoint(const Pod& pod) {
  return !pod_has_finished(pod) &&
         (!pod.status().pod_ip().empty() || !pod.status().pod_ips().empty());
}

bool endpoint_changed(const Ref<Pod>& before, const Ref<Pod>& now) {
  if (!before || !now) return true;
  return pod_is_ready(*before) != pod_is_ready(*now) ||
         has_endpoint(*before) != has_endpoint(*now) ||
         before->status().pod_ip() != now->status().pod_ip() ||
         before->spec().node_name() != now->spec().node_name() ||
         before->metadata().deletion_timestamp().empty() !=
             now->metadata().deletion_timestamp().empty() ||
         !before->metadata().labels().value().equals(now->metadata().labels().value());
}

std::vector<std::string> families_of(const Service& service) {
  std::vector<std::string> out;
  for (std::string_view f : service.spec().ip_families()) out.emplace_back(f);
  if (out.empty()) out.emplace_back("IPv4");
  return out;
}

bool has_selector(const Service& service) {
  return !service.spec().selector().empty() && service.spec().type() != "ExternalName";
}

bool is_headless(const Service& service) { return service.spec().cluster_ip() == "None"; }

std::vector<std::string> services_of(const Informer<Service>& services, const Ref<Pod>& before,
                                     const Ref<Pod>& now) {
  std::set<std::string> out;
  for (const Ref<Pod>& pod : {before, now}) {
    if (!pod) continue;
    auto labels = pod->metadata().labels();
    for (const auto& s : may_select(services, pod->metadata().namespace_(), labels)) {
      if (has_selector(*s) && Selector::from_set(s->spec().selector()).matches(labels)) {
        out.insert(key_of(s->metadata()));
      }
    }
  }
  return {out.begin(), out.end()};
}

}  // namespace keles::controllers
