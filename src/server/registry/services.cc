#include "server/registry/services.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <span>

#include "base/encoding.h"
#include "base/ip.h"
#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/machine.h"
#include "store/unreadable.h"

namespace keles::registry {
namespace {

constexpr std::string_view kPortsKey = "/registry/ranges/servicenodeports";
constexpr int kTries = 64;
constexpr Duration kClaimAge = 60s;

const KindDesc& address_kind() {
  static const KindDesc* const k = find_kind("networking.k8s.io", "v1", "IPAddress");
  return *k;
}
const KindDesc& service_kind() {
  static const KindDesc* const k = find_kind("", "v1", "Service");
  return *k;
}
const KindDesc& range_kind() {
  static const KindDesc* const k = find_kind("", "v1", "RangeAllocation");
  return *k;
}

std::string_view type_of(const Value& service) {
  auto t = service["spec"]["type"].as_string();
  return t.empty() ? "ClusterIP" : t;
}
bool needs_address(const Value& service) { return type_of(service) != "ExternalName"; }
bool needs_ports(const Value& service) {
  auto t = type_of(service);
  if (t == "NodePort") return true;
  const Value& wanted = service["spec"]["allocateLoadBalancerNodePorts"];
  return t == "LoadBalancer" && (wanted.is_null() || wanted.as_bool());
}
bool needs_health_port(const Value& service) {
  return type_of(service) == "LoadBalancer" &&
         service["spec"]["externalTrafficPolicy"].as_string() == "Local";
}

std::vector<std::string> addresses_of(const Value& service) {
  std::vector<std::string> out;
  for (const Value& ip : service["spec"]["clusterIPs"].items()) {
    if (!ip.as_string().empty() && ip.as_string() != "None") out.emplace_back(ip.as_string());
  }
  auto ip = service["spec"]["clusterIP"].as_string();
  if (out.empty() && !ip.empty() && ip != "None") out.emplace_back(ip);
  return out;
}

std::set<int64_t> ports_of(const Value& service) {
  std::set<int64_t> out;
  for (const Value& p : service["spec"]["ports"].items()) {
    if (int64_t n = p["nodePort"].as_int()) out.insert(n);
  }
  if (int64_t n = service["spec"]["healthCheckNodePort"].as_int()) out.insert(n);
  return out;
}

Status invalid_service(const Value& service, StatusCause cause) {
  return Status::invalid("", "Service", meta(service, "name"), {std::move(cause)});
}

// A set of ports is the bytes of a big-endian number, as upstream's bitmap, in base64.
std::set<int64_t> decode_ports(const Value& range, int64_t first) {
  std::set<int64_t> out;
  std::string bytes = base64_decode(range["data"].as_string()).value_or("");
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto byte = static_cast<unsigned char>(bytes[bytes.size() - 1 - i]);
    for (int bit = 0; bit < 8; ++bit) {
      if (byte >> bit & 1) out.insert(first + static_cast<int64_t>(i) * 8 + bit);
    }
  }
  return out;
}

std::string encode_ports(const std::set<int64_t>& ports, int64_t first) {
  std::string bytes;
  if (!ports.empty()) bytes.resize(static_cast<size_t>(*ports.rbegin() - first) / 8 + 1);
  for (int64_t p : ports) {
    auto i = static_cast<size_t>(p - first);
    char& byte = bytes[bytes.size() - 1 - i / 8];
    byte = static_cast<char>(byte | 1 << (i % 8));
  }
  return base64_encode(bytes);
}

Document range_document(const std::set<int64_t>& ports, int64_t first, int64_t last) {
  Document d;
  d.root = Value::map();
  d.root.set(d.arena, "apiVersion", Value::string("v1"));
  d.root.set(d.arena, "kind", Value::string("RangeAllocation"));
  edit_metadata(d);
  set_text(d, d.root, "range", std::to_string(first) + "-" + std::to_string(last));
  set_text(d, d.root, "data", encode_ports(ports, first));
  return d;
}

}  // namespace

ServiceAllocator::ServiceAllocator(Store* store, const std::string& cidr, const std::string& ports)
    : store_(store) {
  if (auto own = parse_service_ranges(cidr); own.ok()) own_ = std::move(*own);
  size_t dash = ports.find('-');
  auto lo =
      dash == std::string::npos ? std::nullopt : to_int(std::string_view(ports).substr(0, dash));
  auto hi =
      dash == std::string::npos ? std::nullopt : to_int(std::string_view(ports).substr(dash + 1));
  if (lo && hi && *lo > 0 && *hi >= *lo && *hi < 65536) {
    first_port_ = *lo;
    last_port_ = *hi;
  }
}

namespace {
// A claim that cannot be read is one all the same.
bool is_free(const StoreSnapshot& state, std::string_view ip) {
  const std::string key = object_key(address_kind(), "", ip);
  return !state.get(key) && state.unreadable(key).empty();
}
}  // namespace

std::vector<std::string> ServiceAllocator::ranges() const {
  std::vector<std::string> out;
  for (const ServicePool& pool : own_) out.push_back(pool.range.text());
  return out;
}

std::string ServiceAllocator::address(uint32_t n) const {
  return own_.front().range.base.plus(n).text();
}

namespace {
// Clients send what they read: no other form of an address is one of ours.
bool any_has(const std::vector<ServicePool>& pools, const IpAddress& a) {
  return std::any_of(pools.begin(), pools.end(), [&](const ServicePool& p) { return p.has(a); });
}
}  // namespace

Task<Status> ServiceAllocator::claim_address(Context ctx, std::string address,
                                             const Document* service) {
  Document d;
  d.root = Value::map();
  d.root.set(d.arena, "apiVersion", Value::string(address_kind().api_version()));
  d.root.set(d.arena, "kind", Value::string(address_kind().kind));
  set_meta(d, "name", address);
  set_meta(d, "uid", ctx.loop().random().uuid());
  set_meta(d, "creationTimestamp", time_text(ctx.loop().wall_now()));
  Value& labels = edit_map(d, edit_metadata(d), "labels");
  set_text(d, labels, "ipaddress.kubernetes.io/ip-family",
           address.find(':') == address.npos ? "IPv4" : "IPv6");
  set_text(d, labels, "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
  Value& parent = edit_map(d, edit_map(d, d.root, "spec"), "parentRef");
  set_text(d, parent, "resource", "services");
  set_text(d, parent, "namespace", meta(service->root, "namespace"));
  set_text(d, parent, "name", meta(service->root, "name"));
  StoreWrite w;
  w.key = object_key(address_kind(), "", address);
  w.kind = &address_kind();
  w.stored = encode_stored(address_kind(), d);
  w.tree = std::move(d);
  auto done = co_await store_->write(ctx, std::move(w));
  co_return done.status();
}

Task<Result<std::string>> ServiceAllocator::claim_any_address(Context ctx, const Document* service,
                                                              bool v6) {
  // Of a range so full that chance finds nothing in so many the next is asked.
  constexpr uint64_t kLooked = uint64_t{1} << 20;
  const std::vector<ServicePool> pools = service_pools(*store_->snapshot(), own_, v6);
  for (const ServicePool& pool : pools) {
    // The lower part is left to addresses that users choose, as upstream's dynamic and static
    // bands.
    const uint64_t most = pool.size();
    const uint64_t reserved =
        most > 32 ? std::min<uint64_t>(std::max<uint64_t>(16, most / 16), 256) : 0;
    const uint64_t start =
        most > reserved ? reserved + ctx.loop().random().below(most - reserved) : 0;
    for (uint64_t i = 0; i < std::min(most, kLooked); ++i) {
      std::string candidate = pool.address((start + i) % most).text();
      if (!is_free(*store_->snapshot(), candidate)) continue;
      Status s = co_await claim_address(ctx, candidate, service);
      if (s.ok()) co_return candidate;
      if (!s.is(Reason::kAlreadyExists)) co_return s;
    }
  }
  co_return Status::internal("failed to allocate a serviceIP: range is full");
}

Task<Status> ServiceAllocator::change_ports(Context ctx, std::vector<int64_t> set,
                                            std::vector<int64_t> clear) {
  for (int attempt = 0; attempt < kTries; ++attempt) {
    ObjectPtr now = store_->snapshot()->get(kPortsKey);
    std::set<int64_t> ports;
    if (now) ports = decode_ports(now->tree()->root, first_port_);
    for (int64_t p : set) {
      if (!ports.insert(p).second) {
        co_return Status(Reason::kAlreadyExists, "provided port is already allocated");
      }
    }
    for (int64_t p : clear) ports.erase(p);
    Document d = range_document(ports, first_port_, last_port_);
    StoreWrite w;
    w.key = kPortsKey;
    w.kind = &range_kind();
    w.condition = now ? StoreWrite::If::kRevision : StoreWrite::If::kAbsent;
    w.revision = now ? now->revision() : 0;
    w.stored = encode_stored(range_kind(), d);
    w.tree = std::move(d);
    auto done = co_await store_->write(ctx, std::move(w));
    if (done.ok()) co_return Status();
    if (!done.status().is(Reason::kConflict) && !done.status().is(Reason::kAlreadyExists)) {
      co_return done.status();
    }
    if (store_->snapshot()->get(kPortsKey) == now) {
      Status s = co_await ctx.sleep(1ms);
      if (!s.ok()) co_return s;
    }
  }
  co_return Status::internal("failed to allocate a nodePort: too many others do so now");
}

std::set<int64_t> ServiceAllocator::recorded_ports() const {
  ObjectPtr now = store_->snapshot()->get(kPortsKey);
  return now ? decode_ports(now->tree()->root, first_port_) : std::set<int64_t>();
}

// `taken`: the port that somebody else has, where that is why.
Task<Result<std::vector<int64_t>>> ServiceAllocator::claim_ports(Context ctx,
                                                                 std::vector<int64_t> wanted,
                                                                 int64_t* taken) {
  // A zero asks for any port.
  const int64_t range = last_port_ - first_port_ + 1;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::set<int64_t> used = recorded_ports();
    std::vector<int64_t> got = wanted;
    // First what the user chose: no retry helps where that is somebody else's.
    for (int64_t p : wanted) {
      if (p == 0 || used.insert(p).second) continue;
      *taken = p;
      co_return Status(Reason::kAlreadyExists, "provided port is already allocated");
    }
    bool chosen_any = false;
    for (int64_t& p : got) {
      if (p != 0) continue;
      chosen_any = true;
      if (static_cast<int64_t>(used.size()) >= range) {
        co_return Status::internal("failed to allocate a nodePort: range is full");
      }
      p = first_port_ +
          static_cast<int64_t>(ctx.loop().random().below(static_cast<uint64_t>(range)));
      while (used.contains(p)) p = p == last_port_ ? first_port_ : p + 1;
      used.insert(p);
    }
    const std::vector<int64_t> none;
    Status s = co_await change_ports(ctx, got, none);
    if (s.ok()) co_return got;
    // A race: the next attempt sees whose port it is.
    if (!s.is(Reason::kAlreadyExists)) co_return s;
    if (!chosen_any) {
      const std::set<int64_t> others = recorded_ports();
      for (int64_t p : wanted) {
        if (others.contains(p)) *taken = p;
      }
      co_return s;
    }
  }
  co_return Status::internal("failed to allocate a nodePort: too many others do so now");
}

std::vector<ServiceAllocator::PortWish> ServiceAllocator::port_wishes(Value& spec, bool ports,
                                                                      bool health,
                                                                      const std::set<int64_t>& held,
                                                                      bool create) const {
  std::vector<PortWish> out;
  std::map<int64_t, size_t> of_number;  // a port number's wish: one for its protocols, on create
  std::span<Value> list;
  if (Value* found = ports ? spec.find("ports") : nullptr) list = found->items();
  size_t i = 0;
  for (Value& p : list) {
    const std::string path = "spec.ports[" + std::to_string(i++) + "].nodePort";
    const int64_t n = p["nodePort"].as_int(), number = p["port"].as_int();
    auto same = std::find_if(out.begin(), out.end(),
                             [n](const PortWish& w) { return n != 0 && w.number == n; });
    if (held.contains(n) || same != out.end()) continue;
    auto shared = of_number.find(number);
    if (create && shared != of_number.end()) {
      PortWish& wish = out[shared->second];
      if (n == 0 || wish.number == 0) {
        if (n != 0) wish.number = n, wish.path = path;
        wish.fill.push_back(&p);
        continue;
      }
    }
    of_number.emplace(number, out.size());
    out.push_back({n, path, {&p}});
  }
  if (health && !held.contains(spec["healthCheckNodePort"].as_int())) {
    out.push_back({spec["healthCheckNodePort"].as_int(), "spec.healthCheckNodePort", {}});
  }
  return out;
}

// One of each of the Service's families, which prepare_ip_families() has filled in.
Task<Status> ServiceAllocator::claim_addresses(Context ctx, Document* now, const Document* before,
                                               bool dry_run, Claim* claim) {
  Value& spec = edit_map(*now, now->root, "spec");
  const bool headless = spec["clusterIP"].as_string() == "None";
  if (!needs_address(now->root) || headless) co_return Status();
  const std::vector<std::string> had =
      before ? addresses_of(before->root) : std::vector<std::string>();
  std::vector<std::string> ips = addresses_of(now->root);
  std::vector<bool> families;  // whether IPv6
  for (const Value& f : spec["ipFamilies"].items()) families.push_back(f.as_string() == "IPv6");
  ips.resize(std::max(ips.size(), families.size()));
  for (size_t i = 0; i < ips.size(); ++i) {
    const bool v6 = i < families.size() ? families[i] : ips[i].find(':') != ips[i].npos;
    if (ips[i].empty() && dry_run) {
      ips[i] = own_range(v6).base.text();  // the range itself: nobody's, and no promise
    } else if (ips[i].empty()) {
      auto got = co_await claim_any_address(ctx, now, v6);
      if (!got.ok()) co_return got.status();
      ips[i] = *got;
      claim->addresses.push_back(ips[i]);
    } else if (std::find(had.begin(), had.end(), ips[i]) == had.end()) {
      Status s = co_await claim_chosen(ctx, now, ips[i], dry_run);
      if (!s.ok()) co_return s;
      if (!dry_run) claim->addresses.push_back(ips[i]);
    }
  }
  if (ips.empty()) co_return Status();
  set_text(*now, spec, "clusterIP", ips.front());
  Value list = Value::list();
  for (const std::string& ip : ips) {
    list.append(now->arena, Value::string(now->arena.copy(ip)));
  }
  spec.set(now->arena, "clusterIPs", list);
  co_return Status();
}

// The address that the user wants.
Task<Status> ServiceAllocator::claim_chosen(Context ctx, const Document* now, std::string ip,
                                            bool dry_run) {
  const auto address = IpAddress::parse(ip);
  std::string why;
  if (!address || !any_has(service_pools(*store_->snapshot(), own_, address->v6()), *address)) {
    why = "the provided network does not match the current range";
  } else if (!dry_run) {
    Status s = co_await claim_address(ctx, ip, now);
    if (!s.is(Reason::kAlreadyExists)) co_return s;
    why = "provided IP is already allocated";
  }
  if (why.empty()) co_return Status();
  const std::string all = to_json(now->root["spec"]["clusterIPs"]);
  co_return invalid_service(
      now->root,
      {"FieldValueInvalid", "Invalid value: " + all + ": failed to allocate IP " + ip + ": " + why,
       "spec.clusterIPs"});
}

const IpPrefix& ServiceAllocator::own_range(bool v6) const {
  return own_.size() == 2 && own_.front().range.v6() != v6 ? own_.back().range : own_.front().range;
}

Task<Result<ServiceAllocator::Claim>> ServiceAllocator::claim(Context ctx, Document* now,
                                                              const Document* before,
                                                              bool dry_run) {
  Claim claim;
  Status addresses = co_await claim_addresses(ctx, now, before, dry_run, &claim);
  if (!addresses.ok()) {
    co_await release(ctx, claim);
    co_return addresses;
  }
  Status ports = co_await claim_service_ports(ctx, now, before, dry_run, &claim);
  if (!ports.ok()) {
    co_await release(ctx, claim);
    co_return ports;
  }
  co_return claim;
}

Task<Status> ServiceAllocator::claim_service_ports(Context ctx, Document* now,
                                                   const Document* before, bool dry_run,
                                                   Claim* claim) {
  constexpr int64_t kDummyPort = 32769;
  Value& spec = edit_map(*now, now->root, "spec");
  std::set<int64_t> held = before ? ports_of(before->root) : std::set<int64_t>();
  std::vector<PortWish> wishes = port_wishes(spec, needs_ports(now->root),
                                             needs_health_port(now->root), held, before == nullptr);
  if (wishes.empty()) co_return Status();
  auto refused = [&](const PortWish& wish, const std::string& why) {
    return invalid_service(
        now->root, {"FieldValueInvalid",
                    "Invalid value: " + std::to_string(wish.number) + ": " + why, wish.path});
  };
  std::vector<int64_t> wanted;
  const std::set<int64_t> recorded = dry_run ? recorded_ports() : std::set<int64_t>();
  for (const PortWish& wish : wishes) {
    if (wish.number != 0 && (wish.number < first_port_ || wish.number > last_port_)) {
      co_return refused(wish,
                        "provided port is not in the valid range. The range of valid ports is " +
                            std::to_string(first_port_) + "-" + std::to_string(last_port_));
    }
    if (recorded.contains(wish.number)) {
      co_return refused(wish, "provided port is already allocated");
    }
    wanted.push_back(wish.number);
  }
  std::vector<int64_t> got = wanted;
  if (dry_run) {
    int64_t dummy = kDummyPort;
    for (int64_t& p : got) p = p != 0 ? p : dummy++;
  } else {
    int64_t taken = 0;
    auto claimed = co_await claim_ports(ctx, wanted, &taken);
    if (!claimed.ok()) {
      for (const PortWish& wish : wishes) {
        if (taken != 0 && wish.number == taken) {
          co_return refused(wish, "provided port is already allocated");
        }
      }
      co_return claimed.status();
    }
    got = *claimed;
    claim->ports = got;
  }
  for (size_t i = 0; i < wishes.size(); ++i) {
    for (Value* p : wishes[i].fill) p->set(now->arena, "nodePort", Value(got[i]));
    if (wishes[i].fill.empty()) spec.set(now->arena, "healthCheckNodePort", Value(got[i]));
  }
  co_return Status();
}

Task<void> ServiceAllocator::release(Context ctx, Claim claim) {
  for (const std::string& ip : claim.addresses) {
    for (int attempt = 0; attempt < 3; ++attempt) {
      ObjectPtr there = store_->snapshot()->get(object_key(address_kind(), "", ip));
      if (!there) break;
      StoreWrite w;
      w.key = object_key(address_kind(), "", ip);
      w.kind = &address_kind();
      w.condition = StoreWrite::If::kRevision;
      w.revision = there->revision();
      auto done = co_await store_->write(ctx, std::move(w));
      if (done.ok() || !done.status().is(Reason::kConflict)) break;
    }
  }
  if (!claim.ports.empty()) {
    const std::vector<int64_t> none;  // GCC 12 miscompiles {} inside an awaited expression
    Status s = co_await change_ports(ctx, none, claim.ports);
    // What stays taken is freed by the next repair.
    if (!s.ok()) log::warn("Node ports were not released", {{"err", s}});
  }
}

ServiceAllocator::Claim ServiceAllocator::dropped(const Value& before, const Value& now) {
  Claim out;
  auto kept = addresses_of(now);
  for (const std::string& ip : addresses_of(before)) {
    if (std::find(kept.begin(), kept.end(), ip) == kept.end()) out.addresses.push_back(ip);
  }
  auto ports = ports_of(now);
  for (int64_t p : ports_of(before)) {
    if (!ports.contains(p)) out.ports.push_back(p);
  }
  return out;
}

namespace {

bool may_have_ports(const Value& service) {
  auto t = type_of(service);
  return t == "NodePort" || t == "LoadBalancer";
}

bool externally_accessible(const Value& service) {
  return may_have_ports(service) ||
         (type_of(service) == "ClusterIP" && !service["spec"]["externalIPs"].empty());
}

std::set<int64_t> node_ports_of(const Value& service) {
  std::set<int64_t> out;
  for (const Value& p : service["spec"]["ports"].items()) {
    if (int64_t n = p["nodePort"].as_int()) out.insert(n);
  }
  return out;
}

// A port that names no node port has the one that the port of its name had, unless another uses it
// now. Where the type has none any more, those that came from before go.
void keep_node_ports(Document& now, const Value& before) {
  Value* ports = edit_map(now, now.root, "spec").find("ports");
  if (!ports || !may_have_ports(before)) return;
  const std::set<int64_t> old = node_ports_of(before), named = node_ports_of(now.root);
  if (may_have_ports(now.root)) {
    for (Value& p : ports->items()) {
      if (p["nodePort"].as_int() != 0) continue;
      for (const Value& o : before["spec"]["ports"].items()) {
        const int64_t n = o["nodePort"].as_int();
        if (n == 0 || o["name"].as_string() != p["name"].as_string() || named.contains(n)) continue;
        p.set(now.arena, "nodePort", Value(n));
      }
    }
  } else if (std::includes(old.begin(), old.end(), named.begin(), named.end())) {
    for (Value& p : ports->items()) p.erase("nodePort");
  }
}

}  // namespace

void ServiceAllocator::keep(Document& now, const Value& before) {
  Value& spec = edit_map(now, now.root, "spec");
  const Value& old = before["spec"];
  // Who names another address and not the list means the list too.
  if (std::string_view ip = spec["clusterIP"].as_string();
      !ip.empty() && ip != old["clusterIP"].as_string() && !old["clusterIPs"].empty() &&
      spec["clusterIPs"].equals(old["clusterIPs"])) {
    Value list = Value::list();
    list.append(now.arena, Value::string(ip));
    spec.set(now.arena, "clusterIPs", list);
  }
  if (!needs_address(now.root)) {
    for (std::string_view f : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}) {
      if (!spec[f].is_null() && spec[f].equals(old[f])) spec.erase(f);
    }
  } else if (needs_address(before)) {
    const bool has_one = !spec["clusterIP"].as_string().empty();
    const bool has_list = spec["clusterIPs"].size() > 0;
    if (!has_one) copy_member(now, spec, "clusterIP", old.find("clusterIP"));
    if (!has_list && spec["clusterIP"].equals(old["clusterIP"])) {
      copy_member(now, spec, "clusterIPs", old.find("clusterIPs"));
    }
    for (std::string_view f : {"ipFamilies", "ipFamilyPolicy"}) {
      if (spec[f].is_null()) copy_member(now, spec, f, old.find(f));
    }
  }
  if (type_of(before) == "LoadBalancer" && type_of(now.root) != "LoadBalancer") {
    for (std::string_view f : {"allocateLoadBalancerNodePorts", "loadBalancerClass"}) {
      if (!spec[f].is_null() && spec[f].equals(old[f])) spec.erase(f);
    }
  }
  if (externally_accessible(before) && !externally_accessible(now.root) &&
      spec["externalTrafficPolicy"].equals(old["externalTrafficPolicy"])) {
    spec.erase("externalTrafficPolicy");
  }
  if (needs_health_port(before) && needs_health_port(now.root)) {
    if (spec["healthCheckNodePort"].as_int() == 0) {
      copy_member(now, spec, "healthCheckNodePort", old.find("healthCheckNodePort"));
    }
  } else if (needs_health_port(before) &&
             spec["healthCheckNodePort"].equals(old["healthCheckNodePort"])) {
    spec.erase("healthCheckNodePort");
  }
  keep_node_ports(now, before);
}

Task<Result<std::set<int64_t>>> ServiceAllocator::repair(Context ctx, std::set<int64_t> suspects) {
  auto snapshot = store_->snapshot();
  std::set<int64_t> ports;
  std::set<std::string> addresses;
  std::vector<ObjectPtr> services, claimed;
  auto collect = [](std::vector<ObjectPtr>* into) {
    return [into](std::string_view, const ObjectPtr& o) {
      into->push_back(o);
      return true;
    };
  };
  const std::string service_prefix = kind_prefix(service_kind()),
                    address_prefix = kind_prefix(address_kind());
  snapshot->scan(service_prefix, service_prefix, collect(&services));
  snapshot->scan(address_prefix, address_prefix, collect(&claimed));
  for (const ObjectPtr& s : services) {
    DocumentPtr tree = s->tree();
    for (int64_t p : ports_of(tree->root)) {
      if (p >= first_port_ && p <= last_port_) ports.insert(p);
    }
    for (const std::string& ip : addresses_of(tree->root)) {
      addresses.insert(ip);
      if (is_free(*snapshot, ip)) {
        Status made = co_await claim_address(ctx, ip, tree.get());
        if (!made.ok() && !made.is(Reason::kAlreadyExists)) co_return made;
      }
    }
  }
  ObjectPtr now = snapshot->get(kPortsKey);
  std::set<int64_t> recorded, without;
  if (now) recorded = decode_ports(now->tree()->root, first_port_);
  std::vector<int64_t> missing;
  for (int64_t p : ports) {
    if (!recorded.contains(p)) missing.push_back(p);
  }
  if (!missing.empty()) {
    const std::vector<int64_t> none;
    Status s = co_await change_ports(ctx, missing, none);
    if (!s.ok()) co_return s;
  }
  // Nothing is given back while a Service cannot be read: it may be the holder.
  Status hidden = unreadable_in(*snapshot, service_prefix);
  if (!hidden.ok()) {
    log::warn("Service addresses and node ports without a holder are kept", {{"why", hidden}});
    co_return without;
  }
  Claim stale;
  const WallTime old = ctx.loop().wall_now() - kClaimAge;
  for (const ObjectPtr& a : claimed) {
    DocumentPtr tree = a->tree();
    const bool ours =
        metadata(tree->root)["labels"]["ipaddress.kubernetes.io/managed-by"].as_string() ==
        "ipallocator.k8s.io";
    auto made = parse_time(meta(tree->root, "creationTimestamp"));
    if (ours && made.ok() && *made < old && !addresses.contains(std::string(a->name()))) {
      stale.addresses.emplace_back(a->name());
    }
  }
  for (int64_t p : recorded) {
    if (ports.contains(p)) continue;
    if (suspects.contains(p)) {
      stale.ports.push_back(p);
    } else {
      without.insert(p);
    }
  }
  co_await release(ctx, stale);
  co_return without;
}

}  // namespace keles::registry
