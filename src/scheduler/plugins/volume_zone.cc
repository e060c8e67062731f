#include <array>
#include <set>

#include "machinery/volumes/claim_rules.h"
#include "scheduler/plugins/plugins.h"
#include "scheduler/plugins/volume_listers.h"

namespace keles::scheduler {
namespace {

using namespace api::core_v1;
using api::storage_v1::StorageClass;

constexpr std::string_view kZone = "topology.kubernetes.io/zone";
constexpr std::string_view kRegion = "topology.kubernetes.io/region";
constexpr std::string_view kOldZone = "failure-domain.beta.kubernetes.io/zone";
constexpr std::string_view kOldRegion = "failure-domain.beta.kubernetes.io/region";
constexpr std::array kTopologyLabels{kOldZone, kOldRegion, kZone, kRegion};
const Reasons kConflict = make_reasons({"node(s) had no available volume zone"});

// A label of a volume: of its zones ("a__b") a node must be in one.
struct Topology {
  std::string key;
  std::set<std::string, std::less<>> values;
  bool operator==(const Topology&) const = default;
};

std::vector<Topology> topologies_of(const PersistentVolume& volume) {
  std::vector<Topology> out;
  const auto labels = volume.metadata().labels();
  for (std::string_view key : kTopologyLabels) {
    if (!labels.contains(key)) continue;
    Topology t{std::string(key), {}};
    std::string_view left = labels.get(key);
    for (bool more = true; more;) {
      const size_t end = left.find("__");
      more = end != std::string_view::npos;
      std::string zone(left.substr(0, end));
      std::erase(zone, ' ');
      if (zone.empty()) break;  // no value that upstream could read: the label says nothing
      t.values.insert(std::move(zone));
      if (more) left = left.substr(end + 2);
      if (!more) out.push_back(t);
    }
  }
  return out;
}

// A pod goes where the zones of its volumes are.
class VolumeZone final : public Plugin {
 public:
  explicit VolumeZone(Handle* handle) {
    if (handle) listers_.emplace(*handle);
  }
  std::string_view name() const override { return "VolumeZone"; }
  uint32_t points() const override { return kPreFilter | kFilter; }
  Events events() const override {
    return added(Watched::kStorageClass) | kNodeAdded | kNodeLabels | added(Watched::kVolumeClaim) |
           updated(Watched::kVolumeClaim) | added(Watched::kVolume) | updated(Watched::kVolume);
  }
  Hint hint(const PodInfo& waiting, const Event& e) override {
    if (e.bits & added(Watched::kStorageClass)) {
      return volumes::waits_for_consumer(*read<StorageClass>(e.now)) ? Hint::kQueue : Hint::kSkip;
    }
    if (e.bits & any_change(Watched::kVolumeClaim))
      return is_about_claim_of(waiting, e, false) ? Hint::kQueue : Hint::kSkip;
    if ((e.bits & updated(Watched::kVolume)) && e.before) {
      const bool same = topologies_of(*read<PersistentVolume>(e.before)) ==
                        topologies_of(*read<PersistentVolume>(e.now));
      return same ? Hint::kSkip : Hint::kQueue;
    }
    return Hint::kQueue;
  }

  PreFilter pre_filter(Cycle&, const PodInfo& pod) override {
    wanted_.clear();
    for (const PodVolume& v : pod.volumes) {
      if (v.kind != PodVolume::Kind::kClaim || !listers_) continue;
      Verdict bad = add_volume(pod, v.claim);
      if (!bad.ok()) return {std::move(bad), std::nullopt};
    }
    if (wanted_.empty()) return {Verdict::skip(), std::nullopt};
    return {};
  }

  Verdict filter(Cycle&, const PodInfo&, const NodeInfo& node) override {
    bool has_any = false;
    for (std::string_view key : kTopologyLabels) has_any = has_any || node.labels.contains(key);
    if (!has_any) return {};  // a node of no zone: there are none
    for (const Topology& t : wanted_) {
      auto label = node.labels.find(t.key);
      if (label == node.labels.end() && t.key == kOldZone) label = node.labels.find(kZone);
      if (label == node.labels.end() && t.key == kOldRegion) label = node.labels.find(kRegion);
      if (label == node.labels.end() || !t.values.contains(label->second))
        return {Code::kUnresolvable, kConflict};
    }
    return {};
  }

 private:
  Verdict add_volume(const PodInfo& pod, const std::string& name) {
    if (name.empty()) return Verdict::unresolvable("PersistentVolumeClaim had no name");
    const auto claim = listers_->claims.get(pod.ns, name);
    if (!claim) return Verdict::unresolvable(claim_not_found(name));
    const std::string of(claim->spec().volume_name());
    if (of.empty()) {
      const std::string class_name(volumes::class_of(*claim));
      if (class_name.empty()) {
        return Verdict::unresolvable("PersistentVolumeClaim had no pv name and storageClass name");
      }
      const auto c = listers_->classes.get("", class_name);
      if (!c) {
        return Verdict::unresolvable("storageclass.storage.k8s.io \"" + class_name +
                                     "\" not found");
      }
      if (volumes::waits_for_consumer(*c)) return {};
      return Verdict::unresolvable("PersistentVolume had no name");
    }
    const auto volume = listers_->volumes.get("", of);
    if (!volume) return Verdict::unresolvable("persistentvolume \"" + of + "\" not found");
    for (Topology& t : topologies_of(*volume)) wanted_.push_back(std::move(t));
    return {};
  }

  std::optional<VolumeListers> listers_;
  std::vector<Topology> wanted_;
};

}  // namespace

MadePlugin make_volume_zone(const PluginContext& context) {
  return std::unique_ptr<Plugin>(std::make_unique<VolumeZone>(context.handle));
}

}  // namespace keles::scheduler
