#include "controllers/endpointslice_mirroring.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "base/ip.h"
#include "base/metrics.h"
#include "controllers/ownership.h"
#include "controllers/service_endpoints.h"

namespace keles::controllers {

using namespace api::core_v1;
using namespace api::discovery_v1;
using SlicePort = api::discovery_v1::EndpointPort;

namespace {

constexpr std::string_view kServiceName = "kubernetes.io/service-name";
constexpr std::string_view kManagedBy = "endpointslice.kubernetes.io/managed-by";
constexpr std::string_view kManager = "endpointslicemirroring-controller.k8s.io";
constexpr std::string_view kSkip = "endpointslice.kubernetes.io/skip-mirror";
constexpr std::string_view kLeader = "control-plane.alpha.kubernetes.io/leader";
constexpr std::string_view kByService = "mirrored";
constexpr size_t kMostPerSubset = 1000;  // upstream's --mirroring-max-endpoints-per-subset
// What is about the Endpoints object itself.
constexpr std::string_view kOwnAnnotations[] = {"endpoints.kubernetes.io/last-change-trigger-time",
                                                "kubectl.kubernetes.io/last-applied-configuration"};

bool is_mirrored(const Endpoints& e) {
  return e.metadata().labels().get(kSkip) != "true" &&
         !e.metadata().annotations().contains(kLeader);
}

// "ns/name" of the service whose Endpoints the slice mirrors, "" of others' slices.
std::string mirrored_key(const EndpointSlice& s) {
  auto labels = s.metadata().labels();
  if (labels.get(kManagedBy) != kManager || labels.get(kServiceName).empty()) return {};
  return std::string(s.metadata().namespace_()) + "/" + std::string(labels.get(kServiceName));
}

// One address as a subset has it; not ready, where any says so.
using AddressKey = std::pair<std::string, std::string>;  // ip, uid of its target
struct Subset {
  Ports ports;
  std::vector<std::pair<api::core_v1::EndpointAddress, bool>> addresses;  // ready ones first
};

// Ports that lead to the same addresses, in the same state, belong together, however they are
// written.
std::vector<Subset> packed(const Endpoints& e) {
  std::map<AddressKey, api::core_v1::EndpointAddress> first;
  std::map<Ports, std::map<AddressKey, bool>> by_port;  // one port each, or none
  for (EndpointSubset s : e.subsets()) {
    std::vector<Ports> ports;
    for (auto p : s.ports()) {
      ports.push_back({{std::string(p.name()), p.has_protocol() ? std::string(p.protocol()) : "TCP",
                        std::string(p.app_protocol()), p.port()}});
    }
    if (ports.empty()) ports.emplace_back();
    auto add = [&](const List<api::core_v1::EndpointAddress>& list, bool ready) {
      for (api::core_v1::EndpointAddress a : list) {
        AddressKey key{a.ip(), a.target_ref().uid()};
        first.emplace(key, a);
        for (const Ports& p : ports) {
          auto [it, is_new] = by_port[p].emplace(key, ready);
          it->second = it->second && ready;
        }
      }
    };
    add(s.addresses(), true);
    add(s.not_ready_addresses(), false);
  }
  std::map<std::map<AddressKey, bool>, Ports> groups;
  std::vector<Subset> out;
  for (const auto& [port, addresses] : by_port) {
    if (port.empty()) {
      out.emplace_back();
      for (const auto& [key, ready] : addresses) {
        out.back().addresses.emplace_back(first.at(key), ready);
      }
      continue;
    }
    groups[addresses].push_back(port[0]);
  }
  for (const auto& [addresses, ports] : groups) {
    Subset& s = out.emplace_back();
    s.ports = ports;
    for (const auto& [key, ready] : addresses) s.addresses.emplace_back(first.at(key), ready);
  }
  for (Subset& s : out) {
    std::sort(s.ports.begin(), s.ports.end());
    std::stable_sort(s.addresses.begin(), s.addresses.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
  }
  return out;
}

// The slice as it should be, on top of what `slice` is; text that is the same for equal slices.
void write_slice(EndpointSliceEdit slice, const Endpoints& e, const std::string& family,
                 const Ports& ports) {
  auto meta = slice.edit_metadata();
  meta.clear_labels();
  for (auto [k, v] : e.metadata().labels()) meta.edit_labels().set(k, v);
  meta.edit_labels().set(kServiceName, e.metadata().name());
  meta.edit_labels().set(kManagedBy, kManager);
  meta.clear_annotations();
  for (auto [k, v] : e.metadata().annotations()) {
    if (std::find(std::begin(kOwnAnnotations), std::end(kOwnAnnotations), k) ==
        std::end(kOwnAnnotations)) {
      meta.edit_annotations().set(k, v);
    }
  }
  meta.clear_owner_references();
  set_controller_reference(meta, kind_of<Endpoints>(), e.metadata());
  slice.set_address_type(family);
  slice.clear_ports();
  for (const PortData& p : ports) {
    auto port = slice.edit_ports().add();
    port.set_name(p.name);
    port.set_protocol(p.protocol);
    port.set_port(p.port);
    if (!p.app_protocol.empty()) port.set_app_protocol(p.app_protocol);
  }
  slice.edit_endpoints().clear();
}

void add_endpoint(EndpointSliceEdit slice, const api::core_v1::EndpointAddress& a,
                  const IpAddress& ip, bool ready) {
  auto e = slice.edit_endpoints().add();
  e.edit_addresses().add(ip.text());
  e.edit_conditions().set_ready(ready);
  if (!a.hostname().empty()) e.set_hostname(a.hostname());
  if (a.has_target_ref()) e.set_target_ref(a.target_ref());
  if (!a.node_name().empty()) e.set_node_name(a.node_name());
}

Ports ports_of(const EndpointSlice& s) {
  Ports out;
  for (SlicePort p : s.ports()) {
    out.push_back({std::string(p.name()), std::string(p.protocol()), std::string(p.app_protocol()),
                   p.port()});
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

MirrorPlan plan_mirror(const Endpoints& e, const std::vector<Ref<EndpointSlice>>& slices,
                       size_t per_subset) {
  using Key = std::pair<std::string, Ports>;
  MirrorPlan plan;
  std::map<Key, std::vector<std::tuple<api::core_v1::EndpointAddress, IpAddress, bool>>> wanted;
  for (const Subset& s : packed(e)) {
    size_t added = 0;
    for (const auto& [address, ready] : s.addresses) {
      if (added >= per_subset) break;
      auto read = IpAddress::parse_sloppy(address.ip());
      if (!read) {
        ++plan.invalid;
        continue;
      }
      const IpAddress ip = read->address.unmapped();
      wanted[{ip.v6() ? "IPv6" : "IPv4", s.ports}].emplace_back(address, ip, ready);
      ++added;
    }
    plan.skipped += s.addresses.size() - added;
  }
  std::map<Key, Ref<EndpointSlice>> have;
  std::map<std::string, std::vector<Ref<EndpointSlice>>> spare;  // by family, which stays
  for (const auto& s : slices) {
    if (!s->metadata().deletion_timestamp().empty()) continue;
    Key key{s->address_type(), ports_of(*s)};
    const bool kept = wanted.contains(key) && have.emplace(key, s).second;
    if (!kept) spare[key.first].push_back(s);
  }
  for (const auto& [key, endpoints] : wanted) {
    Ref<EndpointSlice> from;
    if (auto it = have.find(key); it != have.end()) from = it->second;
    if (!from && !spare[key.first].empty()) {
      from = spare[key.first].back();
      spare[key.first].pop_back();
    }
    Draft<EndpointSliceEdit> d =
        from ? Draft<EndpointSliceEdit>(*from) : Draft<EndpointSliceEdit>();
    write_slice(*d, e, key.first, key.second);
    for (const auto& [address, ip, ready] : endpoints) add_endpoint(*d, address, ip, ready);
    if (!from) {
      d->edit_metadata().set_namespace_(e.metadata().namespace_());
      d->edit_metadata().set_generate_name(std::string(e.metadata().name()) + "-");
      plan.create.push_back(std::move(d));
    } else if (!d.value().equals(from->value())) {
      plan.update.push_back(std::move(d));
    }
  }
  for (auto& [family, rest] : spare) {
    plan.remove.insert(plan.remove.end(), rest.begin(), rest.end());
  }
  return plan;
}

EndpointSliceMirroring::EndpointSliceMirroring(Deps deps)
    : ControllerFor(deps, "endpoint_slice_mirroring", "endpoint-slice-mirroring-controller", 5),
      services_(watches<Service>([](const Ref<Service>& before, const Ref<Service>& now) {
        const bool was = before && !has_selector(*before), is = now && !has_selector(*now);
        return was != is ? Keys{key_of((now ? now : before)->metadata())} : Keys();
      })),
      slices_(watches<EndpointSlice>(
          [this](const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now) {
            return mirrored_by(before, now);
          })),
      writer_(deps.client, expectations(), "endpoint_slice_mirroring_controller") {
  slices_.base().add_index(std::string(kByService), [](const ObjectPtr& o) {
    std::string key = mirrored_key(*read<EndpointSlice>(o));
    return key.empty() ? Keys() : Keys{std::move(key)};
  });
}

Keys EndpointSliceMirroring::mirrored_by(const Ref<EndpointSlice>& before,
                                         const Ref<EndpointSlice>& now) {
  std::string was = before ? mirrored_key(*before) : "", is = now ? mirrored_key(*now) : "";
  if (!before && !is.empty()) expectations().creation_settled(is);
  Keys out;
  if (!was.empty() && was != is) out.push_back(std::move(was));
  if (!is.empty()) out.push_back(std::move(is));
  return out;
}

void EndpointSliceMirroring::warn(const Ref<Endpoints>& endpoints, const MirrorPlan& plan) {
  static metrics::Histogram& skipped =
      metrics::histogram("endpoint_slice_mirroring_controller_addresses_skipped_per_sync",
                         "Addresses of an Endpoints object that were not mirrored, at once.", {},
                         {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384});
  skipped.observe(static_cast<double>(plan.skipped));
  if (plan.invalid > 0) {
    events().warning(reference_to(endpoints), "InvalidIPAddress",
                     "Skipped " + std::to_string(plan.invalid) +
                         " invalid IP addresses when mirroring to EndpointSlices");
  }
  if (plan.skipped > plan.invalid) {
    events().warning(reference_to(endpoints), "TooManyAddressesToMirror",
                     "A max of " + std::to_string(kMostPerSubset) +
                         " addresses can be mirrored to EndpointSlices per Endpoints subset. " +
                         std::to_string(plan.skipped) + " addresses were skipped");
  }
}

Task<ReconcileResult> EndpointSliceMirroring::reconcile(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<Endpoints> endpoints = find(key);
  Ref<Service> service = services_.get(parts.first, parts.second);
  const auto slices = slices_.by_index(kByService, key);
  const bool mirrors = endpoints && service && is_mirrored(*endpoints) && !has_selector(*service);
  if (mirrors && !expectations().satisfied(key)) {
    co_return ReconcileResult::after(expectations().remaining(key));
  }
  MirrorPlan plan;
  if (mirrors) {
    plan = plan_mirror(*endpoints, slices, kMostPerSubset);
    warn(endpoints, plan);
    if (!endpoints->metadata().deletion_timestamp().empty()) {
      plan.create.clear();
      plan.update.clear();
    }
  } else {
    expectations().forget(key);
    plan.remove = slices;
  }
  Status s = co_await writer_.write(ctx, key, &plan);
  co_return s;
}

}  // namespace keles::controllers
