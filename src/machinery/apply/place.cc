#include "machinery/apply/place.h"

#include <algorithm>

#include "machinery/apply/element_text.h"
#include "machinery/apply/known.h"
#include "machinery/codec_json.h"
#include "machinery/zero.h"

namespace keles::apply {
namespace {

// Lists that the description merges by strategic patches and says nothing else of.
bool merges(const FieldDesc& f) {
  return !f.list_atomic && f.patch_strategy.find("merge") != std::string_view::npos;
}

}  // namespace

std::span<const std::string_view> keys_of(const FieldDesc& f) {
  if (f.list_type == ListType::kMap) return f.list_map_keys;
  return {&f.patch_merge_key, f.patch_merge_key.empty() ? 0u : 1u};
}

namespace {

// A single value of the field's type.
Place single(const FieldDesc& f) {
  if (f.map_atomic && f.type == FieldType::kMessage && f.cardinality == Cardinality::kSingle) {
    return {Shape::kAtomic};
  }
  if (f.type == FieldType::kRaw) return {is_json_value(f) ? Shape::kDeduced : Shape::kAtomic};
  if (f.type != FieldType::kMessage) return {Shape::kScalar, nullptr, &f};
  switch (f.message->form) {
    case Form::kObject:
      if (f.message->map_atomic) return {Shape::kAtomic};
      return {Shape::kStruct, f.message, nullptr};
    case Form::kItems:
      return {Shape::kAtomic};
    case Form::kValue:
      return place_of(f.message->fields[0]);
    default:
      return {Shape::kDeduced};
  }
}

}  // namespace

Place element_of(const FieldDesc& f) { return f.element ? place_of(*f.element) : single(f); }

Place place_of(const FieldDesc& f) {
  switch (f.cardinality) {
    case Cardinality::kSingle:
      return single(f);
    case Cardinality::kMap:
      return {f.map_atomic ? Shape::kAtomic : Shape::kMap, nullptr, &f};
    case Cardinality::kList:
      break;
  }
  if (f.list_type == ListType::kSet) return {Shape::kSet, nullptr, &f};
  if (f.list_type == ListType::kMap) return {Shape::kKeyed, nullptr, &f};
  if (!merges(f)) return {Shape::kAtomic};
  return {f.patch_merge_key.empty() ? Shape::kSet : Shape::kKeyed, nullptr, &f};
}

Place place_below(const Place& place, const PathElement& e) {
  switch (place.shape) {
    case Shape::kStruct: {
      if (e.kind != 'f') return {};
      const FieldDesc* f = place.type->find(e.body);
      if (!f) f = place.type->additional;
      return f ? place_of(*f) : Place{};
    }
    case Shape::kMap:
      return e.kind == 'f' ? element_of(*place.field) : Place{};
    case Shape::kKeyed:
      return e.kind == 'k' ? element_of(*place.field) : Place{};
    default:
      return {};
  }
}

const Value& zero_of(const FieldDesc& f) {
  static const Value kNull, kMap = Value::map(), kEmpty = Value::string(""), kNone(false),
                            kNought(0), kQuantity = Value::string("0"),
                            kDuration = Value::string("0s");
  if (f.cardinality != Cardinality::kSingle || f.pointer) return kNull;
  switch (f.type) {
    case FieldType::kMessage:
      return f.message->form == Form::kObject ? kMap : kNull;
    case FieldType::kString:
    case FieldType::kEnum:
      return kEmpty;
    case FieldType::kQuantity:
      return kQuantity;
    case FieldType::kDuration:
      return kDuration;
    case FieldType::kBool:
      return kNone;
    case FieldType::kTime:
    case FieldType::kMicroTime:
    case FieldType::kRaw:
    case FieldType::kBytes:
      return kNull;
    default:
      return kNought;
  }
}

namespace {

// The value by which an item is told apart, or null when it has none and there is no default.
const Value* key_value(Arena& arena, const TypeDesc* type, const Value& item, std::string_view key,
                       bool words, Value& made) {
  if (const Value* v = item.find(key); v) return v;
  const FieldDesc* f = type ? type->find(key) : nullptr;
  if (!f) return nullptr;
  if (f->default_value) return f->default_value;
  if (!f->default_json.empty()) {
    auto parsed = parse_json(arena, f->default_json);
    if (parsed.ok()) return made = *parsed, &made;
  }
  return words || !may_be_zero(*type, *f) ? nullptr : &zero_of(*f);
}

std::string quoted_list(std::span<const std::string_view> names) {
  std::string out = "[";
  for (std::string_view n : names) out += (out.size() > 1 ? " \"" : "\"") + std::string(n) + '"';
  return out + "]";
}

}  // namespace

Result<PathElement> element_of_item(Arena& arena, const Place& list, const Value& item,
                                    bool words) {
  auto fail = [](std::string why) { return Status::bad_request(std::move(why)); };
  std::string out;
  if (list.shape == Shape::kSet) {
    if (item.is_map()) {
      return fail("associative list without keys has an element that's a map type");
    }
    if (item.is_list()) return fail("not supported: associative list with lists as elements");
    if (item.is_null()) {
      return fail("associative list without keys has an element that's an explicit null");
    }
    write_scalar(out, item);
    return PathElement{arena.copy(out), 'v'};
  }
  if (item.is_null()) return fail("associative list with keys may not have a null element");
  if (!item.is_map()) return fail("associative list with keys may not have non-map elements");
  std::span<const std::string_view> keys = keys_of(*list.field);
  std::vector<std::string_view> sorted(keys.begin(), keys.end());
  std::sort(sorted.begin(), sorted.end());
  for (std::string_view key : sorted) {
    Value made;
    const Value* v = key_value(arena, list.field->message, item, key, words, made);
    if (!v) continue;
    out += out.empty() ? '{' : ',';
    write_json_string(out, key);
    out += ':';
    write_scalar(out, *v);
  }
  if (out.empty()) {
    return fail("associative list with keys has an element that omits all key fields " +
                quoted_list(keys) + " (and doesn't have default values for any key fields)");
  }
  return PathElement{arena.copy(out += '}'), 'k'};
}

PathSet with_named_fields(Arena& arena, const TypeDesc& type, PathSet set) {
  struct Walk {
    LevelStack stack;
    PathSet level(const Place& p, PathSet s) {
      const size_t from = stack.begin();
      for (const PathEntry& e : entries_of(s)) {
        const bool named = e.below && p.shape == Shape::kStruct && e.element.kind == 'f' &&
                           p.type->find(e.element.body);
        stack.push(e.element, e.member || named, level(place_below(p, e.element), e.below));
      }
      return stack.end(from);
    }
  };
  return Walk{LevelStack(arena)}.level(root_of(type), set);
}

namespace {

PathSet described(Arena& arena, const Place& p, PathSet s) {
  std::vector<PathEntry> changed;
  auto all = entries_of(s);
  bool same = true;
  LevelStack stack(arena);
  const size_t from = stack.begin();
  for (const PathEntry& e : all) {
    const Place below = place_below(p, e.element);
    PathSet inner = e.below;
    bool member = e.member;
    if (inner && below.shape == Shape::kAtomic) {
      inner = nullptr;
      member = true;
    } else if (inner && below.shape != Shape::kScalar && below.shape != Shape::kDeduced) {
      inner = described(arena, below, inner);
    }
    same &= inner == e.below;
    stack.push(e.element, member, inner);
  }
  return same ? s : stack.end(from);
}

}  // namespace

PathSet as_described(Arena& arena, const TypeDesc& type, PathSet set) {
  return described(arena, root_of(type), set);
}

}  // namespace keles::apply
