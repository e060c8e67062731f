#include "server/bootstrap.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "api/apiregistration_v1.h"
#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "api/networking_v1.h"
#include "api/scheduling_v1.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/sync.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "net/certificate_bundle.h"
#include "server/flow/bootstrap.h"
#include "server/objects/meta.h"
#include "server/registry/service_pools.h"
#include "server/registry/services.h"

namespace keles::server {
namespace {

using registry::Registry;
using registry::WriteRequest;

WriteRequest as_server() {
  WriteRequest how;
  how.user = "system:apiserver";
  how.field_manager = "kube-apiserver";
  how.groups = {"system:masters"};
  how.judged = true;  // no webhook, policy or quota keeps the server from starting
  return how;
}

// Makes the object if it is not there: where there is a cluster already, nothing is written. One
// that cannot be read counts as there once the store says so.
Task<Status> ensure(Context ctx, Registry* registry, const KindDesc* kind, std::string ns,
                    Document body) {
  std::string name(registry::meta(body.root, "name"));
  auto there = co_await registry->get(ctx, kind, ns, std::move(name));
  if (there.ok()) co_return Status();
  auto made = co_await registry->create(ctx, kind, ns, std::move(body), as_server());
  if (made.ok() || made.status().is(Reason::kAlreadyExists)) co_return Status();
  co_return made.status().with_prefix("bootstrap " + std::string(kind->kind));
}

// Roles and bindings: made when absent, completed when they lack what they should hold.
Task<Status> ensure_rbac(Context ctx, Registry* registry, auth::BootstrapObject* object) {
  auto there = co_await registry->get(ctx, object->kind, object->ns, object->name);
  if (!there.ok()) {
    Document copy = object->body.clone();
    co_return co_await ensure(ctx, registry, object->kind, object->ns, std::move(copy));
  }
  DocumentPtr tree = (*there)->tree();
  auto merged = auth::merge_bootstrap(tree->root, object->body.root);
  if (!merged) co_return Status();
  WriteRequest how = as_server();
  auto done = co_await registry->update(ctx, object->kind, object->ns, object->name, "",
                                        std::move(*merged), std::move(how));
  co_return done.status();
}

Document make_namespace(std::string_view name) {
  Draft<api::core_v1::NamespaceEdit> d;
  d->edit_metadata().set_name(name);
  return d.take();
}

Document make_priority_class(std::string_view name, int64_t value, std::string_view description) {
  Draft<api::scheduling_v1::PriorityClassEdit> d;
  d->edit_metadata().set_name(name);
  d->set_value(value);
  d->set_description(description);
  d->set_preemption_policy("PreemptLowerPriority");
  return d.take();
}

Document make_service(const ApiServerOptions& options, const std::string& address) {
  Draft<api::core_v1::ServiceEdit> d;
  auto meta = d->edit_metadata();
  meta.set_name("kubernetes");
  meta.set_namespace_("default");
  meta.edit_labels().set("component", "apiserver");
  meta.edit_labels().set("provider", "kubernetes");
  auto spec = d->edit_spec();
  spec.set_type("ClusterIP");
  spec.set_cluster_ip(address);
  spec.set_ip_family_policy("SingleStack");
  auto port = spec.edit_ports().add();
  port.set_name("https");
  port.set_protocol("TCP");
  port.set_port(443);
  port.set_target_port(Value(static_cast<int64_t>(options.advertise_port)));
  return d.take();
}

Document make_slice(const std::vector<std::string>& addresses, uint16_t serving_port) {
  Draft<api::discovery_v1::EndpointSliceEdit> d;
  auto meta = d->edit_metadata();
  meta.set_name("kubernetes");
  meta.set_namespace_("default");
  meta.edit_labels().set("kubernetes.io/service-name", "kubernetes");
  d->set_address_type(addresses.front().find(':') == std::string::npos ? "IPv4" : "IPv6");
  for (const std::string& address : addresses) {
    auto endpoint = d->edit_endpoints().add();
    endpoint.edit_addresses().add(address);
    endpoint.edit_conditions().set_ready(true);
  }
  auto port = d->edit_ports().add();
  port.set_name("https");
  port.set_protocol("TCP");
  port.set_port(serving_port);
  return d.take();
}

Document make_endpoints(const std::vector<std::string>& addresses, uint16_t serving_port) {
  Draft<api::core_v1::EndpointsEdit> d;
  auto meta = d->edit_metadata();
  meta.set_name("kubernetes");
  meta.set_namespace_("default");
  meta.edit_labels().set("endpointslice.kubernetes.io/skip-mirror", "true");
  auto subset = d->edit_subsets().add();
  for (const std::string& address : addresses) subset.edit_addresses().add().set_ip(address);
  auto port = subset.edit_ports().add();
  port.set_name("https");
  port.set_protocol("TCP");
  port.set_port(serving_port);
  return d.take();
}

// Makes the object, or brings the one that is there to the same content.
Task<Status> replace(Context ctx, Registry* registry, const KindDesc* kind, Document body) {
  Document again = body.clone();
  auto there = co_await registry->get(ctx, kind, "default", "kubernetes");
  if (!there.ok()) {
    auto made = co_await registry->create(ctx, kind, "default", std::move(body), as_server());
    if (made.ok()) co_return Status();
    if (!made.status().is(Reason::kAlreadyExists)) co_return made.status();
  }
  auto done = co_await registry->update(ctx, kind, "default", "kubernetes", "", std::move(again),
                                        as_server());
  co_return done.status();
}

}  // namespace

namespace {

Task<void> record(Task<Status> t, Status* first) {
  Status s = co_await std::move(t);
  if (!s.ok() && first->ok()) *first = s;
}

// Side by side: writers that come together share one sync of the disk.
class Batch {
 public:
  explicit Batch(Loop& loop) : group_(loop) {}
  void add(Task<Status> t) { group_.spawn(record(std::move(t), &first_)); }
  Task<Status> finish() {
    co_await group_.join();
    co_return first_;
  }

 private:
  TaskGroup group_;
  Status first_;
};

Document make_cidr(const std::vector<std::string>& ranges) {
  Draft<api::networking_v1::ServiceCIDREdit> d;
  d->edit_metadata().set_name(registry::kDefaultServiceCidr);
  for (const std::string& range : ranges) d->edit_spec().edit_cidrs().add(range);
  return d.take();
}

// What it is told once; who has judged the range since keeps the word. Nothing: it has been.
std::optional<Document> with_ready_default(const Ref<api::networking_v1::ServiceCIDR>& cidr,
                                           WallTime now) {
  for (auto c : cidr->status().conditions()) {
    if (c.type() == "Ready" && c.status() != "Unknown") return std::nullopt;
  }
  Draft<api::networking_v1::ServiceCIDREdit> d(*cidr);
  auto conditions = d->edit_status().edit_conditions();
  conditions.clear();
  auto ready = conditions.add();
  ready.set_type("Ready");
  ready.set_status("True");
  ready.set_reason("");
  ready.set_message("Kubernetes default Service CIDR is ready");
  ready.set_last_transition_time(registry::time_text(now));
  return d.take();
}

// A ConfigMap of kube-system: made, or given what it lacks. `mend` says whether it changed `data`.
using Mend = std::function<bool(Document& map, Value& data)>;
Task<Status> ensure_map(Context ctx, Registry* registry, std::string name, Mend mend) {
  const KindDesc* kind = &kind_of<api::core_v1::ConfigMap>();
  auto there = co_await registry->get(ctx, kind, "kube-system", name);
  Document d;
  if (there.ok()) {
    d = (*there)->tree()->clone();
  } else {
    d.root = Value::map();
    registry::set_meta(d, "name", name);
  }
  if (!mend(d, registry::edit_map(d, d.root, "data"))) co_return Status();
  if (!there.ok()) {
    co_return co_await ensure(ctx, registry, kind, "kube-system", std::move(d));
  }
  auto done =
      co_await registry->update(ctx, kind, "kube-system", name, "", std::move(d), as_server());
  co_return done.status();
}

// Adds the certificates of `pem` to those that are there, and takes away those of `gone` that are
// not among them; false when nothing changes.
bool add_ca(std::string_view key, const std::string& pem, Document& map, Value& data,
            const std::string& gone = "") {
  std::string all(std::as_const(data)[key].as_string());
  const std::string was = all;
  const std::vector<std::string> ours = net::certificates_in(pem);
  for (const std::string& one : net::certificates_in(gone)) {
    const bool stays = std::find(ours.begin(), ours.end(), one) != ours.end();
    const size_t at = stays ? all.npos : all.find(one);
    if (at != all.npos) all.erase(at, one.size());
  }
  for (const std::string& one : ours) {
    if (all.find(one) != all.npos) continue;
    if (!all.empty() && all.back() != '\n') all += '\n';
    all += one;
  }
  if (all == was) return false;
  registry::set_text(map, data, key, all);
  return true;
}

// Adds what is missing to a list of texts that is kept as JSON.
bool add_names(std::string_view key, const std::vector<std::string>& names, Document& map,
               Value& data) {
  auto there = parse_json(std::as_const(data)[key].as_string());
  Document list = there.ok() ? std::move(*there) : Document();
  if (!list.root.is_list()) list.root = Value::list();
  bool changed = std::as_const(data)[key].is_null();
  for (const std::string& name : names) {
    const auto items = std::as_const(list.root).items();
    const bool known = std::any_of(items.begin(), items.end(),
                                   [&](const Value& v) { return v.as_string() == name; });
    if (known) continue;
    list.root.append(list.arena, Value::string(list.arena.copy(name)));
    changed = true;
  }
  if (changed) registry::set_text(map, data, key, to_json(list.root));
  return changed;
}

// Whom extension API servers are to trust as clients, and as who speaks for others. Servers of one
// store add up what they say.
bool publish_authentication(const ApiServerOptions& o, Document& map, Value& data) {
  bool changed = add_ca("client-ca-file", o.client_ca_pem, map, data);
  if (o.requestheader_ca_pem.empty()) return changed;
  changed |= add_ca("requestheader-client-ca-file", o.requestheader_ca_pem, map, data);
  const std::pair<std::string_view, std::vector<std::string>> lists[] = {
      {"requestheader-allowed-names", o.requestheader_allowed_names},
      {"requestheader-extra-headers-prefix", {"X-Remote-Extra-"}},
      {"requestheader-group-headers", {"X-Remote-Group"}},
      {"requestheader-uid-headers", {"X-Remote-Uid"}},
      {"requestheader-username-headers", {"X-Remote-User"}},
  };
  for (const auto& [key, names] : lists) changed |= add_names(key, names, map, data);
  return changed;
}

// Since when the use of legacy tokens is tracked: a day.
bool start_tracking(WallTime now, Document& map, Value& data) {
  const std::string today = registry::time_text(now).substr(0, 10);
  const std::string since(std::as_const(data)["since"].as_string());
  const bool a_day = since.size() == 10 && parse_time(since + "T00:00:00Z").ok();
  if (a_day) return false;
  registry::set_text(map, data, "since", today);
  return true;
}

}  // namespace

Task<Status> publish_client_ca(Context ctx, ApiServer* server, std::string ca_pem,
                               std::string former) {
  Mend publish = [ca_pem, former](Document& map, Value& data) {
    return add_ca("client-ca-file", ca_pem, map, data, former);
  };
  co_return co_await ensure_map(ctx, &server->registry(), "extension-apiserver-authentication",
                                std::move(publish));
}

Task<Status> ensure_default_range(Context ctx, ApiServer* server) {
  Registry* registry = &server->registry();
  const KindDesc* kind = &kind_of<api::networking_v1::ServiceCIDR>();
  const std::string name(registry::kDefaultServiceCidr);
  const std::vector<std::string> own = registry->services().ranges();
  auto there = co_await registry->get(ctx, kind, "", name);
  if (!there.ok()) {
    Document made = make_cidr(own);
    Status s = co_await ensure(ctx, registry, kind, "", std::move(made));
    if (!s.ok()) co_return s;
    there = co_await registry->get(ctx, kind, "", name);
    if (!there.ok()) co_return there.status();
  }
  auto cidr = read<api::networking_v1::ServiceCIDR>(*there);
  const auto ranges = cidr->spec().cidrs();
  if (own.size() == 2 && ranges.size() == 1 && ranges[0] == own[0]) {
    Draft<api::networking_v1::ServiceCIDREdit> both(*cidr);
    both->edit_spec().edit_cidrs().add(own[1]);
    auto done = co_await registry->update(ctx, kind, "", name, "", both.take(), as_server());
    // Another server of this store may have done it.
    co_return done.status().is(Reason::kConflict) ? Status() : done.status();
  }
  bool ours = ranges.size() == own.size();
  for (size_t i = 0; ours && i < own.size(); ++i) ours = ranges[i] == own[i];
  if (!ours || !cidr->metadata().deletion_timestamp().empty()) co_return Status();
  auto ready = with_ready_default(cidr, ctx.loop().wall_now());
  if (!ready) co_return Status();
  auto done =
      co_await registry->update(ctx, kind, "", name, "status", std::move(*ready), as_server());
  const bool other = done.status().is(Reason::kConflict) || done.status().is(Reason::kNotFound);
  co_return other ? Status() : done.status();
}

Task<void> keep_default_range(Context ctx, ApiServer* server) {
  constexpr Duration kEvery = 10s;
  for (;;) {
    Status s = co_await ctx.sleep(kEvery);
    if (!s.ok()) co_return;
    s = co_await ensure_default_range(ctx, server);
    if (!s.ok() && !ctx.done())
      log::warn("The default ServiceCIDR is not as it should be", {{"err", s}});
  }
}

bool reachable_by_pods(std::string_view address) {
  auto ip = IpAddress::parse(address);
  return ip && ip->is_global_unicast();
}

Task<Status> write_endpoints(Context ctx, ApiServer* server, std::vector<std::string> addresses,
                             uint16_t port) {
  Registry* registry = &server->registry();
  Batch both(ctx.loop());
  both.add(replace(ctx, registry, &kind_of<api::discovery_v1::EndpointSlice>(),
                   make_slice(addresses, port)));
  both.add(
      replace(ctx, registry, &kind_of<api::core_v1::Endpoints>(), make_endpoints(addresses, port)));
  co_return co_await both.finish();
}

Task<Status> bootstrap(Context ctx, ApiServer* server) {
  Registry* registry = &server->registry();
  const ApiServerOptions& options = server->options();
  Batch namespaces(ctx.loop());
  for (const char* name : {"default", "kube-system", "kube-public", "kube-node-lease"}) {
    namespaces.add(
        ensure(ctx, registry, &kind_of<api::core_v1::Namespace>(), "", make_namespace(name)));
  }
  Status s = co_await namespaces.finish();
  if (!s.ok()) co_return s;
  std::set<int64_t> suspects;
  auto repaired = co_await registry->services().repair(ctx, suspects);
  if (!repaired.ok()) co_return repaired.status().with_prefix("repair of service allocations");

  std::vector<auth::BootstrapObject> roles = auth::bootstrap_rbac();
  Batch rest(ctx.loop());
  for (auth::BootstrapObject& object : roles) rest.add(ensure_rbac(ctx, registry, &object));
  for (const aggregation::ApiService& s : aggregation::built_in_services(*registry)) {
    rest.add(ensure(ctx, registry, &kind_of<api::apiregistration_v1::APIService>(), "",
                    aggregation::api_service_object(s)));
  }
  if (!options.client_ca_pem.empty() || !options.requestheader_ca_pem.empty()) {
    Mend publish = [&options](Document& map, Value& data) {
      return publish_authentication(options, map, data);
    };
    rest.add(ensure_map(ctx, registry, "extension-apiserver-authentication", std::move(publish)));
  }
  rest.add(flow::ensure_bootstrap(ctx, registry));
  Mend track = [now = ctx.loop().wall_now()](Document& map, Value& data) {
    return start_tracking(now, map, data);
  };
  rest.add(ensure_map(ctx, registry, "kube-apiserver-legacy-service-account-token-tracking",
                      std::move(track)));
  const KindDesc* classes = &kind_of<api::scheduling_v1::PriorityClass>();
  rest.add(ensure(ctx, registry, classes, "",
                  make_priority_class("system-node-critical", 2000001000,
                                      "Used for system critical pods that must not be moved from "
                                      "their current node.")));
  rest.add(ensure(ctx, registry, classes, "",
                  make_priority_class("system-cluster-critical", 2000000000,
                                      "Used for system critical pods that must run in the "
                                      "cluster, but can be moved to another node if necessary.")));
  rest.add(ensure_default_range(ctx, server));
  rest.add(ensure(ctx, registry, &kind_of<api::core_v1::Service>(), "default",
                  make_service(options, registry->services().address(1))));
  if (!reachable_by_pods(options.advertise_address)) {
    log::warn(
        "The service \"kubernetes\" has no endpoint: pods cannot reach the advertised address",
        {{"address", options.advertise_address}});
  } else if (options.host_name.empty() || !registry->store().shared()) {
    std::vector<std::string> own{options.advertise_address};
    rest.add(write_endpoints(ctx, server, std::move(own), options.advertise_port));
  }
  co_return co_await rest.finish();
}

}  // namespace keles::server
