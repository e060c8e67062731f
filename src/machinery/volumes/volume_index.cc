#include "machinery/volumes/volume_index.h"

#include <algorithm>

#include "machinery/labels.h"
#include "machinery/volumes/claim_rules.h"

namespace keles::volumes {

using namespace api::core_v1;

namespace {

std::vector<std::string> modes_of(const List<std::string_view>& list) {
  std::vector<std::string> out;
  for (std::string_view known :
       {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"}) {
    for (std::string_view m : list) {
      if (m != known) continue;
      out.emplace_back(known);
      break;
    }
  }
  return out;
}

bool has_modes(const VolumeInfo& v, const ClaimAsk& claim) {
  return std::all_of(claim.access_modes.begin(), claim.access_modes.end(), [&](const auto& m) {
    return std::find(v.access_modes.begin(), v.access_modes.end(), m) != v.access_modes.end();
  });
}

// What holds for a reserved volume too.
bool fits(const VolumeInfo& v, const ClaimAsk& claim) {
  return v.capacity >= claim.size && v.block == claim.block &&
         v.attributes_class == claim.attributes_class && !v.terminating;
}

bool is_free(const VolumeInfo& v) { return !v.claimed && !v.terminating && v.phase == "Available"; }

std::string key_of(std::string_view ns, std::string_view name) {
  return std::string(ns) + "/" + std::string(name);
}

}  // namespace

VolumeInfo extract_volume(const PersistentVolume& volume, int64_t revision) {
  VolumeInfo v;
  const auto meta = volume.metadata();
  const auto spec = volume.spec();
  v.name = meta.name();
  v.uid = meta.uid();
  v.revision = revision;
  v.storage_class = class_of(volume);
  v.attributes_class = spec.volume_attributes_class_name();
  v.phase = volume.status().phase();
  v.capacity = Quantity::parse_or_zero(spec.capacity().get("storage"));
  v.access_modes = modes_of(spec.access_modes());
  v.block = is_block(volume);
  v.terminating = !meta.deletion_timestamp().empty();
  v.claimed = spec.has_claim_ref();
  v.claim_ns = spec.claim_ref().namespace_();
  v.claim_name = spec.claim_ref().name();
  v.claim_uid = spec.claim_ref().uid();
  for (auto label : meta.labels()) v.labels.emplace(label.key, label.value);
  return v;
}

Result<ClaimAsk> ask_of(const PersistentVolumeClaim& claim) {
  ClaimAsk a;
  const auto meta = claim.metadata();
  const auto spec = claim.spec();
  a.ns = meta.namespace_();
  a.name = meta.name();
  a.uid = meta.uid();
  a.storage_class = class_of(claim);
  a.attributes_class = spec.volume_attributes_class_name();
  a.size = Quantity::parse_or_zero(spec.resources().requests().get("storage"));
  a.access_modes = modes_of(spec.access_modes());
  a.block = is_block(claim);
  if (spec.has_selector()) {
    auto selector = Selector::from_label_selector(spec.selector());
    if (!selector.ok()) {
      return selector.status().with_prefix("error creating internal label selector for claim: " +
                                           key_of(a.ns, a.name));
    }
    a.selector = std::move(*selector);
  }
  return a;
}

void VolumeIndex::link(const VolumeInfo& v, bool in) {
  if (v.claimed) {
    const std::string key = key_of(v.claim_ns, v.claim_name);
    auto& names = reserved_[key];
    in ? (void)names.insert(v.name) : (void)names.erase(v.name);
    if (names.empty()) reserved_.erase(key);
  }
  if (!is_free(v)) return;
  std::string text;
  for (const std::string& m : v.access_modes) text += m + ",";
  auto& by_modes = free_[v.storage_class];
  const Modes modes(v.access_modes.size(), std::move(text));
  Free& free = by_modes[modes];
  in ? (void)free.emplace(v.capacity, v.name) : (void)free.erase({v.capacity, v.name});
  if (free.empty()) by_modes.erase(modes);
  if (by_modes.empty()) free_.erase(v.storage_class);
}

void VolumeIndex::put(VolumeInfo volume) {
  auto it = volumes_.find(volume.name);
  if (it != volumes_.end()) {
    if (it->second.revision > volume.revision) return;
    link(it->second, false);
    it->second = std::move(volume);
  } else {
    std::string name = volume.name;
    it = volumes_.emplace(std::move(name), std::move(volume)).first;
  }
  link(it->second, true);
}

void VolumeIndex::erase(std::string_view name) {
  auto it = volumes_.find(name);
  if (it == volumes_.end()) return;
  link(it->second, false);
  volumes_.erase(it);
}

const VolumeInfo* VolumeIndex::find(std::string_view name) const {
  auto it = volumes_.find(name);
  return it == volumes_.end() ? nullptr : &it->second;
}

const VolumeInfo* VolumeIndex::reserved_for(const ClaimAsk& claim, const Accept& accept) const {
  auto it = reserved_.find(key_of(claim.ns, claim.name));
  if (it == reserved_.end()) return nullptr;
  for (const std::string& name : it->second) {
    const VolumeInfo* v = find(name);
    const bool its_own = v->claim_uid.empty() || v->claim_uid == claim.uid;
    if (its_own && fits(*v, claim) && accept(*v)) return v;
  }
  return nullptr;
}

const VolumeInfo* VolumeIndex::smallest(const Free& free, const ClaimAsk& claim,
                                        const Accept& accept) const {
  for (auto it = free.lower_bound({claim.size, ""}); it != free.end(); ++it) {
    const VolumeInfo* v = find(it->second);
    if (!fits(*v, claim)) continue;
    if (claim.selector && !matches(*claim.selector, v->labels)) continue;
    if (accept(*v)) return v;
  }
  return nullptr;
}

const VolumeInfo* VolumeIndex::best_for(const ClaimAsk& claim, bool reserved_only) const {
  const VolumeInfo* reserved =
      reserved_for(claim, [&](const VolumeInfo& v) { return has_modes(v, claim); });
  if (reserved_only) return reserved;
  auto of_class = free_.find(claim.storage_class);
  if (of_class == free_.end()) return reserved;
  for (const auto& [modes, free] : of_class->second) {
    // As upstream, which goes from few access modes to many and takes what it meets.
    if (reserved != nullptr && modes.first >= reserved->access_modes.size()) break;
    const VolumeInfo* first = find(free.begin()->second);
    if (!has_modes(*first, claim)) continue;
    const VolumeInfo* v = smallest(free, claim, [](const VolumeInfo&) { return true; });
    if (v != nullptr) return v;
  }
  return reserved;
}

const VolumeInfo* VolumeIndex::best_on_node(const ClaimAsk& claim,
                                            const std::function<bool(const VolumeInfo&)>& reaches,
                                            const std::set<std::string, std::less<>>& taken) const {
  const VolumeInfo* reserved = reserved_for(claim, [&](const VolumeInfo& v) {
    return v.storage_class == claim.storage_class && !taken.contains(v.name);
  });
  if (reserved != nullptr) return reaches(*reserved) ? reserved : nullptr;
  auto of_class = free_.find(claim.storage_class);
  if (of_class == free_.end()) return nullptr;
  const VolumeInfo* best = nullptr;
  for (const auto& [modes, free] : of_class->second) {
    if (!has_modes(*find(free.begin()->second), claim)) continue;
    const VolumeInfo* v = smallest(free, claim, [&](const VolumeInfo& each) {
      return !taken.contains(each.name) && reaches(each);
    });
    if (v == nullptr) continue;
    if (best == nullptr || v->capacity < best->capacity ||
        (v->capacity == best->capacity && v->name < best->name)) {
      best = v;
    }
  }
  return best;
}

}  // namespace keles::volumes
