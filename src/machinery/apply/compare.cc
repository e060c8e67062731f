// Trees to sets: what a tree names, and what differs between two.
#include <algorithm>
#include <array>

#include "machinery/apply/element_text.h"
#include "machinery/apply/known.h"
#include "machinery/apply/place.h"

namespace keles::apply {
namespace {

bool is_empty(const Value* v) { return !v || v->empty(); }

// The members of a struct by the fields of its type; a null that is there is there.
class Slots {
 public:
  Slots(const TypeDesc& t, const Value* v) {
    if (t.fields.size() > few_.size()) {
      many_.resize(t.fields.size());
      slots_ = many_.data();
    } else {
      std::fill_n(slots_, t.fields.size(), nullptr);
    }
    if (!v) return;
    size_t expected = 0;
    for (const Member& m : v->members()) {
      const int i = expected < t.fields.size() && t.fields[expected].name == m.key()
                        ? static_cast<int>(expected)
                        : t.index_of(m.key());
      if (i < 0) continue;
      slots_[i] = &m.value;
      expected = static_cast<size_t>(i) + 1;
    }
  }
  Slots(const Slots&) = delete;
  const Value* operator[](size_t i) const { return slots_[i]; }

 private:
  std::array<const Value*, 64> few_;  // set as far as the type has fields
  std::vector<const Value*> many_;
  const Value** slots_ = few_.data();
};

std::vector<const Member*> sorted_members(const Value* v) {
  std::vector<const Member*> out;
  if (!v) return out;
  out.reserve(v->size());
  for (const Member& m : v->members()) out.push_back(&m);
  auto less = [](const Member* a, const Member* b) { return a->key() < b->key(); };
  if (!std::is_sorted(out.begin(), out.end(), less)) std::sort(out.begin(), out.end(), less);
  return out;
}

// --- what a tree names ---

class Namer {
 public:
  explicit Namer(Arena& arena) : stack_(arena) {}

  PathSet object(const TypeDesc& type, const Value& v) {
    const size_t from = stack_.begin();
    for (const Member& m : v.members()) {
      if (m.key() == "apiVersion" || m.key() == "kind") continue;
      member(type, m);
    }
    return stack_.end(from);
  }

 private:
  // `self`: the place is named itself; the result is what is named below it.
  PathSet below(const Place& p, const Value& v, bool& self) {
    const size_t from = stack_.begin();
    switch (p.shape) {
      case Shape::kScalar:
      case Shape::kAtomic:
        self = true;
        return nullptr;
      case Shape::kStruct:
        for (const Member& m : v.members()) member(*p.type, m);
        break;
      case Shape::kMap:
        for (const Member& m : v.members()) key(element_of(*p.field), m);
        break;
      case Shape::kSet:
      case Shape::kKeyed:
        items(p, v);
        break;
      case Shape::kDeduced:
        if (v.is_map()) {
          for (const Member& m : v.members()) key(Place{}, m);
        } else if (!v.is_null()) {
          self = true;
        }
        break;
    }
    return stack_.end(from);
  }

  void member(const TypeDesc& t, const Member& m) {
    const FieldDesc* f = t.find(m.key());
    if (!f) return key(t.additional ? place_of(*t.additional) : Place{}, m);
    bool self = false;
    PathSet inner = below(place_of(*f), m.value, self);
    self |= m.value.is_null() || (m.value.is_map() && m.value.empty());
    stack_.push({m.key(), 'f'}, self, inner);
  }

  void key(const Place& p, const Member& m) {
    bool self = false;
    PathSet inner = below(p, m.value, self);
    stack_.push({m.key(), 'f'}, true, inner);
  }

  void items(const Place& p, const Value& v) {
    struct Item {
      PathElement element;
      const Value* value;
    };
    std::vector<Item> all;
    for (const Value& x : v.items()) {
      auto e = element_of_item(stack_.arena(), p, x);
      if (e.ok()) all.push_back({*e, &x});
    }
    std::stable_sort(all.begin(), all.end(), [](const Item& a, const Item& b) {
      return compare(a.element, b.element) < 0;
    });
    for (size_t i = 0; i < all.size();) {
      size_t end = i + 1;
      while (end < all.size() && all[end].element == all[i].element) ++end;
      bool self = true;
      // An item that is there twice is owned as a whole.
      PathSet inner =
          end - i > 1 ? nullptr : below(element_of(*p.field), *all[i].value, self = true);
      stack_.push(all[i].element, true, inner);
      i = end;
    }
  }

  LevelStack stack_;
};

// --- what differs ---

class Comparer {
 public:
  Comparer(Arena& arena, bool partial) : removed_(arena), changed_(arena), partial_(partial) {}

  Changes object(const TypeDesc& type, const Value& before, const Value& after, PathSet skip) {
    const size_t r = removed_.begin(), c = changed_.begin();
    bool any = false;
    fields(type, &before, &after, skip, any, true);
    return {removed_.end(r), changed_.end(c)};
  }

 private:
  struct Found {
    bool removed = false, changed = false;
    PathSet removed_below = nullptr, changed_below = nullptr;
  };

  // A leaf, whichever it is.
  static Found leaf(const Value* l, const Value* r) {
    Found f;
    f.removed = !r;
    f.changed = r && (!l || !l->equals(*r));
    return f;
  }

  void put(const PathElement& e, const Found& f) {
    removed_.push(e, f.removed, f.removed_below);
    changed_.push(e, f.changed, f.changed_below);
  }

  // At least one of the two is there.
  Found both(const Place& p, const Value* l, const Value* r, PathSet skip = nullptr) {
    if (p.shape == Shape::kScalar || p.shape == Shape::kAtomic) return leaf(l, r);
    if (l && r && l->equals(*r)) return {};  // most of what is compared is
    if (p.shape == Shape::kDeduced) return deduced(l, r);
    const size_t x = removed_.begin(), y = changed_.begin();
    bool any = false;
    if (p.shape == Shape::kStruct) {
      fields(*p.type, l, r, skip, any, false);
    } else if (is_empty(l) && is_empty(r)) {
      return leaf(l, r);
    } else {
      any = true;
      if (p.shape == Shape::kMap) {
        keys(element_of(*p.field), l, r);
      } else {
        items(p, l, r);
      }
    }
    Found f;
    if (!any) f = leaf(l, r);
    f.removed |= !r;
    f.changed |= !l;
    f.removed_below = removed_.end(x);
    f.changed_below = changed_.end(y);
    return f;
  }

  Found deduced(const Value* l, const Value* r) {
    const bool left = l && l->is_map(), right = r && r->is_map();
    if (!left && !right) return leaf(l, r);
    if (is_empty(l) && is_empty(r) && (left || !l) && (right || !r)) return leaf(l, r);
    const size_t x = removed_.begin(), y = changed_.begin();
    Found f;
    keys(Place{}, left ? l : nullptr, right ? r : nullptr);
    f.removed = !r;
    // A map in the place of something else, or the other way round, is another value too.
    f.changed = !l || (r && left != right && !l->is_null() && !r->is_null());
    f.removed_below = removed_.end(x);
    f.changed_below = changed_.end(y);
    return f;
  }

  void fields(const TypeDesc& t, const Value* l, const Value* r, PathSet skip, bool& any,
              bool root) {
    const Slots ls(t, l), rs(t, r);
    const bool zero_left = l && l->is_map(), zero_right = r && r->is_map() && (l || !partial_);
    for (size_t i = 0; i < t.fields.size(); ++i) {
      const FieldDesc& f = t.fields[i];
      const Value *a = ls[i], *b = rs[i];
      const bool zero = may_be_zero(t, f);
      if (!a && !b && (!zero || (zero_left && zero_right))) {
        any |= zero;
        continue;
      }
      if (zero) {
        if (!a && zero_left) a = &zero_of(f);
        if (!b && zero_right) b = &zero_of(f);
      }
      if (!a && !b) continue;
      any = true;
      if (root && (f.name == "apiVersion" || f.name == "kind")) continue;
      const PathEntry* out = skip ? find(skip, {f.name, 'f'}) : nullptr;
      if (out && out->member) continue;
      put({f.name, 'f'}, both(place_of(f), a, b, out ? out->below : nullptr));
    }
    if (has_unknown(t)) unknown(t, l, r, any);
  }

  void unknown(const TypeDesc& t, const Value* l, const Value* r, bool& any) {
    const Place p = t.additional ? place_of(*t.additional) : Place{};
    for (const Member* m : sorted_members(l)) {
      if (t.find(m->key())) continue;
      any = true;
      put({m->key(), 'f'}, both(p, &m->value, r ? r->find(m->key()) : nullptr));
    }
    for (const Member* m : sorted_members(r)) {
      if (t.find(m->key()) || (l && l->find(m->key()))) continue;
      any = true;
      put({m->key(), 'f'}, both(p, nullptr, &m->value));
    }
  }

  void keys(const Place& element, const Value* l, const Value* r) {
    const auto x = sorted_members(l), y = sorted_members(r);
    size_t i = 0, j = 0;
    while (i < x.size() || j < y.size()) {
      const int order = i == x.size() ? 1 : j == y.size() ? -1 : x[i]->key().compare(y[j]->key());
      const Value* a = order <= 0 ? &x[i]->value : nullptr;
      const Value* b = order >= 0 ? &y[j]->value : nullptr;
      std::string_view name = a ? x[i]->key() : y[j]->key();
      if (!a || !b || element.shape != Shape::kScalar || !a->equals(*b)) {
        put({name, 'f'}, both(element, a, b));
      }
      i += a ? 1 : 0;
      j += b ? 1 : 0;
    }
  }

  // The keys of both items are there and the same: the usual case, without making texts.
  static bool same_keys(const Place& p, const Value& a, const Value& b) {
    if (p.shape == Shape::kSet) return a.equals(b);
    for (std::string_view key : keys_of(*p.field)) {
      const Value *x = a.find(key), *y = b.find(key);
      if (!x != !y || (x && !x->equals(*y))) return false;
    }
    return a.is_map() && b.is_map();
  }

  void items(const Place& p, const Value* l, const Value* r) {
    constexpr size_t kFew = 12;
    if (l && r && l->size() == r->size() && l->size() <= kFew && aligned(p, *l, *r)) {
      if (p.shape == Shape::kSet) return;
      for (size_t i = 0; i < l->size(); ++i) {
        Found f = both(element_of(*p.field), &l->at(i), &r->at(i));
        if (!f.removed && !f.changed && !f.removed_below && !f.changed_below) continue;
        auto e = element_of_item(arena(), p, r->at(i));
        if (e.ok()) put(*e, f);
      }
      return;
    }
    unaligned(p, l, r);
  }

  // Item for item the same keys, and none of them twice.
  static bool aligned(const Place& p, const Value& l, const Value& r) {
    for (size_t i = 0; i < l.size(); ++i) {
      if (!same_keys(p, l.at(i), r.at(i))) return false;
      for (size_t j = 0; j < i; ++j) {
        if (same_keys(p, l.at(i), l.at(j))) return false;
      }
    }
    return true;
  }

  struct Item {
    PathElement element;
    const Value* value;
    bool right;
  };

  void unaligned(const Place& p, const Value* l, const Value* r) {
    std::vector<Item> all;
    for (const Value* side : {l, r}) {
      if (!side) continue;
      for (const Value& x : side->items()) {
        auto e = element_of_item(arena(), p, x);
        if (e.ok()) all.push_back({*e, &x, side == r});
      }
    }
    std::stable_sort(all.begin(), all.end(), [](const Item& a, const Item& b) {
      return compare(a.element, b.element) < 0;
    });
    for (size_t i = 0; i < all.size();) {
      size_t end = i;
      while (end < all.size() && all[end].element == all[i].element) ++end;
      group(p,
            {all.begin() + static_cast<ptrdiff_t>(i), all.begin() + static_cast<ptrdiff_t>(end)});
      i = end;
    }
  }

  // All items of one element, those of `before` first.
  void group(const Place& p, std::span<const Item> same) {
    const auto split =
        std::find_if(same.begin(), same.end(), [](const Item& x) { return x.right; });
    std::span<const Item> l(same.begin(), split), r(split, same.end());
    const PathElement& e = same.front().element;
    const Place inner = element_of(*p.field);
    if (l.size() <= 1 && r.size() <= 1) {
      put(e, both(inner, l.empty() ? nullptr : l[0].value, r.empty() ? nullptr : r[0].value));
      return;
    }
    Found f;
    if (l.size() >= 2 && r.size() >= 2) {
      f.changed = !std::equal(l.begin(), l.end(), r.begin(), r.end(),
                              [](auto& a, auto& b) { return a.value->equals(*b.value); });
    } else if (l.size() >= 2) {  // no longer twice
      if (!r.empty()) f = both(inner, nullptr, r[0].value);
      f.removed = true;
    } else {
      if (!l.empty()) f = both(inner, l[0].value, nullptr);
      f.changed = true;
    }
    put(e, f);
  }

  Arena& arena() { return changed_.arena(); }

  LevelStack removed_, changed_;
  bool partial_;
};

// --- whether two are the same ---

bool same_value(const Place& p, const Value& a, const Value& b);

bool same_fields(const TypeDesc& t, const Value& a, const Value& b) {
  if (a.is_null() != b.is_null()) return false;
  const Slots x(t, &a), y(t, &b);
  for (size_t i = 0; i < t.fields.size(); ++i) {
    const FieldDesc& f = t.fields[i];
    const Value *l = x[i], *r = y[i];
    if (!l && !r) continue;
    if ((!l || !r) && !may_be_zero(t, f)) return false;
    if (!same_value(place_of(f), l ? *l : zero_of(f), r ? *r : zero_of(f))) return false;
  }
  if (!has_unknown(t)) return true;
  auto unknown_in = [&t](const Value& from, const Value& in) {
    for (const Member& m : from.members()) {
      if (t.find(m.key())) continue;
      const Value* other = in.find(m.key());
      if (!other || !other->equals(m.value)) return false;
    }
    return true;
  };
  return unknown_in(a, b) && unknown_in(b, a);
}

bool same_value(const Place& p, const Value& a, const Value& b) {
  if (p.shape == Shape::kStruct) return a.equals(b) || same_fields(*p.type, a, b);
  if (p.shape != Shape::kKeyed && p.shape != Shape::kMap) return a.equals(b);
  if (a.kind() != b.kind() || a.size() != b.size()) return false;
  const Place inner = element_of(*p.field);
  if (p.shape == Shape::kKeyed) {
    for (size_t i = 0; i < a.size(); ++i) {
      if (!same_value(inner, a.at(i), b.at(i))) return false;
    }
    return true;
  }
  const auto x = sorted_members(&a), y = sorted_members(&b);
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i]->key() != y[i]->key() || !same_value(inner, x[i]->value, y[i]->value)) return false;
  }
  return true;
}

}  // namespace

PathSet fields_of(Arena& arena, const TypeDesc& type, const Value& value) {
  return Namer(arena).object(type, value);
}

Changes compare_trees(Arena& arena, const TypeDesc& type, const Value& before, const Value& after,
                      CompareOptions options) {
  return Comparer(arena, options.partial).object(type, before, after, options.skip);
}

bool same_tree(const TypeDesc& type, const Value& a, const Value& b) {
  return same_fields(type, a, b);
}

}  // namespace keles::apply
