#include <algorithm>
#include <map>
#include <unordered_map>

#include "machinery/volumes/claim_rules.h"
#include "scheduler/plugins/plugins.h"
#include "scheduler/plugins/volume_listers.h"

namespace keles::scheduler {
namespace {

using namespace api::core_v1;
using api::storage_v1::CSINode;
using api::storage_v1::VolumeAttachment;

const Reasons kExceeded = make_reasons({"node(s) exceed max volume count"});
constexpr const char* kByNode = "va.spec.nodename";

using Limits = std::map<std::string, int64_t, std::less<>>;  // by driver

Limits limits_of(const CSINode& node) {
  Limits out;
  for (auto d : node.spec().drivers())
    if (d.allocatable().has_count()) out[std::string(d.name())] = d.allocatable().count();
  return out;
}

bool has_claims(const PodInfo& pod) {
  for (const PodVolume& v : pod.volumes)
    if (!claim_of(v).empty()) return true;
  return false;
}

// A node takes only so many volumes of a CSI driver (CSINode.spec.drivers[].allocatable). Volumes
// of plug-ins that moved to CSI are not counted: their handles are made by translation.
class NodeVolumeLimits final : public Plugin {
 public:
  explicit NodeVolumeLimits(Handle* handle) {
    if (!handle) return;
    listers_.emplace(*handle);
    csi_nodes_.emplace(handle->watch<CSINode>(Watched::kCsiNode));
    csi_nodes_->on_change([this](const Ref<CSINode>& before, const Ref<CSINode>& now) {
      const std::string name((now ? now : before)->metadata().name());
      Limits limits = now ? limits_of(*now) : Limits();
      if (limits.empty()) {
        limits_.erase(name);
      } else {
        limits_[name] = std::move(limits);
      }
    });
    attachments_.emplace(handle->watch<VolumeAttachment>(Watched::kVolumeAttachment));
    attachments_->base().add_index(kByNode, [](const ObjectPtr& o) {
      return std::vector<std::string>{std::string(read<VolumeAttachment>(o)->spec().node_name())};
    });
  }
  std::string_view name() const override { return "NodeVolumeLimits"; }
  uint32_t points() const override { return kPreFilter | kFilter; }
  Events events() const override {
    return added(Watched::kCsiNode) | updated(Watched::kCsiNode) | kPodRemoved |
           added(Watched::kVolumeClaim) | deleted(Watched::kVolumeAttachment);
  }
  Hint hint(const PodInfo& waiting, const scheduler::Event& e) override {
    if (e.bits & kPodRemoved) {
      const PodInfo* gone = e.pod_before ? e.pod_before : e.pod;
      return gone && has_claims(*gone) ? Hint::kQueue : Hint::kSkip;
    }
    if (e.bits & added(Watched::kVolumeClaim))
      return is_about_claim_of(waiting, e) ? Hint::kQueue : Hint::kSkip;
    if (e.bits & deleted(Watched::kVolumeAttachment)) {
      for (const PodVolume& v : waiting.volumes)
        if (v.kind == PodVolume::Kind::kClaim) return Hint::kQueue;
      return Hint::kSkip;
    }
    if ((e.bits & updated(Watched::kCsiNode)) && e.before) {
      const Limits before = limits_of(*read<CSINode>(e.before));
      for (const auto& [driver, limit] : limits_of(*read<CSINode>(e.now))) {
        auto was = before.find(driver);
        if (limit > (was == before.end() ? 0 : was->second)) return Hint::kQueue;
      }
      return Hint::kSkip;
    }
    return Hint::kQueue;
  }

  PreFilter pre_filter(Cycle&, const PodInfo& pod) override {
    if (!listers_ || !has_claims(pod)) return {Verdict::skip(), std::nullopt};
    wanted_.clear();
    missing_ = Verdict();
    for (const PodVolume& v : pod.volumes) {
      const std::string name(claim_of(v));
      if (name.empty()) continue;
      const auto claim = listers_->claims.get(pod.ns, name);
      if (!claim) {
        // Of each node, as upstream: what VolumeBinding says of the pod comes before.
        missing_ = Verdict::unresolvable("looking up PVC " + pod.ns + "/" + name + ": " +
                                         claim_not_found(name));
        return {};
      }
      if (v.kind == PodVolume::Kind::kEphemeral) {
        const Status s = check_made_for(pod, *claim);
        if (!s.ok()) return {Verdict::error(s.message()), std::nullopt};
      }
      add(*claim, &wanted_);
    }
    if (wanted_.empty()) return {Verdict::skip(), std::nullopt};
    return {};
  }

  Verdict filter(Cycle&, const PodInfo&, const NodeInfo& node) override {
    if (!missing_.ok()) return missing_;
    const auto known = limits_.find(node.name);
    if (known == limits_.end() || fits_anyway(node, known->second)) return {};
    const Limits& limits = known->second;
    Volumes there;
    for (const PodPtr& pod : node.pods) {
      for (const PodVolume& v : pod->volumes) {
        if (claim_of(v).empty()) continue;
        if (const auto claim = listers_->claims.get(pod->ns, v.claim)) add(*claim, &there);
      }
    }
    add_attachments(node.name, &there);
    std::map<std::string, int64_t, std::less<>> have, more;
    for (const auto& [volume, driver] : there) ++have[driver];
    for (const auto& [volume, driver] : wanted_)
      if (!there.contains(volume)) ++more[driver];
    for (const auto& [driver, n] : more) {
      auto limit = limits.find(driver);
      if (limit != limits.end() && have[driver] + n > limit->second)
        return {Code::kUnschedulable, kExceeded};
    }
    return {};
  }

 private:
  using Volumes = std::map<std::string, std::string>;  // "driver/handle" -> driver

  // Whether all would fit if every volume there were one of each driver, used once: most nodes are
  // far from their limits, and no claim need be looked at.
  bool fits_anyway(const NodeInfo& node, const Limits& limits) const {
    int64_t most = static_cast<int64_t>(wanted_.size());
    most += static_cast<int64_t>(attachments_->base().by_index(kByNode, node.name).size());
    for (const PodPtr& pod : node.pods) most += static_cast<int64_t>(pod->volumes.size());
    return std::all_of(wanted_.begin(), wanted_.end(), [&](const auto& w) {
      auto limit = limits.find(w.second);
      return limit == limits.end() || most <= limit->second;
    });
  }

  void add(const PersistentVolumeClaim& claim, Volumes* out) const {
    std::string driver, handle;
    const auto volume = listers_->volumes.get("", claim.spec().volume_name());
    if (volume) {
      if (!volume->spec().has_csi()) return;
      driver = volume->spec().csi().driver();
      handle = volume->spec().csi().volume_handle();
    } else {
      // What will be provisioned has no handle yet; the claim stands for it.
      const auto c = listers_->classes.get("", volumes::class_of(claim));
      if (!c) return;
      driver = c->provisioner();
      handle = "\n" + std::string(claim.metadata().namespace_()) + "/" +
               std::string(claim.metadata().name());
    }
    if (!driver.empty() && !handle.empty()) (*out)[driver + "/" + handle] = driver;
  }

  // What is attached although no pod there is known to use it.
  void add_attachments(const std::string& node, Volumes* out) const {
    for (const auto& a : attachments_->by_index(kByNode, node)) {
      const std::string driver(a->spec().attacher());
      const auto volume = listers_->volumes.get("", a->spec().source().persistent_volume_name());
      if (driver.empty() || !volume || !volume->spec().has_csi()) continue;
      (*out)[driver + "/" + std::string(volume->spec().csi().volume_handle())] = driver;
    }
  }

  std::optional<VolumeListers> listers_;
  std::optional<Informer<CSINode>> csi_nodes_;
  std::optional<Informer<VolumeAttachment>> attachments_;
  std::unordered_map<std::string, Limits> limits_;  // by node; of those that have any
  Volumes wanted_;
  Verdict missing_;  // a claim of the pod is not there
};

}  // namespace

MadePlugin make_node_volume_limits(const PluginContext& context) {
  return std::unique_ptr<Plugin>(std::make_unique<NodeVolumeLimits>(context.handle));
}

}  // namespace keles::scheduler
