// Making strategic merge patches, as `kubectl apply` does. See strategic_patch.cc.
#include <algorithm>
#include <string>
#include <vector>

#include "machinery/patch.h"
#include "machinery/strategic.h"

namespace keles {
namespace {

using strategic::Element;
using strategic::kDeleteList;
using strategic::kPatch;
using strategic::kRetainKeys;
using strategic::kSetOrder;

struct DiffOptions {
  bool deletions = true, changes = true;
  bool order = true;  // give the order of merged lists
};

class Differ {
 public:
  Differ(Arena* a, DiffOptions o) : a_(*a), o_(o) {}

  Result<Value> maps(const TypeDesc* type, const Value& original, const Value& modified,
                     bool retain_keys) {
    Value out = Value::map();
    for (const Member& m : original.members()) {
      const Value* now = modified.find(m.key());
      if (!now || now->is_null()) {
        if (o_.deletions) out.set(a_, a_.copy(m.key()), Value());
      } else if (m.value.kind() != now->kind()) {
        replace(&out, m.key(), *now);
      } else if (now->is_map()) {
        Element e = strategic::describe(type, m.key());
        if (e.replace) {
          if (!m.value.equals(*now)) replace(&out, m.key(), *now);
          continue;
        }
        TRY_ASSIGN(inner, maps(e.type, m.value, *now, e.retain_keys));
        if (!inner.empty()) out.set(a_, a_.copy(m.key()), inner);
      } else if (now->is_list()) {
        TRY(lists(type, &out, m.key(), m.value, *now));
      } else if (!m.value.equals(*now)) {
        replace(&out, m.key(), *now);
      }
    }
    bool added = false;
    for (const Member& m : modified.members()) {
      if (original.find(m.key()) || m.value.is_null()) continue;
      added = true;
      replace(&out, m.key(), m.value);
    }
    if (retain_keys && (!out.empty() || added)) {
      std::vector<std::string_view> names;
      for (const Member& m : modified.members()) {
        if (!m.value.is_null()) names.push_back(m.key());
      }
      std::sort(names.begin(), names.end());
      Value list = Value::list();
      for (std::string_view n : names) list.append(a_, Value::string(a_.copy(n)));
      if (!names.empty()) out.set(a_, kRetainKeys, list);
    }
    return out;
  }

 private:
  void replace(Value* out, std::string_view key, const Value& v) {
    if (o_.changes) out->set(a_, a_.copy(key), deep_copy(a_, v));
  }

  static bool all_maps(const Value& l) {
    return std::all_of(l.items().begin(), l.items().end(),
                       [](const Value& v) { return v.is_map(); });
  }

  Status lists(const TypeDesc* type, Value* out, std::string_view key, const Value& original,
               const Value& modified) {
    Element e = strategic::describe(type, key);
    bool maps_inside = !e.merge_key.empty() && all_maps(original) && all_maps(modified);
    if (!e.merge || (e.merge_key.empty() && (has_maps(original) || has_maps(modified)))) {
      if (!original.equals(modified)) replace(out, key, modified);
      return {};
    }
    return maps_inside ? keyed(e, out, key, original, modified)
                       : primitives(out, key, original, modified);
  }

  static bool has_maps(const Value& l) {
    return std::any_of(l.items().begin(), l.items().end(),
                       [](const Value& v) { return v.is_map(); });
  }

  std::string_view name(std::string_view prefix, std::string_view key) {
    return a_.copy(std::string(prefix) + std::string(key));
  }

  static bool contains(const Value& list, const Value& v) {
    return std::any_of(list.items().begin(), list.items().end(),
                       [&](const Value& o) { return o.equals(v); });
  }

  Status primitives(Value* out, std::string_view key, const Value& original,
                    const Value& modified) {
    Value added = Value::list(), deleted = Value::list();
    for (const Value& v : modified.items()) {
      if (o_.changes && !contains(original, v)) added.append(a_, deep_copy(a_, v));
    }
    for (const Value& v : original.items()) {
      if (o_.deletions && !contains(modified, v)) deleted.append(a_, deep_copy(a_, v));
    }
    bool differs = !added.empty() || !deleted.empty() || !original.equals(modified);
    if (!added.empty()) out->set(a_, a_.copy(key), added);
    if (!deleted.empty()) out->set(a_, name(kDeleteList, key), deleted);
    if (o_.order && differs && !modified.empty()) {
      out->set(a_, name(kSetOrder, key), deep_copy(a_, modified));
    }
    return {};
  }

  Status keyed(const Element& e, Value* out, std::string_view key, const Value& original,
               const Value& modified) {
    auto no_key = [&] {
      return Status::bad_request("map does not contain declared merge key: " +
                                 std::string(e.merge_key));
    };
    Value patch = Value::list(), order = Value::list();
    bool same_order = original.size() == modified.size();
    size_t i = 0;
    for (const Value& v : modified.items()) {
      const Value* k = v.find(e.merge_key);
      if (!k) return no_key();
      same_order = same_order && original.at(i++)[e.merge_key].equals(*k);
      Value just_key = Value::map();
      just_key.set(a_, e.merge_key, deep_copy(a_, *k));
      order.append(a_, just_key);
      const Value* old = strategic::find_element(const_cast<Value&>(original), e.merge_key, *k);
      if (!old) {
        if (o_.changes) patch.append(a_, deep_copy(a_, v));
        continue;
      }
      TRY_ASSIGN(inner, maps(e.type, *old, v, e.retain_keys));
      if (inner.empty()) continue;
      inner.set(a_, e.merge_key, deep_copy(a_, *k));
      patch.append(a_, inner);
    }
    for (const Value& v : original.items()) {
      const Value* k = v.find(e.merge_key);
      if (!k) return no_key();
      if (!o_.deletions || strategic::find_element(const_cast<Value&>(modified), e.merge_key, *k)) {
        continue;
      }
      Value gone = Value::map();
      gone.set(a_, kPatch, Value::string("delete"));
      gone.set(a_, e.merge_key, deep_copy(a_, *k));
      patch.append(a_, gone);
    }
    if (o_.order && !order.empty() && (!patch.empty() || !same_order)) {
      out->set(a_, name(kSetOrder, key), order);
    }
    if (!patch.empty()) out->set(a_, a_.copy(key), patch);
    return {};
  }

  Arena& a_;
  DiffOptions o_;
};

// Lays the patch `over` on the patch `base` (they share an arena): directives and nulls stay.
void combine(Arena& a, const TypeDesc* type, Value* base, const Value& over) {
  for (const Member& m : over.members()) {
    Value* old = base->find(m.key());
    if (!old || old->kind() != m.value.kind()) {
      base->set(a, m.key(), m.value);
      continue;
    }
    Element e = strategic::describe(type, m.key());
    if (old->is_map() && !e.replace) {
      combine(a, e.type, old, m.value);
    } else if (old->is_list() && e.merge && !e.merge_key.empty()) {
      for (const Value& v : m.value.items()) {
        Value* same = strategic::find_element(*old, e.merge_key, v[e.merge_key]);
        if (same && !same->find(kPatch)) {
          combine(a, e.type, same, v);
        } else {
          old->append(a, v);
        }
      }
    } else {
      *old = m.value;
    }
  }
}

}  // namespace

Result<Document> create_two_way_strategic_patch(const TypeDesc* type, const Value& original,
                                                const Value& modified) {
  Document doc;
  TRY_ASSIGN(patch, Differ(&doc.arena, {}).maps(type, original, modified, false));
  doc.root = patch;
  return doc;
}

Result<Document> create_three_way_strategic_patch(const TypeDesc* type, const Value& original,
                                                  const Value& modified, const Value& current) {
  Document doc;
  DiffOptions only_deletions, only_changes;
  only_deletions.changes = false;
  only_changes.deletions = false;
  TRY_ASSIGN(deletions, Differ(&doc.arena, only_deletions).maps(type, original, modified, false));
  TRY_ASSIGN(changes, Differ(&doc.arena, only_changes).maps(type, current, modified, false));
  doc.root = deletions;
  combine(doc.arena, type, &doc.root, changes);
  return doc;
}

}  // namespace keles
