#include "cel/run.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "cel/numbers.h"

namespace keles::cel {
namespace {

// Beyond so many entries a map is found in by hash.
constexpr size_t kIndexFrom = 12;

// Equal keys hash alike, across the types of numbers.
uint32_t hash_key(const Val& key) {
  const auto mix = [](uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    return static_cast<uint32_t>(x ^ (x >> 33));
  };
  switch (key.tag()) {
    case Val::Tag::kBool:
      return key.as_bool() ? 1 : 2;
    case Val::Tag::kInt:
    case Val::Tag::kUint:
    case Val::Tag::kDuration:
      return mix(static_cast<uint64_t>(key.as_int()));
    case Val::Tag::kDouble: {
      int64_t i = 0;
      if (exact_int(key.as_double(), i)) return mix(static_cast<uint64_t>(i));
      uint64_t u = 0;
      if (exact_uint(key.as_double(), u)) return mix(u);
      return 3;
    }
    case Val::Tag::kString:
    case Val::Tag::kBytes:
      return mix(std::hash<std::string_view>()(key.text()));
    default:
      return 0;
  }
}

size_t find_entry(Run& run, const Val& map, const Val& key, bool across_types) {
  const MapBody& body = *map.map_body();
  const auto fits = [&](const Val& k) {
    return (across_types || k.tag() == key.tag()) && equal(run, k, key).is_true();
  };
  if (body.index == nullptr) {
    for (size_t i = 0; i < map.size(); ++i) {
      if (fits(body.data[i].key)) return i;
    }
    return SIZE_MAX;
  }
  for (uint32_t at = hash_key(key) & body.index_mask;; at = (at + 1) & body.index_mask) {
    const uint32_t n = body.index[at];
    if (n == 0) return SIZE_MAX;
    // Entries behind this map's size belong to one that grew out of it.
    if (n <= map.size() && fits(body.data[n - 1].key)) return n - 1;
  }
}

void enter(MapBody& body, uint32_t entry) {
  uint32_t at = hash_key(body.data[entry].key) & body.index_mask;
  while (body.index[at] != 0) at = (at + 1) & body.index_mask;
  body.index[at] = entry + 1;
}

}  // namespace

Val Run::make_list(size_t capacity) {
  if (!has_room(capacity * sizeof(Val))) return stop_error();
  auto* body = make<ListBody>();
  body->data = capacity == 0
                   ? nullptr
                   : static_cast<Val*>(arena_.allocate(capacity * sizeof(Val), alignof(Val)));
  body->used = 0;
  body->capacity = static_cast<uint32_t>(capacity);
  return Val::list(body, 0);
}

Val Run::append(const Val& list, const Val& element) {
  const ListBody* body = list.store() == Val::Store::kMade ? list.list_body() : nullptr;
  if (body == nullptr || body->used != list.size() || body->used == body->capacity) {
    const size_t capacity = std::max<size_t>(4, list.size() * 2);
    if (!has_room(capacity * sizeof(Val))) return stop_error();
    const Val grown = make_list(capacity);
    body = grown.list_body();
    for (size_t i = 0; i < list.size(); ++i) body->data[i] = list_at(*this, list, i);
    body->used = static_cast<uint32_t>(list.size());
  }
  body->data[body->used++] = element;
  return Val::list(body, body->used);
}

Val Run::make_map(size_t capacity) {
  if (!has_room(capacity * sizeof(MapEntry))) return stop_error();
  auto* body = make<MapBody>();
  body->data =
      capacity == 0
          ? nullptr
          : static_cast<MapEntry*>(arena_.allocate(capacity * sizeof(MapEntry), alignof(MapEntry)));
  body->used = 0;
  body->capacity = static_cast<uint32_t>(capacity);
  body->index = nullptr;
  body->index_mask = 0;
  if (capacity > kIndexFrom) {
    uint32_t slots = 32;
    while (slots < capacity * 2) slots *= 2;
    body->index = static_cast<uint32_t*>(arena_.allocate(slots * sizeof(uint32_t), 4));
    std::memset(body->index, 0, slots * sizeof(uint32_t));
    body->index_mask = slots - 1;
  }
  return Val::map(body, 0);
}

Val Run::insert(const Val& map, const Val& key, const Val& value, bool replace) {
  Val from = map;
  if (map.store() != Val::Store::kMade) {
    const std::span<const Val> keys = map_keys(*this, map);
    from = make_map(keys.size() + 1);
    for (const Val& k : keys) {
      Val v;
      map_find(*this, map, k, v);
      from = insert(from, k, v, true);
      if (stopped()) return stop_error();
    }
  }
  const size_t known = find_entry(*this, from, key, !replace);
  if (known != SIZE_MAX) {
    if (!replace) return error("insert failed: key " + to_display(*this, key) + " already exists");
    from.map_body()->data[known].value = value;
    return from;
  }
  const MapBody* body = from.map_body();
  if (body->used != from.size() || body->used == body->capacity) {
    const Val grown = make_map(std::max<size_t>(4, from.size() * 2));
    if (stopped()) return stop_error();
    MapBody& to = const_cast<MapBody&>(*grown.map_body());
    for (size_t i = 0; i < from.size(); ++i) {
      to.data[i] = body->data[i];
      if (to.index != nullptr) enter(to, static_cast<uint32_t>(i));
    }
    to.used = static_cast<uint32_t>(from.size());
    body = &to;
  }
  body->data[body->used] = {key, value};
  if (body->index != nullptr) enter(const_cast<MapBody&>(*body), body->used);
  ++body->used;
  return Val::map(body, body->used);
}

const Value* Run::member(const Value& map, std::string_view key) {
  constexpr size_t kIndexMembersFrom = 24;
  if (map.size() < kIndexMembersFrom) return map.find(key);
  auto& index = members_[map.members().data()];
  if (index.empty()) {
    index.reserve(map.size());
    for (const Member& m : map.members()) index.emplace(m.key(), &m.value);
  }
  const auto at = index.find(key);
  return at == index.end() ? nullptr : at->second;
}

Val* Run::slots(size_t count) {
  if (count <= kInlineSlots) return slots_.data();
  if (count > more_count_) {
    more_slots_ = static_cast<Val*>(arena_.allocate(count * sizeof(Val), alignof(Val)));
    more_count_ = count;
  }
  return more_slots_;
}

bool map_find_made(Run& run, const Val& map, const Val& key, Val& out) {
  const size_t i = find_entry(run, map, key, true);
  if (i == SIZE_MAX) return false;
  out = map.map_body()->data[i].value;
  return true;
}

}  // namespace keles::cel
