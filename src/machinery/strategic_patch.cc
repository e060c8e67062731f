// Strategic merge patch: a merge patch whose lists are merged as the type's description says
// (patchStrategy, patchMergeKey), steered by directives: $patch, $retainKeys,
// $setElementOrder/<field>, $deleteFromPrimitiveList/<field>.
// https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "machinery/codec_json.h"
#include "machinery/go_type.h"
#include "machinery/patch.h"
#include "machinery/strategic.h"
#include "machinery/validation.h"

namespace keles {
namespace {

using strategic::Element;
using strategic::kDeleteList;
using strategic::kPatch;
using strategic::kRetainKeys;
using strategic::kSetOrder;
using strategic::starts_with;

constexpr size_t kMaxMergeList = 10'000;  // elements: finding one is a linear scan

Status wrong(std::string what) { return Status::bad_request(std::move(what)); }
// What upstream does not class: it is answered with 500 and no reason.
Status unclassed(std::string what) { return Status(Reason::kUnknown, std::move(what)); }
Status no_list(const Value& v) {
  const std::string_view type = v.is_null() ? "%!s(<nil>)" : go_type(v);
  return unclassed("expected a []interface {}, but received a " + std::string(type));
}

// A value as Go's %v prints it, bounded.
std::string go_text(const Value& v) {
  constexpr size_t kMost = 4096;
  if (v.is_null()) return "<nil>";
  if (v.is_string()) return std::string(v.as_string().substr(0, kMost));
  std::string out;
  if (v.is_list()) {
    for (const Value& i : v.items()) {
      if (out.size() > kMost) break;
      out += (out.empty() ? "" : " ") + go_text(i);
    }
    return "[" + out + "]";
  }
  if (!v.is_map()) {
    write_json(out, v);
    return out;
  }
  std::map<std::string_view, const Value*> sorted;
  for (const Member& m : v.members()) sorted.emplace(m.key(), &m.value);
  for (const auto& [key, value] : sorted) {
    if (out.size() > kMost) break;
    out += (out.empty() ? "" : " ") + std::string(key) + ":" + go_text(*value);
  }
  return "map[" + out + "]";
}

bool has_directive(const Value& v) {
  for (const Member& m : v.members()) {
    if (m.key().starts_with('$')) return true;
  }
  return false;
}

class Merger {
 public:
  explicit Merger(Arena* a) : a_(*a) {}

  Status merge_map(const TypeDesc* type, Value* into, const Value& patch) {
    if (const Value* directive = patch.find(kPatch)) {
      std::string_view d = directive->as_string();
      if (d == "replace") {
        *into = without_directives(patch);
        return {};
      }
      if (d == "delete") {
        *into = Value::map();
        return {};
      }
      return unknown_directive(*directive, patch);
    }
    TRY(retain_keys(into, patch));
    std::set<std::string_view> ordered;
    for (const Member& m : patch.members()) {
      if (!starts_with(m.key(), kSetOrder)) continue;
      std::string_view name = m.key().substr(kSetOrder.size());
      TRY(merge_ordered(type, into, patch, name, m.value));
      ordered.insert(name);
    }
    std::set<std::string_view> gone;
    for (const Member& m : patch.members()) {
      if (m.key() == kPatch || m.key() == kRetainKeys || starts_with(m.key(), kSetOrder)) continue;
      if (m.value.is_null()) {
        gone.insert(m.key());
        continue;
      }
      if (ordered.count(m.key())) continue;
      if (starts_with(m.key(), kDeleteList)) {
        TRY(delete_from(into, m.key().substr(kDeleteList.size()), m.value));
        continue;
      }
      TRY(merge_member(type, into, m.key(), m.value));
    }
    strategic::erase_all(a_, into, gone);
    return {};
  }

 private:
  static Status unknown_directive(const Value& directive, const Value& in) {
    return unclassed("unknown patch type: " + go_text(directive) + " in map: " + go_text(in));
  }

  Status merge_member(const TypeDesc* type, Value* into, std::string_view key, const Value& value) {
    Value* old = into->find(key);
    if (!old || old->kind() != value.kind() || !(old->is_map() || old->is_list())) {
      if (value.find(kPatch)) {  // a directive for what is not there
        if (old) strategic::erase_all(a_, into, {key});
        return {};
      }
      Value fresh = without_directives(value);
      if (old) {
        *old = fresh;
      } else {
        into->set(a_, a_.copy(key), fresh);
      }
      return {};
    }
    Element e = strategic::describe(type, key);
    if (old->is_map()) {
      if (e.replace) {
        *old = without_directives(value);
        return {};
      }
      return merge_map(e.type, old, value);
    }
    if (!e.merge) {
      *old = without_directives(value);
      return {};
    }
    return merge_list(e, old, value);
  }

  Status retain_keys(Value* into, const Value& patch) {
    const Value* keep = patch.find(kRetainKeys);
    if (!keep) return {};
    constexpr const char* kBad = "invalid patch format of retainKeys";
    if (!keep->is_list()) return wrong(kBad);
    std::set<std::string_view> names;
    for (const Value& v : keep->items()) names.insert(v.as_string());
    for (const Member& m : patch.members()) {
      if (m.value.is_null() || m.key()[0] == '$') continue;
      if (!names.count(m.key())) return wrong(kBad);
    }
    std::set<std::string_view> gone;
    for (const Member& m : into->members()) {
      if (!names.count(m.key())) gone.insert(m.key());
    }
    strategic::erase_all(a_, into, gone);
    return {};
  }

  Status delete_from(Value* into, std::string_view key, const Value& values) {
    Value* list = into->find(key);
    if (!list || !list->is_list() || !values.is_list()) return {};
    for (size_t i = list->size(); i-- > 0;) {
      for (const Value& v : values.items()) {
        if (list->items()[i].equals(v)) {
          list->erase_at(i);
          break;
        }
      }
    }
    return {};
  }

  // Merges one list whose final order the patch gives in full.
  Status merge_ordered(const TypeDesc* type, Value* into, const Value& patch, std::string_view name,
                       const Value& order) {
    if (!order.is_list()) return no_list(order);
    const Value* patch_list = patch.find(name);
    Value* old = into->find(name);
    Element e = strategic::describe(type, name);
    for (const Value* list : {static_cast<const Value*>(old), patch_list}) {
      if (list && !list->is_list()) return no_list(*list);
    }
    if (patch_list) TRY(check_order(e, *patch_list, order));
    Value server = old && old->is_list() ? deep_copy(a_, *old) : Value::list();
    if (old && patch_list) {
      TRY(merge_member(type, into, name, *patch_list));
      old = into->find(name);
    } else if (patch_list) {
      old = &into->set(a_, a_.copy(name), without_directives(*patch_list));
    }
    if (!old || !old->is_list()) return {};
    TRY(check_keys(e, *old));
    strategic::reorder(a_, e.merge_key, old, order, server);
    return {};
  }

  // What the patch sets stands in the order list, in that order; deletions need not.
  static Status check_order(const Element& e, const Value& list, const Value& order) {
    if (list.empty() || order.empty()) return {};
    if (list.size() > kMaxMergeList) return wrong("a list that is merged has too many elements");
    auto places = order.items();
    size_t at = 0;
    for (const Value& v : list.items()) {
      if (has_directive(v)) continue;
      auto named = [&](const Value& place) -> Result<bool> {
        if (e.merge_key.empty()) return v.equals(place);
        for (const Value* side : {&v, &place}) {
          if (!side->find(e.merge_key)) return no_key(e, *side);
        }
        return v[e.merge_key].equals(place[e.merge_key]);
      };
      bool found = false;
      for (; !found && at < places.size(); ++at) {
        TRY_ASSIGN(same, named(places[at]));
        found = same;
      }
      if (!found) {
        return unclassed("The order in patch list:\n" + go_text(list) +
                         "\n doesn't match $setElementOrder list:\n" + go_text(order) + "\n");
      }
    }
    return {};
  }

  Status check_keys(const Element& e, const Value& list) {
    if (list.size() > kMaxMergeList) return wrong("a list that is merged has too many elements");
    for (const Value& v : list.items()) {
      if (v.is_map() && !e.merge_key.empty() && !v.find(e.merge_key)) return no_key(e, v);
    }
    return {};
  }

  static Status no_key(const Element& e, const Value& v) {
    return unclassed("map: " + go_text(v) +
                     " does not contain declared merge key: " + std::string(e.merge_key));
  }

  Status merge_list(const Element& e, Value* into, const Value& patch) {
    bool maps = false;
    for (const Value& v : patch.items()) maps = maps || v.is_map();
    Value server = deep_copy(a_, *into);
    if (into->size() + patch.size() > kMaxMergeList) {
      return wrong("a list that is merged has too many elements");
    }
    if (!maps) {
      for (const Value& v : patch.items()) {
        bool found = false;
        for (const Value& o : into->items()) found = found || o.equals(v);
        if (!found) into->append(a_, deep_copy(a_, v));
      }
      strategic::reorder(a_, "", into, patch, server);
      return {};
    }
    if (e.merge_key.empty()) return unclassed("cannot merge lists without merge key for struct");
    Value plain = Value::list();  // the patch's elements without directives
    TRY(special_elements(e, into, patch, &plain));
    for (const Value& v : plain.items()) {
      const Value* key = v.find(e.merge_key);
      if (!key) return no_key(e, v);
      if (Value* old = strategic::find_element(*into, e.merge_key, *key)) {
        TRY(merge_map(e.type, old, v));
      } else {
        into->append(a_, without_directives(v));
      }
    }
    TRY(check_keys(e, *into));
    strategic::reorder(a_, e.merge_key, into, plain, server);
    return {};
  }

  Status special_elements(const Element& e, Value* into, const Value& patch, Value* plain) {
    bool replace = false;
    for (const Value& v : patch.items()) {
      const Value* directive = v.find(kPatch);
      if (!directive) {
        plain->append(a_, v);
        continue;
      }
      std::string_view d = directive->as_string();
      if (d == "delete") {
        const Value* key = v.find(e.merge_key);
        if (!key) return no_key(e, v);
        for (size_t i = into->size(); i-- > 0;) {
          if (into->items()[i][e.merge_key].equals(*key)) into->erase_at(i);
        }
      } else if (d == "replace") {
        replace = true;  // the rest of the patch becomes the list; this element only says so
      } else if (d == "merge") {
        return unclassed("merging lists cannot yet be specified in the patch");
      } else {
        return unknown_directive(*directive, v);
      }
    }
    if (replace) into->clear();
    return {};
  }

  // A copy without nulls in maps and without directives: what a patch adds anew.
  Value without_directives(const Value& v) {
    if (v.is_map()) {
      Value out = Value::map();
      for (const Member& m : v.members()) {
        if (m.value.is_null() || m.key() == kPatch || m.key() == kRetainKeys ||
            starts_with(m.key(), kSetOrder) || starts_with(m.key(), kDeleteList)) {
          continue;
        }
        if (m.value.find(kPatch)) continue;  // a map that was to be replaced or deleted
        out.set(a_, a_.copy(m.key()), without_directives(m.value));
      }
      return out;
    }
    if (!v.is_list()) return deep_copy(a_, v);
    Value out = Value::list();
    for (const Value& i : v.items()) {
      if (i.find(kPatch)) continue;  // {$patch: delete, key: x} has nothing to delete here
      out.append(a_, i.is_map() ? without_directives(i) : deep_copy(a_, i));
    }
    return out;
  }

  Arena& a_;
};

}  // namespace

namespace strategic {

Element describe(const TypeDesc* type, std::string_view key) {
  Element e;
  if (!type) return e;
  const FieldDesc* f = type->find(key);
  if (!f) return e;
  e.known = true;
  // A map's values are looked up by their own keys: only messages have a type to go on with.
  e.type =
      f->type == FieldType::kMessage && f->cardinality != Cardinality::kMap ? f->message : nullptr;
  e.merge_key = f->patch_merge_key;
  std::string_view s = f->patch_strategy;
  e.merge = s.find("merge") != std::string_view::npos;
  e.replace = s.find("replace") != std::string_view::npos;
  e.retain_keys = s.find("retainKeys") != std::string_view::npos;
  return e;
}

void erase_all(Arena& a, Value* map, const std::set<std::string_view>& keys) {
  const auto members = map->members();
  size_t left = 0;
  for (const Member& m : members) left += keys.count(m.key()) ? 0 : 1;
  if (left == members.size()) return;
  Value kept = Value::map();
  kept.reserve_members(a, left);
  for (const Member& m : members) {
    if (!keys.count(m.key())) kept.append_member(a, m.key(), m.value);
  }
  *map = kept;
}

Value* find_element(Value& list, std::string_view merge_key, const Value& key) {
  for (Value& v : list.items()) {
    const Value* k = v.find(merge_key);
    if (k && k->equals(key)) return &v;
  }
  return nullptr;
}

namespace {

// Where `v` stands in `order`; -1 when nowhere.
int64_t position(const Value& order, std::string_view merge_key, const Value& v) {
  const Value& key = merge_key.empty() ? v : v[merge_key];
  int64_t i = 0;
  for (const Value& o : order.items()) {
    if ((merge_key.empty() || !o.is_map() ? o : o[merge_key]).equals(key)) return i;
    ++i;
  }
  return -1;
}

struct Placed {
  Value value;
  int64_t in_order, in_server;
};

}  // namespace

void reorder(Arena& a, std::string_view merge_key, Value* list, const Value& order,
             const Value& server) {
  (void)a;
  std::vector<Placed> ours, theirs;
  for (const Value& v : list->items()) {
    Placed p{v, position(order, merge_key, v), position(server, merge_key, v)};
    (p.in_order >= 0 ? ours : theirs).push_back(p);
  }
  std::stable_sort(ours.begin(), ours.end(),
                   [](const Placed& x, const Placed& y) { return x.in_order < y.in_order; });
  std::stable_sort(theirs.begin(), theirs.end(), [](const Placed& x, const Placed& y) {
    // What the server does not know comes last.
    auto rank = [](const Placed& p) { return p.in_server < 0 ? INT64_MAX : p.in_server; };
    return rank(x) < rank(y);
  });
  // Both keep their order; an element of the server alone goes before the first of ours that
  // stood behind it.
  auto out = list->items();
  size_t i = 0, j = 0;
  for (Value& slot : out) {
    bool take_theirs = i < theirs.size() &&
                       (j >= ours.size() || (theirs[i].in_server >= 0 && ours[j].in_server >= 0 &&
                                             theirs[i].in_server < ours[j].in_server));
    slot = take_theirs ? theirs[i++].value : ours[j++].value;
  }
}

}  // namespace strategic

Result<Document> apply_strategic_patch(const TypeDesc* type, const Value& original,
                                       const Value& patch) {
  if (!patch.is_map()) {
    return Status::bad_request("invalid JSON document");
  }
  Document doc;
  doc.root = deep_copy(doc.arena, original);
  if (!doc.root.is_map()) doc.root = Value::map();
  TRY(Merger(&doc.arena).merge_map(type, &doc.root, patch));
  return doc;
}

}  // namespace keles
