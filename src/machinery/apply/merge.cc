// Trees into trees: what is applied laid over what is there, and fields taken out again.
#include <algorithm>

#include "machinery/apply/known.h"
#include "machinery/apply/place.h"

namespace keles::apply {
namespace {

class Merger {
 public:
  explicit Merger(Arena& arena) : arena_(arena) {}

  void place(const Place& p, Value& into, const Value& from) {
    switch (p.shape) {
      case Shape::kScalar:
      case Shape::kAtomic:
        break;
      case Shape::kStruct:
      case Shape::kMap:
        // An empty map, or null, changes nothing of a map that is not empty.
        if (into.is_map() && !into.empty() && (from.is_map() || from.is_null())) {
          return members(p, into, from);
        }
        break;
      case Shape::kSet:
      case Shape::kKeyed:
        if (into.is_list() && !into.empty() && (from.is_list() || from.is_null())) {
          return items(p, into, from);
        }
        break;
      case Shape::kDeduced:
        if (into.is_map() && !into.empty() && from.is_map()) return members(p, into, from);
        break;
    }
    into = deep_copy(arena_, from);
  }

 private:
  void members(const Place& p, Value& into, const Value& from) {
    into.reserve_members(arena_, into.size() + from.size());
    for (const Member& m : from.members()) {
      if (Value* old = into.find(m.key())) {
        place(place_below(p, {m.key(), 'f'}), *old, m.value);
      } else {
        into.append_member(arena_, arena_.copy(m.key()), deep_copy(arena_, m.value));
      }
    }
  }

  struct Item {
    PathElement element;
    Value value;
    size_t other = kNone;  // the item of the same element on the other side
    bool taken = false;
  };
  static constexpr size_t kNone = SIZE_MAX;

  std::vector<Item> index(const Place& p, const Value& list) {
    std::vector<Item> out;
    out.reserve(list.size());
    for (const Value& x : list.items()) {
      auto e = element_of_item(arena_, p, x);
      out.push_back({e.ok() ? *e : PathElement{}, x});
    }
    return out;
  }

  // Pairs items of one element. Of one that is there twice on the left, both are replaced.
  static void pair(std::vector<Item>& l, std::vector<Item>& r) {
    struct Key {
      PathElement element;
      size_t at;
      bool right;
    };
    std::vector<Key> keys;
    for (size_t i = 0; i < l.size(); ++i) keys.push_back({l[i].element, i, false});
    for (size_t i = 0; i < r.size(); ++i) keys.push_back({r[i].element, i, true});
    std::sort(keys.begin(), keys.end(), [](const Key& a, const Key& b) {
      const int c = a.element.body.compare(b.element.body);
      return c != 0 ? c < 0 : a.right != b.right ? a.right < b.right : a.at < b.at;
    });
    for (size_t i = 0; i < keys.size();) {
      size_t end = i;
      while (end < keys.size() && keys[end].element == keys[i].element) ++end;
      const Key& last = keys[end - 1];
      for (size_t k = i; k < end && last.right; ++k) {
        if (keys[k].right) continue;
        l[keys[k].at].other = last.at;
        r[last.at].other = end - i > 2 ? r[last.at].other : keys[k].at;
      }
      i = end;
    }
  }

  // The order is that of `from` where it names items, with what only `into` has in between, as
  // upstream interleaves them.
  void items(const Place& p, Value& into, const Value& from) {
    std::vector<Item> l = index(p, into), r = index(p, from);
    pair(l, r);
    std::vector<size_t> shared;  // of r
    for (size_t i = 0; i < r.size(); ++i) {
      if (std::any_of(l.begin(), l.end(), [i](const Item& x) { return x.other == i; })) {
        shared.push_back(i);
      }
    }
    size_t next = 0;  // of `shared`
    Value out = Value::list();
    out.reserve_items(arena_, l.size() + r.size());
    auto take_right = [&](size_t i) {
      r[i].taken = true;
      if (r[i].other != kNone) {
        Value merged = l[r[i].other].value;
        place(element_of(*p.field), merged, r[i].value);
        out.append(arena_, merged);
      } else {
        out.append(arena_, deep_copy(arena_, r[i].value));
      }
    };
    for (size_t i = 0, j = 0; i < l.size() || j < r.size();) {
      if (i < l.size() && j < r.size()) {
        if (l[i].element == r[j].element) {
          take_right(j);
          ++i, ++j;
          ++next;
          continue;
        }
        if (l[i].other != kNone && next < shared.size() && shared[next] != l[i].other) {
          ++i;  // shared, but not the one whose turn it is
          continue;
        }
      }
      if (i < l.size()) {
        if (l[i].other == kNone) {
          out.append(arena_, l[i++].value);
          continue;
        }
        if (r[l[i].other].taken) ++i;
      }
      if (j < r.size()) {
        if (next < shared.size() && shared[next] == j) ++next;
        take_right(j++);
      }
    }
    into = out;
  }

  Arena& arena_;
};

class Remover {
 public:
  explicit Remover(Arena& arena) : arena_(arena) {}

  // There is something below this place to be removed.
  void below(const Place& p, Value& v, PathSet set) {
    switch (p.shape) {
      case Shape::kScalar:
        return;
      case Shape::kAtomic:
        if (v.is_map() || v.is_list()) v.clear();
        return;
      case Shape::kSet:
      case Shape::kKeyed:
        return items(p, v, set);
      case Shape::kStruct:
      case Shape::kMap:
      case Shape::kDeduced:
        return members(p, v, set);
    }
  }

 private:
  void members(const Place& p, Value& v, PathSet set) {
    if (!v.is_map()) return;
    for (size_t i = v.size(); i-- > 0;) {
      const PathElement e{v.members()[i].key(), 'f'};
      const PathEntry* found = find(set, e);
      if (!found) continue;
      if (found->member) {
        v.erase(e.body);
      } else {
        below(place_below(p, e), v.members()[i].value, found->below);
      }
    }
  }

  void items(const Place& p, Value& v, PathSet set) {
    if (!v.is_list()) return;
    for (size_t i = v.size(); i-- > 0;) {
      auto e = element_of_item(arena_, p, v.at(i));
      const PathEntry* found = e.ok() ? find(set, *e) : nullptr;
      if (!found) continue;
      if (found->member) {
        v.erase_at(i);
      } else {
        below(element_of(*p.field), v.items()[i], found->below);
      }
    }
  }

  Arena& arena_;
};

}  // namespace

void merge_into(Arena& arena, const TypeDesc& type, Value& into, const Value& from) {
  Merger(arena).place(root_of(type), into, from);
}

void remove_fields(Arena& arena, const TypeDesc& type, Value& value, PathSet set) {
  if (set) Remover(arena).below(root_of(type), value, set);
}

}  // namespace keles::apply
