#include "dns/publish.h"

#include <algorithm>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/recurring.h"

namespace keles::dns {
namespace {

using api::core_v1::ConfigMap;
using api::core_v1::ConfigMapEdit;
using api::core_v1::Service;
using api::core_v1::ServiceEdit;
using api::discovery_v1::EndpointSlice;
using api::discovery_v1::EndpointSliceEdit;

constexpr Duration kPublishEvery = 60s, kPublishAgain = 500ms;

Document desired_service(const Published& what) {
  Draft<ServiceEdit> d;
  auto meta = d->edit_metadata();
  meta.set_name("kube-dns");
  meta.set_namespace_("kube-system");
  meta.edit_labels().set("k8s-app", "kube-dns");
  meta.edit_labels().set("kubernetes.io/cluster-service", "true");
  meta.edit_labels().set("kubernetes.io/name", "CoreDNS");
  auto spec = d->edit_spec();
  spec.set_cluster_ip(what.service_ip);
  auto add = [&spec](std::string_view name, std::string_view protocol) {
    auto p = spec.edit_ports().add();
    p.set_name(name);
    p.set_port(53);
    p.set_protocol(protocol);
  };
  add("dns", "UDP");
  add("dns-tcp", "TCP");
  return d.take();
}

Document desired_slice(const Published& what) {
  Draft<EndpointSliceEdit> d;
  auto meta = d->edit_metadata();
  meta.set_name("kube-dns-keles");
  meta.set_namespace_("kube-system");
  meta.edit_labels().set("kubernetes.io/service-name", "kube-dns");
  meta.edit_labels().set("endpointslice.kubernetes.io/managed-by", "dns.keles.dev");
  d->set_address_type(what.endpoint_ip.find(':') == std::string::npos ? "IPv4" : "IPv6");
  auto e = d->edit_endpoints().add();
  e.edit_addresses().add(what.endpoint_ip);
  e.edit_conditions().set_ready(true);
  auto add = [&](std::string_view name, std::string_view protocol) {
    auto p = d->edit_ports().add();
    p.set_name(name);
    p.set_port(what.port);
    p.set_protocol(protocol);
  };
  add("dns", "UDP");
  add("dns-tcp", "TCP");
  return d.take();
}

Document desired_config(const Published& what) {
  Draft<ConfigMapEdit> d;
  auto meta = d->edit_metadata();
  meta.set_name(kConfigName);
  meta.set_namespace_(kConfigNamespace);
  d->edit_data().set("Corefile", what.corefile);
  return d.take();
}

Task<Status> ensure_config(Context ctx, Client* client, const Published* what) {
  auto there =
      co_await client->get<ConfigMap>(ctx, std::string(kConfigNamespace), std::string(kConfigName));
  if (there.ok()) co_return Status();
  if (!there.status().is(Reason::kNotFound)) co_return there.status();
  Document wanted = desired_config(*what);
  auto made = co_await client->create<ConfigMap>(ctx, std::move(wanted));
  co_return made.status();
}

Task<Status> ensure_slice(Context ctx, Client* client, const Published* what) {
  // A loopback address is no endpoint: whoever reads it would ask itself.
  auto ip = IpAddress::parse(what->endpoint_ip);
  if (!ip || !ip->is_global_unicast()) {
    co_return Status::bad_request("pods cannot reach the advertised address " + what->endpoint_ip);
  }
  auto slice = co_await client->get<EndpointSlice>(ctx, "kube-system", "kube-dns-keles");
  if (slice.ok()) {
    auto endpoints = (*slice)->endpoints();
    bool same = endpoints.size() == 1 && endpoints[0].addresses().size() == 1 &&
                endpoints[0].addresses()[0] == what->endpoint_ip;
    if (same) co_return Status();
    Status gone = co_await client->remove<EndpointSlice>(ctx, "kube-system", "kube-dns-keles");
    if (!gone.ok()) co_return gone;
  } else if (!slice.status().is(Reason::kNotFound)) {
    co_return slice.status();
  }
  Document wanted = desired_slice(*what);
  auto made = co_await client->create<EndpointSlice>(ctx, std::move(wanted));
  co_return made.status();
}

Task<Status> publish_once(Context ctx, Client* client, const Published* what) {
  Context limited = ctx.with_timeout(10s);
  auto service = co_await client->get<Service>(limited, "kube-system", "kube-dns");
  if (!service.ok()) {
    if (!service.status().is(Reason::kNotFound)) co_return service.status();
    Document wanted = desired_service(*what);
    auto made = co_await client->create<Service>(limited, std::move(wanted));
    if (!made.ok()) co_return made.status();
  }
  Status config = co_await ensure_config(limited, client, what);
  Status slice = co_await ensure_slice(limited, client, what);
  co_return slice.ok() ? config : slice;
}

}  // namespace

Task<void> publish(Context ctx, Client* client, Published what) {
  Recurring failing;
  Duration again = kPublishAgain;
  for (;;) {
    Status s = co_await publish_once(ctx, client, &what);
    if (s.ok()) failing.over();
    if (!s.ok() && !ctx.done() && failing.news(ctx.loop().now(), s.message())) {
      log::warn("kube-dns not published", {{"err", s}});
    }
    again = s.ok() ? kPublishAgain : std::min<Duration>(again * 2, kPublishEvery);
    Duration wait = s.ok() ? kPublishEvery : again;
    Status slept = co_await ctx.sleep(wait);
    if (!slept.ok()) co_return;
  }
}

}  // namespace keles::dns
