// JSON Merge Patch (RFC 7386), and the dispatch to the other kinds of patch.
#include "machinery/patch.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/text_parts.h"
#include "machinery/codec_json.h"
#include "machinery/strategic.h"

namespace keles {
namespace {

// A copy whose maps hold no nulls: what a patch brings anew.
Value without_nulls(Arena& a, const Value& v) {
  if (v.is_list()) {
    Value out = Value::list();
    for (const Value& item : v.items()) out.append(a, without_nulls(a, item));
    return out;
  }
  if (!v.is_map()) return deep_copy(a, v);
  Value out = Value::map();
  for (const Member& m : v.members()) {
    if (!m.value.is_null()) out.set(a, a.copy(m.key()), without_nulls(a, m.value));
  }
  return out;
}

// A list that takes the place of a map is left as it is; upstream looks into any other.
void merge(Arena& a, Value* target, const Value& patch) {
  if (!patch.is_map()) {
    *target = target->is_map() ? deep_copy(a, patch) : without_nulls(a, patch);
    return;
  }
  if (!target->is_map()) *target = Value::map();
  std::set<std::string_view> gone;
  for (const Member& m : patch.members()) {
    if (m.value.is_null()) {
      gone.insert(m.key());
      continue;
    }
    Value* old = target->find(m.key());
    if (!old) old = &target->append_member(a, a.copy(m.key()), Value()).value;
    if (gone.erase(m.key()) > 0) *old = Value();  // deleted before, by the same patch
    merge(a, old, m.value);
  }
  strategic::erase_all(a, target, gone);
}

// What changes from `original` to `modified`; null members delete.
Value diff(Arena& a, const Value& original, const Value& modified, bool deletions, bool changes) {
  Value out = Value::map();
  for (const Member& m : modified.members()) {
    const Value* old = original.find(m.key());
    if (old && old->is_map() && m.value.is_map()) {
      Value inner = diff(a, *old, m.value, deletions, changes);
      if (!inner.empty()) out.set(a, a.copy(m.key()), inner);
    } else if (changes && (!old || !old->equals(m.value))) {
      out.set(a, a.copy(m.key()), deep_copy(a, m.value));
    }
  }
  if (!deletions) return out;
  for (const Member& m : original.members()) {
    if (!modified.find(m.key())) out.set(a, a.copy(m.key()), Value());
  }
  return out;
}

// `over` laid on `base`, both patches: nulls stay.
void lay(Arena& a, Value* base, const Value& over) {
  for (const Member& m : over.members()) {
    Value* old = base->find(m.key());
    if (old && old->is_map() && m.value.is_map()) {
      lay(a, old, m.value);
    } else {
      base->set(a, m.key(), m.value);
    }
  }
}

// What the API answers when a well-formed patch does not fit the object.
Status rejected(const Status& why) {
  if (!why.is(Reason::kInvalid)) return why;
  return Status(Reason::kInvalid, "the server rejected our request due to an error in our request");
}

// A tree as Go's %v prints it: map[a:1 b:[x y]], keys in order.
void print_go(std::string& out, const Value& v) {
  if (v.is_map()) {
    std::vector<std::pair<std::string_view, const Value*>> members;
    for (const Member& m : v.members()) members.emplace_back(m.key(), &m.value);
    std::sort(members.begin(), members.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    out += "map[";
    for (size_t i = 0; i < members.size(); ++i) {
      if (i) out += ' ';
      out.append(members[i].first).append(":");
      print_go(out, *members[i].second);
    }
    out += ']';
  } else if (v.is_list()) {
    out += '[';
    bool first = true;
    for (const Value& e : v.items()) {
      if (!first) out += ' ';
      first = false;
      print_go(out, e);
    }
    out += ']';
  } else if (v.is_string()) {
    out += v.as_string();
  } else if (v.is_null()) {
    out += "<nil>";
  } else {
    write_json(out, v);
  }
}

}  // namespace

Result<PatchType> patch_type_of(std::string_view media_type) {
  const std::string_view base = trim_right(media_type.substr(0, media_type.find(';')));
  if (base == "application/json-patch+json") return PatchType::kJson;
  if (base == "application/merge-patch+json") return PatchType::kMerge;
  if (base == "application/strategic-merge-patch+json") return PatchType::kStrategicMerge;
  if (base == "application/apply-patch+yaml") return PatchType::kApply;
  return Status(Reason::kUnsupportedMediaType,
                "the body of the request was in an unknown format - accepted media types include: "
                "application/json-patch+json, application/merge-patch+json, "
                "application/strategic-merge-patch+json, application/apply-patch+yaml");
}

Status refused_patch(PatchType type, const Value& patch, const Value& patched,
                     std::string_view why) {
  std::string value;
  if (type == PatchType::kStrategicMerge) {
    print_go(value, patch);
  } else {
    write_json(value, patched);
  }
  std::string message = "Invalid value: ";
  write_json_string(message, value);
  message.append(": ").append(why);
  return Status::invalid("", "", "", {{"FieldValueInvalid", std::move(message), "patch"}});
}

std::string_view patch_media_type(PatchType t) {
  switch (t) {
    case PatchType::kJson:
      return "application/json-patch+json";
    case PatchType::kMerge:
      return "application/merge-patch+json";
    case PatchType::kStrategicMerge:
      return "application/strategic-merge-patch+json";
    case PatchType::kApply:
      return "application/apply-patch+yaml";
  }
  return {};
}

Result<Document> apply_patch(PatchType patch_type, const TypeDesc& type, const Value& original,
                             const Value& patch) {
  switch (patch_type) {
    case PatchType::kJson: {
      // Its operations are about what a client was shown, where `status: {}` and `containers: null`
      // are there though the tree has neither.
      if (type.from_schema) {
        auto r = apply_json_patch(original, patch);
        if (!r.ok()) return rejected(r.status());
        return r;
      }
      std::string text;
      write_json(text, type, original);
      TRY_ASSIGN(read, parse_json(text));
      auto shown = std::make_shared<Document>(std::move(read));
      auto r = apply_json_patch(shown->root, patch);
      if (!r.ok()) return rejected(r.status());
      r->arena.adopt(shown);  // it has texts of it
      return r;
    }
    case PatchType::kMerge:
      return apply_merge_patch(original, patch);
    case PatchType::kStrategicMerge:
      return apply_strategic_patch(&type, original, patch);
    case PatchType::kApply:
      break;
  }
  return Status::internal("an apply patch needs the object's managed fields");
}

Result<Document> apply_merge_patch(const Value& original, const Value& patch) {
  if (!patch.is_map()) {
    return Status::bad_request("error decoding patch: a merge patch must be an object");
  }
  Document doc;
  doc.root = deep_copy(doc.arena, original);
  merge(doc.arena, &doc.root, patch);
  return doc;
}

Document create_merge_patch(const Value& original, const Value& modified) {
  Document doc;
  doc.root = diff(doc.arena, original, modified, true, true);
  return doc;
}

Document create_three_way_merge_patch(const Value& original, const Value& modified,
                                      const Value& current) {
  Document doc;
  doc.root = diff(doc.arena, original, modified, true, false);
  Value changes = diff(doc.arena, current, modified, false, true);
  lay(doc.arena, &doc.root, changes);
  return doc;
}

}  // namespace keles
