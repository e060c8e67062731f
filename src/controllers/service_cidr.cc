#include "controllers/service_cidr.h"

#include <algorithm>

#include "base/log.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::networking_v1;

namespace {

constexpr std::string_view kFinalizer = "networking.k8s.io/service-cidr-finalizer";
constexpr std::string_view kManagedBy = "ipaddress.kubernetes.io/managed-by";
constexpr std::string_view kAllocator = "ipallocator.k8s.io";
constexpr Duration kGrace = 10s;

std::vector<IpPrefix> ranges_of(const ServiceCIDR& cidr) {
  std::vector<IpPrefix> out;
  for (std::string_view text : cidr.spec().cidrs()) {
    if (auto range = IpPrefix::parse(text)) out.push_back(range->network());
  }
  return out;
}

// Whether the range gives that address: neither the network's own nor, in IPv4, the last.
bool gives(const IpPrefix& range, const IpAddress& a) {
  if (a.v6() != range.v6() || !range.contains(a) || a == range.base) return false;
  if (a.v6()) return true;
  const uint64_t size = uint64_t{1} << (32 - range.length);
  return a.v4_value() - uint64_t{range.base.v4_value()} != size - 1;
}

bool any_gives(const ServiceCIDR& cidr, const IpAddress& a) {
  const auto ranges = ranges_of(cidr);
  return std::any_of(ranges.begin(), ranges.end(), [&](const IpPrefix& r) { return gives(r, a); });
}

bool is_ending(const ServiceCIDR& cidr) { return !cidr.metadata().deletion_timestamp().empty(); }

// Whether others hold all of its ranges.
bool has_parents(const ServiceCIDR& cidr, const std::vector<Ref<ServiceCIDR>>& all) {
  for (const IpPrefix& range : ranges_of(cidr)) {
    const bool held = std::any_of(all.begin(), all.end(), [&](const Ref<ServiceCIDR>& other) {
      if (other->metadata().name() == cidr.metadata().name()) return false;
      const auto theirs = ranges_of(*other);
      return std::any_of(theirs.begin(), theirs.end(),
                         [&](const IpPrefix& r) { return r.contains(range); });
    });
    if (!held) return false;
  }
  return true;
}

// Whether an address that is taken would be in no range.
bool is_needed(const ServiceCIDR& cidr, const std::vector<Ref<ServiceCIDR>>& all,
               const std::vector<IpAddress>& taken) {
  if (has_parents(cidr, all)) return false;
  return std::any_of(taken.begin(), taken.end(), [&](const IpAddress& a) {
    if (!any_gives(cidr, a)) return false;
    return std::none_of(all.begin(), all.end(), [&](const Ref<ServiceCIDR>& other) {
      return other->metadata().name() != cidr.metadata().name() && any_gives(*other, a);
    });
  });
}

}  // namespace

ServiceCidrPlan plan_service_cidr(const ServiceCIDR& cidr, const std::vector<Ref<ServiceCIDR>>& all,
                                  const std::vector<IpAddress>& taken, WallTime now) {
  ServiceCidrPlan plan;
  if (!is_ending(cidr)) {
    plan.finalizer = plan_protection(cidr.metadata(), kFinalizer, true);
    plan.ready = {"Ready", "True", "", "Kubernetes Service CIDR is ready"};
    return plan;
  }
  if (is_needed(cidr, all, taken)) {
    plan.ready = {"Ready", "False", "Terminating",
                  "There are still IPAddresses referencing the ServiceCIDR, please remove them or "
                  "create a new ServiceCIDR"};
    return plan;
  }
  const auto since = parse_time(cidr.metadata().deletion_timestamp());
  const Duration passed = since.ok() ? now - *since : kGrace;
  if (passed < kGrace) {
    plan.again = kGrace - passed;
  } else {
    plan.finalizer = plan_protection(cidr.metadata(), kFinalizer, false);
  }
  return plan;
}

// Upstream's name of the queue.
ServiceCidrController::ServiceCidrController(Deps deps)
    : ControllerFor(deps, "ipaddresses", "service-cidr-controller", 5),
      addresses_(watches<IPAddress>([this](const Ref<IPAddress>& a) { return waiting_for(a); })) {
  // A range that comes may let another go.
  objects().on_change([this](const Ref<ServiceCIDR>& before, const Ref<ServiceCIDR>& now) {
    if (before && now) return;
    for (std::string& key : overlapping(now ? *now : *before)) queue().add(std::move(key));
  });
}

Keys ServiceCidrController::overlapping(const ServiceCIDR& cidr) const {
  Keys out;
  const auto ours = ranges_of(cidr);
  for (const auto& other : objects().list()) {
    for (const IpPrefix& theirs : ranges_of(*other)) {
      const bool meets = std::any_of(ours.begin(), ours.end(),
                                     [&](const IpPrefix& r) { return r.overlaps(theirs); });
      if (meets) out.emplace_back(other->metadata().name());
    }
  }
  return out;
}

// Those that are being deleted, as long as the address is taken.
Keys ServiceCidrController::waiting_for(const Ref<IPAddress>& address) const {
  Keys out;
  const auto ip = IpAddress::parse(address->metadata().name());
  if (!ip) return out;
  for (const auto& cidr : objects().list()) {
    if (is_ending(*cidr) && any_gives(*cidr, *ip)) out.emplace_back(cidr->metadata().name());
  }
  return out;
}

std::vector<IpAddress> ServiceCidrController::taken() const {
  std::vector<IpAddress> out;
  const auto ours = addresses_.select(
      "", [](const auto& meta) { return meta.labels().get(kManagedBy) == kAllocator; });
  for (const auto& a : ours) {
    if (auto ip = IpAddress::parse(a->metadata().name())) out.push_back(*ip);
  }
  return out;
}

Task<ReconcileResult> ServiceCidrController::reconcile(Context ctx, std::string key) {
  Ref<ServiceCIDR> cidr = find(key);
  if (!cidr) co_return Status();
  std::vector<IpAddress> addresses;
  if (is_ending(*cidr)) addresses = taken();
  ServiceCidrPlan plan = plan_service_cidr(*cidr, objects().list(), addresses, loop().wall_now());
  if (plan.finalizer != Protection::kNothing) {  // the change that it makes leads here again
    Status s = co_await protect<ServiceCIDR, ServiceCIDREdit>(ctx, &client(), cidr, plan.finalizer,
                                                              std::string(kFinalizer));
    if (s.ok() && plan.finalizer == Protection::kRemove)
      log::info("Removed protection finalizer from ServiceCIDR", {{"ServiceCIDR", key}});
    co_return s;
  }
  if (plan.again > Duration(0)) co_return ReconcileResult::after(plan.again);
  if (!plan.ready) co_return Status();
  Draft<ServiceCIDREdit> next(*cidr);
  if (!set_condition(next->edit_status().edit_conditions(), *plan.ready, loop().wall_now()))
    co_return Status();
  Document body = next.take();
  Status s = co_await write_status(ctx, std::move(body));
  if (!s.ok() && !s.is(Reason::kConflict)) {
    events().warning(
        reference_to(cidr), "KubernetesServiceCIDRError",
        "The ServiceCIDR Status can not be set to Ready=" + std::string(plan.ready->status));
  }
  co_return s;
}

}  // namespace keles::controllers
