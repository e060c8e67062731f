#include "scheduler/dra/inventory.h"

#include <algorithm>
#include <set>

namespace keles::scheduler::dra {
namespace {

using api::resource_v1::ResourceSlice;

// Of a slice's spec or of a device, which say it alike.
template <class Spec>
Places read_places(const Spec& spec) {
  Places out;
  out.everywhere = spec.all_nodes();
  out.node = spec.node_name();
  if (spec.has_node_selector()) out.terms = read_node_selector(spec.node_selector());
  return out;
}

Slice read_slice(const Ref<ResourceSlice>& object) {
  Slice out;
  out.object = object;
  const auto spec = object->spec();
  for (auto device : spec.devices()) {
    out.binds |= !device.binding_conditions().empty();
    const Value& capacity = static_cast<const View&>(device).value()["capacity"];
    const auto whole = consumption(Value::null(), capacity);
    Device d{device, {std::string(spec.driver()), std::string(spec.pool().name()), ""}};
    d.id.device = device.name();
    d.index = out.devices.size();
    d.shared = device.allow_multiple_allocations();
    d.has_enough = whole && leaves_room(capacity, Amounts(), *whole);
    out.devices.push_back(std::move(d));
  }
  if (!spec.per_device_node_selection()) {
    out.places = read_places(spec);
    return out;
  }
  for (auto device : spec.devices()) out.of_device.push_back(read_places(device));
  return out;
}

bool names_twice(const Pool& pool) {
  std::set<std::string_view> names;
  for (const Slice& s : pool.slices) {
    for (auto device : s.object->spec().devices()) {
      if (!names.insert(device.name()).second) return true;
    }
  }
  return false;
}

// False: a set is there twice, or a device takes of one that is not there.
bool read_counter_sets(Pool* pool) {
  for (const Slice& s : pool->slices) {
    for (auto set : s.object->spec().shared_counters()) {
      const Value& counters = static_cast<const View&>(set).value()["counters"];
      if (!pool->counters.emplace(std::string(set.name()), read_counters(counters)).second)
        return false;
    }
  }
  for (const Slice& s : pool->slices) {
    for (auto device : s.object->spec().devices()) {
      for (auto taken : device.consumes_counters()) {
        auto set = pool->counters.find(taken.counter_set());
        if (set == pool->counters.end()) return false;
        for (const Member& m : static_cast<const View&>(taken).value()["counters"].members())
          if (!set->second.contains(m.key())) return false;
      }
    }
  }
  return true;
}

// Counters concern all nodes that have any of their devices.
bool reaches(const Slice& s, const NodeInfo& node) {
  if (!s.object->spec().shared_counters().empty()) return true;
  if (s.of_device.empty()) return s.places.include(node);
  return std::any_of(s.of_device.begin(), s.of_device.end(),
                     [&](const Places& p) { return p.include(node); });
}

}  // namespace

std::vector<NodeSelectorTerm> read_node_selector(const api::core_v1::NodeSelector& selector) {
  Draft<api::core_v1::NodeAffinityEdit> affinity;
  affinity->set_required_during_scheduling_ignored_during_execution(selector);
  return read_node_affinity(*affinity).required;
}

bool Places::include(const NodeInfo& n) const {
  if (everywhere || (!node.empty() && node == n.name)) return true;
  return std::any_of(terms.begin(), terms.end(),
                     [&](const NodeSelectorTerm& t) { return matches(t, n); });
}

Inventory::Inventory(const std::vector<Ref<ResourceSlice>>& slices) {
  std::map<std::pair<std::string, std::string>, Pool> pools;
  for (const Ref<ResourceSlice>& o : slices) {
    const auto spec = o->spec();
    const auto said = spec.pool();
    Pool& pool = pools[{std::string(spec.driver()), std::string(said.name())}];
    if (pool.slices.empty() || said.generation() > pool.generation) {
      pool.slices.clear();
      pool.driver = spec.driver();
      pool.name = said.name();
      pool.generation = said.generation();
      pool.expected = said.resource_slice_count();
    } else if (said.generation() < pool.generation) {
      continue;
    }
    pool.slices.push_back(read_slice(o));
  }
  for (auto& [id, pool] : pools) {
    std::sort(pool.slices.begin(), pool.slices.end(), [](const Slice& a, const Slice& b) {
      return a.object->metadata().name() < b.object->metadata().name();
    });
    pool.invalid = names_twice(pool) || !read_counter_sets(&pool);
    for (size_t i = 0; i < pool.slices.size(); ++i) {
      Slice& s = pool.slices[i];
      for (Device& d : s.devices) d.serial = devices_++;
      const bool one_node = s.of_device.empty() && !s.places.node.empty() &&
                            s.object->spec().shared_counters().empty();
      (one_node ? by_node_[s.places.node] : others_).emplace_back(pools_.size(), i);
    }
    pools_.push_back(std::move(pool));
  }
}

std::vector<Inventory::NodePool> Inventory::of(const NodeInfo& node) const {
  std::vector<Place> found;
  auto look = [&](const Place& p) {
    if (reaches(pools_[p.first].slices[p.second], node)) found.push_back(p);
  };
  if (auto own = by_node_.find(node.name); own != by_node_.end()) {
    for (const Place& p : own->second) look(p);
  }
  const bool mixed = !found.empty() && !others_.empty();
  for (const Place& p : others_) look(p);
  if (mixed) std::sort(found.begin(), found.end());  // each is in order
  std::vector<NodePool> out;
  for (const Place& p : found) {
    const Pool* pool = &pools_[p.first];
    if (out.empty() || out.back().pool != pool) out.push_back({pool, {}});
    out.back().slices.push_back(&pool->slices[p.second]);
  }
  return out;
}

}  // namespace keles::scheduler::dra
