#include <algorithm>
#include <map>
#include <set>

#include "scheduler/plugins/plugins.h"
#include "scheduler/plugins/volume_listers.h"

namespace keles::scheduler {
namespace {

using namespace api::core_v1;

const Reasons kDisk = make_reasons({"node(s) had no available disk"});
const Reasons kOnePod = make_reasons(
    {"node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already "
     "in-use by another pod"});

bool have_common(const List<std::string_view>& a, const List<std::string_view>& b) {
  for (std::string_view x : a)
    for (std::string_view y : b)
      if (x == y) return true;
  return false;
}

// Whether one node cannot have both: the same disk, and not both only read it.
bool conflict(const Volume& a, const Volume& b) {
  if (a.has_gce_persistent_disk() && b.has_gce_persistent_disk()) {
    const auto x = a.gce_persistent_disk(), y = b.gce_persistent_disk();
    if (x.pd_name() == y.pd_name() && !(x.read_only() && y.read_only())) return true;
  }
  if (a.has_aws_elastic_block_store() && b.has_aws_elastic_block_store() &&
      a.aws_elastic_block_store().volume_id() == b.aws_elastic_block_store().volume_id()) {
    return true;
  }
  if (a.has_iscsi() && b.has_iscsi()) {
    const auto x = a.iscsi(), y = b.iscsi();
    if (x.iqn() == y.iqn() && !(x.read_only() && y.read_only())) return true;
  }
  if (a.has_rbd() && b.has_rbd()) {
    const auto x = a.rbd(), y = b.rbd();
    if (have_common(x.monitors(), y.monitors()) && x.pool() == y.pool() && x.image() == y.image() &&
        !(x.read_only() && y.read_only())) {
      return true;
    }
  }
  return false;
}

bool has_disk(const PodInfo& pod) {
  return std::any_of(pod.volumes.begin(), pod.volumes.end(),
                     [](const PodVolume& v) { return v.kind == PodVolume::Kind::kDisk; });
}

bool conflict(const Pod& a, const Pod& b) {
  for (Volume x : a.spec().volumes())
    for (Volume y : b.spec().volumes())
      if (conflict(x, y)) return true;
  return false;
}

// Disks that one node has at most once, and claims that one pod has at most once.
class VolumeRestrictions final : public Plugin {
 public:
  explicit VolumeRestrictions(Handle* handle) : handle_(handle) {
    if (handle) listers_.emplace(*handle);
  }
  std::string_view name() const override { return "VolumeRestrictions"; }
  uint32_t points() const override { return kPreFilter | kFilter; }
  Events events() const override { return kPodRemoved | kNodeAdded | added(Watched::kVolumeClaim); }
  Hint hint(const PodInfo& waiting, const scheduler::Event& e) override {
    if (e.bits & added(Watched::kVolumeClaim))
      return is_about_claim_of(waiting, e, false) ? Hint::kQueue : Hint::kSkip;
    if (!(e.bits & kPodRemoved)) return Hint::kQueue;
    const PodInfo* gone = e.pod_before ? e.pod_before : e.pod;
    if (!gone || gone->ns != waiting.ns) return Hint::kSkip;
    if (has_disk(waiting) && has_disk(*gone)) return Hint::kQueue;
    for (const PodVolume& v : gone->volumes) {
      if (v.kind != PodVolume::Kind::kClaim) continue;
      for (const PodVolume& w : waiting.volumes)
        if (w.kind == PodVolume::Kind::kClaim && w.claim == v.claim) return Hint::kQueue;
    }
    return Hint::kSkip;
  }

  PreFilter pre_filter(Cycle& cycle, const PodInfo& pod) override {
    one_pod_.clear();
    conflicts_ = 0;
    object_ = has_disk(pod) && handle_ ? handle_->object_of(pod) : Ref<Pod>();
    for (const PodVolume& v : pod.volumes) {
      if (v.kind != PodVolume::Kind::kClaim || !listers_) continue;
      const auto claim = listers_->claims.get(pod.ns, v.claim);
      if (!claim) return {Verdict::unresolvable(claim_not_found(v.claim)), std::nullopt};
      for (std::string_view mode : claim->spec().access_modes())
        if (mode == "ReadWriteOncePod") one_pod_.insert(v.claim);
    }
    if (!one_pod_.empty()) count_users(cycle, pod);
    if (!object_ && conflicts_ == 0) return {Verdict::skip(), std::nullopt};
    return {};
  }
  void add_pod(Cycle& cycle, const PodInfo& pod, const NodeInfo&) override {
    if (pod.ns == cycle.pod->ns) conflicts_ += uses(pod);
  }
  void remove_pod(Cycle& cycle, const PodInfo& pod, const NodeInfo&) override {
    if (pod.ns == cycle.pod->ns) conflicts_ -= uses(pod);
  }
  Verdict filter(Cycle&, const PodInfo&, const NodeInfo& node) override {
    if (object_) {
      for (const PodPtr& there : node.pods) {
        if (!has_disk(*there)) continue;
        const Ref<Pod> other = handle_->object_of(*there);
        if (other && conflict(*object_, *other)) return {Code::kUnschedulable, kDisk};
      }
    }
    if (conflicts_ > 0) return {Code::kUnschedulable, kOnePod};
    return {};
  }

 private:
  int uses(const PodInfo& pod) const {
    int n = 0;
    for (const PodVolume& v : pod.volumes)
      if (v.kind == PodVolume::Kind::kClaim && one_pod_.contains(v.claim)) ++n;
    return n;
  }
  // Each claim counts once, however many have it.
  void count_users(Cycle& cycle, const PodInfo& pod) {
    std::set<std::string> used;
    for (const NodeInfo* node : cycle.view->nodes) {
      for (const PodPtr& there : node->pods) {
        if (there->ns != pod.ns) continue;
        for (const PodVolume& v : there->volumes)
          if (claim_of(v) != "" && one_pod_.contains(v.claim)) used.insert(v.claim);
      }
    }
    conflicts_ = static_cast<int>(used.size());
  }

  Handle* handle_;
  std::optional<VolumeListers> listers_;
  std::set<std::string, std::less<>> one_pod_;  // claims of the pod that are for one pod alone
  int conflicts_ = 0;
  Ref<Pod> object_;  // of a pod with disks
};

}  // namespace

MadePlugin make_volume_restrictions(const PluginContext& context) {
  return std::unique_ptr<Plugin>(std::make_unique<VolumeRestrictions>(context.handle));
}

}  // namespace keles::scheduler
