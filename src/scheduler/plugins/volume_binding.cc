#include <algorithm>
#include <map>
#include <set>

#include "base/metrics.h"
#include "base/sync.h"
#include "machinery/volumes/claim_rules.h"
#include "scheduler/plugins/assumed_volumes.h"
#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

using namespace api::core_v1;
using api::storage_v1::CSIDriver;
using api::storage_v1::CSINode;
using api::storage_v1::CSIStorageCapacity;
using api::storage_v1::StorageClass;

constexpr std::string_view kNodeConflict = "node(s) didn't match PersistentVolume's node affinity";
constexpr std::string_view kBindConflict =
    "node(s) didn't find available persistent volumes to bind";
constexpr std::string_view kNotEnoughSpace = "node(s) did not have enough free storage";
constexpr std::string_view kNoVolume =
    "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }

void count_failure(const char* stage) {
  static metrics::Counter& failures =
      metrics::counter("scheduler_volume_scheduling_stage_error_total",
                       "Volume scheduling stage error count", {"operation"});
  failures.with({stage}).add();
}

// A claim that waits for the pod's node.
struct Unbound {
  Ref<PersistentVolumeClaim> claim;
  volumes::ClaimAsk ask;
  Ref<StorageClass> storage_class;
  std::optional<std::string> chosen;  // its node, chosen before
};

struct OnNode {
  struct Binding {
    std::string volume;
    const Unbound* claim;
    // By reserve(): as it was when it was chosen. It is written from this, so that whatever became
    // of it since then is a conflict.
    Ref<PersistentVolume> chosen = Ref<PersistentVolume>();
  };
  std::vector<Binding> bindings;
  std::vector<const Unbound*> provisions;
};

struct State final : Cycle::State {
  std::vector<std::string> bound;  // volumes
  std::vector<Unbound> unbound;    // by size
  std::map<std::string, OnNode> nodes;
  bool reserved = false;  // something is assumed, and to be written
};

bool topology_allows(const StorageClass& c, const NodeInfo& node) {
  const auto terms = c.allowed_topologies();
  if (terms.empty()) return true;
  for (auto term : terms) {
    const auto expressions = term.match_label_expressions();
    bool all = !expressions.empty();
    for (auto e : expressions) {
      auto label = node.labels.find(e.key());
      bool in = false;
      for (std::string_view v : e.values())
        in = in || (label != node.labels.end() && label->second == v);
      all = all && in;
    }
    if (all) return true;
  }
  return false;
}

std::optional<Quantity> limit_of(const CSIStorageCapacity& c) {
  if (c.has_maximum_volume_size()) return Quantity::parse_or_zero(c.maximum_volume_size());
  if (c.has_capacity()) return Quantity::parse_or_zero(c.capacity());
  return std::nullopt;
}

// What is decided of a pod's claims with its node: which volumes they get, or where they are to be
// provisioned (KEP 490). The binder, or the provisioner, carries it out while the pod waits.
class VolumeBinding final : public Plugin {
 public:
  VolumeBinding(Handle* handle, Duration timeout) : handle_(handle), timeout_(timeout) {
    if (!handle) return;
    listers_.emplace(*handle);
    assumed_ = &handle->shared<AssumedVolumes>();
    csi_nodes_.emplace(handle->watch<CSINode>(Watched::kCsiNode));
    drivers_.emplace(handle->watch<CSIDriver>(Watched::kCsiDriver));
    capacities_.emplace(handle->watch<CSIStorageCapacity>(Watched::kCsiCapacity));
    auto wake = [this](const auto&, const auto&) { changed_.wake_all(); };
    listers_->volumes.on_change(wake);
    listers_->claims.on_change(wake);
    handle->pods().on_change([this](const Ref<Pod>&, const Ref<Pod>& now) {
      if (!now) changed_.wake_all();
    });
  }
  std::string_view name() const override { return "VolumeBinding"; }
  uint32_t points() const override { return kPreFilter | kFilter | kReserve | kPreBind; }
  Events events() const override {
    const auto comes = [](Watched k) { return added(k) | updated(k); };
    return comes(Watched::kStorageClass) | comes(Watched::kVolumeClaim) | comes(Watched::kVolume) |
           kNodeAdded | kNodeLabels | comes(Watched::kCsiNode) | updated(Watched::kCsiDriver) |
           comes(Watched::kCsiCapacity);
  }
  Hint hint(const PodInfo& waiting, const scheduler::Event& event) override;

  PreFilter pre_filter(Cycle& cycle, const PodInfo& pod) override;
  Verdict filter(Cycle& cycle, const PodInfo& pod, const NodeInfo& node) override;
  Verdict reserve(Cycle& cycle, const PodInfo& pod, const std::string& node) override;
  void unreserve(Cycle& cycle, const PodInfo& pod, const std::string& node) override;
  bool wants_pre_bind(Cycle& cycle, const PodInfo& pod, const std::string& node) override;
  Task<Status> pre_bind(Context ctx, CyclePtr cycle, std::string node) override;

 private:
  // What the pod's claim is; a verdict when it cannot be used.
  Verdict look_at(const PodInfo& pod, const PodVolume& volume, State* state, bool* immediate);
  bool has_capacity(const Unbound& u, const NodeInfo& node) const;
  // Empty when a volume, or room for one, is there for every claim; else the reason.
  std::string_view place(const State& state, const NodeInfo& node, OnNode* out) const;
  Task<Status> write(Context ctx, CyclePtr cycle, std::string node,
                     std::map<std::string, int64_t>* revisions);
  // Whether all is done; an error when it never will be.
  Result<bool> is_done(const PodInfo& pod, const OnNode& what, const std::string& node,
                       const std::map<std::string, int64_t>& revisions);

  Handle* handle_;
  Duration timeout_;
  std::optional<VolumeListers> listers_;
  AssumedVolumes* assumed_ = nullptr;
  std::optional<Informer<CSINode>> csi_nodes_;
  std::optional<Informer<CSIDriver>> drivers_;
  std::optional<Informer<CSIStorageCapacity>> capacities_;
  WaitList changed_;
};

Hint VolumeBinding::hint(const PodInfo& waiting, const scheduler::Event& e) {
  auto queue_if = [](bool helps) { return helps ? Hint::kQueue : Hint::kSkip; };
  if (e.bits & any_change(Watched::kVolumeClaim)) return queue_if(is_about_claim_of(waiting, e));
  if (!e.before || !e.now) return Hint::kQueue;
  if (e.bits & updated(Watched::kStorageClass)) {
    return queue_if(!read<StorageClass>(e.before)->allowed_topologies().value().equals(
        read<StorageClass>(e.now)->allowed_topologies().value()));
  }
  if (e.bits & updated(Watched::kCsiNode)) {
    constexpr std::string_view kMigrated = "storage.alpha.kubernetes.io/migrated-plugins";
    return queue_if(read<CSINode>(e.before)->metadata().annotations().get(kMigrated) !=
                    read<CSINode>(e.now)->metadata().annotations().get(kMigrated));
  }
  if (e.bits & updated(Watched::kCsiCapacity)) {
    const auto before = limit_of(*read<CSIStorageCapacity>(e.before)),
               now = limit_of(*read<CSIStorageCapacity>(e.now));
    return queue_if(now && (!before || *now > *before));
  }
  if (e.bits & updated(Watched::kCsiDriver)) {
    const auto before = read<CSIDriver>(e.before), now = read<CSIDriver>(e.now);
    const bool freed = before->spec().storage_capacity() && !now->spec().storage_capacity();
    for (const PodVolume& v : waiting.volumes) {
      if (v.kind == PodVolume::Kind::kCsi && v.driver == now->metadata().name() && freed)
        return Hint::kQueue;
    }
    return Hint::kSkip;
  }
  return Hint::kQueue;
}

Verdict VolumeBinding::look_at(const PodInfo& pod, const PodVolume& volume, State* state,
                               bool* immediate) {
  const bool ephemeral = volume.kind == PodVolume::Kind::kEphemeral;
  const std::string& name = volume.claim;
  const Ref<PersistentVolumeClaim> claim = listers_->claims.get(pod.ns, name);
  if (!claim) {
    return Verdict::unresolvable(
        ephemeral ? "waiting for ephemeral volume controller to create the persistentvolumeclaim " +
                        quoted(name)
                  : claim_not_found(name));
  }
  const std::string what = "persistentvolumeclaim " + quoted(name);
  const std::string of(claim->spec().volume_name());
  if (claim->status().phase() == "Lost")
    return Verdict::unresolvable(what + " bound to non-existent persistentvolume " + quoted(of));
  if (!claim->metadata().deletion_timestamp().empty())
    return Verdict::unresolvable(what + " is being deleted");
  if (ephemeral) {
    const Status s = check_made_for(pod, *claim);
    if (!s.ok()) return Verdict::unresolvable(s.message());
  }
  if (volumes::is_fully_bound(*claim)) {
    state->bound.push_back(of);
    return {};
  }
  const Ref<StorageClass> c = listers_->classes.get("", volumes::class_of(*claim));
  if (!of.empty() || !c || !volumes::waits_for_consumer(*c)) {
    *immediate = true;
    return {};
  }
  auto ask = volumes::ask_of(*claim);
  if (!ask.ok()) return Verdict::error(ask.status().message());
  state->unbound.push_back({claim, std::move(*ask), c, assumed_->chosen_node(*claim)});
  return {};
}

PreFilter VolumeBinding::pre_filter(Cycle& cycle, const PodInfo& pod) {
  cycle.drop(*this);
  const bool any = std::any_of(pod.volumes.begin(), pod.volumes.end(),
                               [](const PodVolume& v) { return !claim_of(v).empty(); });
  if (!any || !listers_) return {Verdict::skip(), std::nullopt};
  State& state = cycle.make<State>(*this);
  bool immediate = false;
  for (const PodVolume& v : pod.volumes) {
    if (claim_of(v).empty()) continue;
    Verdict bad = look_at(pod, v, &state, &immediate);
    if (!bad.ok()) return {std::move(bad), std::nullopt};
  }
  if (immediate) {
    return {Verdict::unresolvable("pod has unbound immediate PersistentVolumeClaims"),
            std::nullopt};
  }
  // The smallest first: who needs little must not take what only he who needs much can use.
  std::stable_sort(state.unbound.begin(), state.unbound.end(),
                   [](const Unbound& a, const Unbound& b) { return a.ask.size < b.ask.size; });
  return {};
}

bool VolumeBinding::has_capacity(const Unbound& u, const NodeInfo& node) const {
  if (u.ask.size.is_zero()) return true;
  const Ref<CSIDriver> driver = drivers_->get("", u.storage_class->provisioner());
  if (!driver || !driver->spec().storage_capacity()) return true;
  for (const auto& c : capacities_->list()) {
    if (c->storage_class_name() != u.storage_class->metadata().name() || !c->has_node_topology())
      continue;
    const auto limit = limit_of(*c);
    if (!limit || *limit < u.ask.size) continue;
    const auto selector = Selector::from_label_selector(c->node_topology());
    if (selector.ok() && matches(*selector, node.labels)) return true;
  }
  return false;
}

std::string_view VolumeBinding::place(const State& state, const NodeInfo& node, OnNode* out) const {
  std::set<std::string, std::less<>> taken;
  std::vector<const Unbound*> provision;
  for (const Unbound& u : state.unbound)
    if (u.chosen && *u.chosen != node.name) return kBindConflict;
  for (const Unbound& u : state.unbound) {
    if (u.chosen) {
      provision.push_back(&u);
      continue;
    }
    const volumes::VolumeInfo* v = assumed_->index().best_on_node(
        u.ask, [&](const volumes::VolumeInfo& each) { return assumed_->reaches(each.name, node); },
        taken);
    if (v == nullptr) {
      provision.push_back(&u);
      continue;
    }
    taken.insert(v->name);
    out->bindings.push_back({v->name, &u});
  }
  for (const Unbound* u : provision) {
    const std::string_view by = u->storage_class->provisioner();
    if (by.empty() || by == volumes::kNoProvisioner) return kBindConflict;
    if (!topology_allows(*u->storage_class, node)) return kBindConflict;
    if (!has_capacity(*u, node)) return kNotEnoughSpace;
    out->provisions.push_back(u);
  }
  return {};
}

Verdict VolumeBinding::filter(Cycle& cycle, const PodInfo&, const NodeInfo& node) {
  State* state = cycle.find<State>(*this);
  if (state == nullptr) return {};
  std::vector<std::string> reasons;
  std::string_view missing;
  for (const std::string& volume : state->bound) {
    if (assumed_->index().find(volume) == nullptr) {
      missing = kNoVolume;
      break;
    }
    if (!assumed_->reaches(volume, node)) {
      reasons.emplace_back(kNodeConflict);
      break;
    }
  }
  if (!state->unbound.empty()) {
    OnNode found;
    const std::string_view why = place(*state, node, &found);
    if (!why.empty()) {
      reasons.emplace_back(why);
    } else {
      state->nodes[node.name] = std::move(found);
    }
  }
  if (!missing.empty()) reasons.emplace_back(missing);
  if (reasons.empty()) return {};
  return {Code::kUnresolvable,
          std::make_shared<const std::vector<std::string>>(std::move(reasons))};
}

Verdict VolumeBinding::reserve(Cycle& cycle, const PodInfo& pod, const std::string& node) {
  State* state = cycle.find<State>(*this);
  if (state == nullptr) return {};
  auto it = state->nodes.find(node);
  if (it == state->nodes.end()) return {};
  for (OnNode::Binding& b : it->second.bindings) {
    b.chosen = listers_->volumes.get("", b.volume);
    if (!b.chosen) return Verdict::error("persistentvolume " + quoted(b.volume) + " not found");
  }
  for (const OnNode::Binding& b : it->second.bindings) assumed_->take(b.volume, b.claim->ask);
  for (const Unbound* u : it->second.provisions) assumed_->choose(pod.ns + "/" + u->ask.name, node);
  state->reserved = true;
  return {};
}

void VolumeBinding::unreserve(Cycle& cycle, const PodInfo& pod, const std::string& node) {
  State* state = cycle.find<State>(*this);
  if (state == nullptr || !state->reserved) return;
  state->reserved = false;
  const OnNode& what = state->nodes[node];
  for (const OnNode::Binding& b : what.bindings) assumed_->release(b.volume, b.claim->ask);
  for (const Unbound* u : what.provisions) assumed_->unchoose(pod.ns + "/" + u->ask.name, node);
}

bool VolumeBinding::wants_pre_bind(Cycle& cycle, const PodInfo&, const std::string&) {
  const State* state = cycle.find<State>(*this);
  return state != nullptr && state->reserved;
}

Task<Status> VolumeBinding::write(Context ctx, CyclePtr cycle, std::string node,
                                  std::map<std::string, int64_t>* revisions) {
  State* state = cycle->find<State>(*this);
  const OnNode what = state->nodes[node];
  for (const OnNode::Binding& b : what.bindings) {
    if (b.chosen->spec().has_claim_ref() && !volumes::is_bound_to(*b.chosen, *b.claim->claim)) {
      co_return Status::conflict("", "persistentvolumes", b.volume,
                                 "the volume belongs to another claim");
    }
    auto next = volumes::volume_bound_to(*b.chosen, *b.claim->claim);
    if (!next) continue;
    auto r = co_await handle_->client().update(ctx, &kind_of<PersistentVolume>(), "", b.volume,
                                               std::move(*next), WriteOptions());
    if (!r.ok()) co_return r.status();
    (*revisions)[b.volume] = (*r)->revision();
  }
  for (const Unbound* u : what.provisions) {
    const std::string ns = u->ask.ns, name = u->ask.name;
    Draft<PersistentVolumeClaimEdit> next(*u->claim);
    next->edit_metadata().edit_annotations().set(volumes::kSelectedNode, node);
    auto r = co_await handle_->client().update(ctx, &kind_of<PersistentVolumeClaim>(), ns, name,
                                               next.take(), WriteOptions());
    if (!r.ok()) co_return r.status();
    (*revisions)[ns + "/" + name] = (*r)->revision();
  }
  co_return Status();
}

Result<bool> VolumeBinding::is_done(const PodInfo& pod, const OnNode& what, const std::string& node,
                                    const std::map<std::string, int64_t>& revisions) {
  auto failed = [](std::string why) { return Status(Reason::kInternalError, std::move(why)); };
  const NodeInfo* n = handle_->view().find(node);
  if (n == nullptr) {
    return failed("failed to get node " + quoted(node) + ": node " + quoted(node) + " not found");
  }
  if (!handle_->pods().get(pod.ns, pod.name)) {
    return failed("pod does not exist any more: pod " + quoted(pod.name) + " not found");
  }
  auto behind = [&](const std::string& key, const ObjectPtr& seen) {
    auto written = revisions.find(key);
    return written != revisions.end() && seen->revision() < written->second;
  };
  auto out_of_reach = [&](const std::string& volume) {
    return failed("pv " + quoted(volume) + " node affinity doesn't match node " + quoted(node) +
                  ": no matching NodeSelectorTerms");
  };
  auto claim_of = [&](const Unbound& u) {
    return listers_->claims.base().get(u.ask.ns, u.ask.name);
  };
  for (const OnNode::Binding& b : what.bindings) {
    const ObjectPtr volume = listers_->volumes.base().get("", b.volume);
    const ObjectPtr claim = claim_of(*b.claim);
    if (!volume) {
      return failed("failed to check binding: could not find v1.PersistentVolume " +
                    quoted(b.volume));
    }
    if (!claim) {
      return failed("failed to check binding: could not find v1.PersistentVolumeClaim " +
                    quoted(b.claim->ask.ns + "/" + b.claim->ask.name));
    }
    if (behind(b.volume, volume)) return false;
    if (!assumed_->reaches(b.volume, *n)) return out_of_reach(b.volume);
    if (read<PersistentVolume>(volume)->spec().claim_ref().uid().empty())
      return failed("ClaimRef got reset for pv " + quoted(b.volume));
    if (!volumes::is_fully_bound(*read<PersistentVolumeClaim>(claim))) return false;
  }
  for (const Unbound* u : what.provisions) {
    const ObjectPtr seen = claim_of(*u);
    const std::string key = u->ask.ns + "/" + u->ask.name;
    if (!seen) {
      return failed("failed to check provisioning pvc: could not find v1.PersistentVolumeClaim " +
                    quoted(key));
    }
    if (behind(key, seen)) return false;
    const auto claim = read<PersistentVolumeClaim>(seen);
    const auto annotations = claim->metadata().annotations();
    if (annotations.empty())
      return failed("selectedNode annotation reset for PVC " + quoted(u->ask.name));
    if (annotations.get(volumes::kSelectedNode) != node)
      return failed("provisioning failed for PVC " + quoted(u->ask.name));
    const std::string volume(claim->spec().volume_name());
    if (!volume.empty()) {
      if (assumed_->index().find(volume) == nullptr) return false;
      if (!assumed_->reaches(volume, *n)) return out_of_reach(volume);
    }
    if (!volumes::is_fully_bound(*claim)) return false;
  }
  return true;
}

Task<Status> VolumeBinding::pre_bind(Context ctx, CyclePtr cycle, std::string node) {
  std::map<std::string, int64_t> revisions;
  Status s = co_await write(ctx, cycle, node, &revisions);
  if (!s.ok()) {
    count_failure("bind");
    co_return s;
  }
  State* state = cycle->find<State>(*this);
  const Context bounded = ctx.with_timeout(timeout_);
  for (;;) {
    const Result<bool> done = is_done(*cycle->pod, state->nodes[node], node, revisions);
    if (done.ok() && *done) co_return Status();
    s = done.status();
    if (s.ok()) s = co_await changed_.wait(bounded);
    if (s.ok()) continue;
    count_failure("bind");
    const bool late = done.ok() && !ctx.done();
    if (late) s = Status(Reason::kTimeout, "context deadline exceeded");
    co_return s.with_prefix("binding volumes");
  }
}

}  // namespace

MadePlugin make_volume_binding(const PluginContext& context) {
  int64_t seconds = 600;
  const Value& told = context.args["bindTimeoutSeconds"];
  if (!told.is_null()) seconds = told.as_int();
  if (seconds < 0) {
    return Status::bad_request("bindTimeoutSeconds: Invalid value: " + std::to_string(seconds) +
                               ": invalid BindTimeoutSeconds, should not be a negative value");
  }
  return std::unique_ptr<Plugin>(
      std::make_unique<VolumeBinding>(context.handle, std::chrono::seconds(seconds)));
}

}  // namespace keles::scheduler
