#include "client/objects_by_name.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace keles {

namespace {
constexpr size_t kFirstSlots = 16;
}

uint32_t ObjectsByName::hash_of(const ObjectName& name) {
  const std::hash<std::string_view> of;
  const uint64_t both = of(name.name) ^ (of(name.ns) * 0x9e3779b97f4a7c15u);
  return std::max<uint32_t>(1, static_cast<uint32_t>(both ^ (both >> 32)));
}

ObjectsByName::Place ObjectsByName::find(const ObjectName& name) const {
  if (hashes_.empty()) return end();
  const uint32_t hash = hash_of(name);
  const size_t mask = hashes_.size() - 1;
  for (size_t i = hash & mask; hashes_[i] != 0; i = (i + 1) & mask) {
    if (hashes_[i] == hash && ObjectName(**places_[i]) == name) return places_[i];
  }
  return end();
}

size_t ObjectsByName::slot_of(Place there) const {
  const uint32_t hash = hash_of(ObjectName(**there));
  const size_t mask = hashes_.size() - 1;
  size_t i = hash & mask;
  while (hashes_[i] != hash || places_[i] != there) i = (i + 1) & mask;
  return i;
}

void ObjectsByName::settle(uint32_t hash, Place there) {
  const size_t mask = hashes_.size() - 1;
  size_t i = hash & mask;
  while (hashes_[i] != 0) i = (i + 1) & mask;
  hashes_[i] = hash;
  places_[i] = there;
}

void ObjectsByName::grow() {
  const std::vector<uint32_t> hashes =
      std::exchange(hashes_, std::vector<uint32_t>(std::max(kFirstSlots, 2 * hashes_.size())));
  const std::vector<Place> places = std::exchange(places_, std::vector<Place>(hashes_.size()));
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (hashes[i] != 0) settle(hashes[i], places[i]);
  }
}

void ObjectsByName::insert(const ObjectPtr& now) {
  if (size() + 1 > hashes_.size() / 8 * 7) grow();
  settle(hash_of(ObjectName(*now)), ordered_.insert(now).first);
}

// In the order of names it is the same.
void ObjectsByName::replace(Place there, const ObjectPtr& now) {
  const_cast<ObjectPtr&>(*there) = now;
}

// What lies behind a slot that comes free moves up, where a search for it would no longer get past.
void ObjectsByName::erase(Place there) {
  const size_t mask = hashes_.size() - 1;
  size_t free = slot_of(there);
  for (size_t i = (free + 1) & mask; hashes_[i] != 0; i = (i + 1) & mask) {
    const size_t home = hashes_[i] & mask;
    if (((i - home) & mask) < ((i - free) & mask)) continue;
    hashes_[free] = hashes_[i];
    places_[free] = places_[i];
    free = i;
  }
  hashes_[free] = 0;
  ordered_.erase(there);
  if (!ordered_.empty()) return;
  hashes_ = {};
  places_ = {};
}

}  // namespace keles
