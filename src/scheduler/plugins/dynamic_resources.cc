// DynamicResources: nodes that can give a pod the devices its ResourceClaims ask for (KEP-4381).
//
// What is chosen is remembered from reserve() until the API shows it (assumed_devices.h): nobody
// else is given it meanwhile. pre_bind() writes the allocation and for whom it is reserved into the
// claims.
#include <algorithm>

#include "api/resource_v1.h"
#include "machinery/time.h"
#include "scheduler/dra/allocator.h"
#include "scheduler/dra/claims.h"
#include "scheduler/plugins/assumed_devices.h"
#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

using api::resource_v1::DeviceClass;
using api::resource_v1::ResourceClaim;
using api::resource_v1::ResourceSlice;
using dra::Claim;

constexpr int kAttempts = 5;
constexpr Duration kPause = 10ms;

struct ClaimState final : Cycle::State {
  struct One {
    Claim claim;
    bool allocated = false;
    bool stuck = false;       // allocated, and its devices will not be ready (KEP-5007)
    bool has_places = false;  // of an allocated one: it can be used on some nodes only
    std::vector<NodeSelectorTerm> places;
    std::shared_ptr<const Document> chosen;  // by reserve(): its AllocationResult
  };
  std::vector<One> claims;
  std::unique_ptr<dra::Allocator> allocator;
  std::map<std::string, std::vector<Document>> by_node;  // for those to allocate, in order
  std::set<size_t> out_of_reach;
  size_t to_allocate() const {
    return static_cast<size_t>(
        std::count_if(claims.begin(), claims.end(), [](const One& o) { return !o.allocated; }));
  }
};

class DynamicResources final : public Plugin {
 public:
  DynamicResources(Handle* handle, Duration binding_timeout)
      : handle_(handle),
        binding_timeout_(binding_timeout),
        assumed_(handle->shared<AssumedDevices>()),
        slices_(handle->watch<ResourceSlice>(Watched::kResourceSlice)),
        classes_(handle->watch<DeviceClass>(Watched::kDeviceClass)) {
    slices_.on_change([this](const auto&, const auto&) { inventory_.reset(); });
  }

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
    if (!waiting.has_resource_claims) return Hint::kSkip;
    if (e.bits & kSelfClaims) return claims_of(waiting).ok() ? Hint::kQueue : Hint::kSkip;
    if (!(e.bits & (added(Watched::kResourceClaim) | updated(Watched::kResourceClaim)))) {
      return Hint::kQueue;
    }
    auto own = claims_of(waiting);
    if (!own.ok()) return Hint::kSkip;
    const Claim before = read<ResourceClaim>(e.before), now = read<ResourceClaim>(e.now);
    if (before && now && before->status().has_allocation() && !now->status().has_allocation()) {
      return Hint::kQueue;  // devices are free
    }
    const std::string_view uid = now->metadata().uid();
    const bool is_own = std::any_of(own->begin(), own->end(),
                                    [&](const Claim& c) { return c->metadata().uid() == uid; });
    if (!is_own) return Hint::kSkip;
    const bool same = before && before->value()["status"].equals(now->value()["status"]);
    return same ? Hint::kSkip : Hint::kQueue;
  }

  Verdict pre_enqueue(const PodInfo& pod) override {
    if (!pod.has_resource_claims) return {};
    auto own = claims_of(pod);
    return own.ok() ? Verdict() : Verdict::unresolvable(own.status().message());
  }

  PreFilter pre_filter(Cycle& cycle, const PodInfo& pod) override {
    if (!pod.has_resource_claims) return {Verdict::skip(), std::nullopt};
    auto own = claims_of(pod);
    if (!own.ok()) return {Verdict::unresolvable(own.status().message()), std::nullopt};
    if (own->empty()) return {Verdict::skip(), std::nullopt};
    ClaimState& state = cycle.make<ClaimState>(*this);
    for (Claim& claim : *own) {
      ClaimState::One one;
      const auto status = claim->status();
      one.allocated = status.has_allocation();
      one.stuck = is_stuck(*claim);
      one.has_places = status.allocation().has_node_selector();
      if (one.has_places) {
        one.places = dra::read_node_selector(status.allocation().node_selector());
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
    if (state.to_allocate() == 0) return {};
    return {prepare(state), std::nullopt};
  }

  Verdict filter(Cycle& cycle, const PodInfo&, const NodeInfo& node) override {
    ClaimState* state = cycle.find<ClaimState>(*this);
    if (!state) return {};
    bool reachable = true;
    for (size_t i = 0; i < state->claims.size(); ++i) {
      const ClaimState::One& one = state->claims[i];
      const bool here = !one.has_places ||
                        std::any_of(one.places.begin(), one.places.end(),
                                    [&](const NodeSelectorTerm& t) { return matches(t, node); });
      if (here && !one.stuck) continue;
      state->out_of_reach.insert(i);
      reachable = false;
    }
    if (!reachable) return {Code::kUnresolvable, kOutOfReach};
    if (!state->allocator) return {};
    auto found = state->allocator->allocate(node, handle_->context().loop().random());
    if (!found.ok()) return Verdict::error(found.status().message());
    if (!*found && !state->allocator->why_not().empty())
      return Verdict::unresolvable(state->allocator->why_not());
    if (!*found) return {Code::kUnresolvable, kNotEnough};
    state->by_node[node.name] = std::move(**found);
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
      handle_->spawn(deallocate(handle_->context(), claim));
      return {Verdict::unschedulable("deallocation of ResourceClaim completed"), std::nullopt};
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
    auto here = state->by_node.find(node.name);
    int64_t score = 0;
    size_t next = 0;
    for (const ClaimState::One& one : state->claims) {
      const Value* allocation = &one.claim->status().allocation().value();
      if (!one.allocated) {
        if (here == state->by_node.end()) return 0;
        allocation = &here->second[next++].root;
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
    if (!state || state->to_allocate() == 0) return {};
    auto found = state->by_node.find(node);
    if (found == state->by_node.end()) {
      return Verdict::error("claim allocation not found for node");
    }
    size_t next = 0;
    for (ClaimState::One& one : state->claims) {
      if (one.allocated) continue;
      one.chosen = std::make_shared<const Document>(std::move(found->second[next++]));
      assumed_.pend(std::string(one.claim->metadata().uid()), one.chosen);
    }
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
        handle_->spawn(give_back(handle_->context(), now, pod.uid));
      }
    }
  }

  bool wants_pre_bind(Cycle& cycle, const PodInfo& pod, const std::string&) override {
    ClaimState* state = cycle.find<ClaimState>(*this);
    return state && std::any_of(state->claims.begin(), state->claims.end(), [&](const auto& one) {
             return !dra::is_reserved_for(*one.claim, pod.uid) ||
                    dra::has_binding_conditions(*one.claim);
           });
  }

  Task<Status> pre_bind(Context ctx, CyclePtr cycle, std::string node) override {
    ClaimState* state = cycle->find<ClaimState>(*this);
    if (!state) co_return Status();
    for (ClaimState::One& one : state->claims) {
      if (dra::is_reserved_for(*one.claim, cycle->pod->uid)) continue;
      Status s = co_await bind_claim(ctx, &one, cycle->pod);
      if (!s.ok()) co_return s;
    }
    const bool must_wait =
        std::any_of(state->claims.begin(), state->claims.end(),
                    [](const auto& one) { return dra::has_binding_conditions(*one.claim); });
    if (!must_wait) co_return Status();
    if (ObjectPtr pod = handle_->pods().base().get(cycle->pod->ns, cycle->pod->name)) {
      handle_->recorder().event(reference_to(*pod), "Normal", "BindingConditionsPending",
                                "waiting for binding conditions for device on node " + node);
    }
    Status ready = co_await wait_until_ready(ctx, state);
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

  Verdict prepare(ClaimState& state) {
    if (!inventory_) inventory_ = std::make_shared<const dra::Inventory>(slices_.list());
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
    held_ = inventory_;  // while the allocator looks at it
    state.allocator =
        std::make_unique<dra::Allocator>(held_.get(), &selectors_, &assumed_.in_use());
    for (const ClaimState::One& one : state.claims) {
      if (one.allocated) continue;
      Status s = state.allocator->add(
          one.claim, [this](std::string_view name) { return classes_.get("", name); });
      if (!s.ok()) return Verdict::error(s.message());
    }
    return {};
  }

  Verdict class_is_there(const std::string& request, std::string_view name) const {
    if (name.empty() || classes_.get("", name)) return {};
    return Verdict::unresolvable("request " + request + ": device class " + std::string(name) +
                                 " does not exist");
  }

  // --- writes ---

  static Document copy_of(const ResourceClaim& claim) {
    Document d;
    d.root = deep_copy(d.arena, claim.value());
    return d;
  }
  static api::resource_v1::ResourceClaimEdit edit(Document& d) {
    return api::resource_v1::ResourceClaimEdit(EditTarget{&d.root, &d.arena});
  }

  Task<Status> bind_claim(Context ctx, ClaimState::One* one, PodPtr pod) {
    Claim claim = one->claim;
    const std::string what = place(*claim);
    for (int attempt = 1;; ++attempt) {
      if (!claim->metadata().deletion_timestamp().empty()) {
        co_return Status::unavailable("claim " + what + " got deleted in the meantime");
      }
      if (one->chosen && claim->status().has_allocation()) {
        co_return Status::unavailable("claim " + what + " got allocated elsewhere in the meantime");
      }
      if (!one->chosen && !claim->status().has_allocation()) {
        co_return Status::unavailable("claim " + what +
                                      " got deallocated elsewhere in the meantime");
      }
      auto done = co_await write_claim(ctx, claim, one->chosen, pod);
      if (done.ok()) {
        one->claim = *done;
        assumed_.written(*done);
        co_return Status();
      }
      if (!done.status().is(Reason::kConflict) || attempt == kAttempts) {
        co_return done.status().with_prefix((one->chosen
                                                 ? "add allocation and reservation to claim "
                                                 : "add reservation to claim ") +
                                            what);
      }
      Status slept = co_await ctx.sleep(kPause * attempt);
      if (!slept.ok()) co_return slept;
      auto now = co_await handle_->client().get<ResourceClaim>(
          ctx, std::string(claim->metadata().namespace_()), std::string(claim->metadata().name()));
      if (!now.ok()) {
        co_return now.status().with_prefix("get updated claim " + what + " after conflict");
      }
      claim = *now;
    }
  }

  Task<Result<Claim>> write_claim(Context ctx, Claim claim, std::shared_ptr<const Document> chosen,
                                  PodPtr pod) {
    bool guarded = false;
    for (std::string_view f : claim->metadata().finalizers()) {
      guarded = guarded || f == dra::kClaimFinalizer;
    }
    if (chosen && !guarded) {
      Document d = copy_of(*claim);
      edit(d).edit_metadata().edit_finalizers().add(dra::kClaimFinalizer);
      auto updated = co_await handle_->client().update<ResourceClaim>(ctx, std::move(d));
      if (!updated.ok()) co_return updated.status();
      claim = *updated;
    }
    Document d = copy_of(*claim);
    auto status = edit(d).edit_status();
    const bool timeless =
        (chosen ? chosen->root : claim->value()["status"]["allocation"])["allocationTimestamp"]
            .is_null();
    if (chosen) {
      status.set_allocation(api::resource_v1::AllocationResult(chosen->root));
    }
    // Of whoever allocated it: what has no time is never late.
    if (timeless) {
      status.edit_allocation().set_allocation_timestamp(
          format_time(handle_->client().loop().wall_now()));
    }
    auto user = status.edit_reserved_for().add();
    user.set_resource("pods");
    user.set_name(pod->name);
    user.set_uid(pod->uid);
    auto updated = co_await handle_->client().update_status<ResourceClaim>(ctx, std::move(d));
    if (!updated.ok()) co_return updated.status();
    co_return *updated;
  }

  Task<void> deallocate(Context ctx, Claim claim) {
    Document d = copy_of(*claim);
    auto status = edit(d).edit_status();
    status.clear_allocation();
    status.clear_reserved_for();
    status.clear_devices();
    auto done = co_await handle_->client().update_status<ResourceClaim>(ctx, std::move(d));
    (void)done;  // else the pod is tried again as it is
  }

  Task<void> give_back(Context ctx, Claim claim, std::string pod_uid) {
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
      Document d = copy_of(*claim);
      auto users = edit(d).edit_status().edit_reserved_for();
      for (size_t i = users.size(); i-- > 0;) {
        if (users[i].uid() == pod_uid) users.erase_at(i);
      }
      auto done = co_await handle_->client().update_status<ResourceClaim>(ctx, std::move(d));
      if (done.ok()) assumed_.written(*done);
      if (!done.status().is(Reason::kConflict)) co_return;
      auto now = co_await handle_->client().get<ResourceClaim>(
          ctx, std::string(claim->metadata().namespace_()), std::string(claim->metadata().name()));
      if (!now.ok() || (*now)->metadata().uid() != claim->metadata().uid()) co_return;
      claim = *now;
    }
  }

  Handle* handle_;
  const Duration binding_timeout_;
  AssumedDevices& assumed_;
  Informer<ResourceSlice> slices_;
  Informer<DeviceClass> classes_;
  std::shared_ptr<const dra::Inventory> inventory_, held_;  // null: slices have changed
  dra::SelectorCache selectors_;
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
