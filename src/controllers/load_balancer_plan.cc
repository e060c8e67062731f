#include "controllers/load_balancer_plan.h"

#include <algorithm>
#include <optional>

#include "base/encoding.h"
#include "base/text_parts.h"
#include "client/announced_by.h"
#include "controllers/conditions.h"
#include "controllers/ownership.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr std::string_view kExcluded = "node.kubernetes.io/exclude-from-external-load-balancers";

// Of two that want the same: who has addresses already, and else the older one, whose time is in
// seconds.
bool comes_first(const Service& a, const Service& b) {
  const bool has = !addresses_of(a).empty(), other_has = !addresses_of(b).empty();
  if (has != other_has) return has;
  const auto x = a.metadata(), y = b.metadata();
  if (x.creation_timestamp() != y.creation_timestamp())
    return x.creation_timestamp() < y.creation_timestamp();
  return x.uid() < y.uid();
}

// IPv4 where a Service names no family.
bool has_family(const Service& service, bool v6) {
  const auto families = service.spec().ip_families();
  if (families.empty()) return !v6;
  for (std::string_view f : families) {
    if (f == (v6 ? "IPv6" : "IPv4")) return true;
  }
  return false;
}

std::string port_text(int64_t number, const ServicePort& p) {
  return std::to_string(number) + "/" + std::string(p.protocol().empty() ? "TCP" : p.protocol());
}

// Who else has the port at the nodes' addresses; "" for nobody.
std::string holder_of(const std::string& port, const Service& service,
                      const std::vector<Ref<Service>>& services) {
  for (const auto& other : services) {
    if (other->metadata().uid() == service.metadata().uid()) continue;
    for (ServicePort p : other->spec().ports()) {
      if (p.node_port() == 0) continue;
      if (port_text(p.node_port(), p) == port)
        return key_of(other->metadata()) + " as its node port";
    }
    if (!is_balanced(*other) || !comes_first(*other, service)) continue;
    for (ServicePort p : other->spec().ports()) {
      if (port_text(p.port(), p) == port) return key_of(other->metadata());
    }
  }
  return "";
}

}  // namespace

bool is_balanced(const Service& s) {
  return s.spec().type() == "LoadBalancer" && s.spec().load_balancer_class().empty();
}

bool has_balancer_finalizer(const Service& s) {
  for (std::string_view f : s.metadata().finalizers()) {
    if (f == kBalancerFinalizer) return true;
  }
  return false;
}

std::vector<BalancerAddress> addresses_of(const Service& s) {
  std::vector<BalancerAddress> out;
  for (auto i : s.status().load_balancer().ingress()) {
    BalancerAddress a{std::string(i.ip()), std::string(i.hostname()), std::string(i.ip_mode())};
    if (a.ip.empty()) a.mode.clear();
    out.push_back(std::move(a));
  }
  return out;
}

std::vector<IpAddress> internal_ips(const Node& node) {
  std::vector<IpAddress> out;
  for (auto a : node.status().addresses()) {
    auto ip = a.type() == "InternalIP" ? IpAddress::parse(a.address()) : std::nullopt;
    if (!ip) continue;
    const bool again =
        std::any_of(out.begin(), out.end(), [&](const IpAddress& o) { return o.v6() == ip->v6(); });
    if (!again) out.push_back(*ip);
  }
  return out;
}

BalancerWish plan_balancer(const Service& service) {
  const bool wants = is_balanced(service) && service.metadata().deletion_timestamp().empty();
  if (wants) return BalancerWish::kEnsure;
  return has_balancer_finalizer(service) ? BalancerWish::kRemove : BalancerWish::kNothing;
}

bool takes_balanced(const Node& node) {
  if (!node.metadata().deletion_timestamp().empty()) return false;
  for (auto taint : node.spec().taints()) {
    if (taint.key() == "ToBeDeletedByClusterAutoscaler") return false;
  }
  const auto labels = node.metadata().labels();
  return !labels.contains(kExcluded) || labels.get(kExcluded) == "false";
}

Result<std::vector<BalancerAddress>> plan_local_balancer(const Service& service,
                                                         const std::vector<Ref<Node>>& nodes,
                                                         const LocalBalancerView& view) {
  for (ServicePort p : service.spec().ports()) {
    const std::string port = port_text(p.port(), p);
    if (view.reserved_ports.contains(p.port()))
      return Status(Reason::kConflict, "port " + port + " is the nodes' own");
    const std::string holder = holder_of(port, service, view.services);
    if (!holder.empty())
      return Status(Reason::kConflict, "port " + port + " is taken by service " + holder);
  }
  const bool local = service.spec().external_traffic_policy() == "Local";
  std::vector<IpAddress> found;
  for (const auto& node : nodes) {
    const std::string name(node->metadata().name());
    if (!condition_is_true(node->status().conditions(), "Ready")) continue;
    if (local && !view.nodes_with_endpoints.contains(name)) continue;
    for (const IpAddress& ip : internal_ips(*node)) {
      if (has_family(service, ip.v6())) found.push_back(ip);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  std::vector<BalancerAddress> out;
  for (const IpAddress& ip : found) out.push_back({ip.text(), "", "VIP"});
  return out;
}

namespace {

// Of an address that another has, or a node: whose it is.
struct Holders {
  std::map<IpAddress, std::string> taken;  // by anybody
  std::set<IpAddress> lost;  // those among them that this Service cannot keep, shown or not
};

Holders holders_for(const Service& service, const PoolView& view) {
  Holders out;
  const std::string own = key_of(service.metadata());
  for (const IpAddress& ip : view.nodes) {
    out.taken.emplace(ip, "a node");
    out.lost.insert(ip);
  }
  for (const auto& [key, addresses] : view.given) {
    if (key == own) continue;
    for (const IpAddress& ip : addresses) {
      out.taken.emplace(ip, "service " + key);
      out.lost.insert(ip);
    }
  }
  for (const auto& other : view.services) {
    const std::string key = key_of(other->metadata());
    if (key == own) continue;
    for (auto i : other->status().load_balancer().ingress()) {
      const auto ip = IpAddress::parse(i.ip());
      if (!ip) continue;
      out.taken.emplace(*ip, "service " + key);
      if (comes_first(*other, service)) out.lost.insert(*ip);
    }
  }
  return out;
}

// What the Service asks for, by family.
Result<std::map<bool, IpAddress>> wanted_addresses(const Service& service) {
  const std::string_view field = service.spec().load_balancer_ip();
  const std::string_view list = service.metadata().annotations().get(kWantedAddresses);
  if (!field.empty() && !list.empty())
    return Status::bad_request("addresses are requested by spec.loadBalancerIP and by " +
                               std::string(kWantedAddresses) + ": want one of them");
  std::map<bool, IpAddress> out;
  for (std::string_view text : split_list(field.empty() ? list : field)) {
    const auto ip = IpAddress::parse(text);
    if (!ip) return Status::bad_request("requested address \"" + std::string(text) + "\" is none");
    const std::string family = ip->v6() ? "IPv6" : "IPv4";
    if (!has_family(service, ip->v6()))
      return Status::bad_request("requested address " + ip->text() + " is " + family +
                                 ", which is not among spec.ipFamilies");
    if (!out.emplace(ip->v6(), *ip).second)
      return Status::bad_request("two " + family + " addresses are requested");
  }
  return out;
}

Status may_have(const IpAddress& ip, const PoolView& view, const Holders& holders) {
  if (!view.pool->contains(ip))
    return Status::bad_request("requested address " + ip.text() +
                               " is not in the pool (--load-balancer-pool)");
  const auto holder = holders.taken.find(ip);
  if (holder == holders.taken.end()) return {};
  return Status::unavailable("requested address " + ip.text() + " is taken by " + holder->second);
}

std::optional<IpAddress> kept_address(const Service& service, bool v6, const PoolView& view,
                                      const Holders& holders) {
  auto may_keep = [&](const IpAddress& ip) {
    return ip.v6() == v6 && view.pool->contains(ip) && !holders.lost.contains(ip);
  };
  for (auto i : service.status().load_balancer().ingress()) {
    const auto ip = IpAddress::parse(i.ip());
    if (ip && may_keep(*ip)) return ip;
  }
  const auto given = view.given.find(key_of(service.metadata()));
  if (given == view.given.end()) return std::nullopt;
  for (const IpAddress& ip : given->second) {  // its write may not have been heard of
    if (may_keep(ip)) return ip;
  }
  return std::nullopt;
}

// FNV-1a, and its bits mixed: names that differ in a letter are far apart.
uint64_t spread(std::string_view service, std::string_view node) {
  uint64_t h = fnv1a_64(node, fnv1a_64("\n", fnv1a_64(service)));
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
  return h ^ (h >> 33);
}

}  // namespace

PoolPlan plan_pool_addresses(const Service& service, const PoolView& view) {
  PoolPlan out;
  const Holders holders = holders_for(service, view);
  std::set<IpAddress> taken;
  for (const auto& [ip, holder] : holders.taken) taken.insert(ip);
  std::vector<bool> families;  // v6 or not, the first one first
  for (std::string_view f : service.spec().ip_families()) families.push_back(f == "IPv6");
  if (families.empty()) families.push_back(false);
  std::vector<IpAddress> kept;
  for (bool v6 : families) {
    if (auto ip = kept_address(service, v6, view, holders)) kept.push_back(*ip);
  }
  auto fail = [&](Status why) {
    out.addresses = kept;
    out.status = std::move(why);
    return out;
  };
  auto wanted = wanted_addresses(service);
  if (!wanted.ok()) return fail(wanted.status());
  Status lacks;
  for (bool v6 : families) {
    auto own =
        std::find_if(kept.begin(), kept.end(), [&](const IpAddress& a) { return a.v6() == v6; });
    const auto asked = wanted->find(v6);
    if (asked != wanted->end() && (own == kept.end() || *own != asked->second)) {
      if (Status s = may_have(asked->second, view, holders); !s.ok()) return fail(s);
      out.addresses.push_back(asked->second);
    } else if (own != kept.end()) {
      out.addresses.push_back(*own);
    } else if (auto free = view.pool->first_free(v6, taken)) {
      out.addresses.push_back(*free);
    } else {
      const std::string family = v6 ? "IPv6" : "IPv4";
      lacks = Status::unavailable(
          view.pool->has_family(v6)
              ? "no " + family + " address of the pool is free (--load-balancer-pool)"
              : "the pool has no " + family + " addresses (--load-balancer-pool)");
    }
  }
  const bool one_will_do = service.spec().ip_family_policy() == "PreferDualStack";
  if (lacks.ok() || (one_will_do && !out.addresses.empty())) return out;
  return fail(lacks);
}

std::string plan_announcer(const Service& service, const std::vector<Ref<Node>>& nodes,
                           const std::set<std::string>& nodes_with_endpoints) {
  const bool local = service.spec().external_traffic_policy() == "Local";
  const std::string key = key_of(service.metadata());
  const std::string_view now = service.metadata().annotations().get(kAnnouncedBy);
  std::string best;
  uint64_t most = 0;
  for (const auto& node : nodes) {
    const std::string name(node->metadata().name());
    if (!condition_is_true(node->status().conditions(), "Ready")) continue;
    if (local && !nodes_with_endpoints.contains(name)) continue;
    if (name == now) return name;
    const uint64_t score = spread(key, name);
    if (best.empty() || score > most || (score == most && name < best)) {
      best = name;
      most = score;
    }
  }
  return best;
}

}  // namespace keles::controllers
