// DynamicResources: nodes that can give a pod the devices its ResourceClaims ask for (KEP-4381).
//
// What is chosen is remembered from reserve() until the API shows it (assumed_devices.h): nobody
// else is given it meanwhile. pre_bind() writes the allocation and for whom it is reserved into the
// claims.
#include <algorithm>

#include "api/resource_v1.h"
#include "base/log.h"
#include "client/pod_condition.h"
#include "machinery/time.h"
#include "scheduler/dra/allocator.h"
#include "scheduler/dra/claims.h"
#include "scheduler/metrics.h"
#include "scheduler/plugins/assumed_devices.h"
#include "scheduler/plugins/claim_writes.h"
#include "scheduler/plugins/extended_resources.h"
#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

using api::resource_v1::DeviceClass;
using api::resource_v1::ResourceClaim;
using dra::Claim;

constexpr size_t kMostUsers = 256;  // of a claim at once

// The claim for those of the pod's extended resources that some nodes have as devices.
struct Extended {
  dra::ExtendedRequests wanted;
  std::shared_ptr<const Document> body;
};

// What is to be allocated on nodes that have the same of the extended resources as devices.
struct Variant {
  std::unique_ptr<dra::Allocator> allocator;
  std::optional<Extended> extended;  // its claim is the last
};

struct ClaimState final : Cycle::State {
  struct One {
    Claim claim;
    bool allocated = false;
    bool stuck = false;       // allocated, and its devices will not be ready (KEP-5007)
    bool has_places = false;  // of an allocated one: it can be used on some nodes only
    std::vector<NodeSelectorTerm> places;
    std::shared_ptr<const Document> chosen;  // by reserve(): its AllocationResult
  };
  std::vector<One> claims;  // that the pod names; those to allocate in this order
  bool has_extended = false;
  Claim stale;  // the claim for extended resources of an earlier attempt
  // By the resources that are devices.
  std::map<std::vector<std::string>, std::shared_ptr<Variant>> variants;
  struct OfNode {
    std::shared_ptr<Variant> variant;
    dra::Allocator::Chosen chosen;
    std::optional<std::vector<Document>> results;
  };
  std::map<std::string, OfNode> by_node;
  std::set<size_t> out_of_reach;
  std::shared_ptr<const dra::Inventory> inventory;  // while the allocators look at it
  // By reserve(): the claim for extended resources, until it is written under a name of its own.
  std::string extended_uid;
  std::shared_ptr<Variant> extended_variant;
  std::shared_ptr<const Document> extended_chosen;
  Claim extended_written;
  size_t to_allocate() const {
    return static_cast<size_t>(
        std::count_if(claims.begin(), claims.end(), [](const One& o) { return !o.allocated; }));
  }
};

// What an event says of a claim, which every waiting pod is asked about: read once.
struct Heard {
  ObjectPtr before, now;
  std::string ns, name;
  bool freed = false;  // its devices are free
  bool same = false;   // its status is as before
};

class DynamicResources final : public Plugin {
 public:
  DynamicResources(Handle* handle, Duration binding_timeout)
      : handle_(handle),
        binding_timeout_(binding_timeout),
        assumed_(handle->shared<AssumedDevices>()),
        devices_(handle->shared<DeviceInventory>()),
        extended_(handle->shared<ExtendedResources>()),
        writer_(handle, assumed_),
        classes_(handle->watch<DeviceClass>(Watched::kDeviceClass)) {}

  std::string_view name() const override { return "DynamicResources"; }
  uint32_t points() const override {
    return kPreEnqueue | kPreFilter | kFilter | kPostFilter | kPreScore | kScore | kReserve |
           kPreBind;
  }
  Events events() const override {
    return kNodeAdded | kNodeLabels | kNodeAllocatable | kSelfClaims |
           added(Watched::kResourceClaim) | updated(Watched::kResourceClaim) |
           added(Watched::kResourceSlice) | updated(Watched::kResourceSlice) |
           added(Watched::kDeviceClass) | updated(Watched::kDeviceClass);
  }

  Hint hint(const PodInfo& waiting, const Event& e) override {
    if (!waiting.has_resource_claims && waiting.requests.scalar.empty()) return Hint::kSkip;
    if (e.bits & kSelfClaims) return claims_of(waiting).ok() ? Hint::kQueue : Hint::kSkip;
    if (!(e.bits & (added(Watched::kResourceClaim) | updated(Watched::kResourceClaim)))) {
      return Hint::kQueue;
    }
    hear(e);
    const auto& names = waiting.claims;
    const bool is_own = waiting.ns == heard_.ns &&
                        std::find(names.begin(), names.end(), heard_.name) != names.end();
    if (!heard_.freed && (!is_own || heard_.same)) return Hint::kSkip;
    return claims_of(waiting).ok() ? Hint::kQueue : Hint::kSkip;
  }

  Verdict pre_enqueue(const PodInfo& pod) override {
    if (!pod.has_resource_claims) return {};
    auto own = claims_of(pod);
    return own.ok() ? Verdict() : Verdict::unresolvable(own.status().message());
  }

  PreFilter pre_filter(Cycle& cycle, const PodInfo& pod) override {
    const bool extended = extended_.any(pod);
    if (!pod.has_resource_claims && !extended) return {Verdict::skip(), std::nullopt};
    auto own = claims_of(pod);
    if (!own.ok()) return {Verdict::unresolvable(own.status().message()), std::nullopt};
    if (own->empty() && !extended) return {Verdict::skip(), std::nullopt};
    ClaimState& state = cycle.make<ClaimState>(*this);
    state.has_extended = extended;
    if (extended) state.stale = extended_.claim_of(pod.uid);
    for (Claim& claim : *own) {
      ClaimState::One one;
      const auto status = claim->status();
      one.allocated = status.has_allocation();
      one.stuck = is_stuck(*claim);
      one.has_places = status.allocation().has_node_selector();
      if (one.has_places) {
        one.places = dra::read_node_selector(status.allocation().node_selector());
      }
      if (one.allocated && status.reserved_for().size() >= kMostUsers &&
          !dra::is_reserved_for(*claim, pod.uid)) {
        return {Verdict::unresolvable("resourceclaim in use"), std::nullopt};
      }
      const std::string uid(claim->metadata().uid());
      if (!one.allocated && assumed_.is_pending(uid)) {
        return {Verdict::unresolvable("resource claim " + place(*claim) +
                                      " is in the process of being allocated"),
                std::nullopt};
      }
      one.claim = std::move(claim);
      state.claims.push_back(std::move(one));
    }
    return {classes_are_there(state), std::nullopt};
  }

  Verdict filter(Cycle& cycle, const PodInfo& pod, const NodeInfo& node) override {
    ClaimState* state = cycle.find<ClaimState>(*this);
    if (!state) return {};
    std::vector<std::string> as_devices;
    if (state->has_extended) {
      if (state->stale) return {Code::kUnresolvable, kStale};
      Verdict v = divide(pod, node, &as_devices);
      if (!v.ok()) return v;
    }
    if (!within_reach(*state, node)) return {Code::kUnresolvable, kOutOfReach};
    if (state->to_allocate() == 0 && as_devices.empty()) return {};
    auto variant = variant_of(*state, pod, as_devices);
    if (!variant.ok()) return Verdict::error(variant.status().message());
    dra::Allocator& allocator = *(*variant)->allocator;
    auto found = allocator.allocate(node);
    if (!found.ok()) return Verdict::error(found.status().message());
    if (!*found && !allocator.why_not().empty()) return Verdict::unresolvable(allocator.why_not());
    if (!*found) return {Code::kUnresolvable, kNotEnough};
    state->by_node[node.name] = {*variant, std::move(*found), std::nullopt};
    return {};
  }

  // A claim that nobody uses and that keeps the pod from every node is given back.
  PostFilter post_filter(Cycle& cycle, const PodInfo& pod, const Failure&) override {
    ClaimState* state = cycle.find<ClaimState>(*this);
    if (!state) return {Verdict::unschedulable("no new claims to deallocate"), std::nullopt};
    for (size_t i : state->out_of_reach) {
      const Claim& claim = state->claims[i].claim;
      const auto users = claim->status().reserved_for();
      const bool own = users.size() == 1 && users[0].uid() == pod.uid;
      if (!users.empty() && !own) continue;
      handle_->spawn(writer_.deallocate(handle_->context(), claim));
      return {Verdict::unschedulable("deallocation of ResourceClaim completed"), std::nullopt};
    }
    if (state->stale) {
      handle_->spawn(clear_away(handle_->context(), state->stale, cycle.pod));
      return {Verdict::unschedulable("deletion of ResourceClaim completed"), std::nullopt};
    }
    return {Verdict::unschedulable("still not schedulable"), std::nullopt};
  }

  bool pre_score(Cycle& cycle, const PodInfo&, const std::vector<NodeInfo*>&) override {
    ClaimState* state = cycle.find<ClaimState>(*this);
    if (!state) return false;
    return std::any_of(state->claims.begin(), state->claims.end(), [](const auto& one) {
      for (auto r : one.claim->spec().devices().requests()) {
        if (!r.first_available().empty()) return true;
      }
      return false;
    });
  }
  int64_t score(Cycle& cycle, const PodInfo&, const NodeInfo& node) override {
    ClaimState* state = cycle.find<ClaimState>(*this);
    const std::vector<Document>* here = results(*state, node.name);
    int64_t score = 0;
    size_t next = 0;
    for (const ClaimState::One& one : state->claims) {
      const Value* allocation = &one.claim->status().allocation().value();
      if (!one.allocated) {
        if (!here) return 0;
        allocation = &(*here)[next++].root;
      }
      score += dra::alternatives_score(*one.claim, *allocation);
    }
    return score;
  }
  void normalize(Cycle&, const std::vector<NodeInfo*>&, std::vector<int64_t>& scores) override {
    scale_to_max(scores, false);
  }

  Verdict reserve(Cycle& cycle, const PodInfo&, const std::string& node) override {
    ClaimState* state = cycle.find<ClaimState>(*this);
    if (!state) return {};
    auto here = state->by_node.find(node);
    if (here == state->by_node.end()) {
      if (state->to_allocate() == 0) return {};
      return Verdict::error("claim allocation not found for node");
    }
    if (!results(*state, node)) return Verdict::error("claim allocation cannot be written");
    std::vector<Document>& found = *here->second.results;
    size_t next = 0;
    for (ClaimState::One& one : state->claims) {
      if (one.allocated) continue;
      one.chosen = std::make_shared<const Document>(std::move(found[next++]));
      assumed_.pend(std::string(one.claim->metadata().uid()), one.chosen);
    }
    if (!here->second.variant->extended) return {};
    state->extended_variant = here->second.variant;
    state->extended_chosen = std::make_shared<const Document>(std::move(found[next]));
    state->extended_uid = handle_->client().loop().random().uuid();
    assumed_.pend(state->extended_uid, state->extended_chosen);
    return {};
  }

  void unreserve(Cycle& cycle, const PodInfo& pod, const std::string&) override {
    ClaimState* state = cycle.find<ClaimState>(*this);
    if (!state) return;
    for (ClaimState::One& one : state->claims) {
      const std::string uid(one.claim->metadata().uid());
      if (one.chosen) assumed_.take_back(uid);
      const Claim now =
          assumed_.latest(one.claim->metadata().namespace_(), one.claim->metadata().name());
      if (now && now->metadata().uid() == uid && dra::is_reserved_for(*now, pod.uid)) {
        handle_->spawn(writer_.give_back(handle_->context(), now, pod.uid));
      }
    }
    if (!state->extended_chosen) return;
    assumed_.take_back(state->extended_uid);
    if (state->extended_written)
      handle_->spawn(clear_away(handle_->context(), state->extended_written, cycle.pod));
  }

  bool wants_pre_bind(Cycle& cycle, const PodInfo& pod, const std::string&) override {
    ClaimState* state = cycle.find<ClaimState>(*this);
    if (!state) return false;
    return state->extended_chosen ||
           std::any_of(state->claims.begin(), state->claims.end(), [&](const auto& one) {
             return !dra::is_reserved_for(*one.claim, pod.uid) ||
                    dra::has_binding_conditions(*one.claim);
           });
  }

  Task<Status> pre_bind(Context ctx, CyclePtr cycle, std::string node) override {
    ClaimState* state = cycle->find<ClaimState>(*this);
    if (!state) co_return Status();
    for (ClaimState::One& one : state->claims) {
      if (dra::is_reserved_for(*one.claim, cycle->pod->uid)) continue;
      auto bound = co_await writer_.bind(ctx, one.claim, one.chosen, cycle->pod);
      if (!bound.ok()) co_return bound.status();
      one.claim = *bound;
    }
    if (state->extended_chosen) {
      Status s = co_await bind_extended(ctx, state, cycle->pod);
      if (!s.ok()) co_return s;
    }
    if (!std::any_of(state->claims.begin(), state->claims.end(),
                     [](const auto& one) { return dra::has_binding_conditions(*one.claim); }))
      co_return Status();
    if (ObjectPtr pod = handle_->pods().base().get(cycle->pod->ns, cycle->pod->name)) {
      handle_->recorder().event(reference_to(*pod), "Normal", "BindingConditionsPending",
                                "waiting for binding conditions for device on node " + node);
    }
    const TimePoint began = ctx.loop().now();
    Status ready = co_await wait_until_ready(ctx, state);
    tell_of_conditions(*state, cycle->profile.name(), ready, ctx.loop().now() - began);
    co_return ready;
  }

 private:
  // Until its devices are late; what nobody says the time of has as long as any.
  Duration time_left(const ResourceClaim& claim) const {
    auto since = parse_time(claim.status().allocation().allocation_timestamp());
    if (!since.ok()) return binding_timeout_;
    return *since + binding_timeout_ - handle_->client().loop().wall_now();
  }
  bool is_late(const ResourceClaim& claim) const { return time_left(claim) < Duration(0); }
  // Its devices failed to be made ready for the node, or were not in time.
  bool is_stuck(const ResourceClaim& claim) const {
    if (!dra::has_binding_conditions(claim)) return false;
    auto ready = dra::is_ready_to_bind(claim);
    return !ready.ok() || (!*ready && is_late(claim));
  }

  // For the drivers' conditions, as they come into the claims; whatever ends it, the next attempt
  // finds the claim stuck and gives its devices back.
  Task<Status> wait_until_ready(Context ctx, ClaimState* state) {
    const std::string late = "device binding timeout";
    Context limited = ctx.with_timeout(binding_timeout_);
    for (;;) {
      bool all = true;
      Duration left = binding_timeout_;
      for (ClaimState::One& one : state->claims) {
        if (Claim now =
                assumed_.latest(one.claim->metadata().namespace_(), one.claim->metadata().name());
            now && now->metadata().uid() == one.claim->metadata().uid())
          one.claim = now;
        auto ready = dra::is_ready_to_bind(*one.claim);
        if (!ready.ok()) co_return ready.status();
        all = all && *ready;
        if (*ready) continue;
        left = std::min(left, time_left(*one.claim));
        if (is_late(*one.claim))
          co_return Status::timeout(late + ": claim=" + std::string(one.claim->metadata().name()));
      }
      if (all) co_return Status();
      // Nobody has to change a claim for it to be late.
      Context until = limited.with_timeout(left + 1ms);
      Status s = co_await assumed_.wait_for_change(until);
      if (ctx.done()) co_return ctx.status();
      if (!s.ok() && limited.done()) co_return Status::timeout(late);
    }
  }
  static inline const Reasons kStale = make_reasons({"cannot schedule extended resource claim"});
  static inline const Reasons kNoSuchResource = make_reasons({"cannot fit resource"});
  static inline const Reasons kNotEnough = make_reasons({"cannot allocate all claims"});
  static inline const Reasons kOutOfReach =
      make_reasons({"resourceclaim not available on the node"});

  static std::string place(const ResourceClaim& c) {
    return std::string(c.metadata().namespace_()) + "/" + std::string(c.metadata().name());
  }

  Result<std::vector<Claim>> claims_of(const PodInfo& pod) const {
    Ref<api::core_v1::Pod> object = handle_->object_of(pod);
    if (!object) return Status::unavailable("the pod has changed");
    return dra::claims_of(*object, [this](std::string_view ns, std::string_view name) {
      return assumed_.latest(ns, name);
    });
  }

  void hear(const Event& e) {
    if (heard_.before == e.before && heard_.now == e.now) return;
    const Claim before = read<ResourceClaim>(e.before), now = read<ResourceClaim>(e.now);
    heard_.before = e.before;
    heard_.now = e.now;
    heard_.ns = now->metadata().namespace_();
    heard_.name = now->metadata().name();
    heard_.freed = before && before->status().has_allocation() && !now->status().has_allocation();
    heard_.same = before && before->value()["status"].equals(now->value()["status"]);
  }

  Verdict classes_are_there(const ClaimState& state) {
    for (const ClaimState::One& one : state.claims) {
      if (one.allocated) continue;
      for (auto r : one.claim->spec().devices().requests()) {
        Verdict v = class_is_there(std::string(r.name()), r.exactly().device_class_name());
        for (auto sub : r.first_available()) {
          if (!v.ok()) break;
          v = class_is_there(std::string(r.name()) + "/" + std::string(sub.name()),
                             sub.device_class_name());
        }
        if (!v.ok()) return v;
      }
    }
    return {};
  }

  // Which of the pod's extended resources the node gives as devices; the others its device plug-ins
  // must have.
  Verdict divide(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>* as_devices) {
    for (const auto& [resource, n] : pod.requests.scalar) {
      if (n <= 0 || !dra::may_be_devices(resource)) continue;
      if (extended_.is_devices(resource, node)) {
        as_devices->push_back(resource);
      } else if (!node.allocatable.scalar.contains(resource)) {
        return {Code::kUnresolvable, kNoSuchResource};
      }
    }
    return {};
  }

  static bool within_reach(ClaimState& state, const NodeInfo& node) {
    bool all = true;
    for (size_t i = 0; i < state.claims.size(); ++i) {
      const ClaimState::One& one = state.claims[i];
      const bool here = !one.has_places ||
                        std::any_of(one.places.begin(), one.places.end(),
                                    [&](const NodeSelectorTerm& t) { return matches(t, node); });
      if (here && !one.stuck) continue;
      state.out_of_reach.insert(i);
      all = false;
    }
    return all;
  }

  // Made for the first such node.
  Result<std::shared_ptr<Variant>> variant_of(ClaimState& state, const PodInfo& pod,
                                              const std::vector<std::string>& as_devices) {
    std::shared_ptr<Variant>& at = state.variants[as_devices];
    if (at) return at;
    if (!state.inventory) state.inventory = devices_.now();
    auto made = std::make_shared<Variant>();
    made->allocator = std::make_unique<dra::Allocator>(state.inventory.get(), &devices_.selectors(),
                                                       &assumed_.in_use(), &devices_.selections());
    auto find_class = [this](std::string_view name) { return classes_.get("", name); };
    for (const ClaimState::One& one : state.claims) {
      if (one.allocated) continue;
      TRY(made->allocator->add(one.claim, find_class));
    }
    if (!as_devices.empty()) {
      TRY_ASSIGN(extended, plan_extended(pod, as_devices));
      TRY(made->allocator->add(Claim(extended.body), find_class));
      made->extended = std::move(extended);
    }
    at = std::move(made);
    return at;
  }

  Result<Extended> plan_extended(const PodInfo& pod, const std::vector<std::string>& as_devices) {
    Ref<api::core_v1::Pod> object = handle_->object_of(pod);
    if (!object) return Status::unavailable("the pod has changed");
    std::map<std::string, std::string> class_of;
    for (const std::string& resource : as_devices) {
      if (const Ref<DeviceClass> c = extended_.class_of(resource))
        class_of.emplace(resource, c->metadata().name());
    }
    Extended out;
    out.wanted = dra::extended_requests(*object, class_of);
    out.body = std::make_shared<const Document>(dra::extended_claim(*object, out.wanted));
    return out;
  }

  // The AllocationResults for a node that passed; null: they cannot be written.
  const std::vector<Document>* results(ClaimState& state, const std::string& node) {
    auto here = state.by_node.find(node);
    if (here == state.by_node.end()) return nullptr;
    ClaimState::OfNode& of = here->second;
    if (!of.results) {
      auto made = dra::Allocator::results(*of.chosen, handle_->context().loop().random());
      if (!made.ok()) return nullptr;
      of.results = std::move(*made);
    }
    return &*of.results;
  }

  Verdict class_is_there(const std::string& request, std::string_view name) const {
    if (name.empty() || classes_.get("", name)) return {};
    return Verdict::unresolvable("request " + request + ": device class " + std::string(name) +
                                 " does not exist");
  }

  // --- the claim for extended resources ---

  Task<Status> bind_extended(Context ctx, ClaimState* state, PodPtr pod) {
    const Extended& extended = *state->extended_variant->extended;
    auto made = co_await writer_.create(ctx, extended.body);
    if (!made.ok()) co_return made.status();
    state->extended_written = *made;
    const std::string uid((*made)->metadata().uid());
    assumed_.rename(state->extended_uid, uid);
    state->extended_uid = uid;
    auto bound = co_await writer_.bind(ctx, *made, state->extended_chosen, pod);
    if (!bound.ok()) co_return bound.status();
    state->extended_written = *bound;
    Draft<api::core_v1::PodEdit> patch;
    auto status = patch->edit_status().edit_extended_resource_claim_status();
    status.set_resource_claim_name((*bound)->metadata().name());
    auto mappings = status.edit_request_mappings();
    for (const dra::ExtendedRequests::Mapping& m : extended.wanted.mappings) {
      auto one = mappings.add();
      one.set_container_name(m.container);
      one.set_resource_name(m.resource);
      one.set_request_name(m.request);
    }
    Client* client = &handle_->client();
    Status told = co_await patch_pod_status(ctx, client, pod->ns, pod->name, patch.take());
    if (told.ok()) co_return told;
    co_return told.with_prefix("update pod " + pod->key() + " ExtendedResourceClaimStatus");
  }

  // Of an attempt that came to nothing: the pod is tried again when it has gone.
  Task<void> clear_away(Context ctx, Claim claim, PodPtr pod) {
    Status s = co_await writer_.remove(ctx, claim);
    if (!s.ok() && !ctx.done())
      log::warn("Claim for extended resources not deleted", {{"claim", place(*claim)}, {"err", s}});
    if (s.ok()) handle_->activate(*pod);
  }

  // How long devices' conditions were waited for, and what came of it.
  static void tell_of_conditions(const ClaimState& state, const std::string& profile,
                                 const Status& ready, Duration waited) {
    const char* outcome = ready.ok()                       ? "success"
                          : ready.is(Reason::kTimeout)     ? "timeout"
                          : ready.is(Reason::kUnavailable) ? "failure"
                                                           : "error";
    const double seconds = static_cast<double>(waited.count()) / 1e9;
    for (const ClaimState::One& one : state.claims) {
      for (auto r : one.claim->status().allocation().devices().results()) {
        meters::binding_conditions_wait(profile, r.driver(), outcome).observe(seconds);
        if (!r.binding_conditions().empty())
          meters::binding_conditions(profile, r.driver(), outcome).add();
      }
    }
  }

  Handle* handle_;
  const Duration binding_timeout_;
  AssumedDevices& assumed_;
  DeviceInventory& devices_;
  ExtendedResources& extended_;
  ClaimWriter writer_;
  Informer<DeviceClass> classes_;
  Heard heard_;
};

// Without a cluster to ask: pods without claims.
class NoDynamicResources final : public Plugin {
 public:
  std::string_view name() const override { return "DynamicResources"; }
  uint32_t points() const override { return kPostFilter; }
  Events events() const override { return 0; }
  PostFilter post_filter(Cycle&, const PodInfo&, const Failure&) override {
    return {Verdict::unschedulable("no new claims to deallocate"), std::nullopt};
  }
};

}  // namespace

MadePlugin make_dynamic_resources(const PluginContext& context) {
  if (!context.handle) {
    return std::unique_ptr<Plugin>(std::make_unique<NoDynamicResources>());
  }
  auto timeout = parse_duration(context.args["bindingTimeout"].as_string());
  return std::unique_ptr<Plugin>(
      std::make_unique<DynamicResources>(context.handle, timeout.ok() ? *timeout : 600s));
}

}  // namespace keles::scheduler
