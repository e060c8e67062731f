// ObjectsByName: objects of one kind in the order of namespace and name, found by hash: which of many
// an event is about costs a few cache lines, not one and more for each level of a tree. Not thread-safe.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>
#include <vector>

#include "machinery/object.h"

namespace keles {

// An object is its own key.
struct ObjectName {
  std::string_view ns, name;
  explicit ObjectName(const Object& o) : ns(o.namespace_()), name(o.name()) {}
  ObjectName(std::string_view ns, std::string_view name) : ns(ns), name(name) {}
  auto operator<=>(const ObjectName&) const = default;
};
struct ByName {
  using is_transparent = void;
  static ObjectName of(const ObjectPtr& o) { return ObjectName(*o); }
  static ObjectName of(const ObjectName& n) { return n; }
  template <class A, class B>
  bool operator()(const A& a, const B& b) const {
    return of(a) < of(b);
  }
};
using ObjectSet = std::set<ObjectPtr, ByName>;

class ObjectsByName {
 public:
  using Place = ObjectSet::const_iterator;
  Place begin() const { return ordered_.begin(); }
  Place end() const { return ordered_.end(); }
  size_t size() const { return ordered_.size(); }
  // end() when there is none.
  Place find(const ObjectName& name) const;
  // The first that is not before it.
  Place lower_bound(const ObjectName& name) const { return ordered_.lower_bound(name); }
  // There is none of that name.
  void insert(const ObjectPtr& now);
  // In place of the one of the same name.
  static void replace(Place there, const ObjectPtr& now);
  void erase(Place there);

 private:
  // Linear probing; at most seven eighths are taken. A hash of 0 is a free slot.
  static uint32_t hash_of(const ObjectName& name);
  size_t slot_of(Place there) const;
  void settle(uint32_t hash, Place there);
  void grow();

  ObjectSet ordered_;
  std::vector<uint32_t> hashes_;  // a power of two of them, or none
  std::vector<Place> places_;
};

}  // namespace keles
