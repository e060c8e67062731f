#include "machinery/custom_object.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/encoding.h"
#include "machinery/decode_part.h"
#include "machinery/field_finder.h"
#include "machinery/raw_text.h"
#include "machinery/rule_words.h"
#include "machinery/structural_schema.h"
#include "machinery/tree_path.h"

namespace keles {
namespace {

bool is_meta(std::string_view name) {
  return name == "apiVersion" || name == "kind" || name == "metadata";
}

// The object type of a value that is one, else null.
const TypeDesc* object_type(const FieldDesc* f) {
  const bool object = f != nullptr && f->cardinality == Cardinality::kSingle &&
                      f->message != nullptr && f->message->form == Form::kObject &&
                      f->message->from_schema;
  return object ? f->message : nullptr;
}

// What describes a member: `known` is false for one that nobody speaks of, while a null field says
// that it stays and nothing is known of it.
struct MemberShape {
  const FieldDesc* field = nullptr;
  bool known = false;
};

// The shapes of an object's or a map's members, asked for in their order.
class MemberShapes {
 public:
  explicit MemberShapes(const TypeDesc& t) : type_(&t), finder_(t) {}
  explicit MemberShapes(const FieldDesc* f)
      : type_(object_type(f)), finder_(type_ ? *type_ : kNone) {
    if (f != nullptr && f->cardinality == Cardinality::kMap) map_ = f;
  }
  MemberShape of(std::string_view name) {
    if (map_ != nullptr) return {map_->element, true};
    if (type_ == nullptr) return {};
    if (const FieldDesc* f = finder_.find(name)) return {f, true};
    return {type_->additional, type_->additional != nullptr};
  }

 private:
  static constexpr TypeDesc kNone = {};
  const TypeDesc* type_;
  const FieldDesc* map_ = nullptr;
  FieldFinder finder_;
};
const FieldDesc* items_of(const FieldDesc* f) {
  return f != nullptr && f->cardinality == Cardinality::kList ? f->element : nullptr;
}

// additionalProperties: true and lists of no known items: upstream has no schema there.
bool says_nothing_of(const FieldDesc* f) {
  return f == nullptr || (f->type == FieldType::kRaw && f->rules == nullptr);
}

class Pruner {
 public:
  explicit Pruner(std::vector<std::string>* unknown) : unknown_(unknown) {}

  void root(const TypeDesc& t, Value& v) { members(t, v, TreePath(), true, t.keeps_unknown); }

  void value(const FieldDesc* f, Value& v, const TreePath& path) {
    if (f != nullptr && f->keeps_unknown) {
      keep(f, v, path);
    } else if (v.is_map()) {
      if (const TypeDesc* t = object_type(f)) {
        members(*t, v, path, false, false);
      } else {
        MemberShapes shapes(f);
        for_members(v, path, [&](Member& m, const TreePath& at) {
          MemberShape s = shapes.of(m.key());
          if (s.known) value(s.field, m.value, at);
          return s.known;
        });
      }
    } else if (v.is_list()) {
      size_t i = 0;
      for (Value& x : v.items()) value(items_of(f), x, path.index(i++));
    }
  }

 private:
  // Drops the members for which `stays` says no.
  template <class Stays>
  void for_members(Value& v, const TreePath& path, Stays stays) {
    auto members = v.members();
    size_t kept = 0;
    for (Member& m : members) {
      TreePath at = path.child(m.key());
      if (stays(m, at)) {
        if (&members[kept] != &m) members[kept] = m;
        ++kept;
      } else if (unknown_ != nullptr) {
        unknown_->push_back(at.text());
      }
    }
    v.truncate(kept);
  }

  void members(const TypeDesc& t, Value& v, const TreePath& path, bool root, bool keep_unknown) {
    if (!v.is_map()) return;
    MemberShapes shapes(t);
    for_members(v, path, [&](Member& m, const TreePath& at) {
      if ((root || t.embedded_resource) && is_meta(m.key())) return true;
      MemberShape s = shapes.of(m.key());
      if (s.known) value(s.field, m.value, at);
      return s.known || keep_unknown;
    });
  }

  // Below a value that keeps what is not known: only what has a schema again is pruned.
  void keep(const FieldDesc* f, Value& v, const TreePath& path) {
    if (f == nullptr) return;
    if (v.is_map()) {
      if (const TypeDesc* t = object_type(f)) {
        members(*t, v, path, false, true);
        return;
      }
      MemberShapes shapes(f);
      for (Member& m : v.members()) {
        MemberShape s = shapes.of(m.key());
        if (s.known) value(s.field, m.value, path.child(m.key()));
      }
    } else if (v.is_list()) {
      size_t i = 0;
      for (Value& x : v.items()) {
        const FieldDesc* f_items = items_of(f);
        if (!says_nothing_of(f_items)) keep(f_items, x, path.index(i));
        ++i;
      }
    }
  }

  std::vector<std::string>* unknown_;
};

// --- nulls and defaults -------------------------------------------------------------------------

void drop_nulls(const FieldDesc* f, Value& v);

void drop_null_members(Value& v, MemberShapes shapes) {
  auto members = v.members();
  size_t kept = 0;
  for (Member& m : members) {
    const FieldDesc* f = shapes.of(m.key()).field;
    if (m.value.is_null()) {
      if (!says_nothing_of(f) && !f->nullable && f->default_value == nullptr) continue;
    } else {
      drop_nulls(f, m.value);
    }
    if (&members[kept] != &m) members[kept] = m;
    ++kept;
  }
  v.truncate(kept);
}

void drop_nulls(const FieldDesc* f, Value& v) {
  if (v.is_map()) {
    drop_null_members(v, MemberShapes(f));
  } else if (v.is_list()) {
    for (Value& x : v.items()) drop_nulls(items_of(f), x);
  }
}

bool wants_default(const Value* v, const FieldDesc& f) {
  return v == nullptr || (v->is_null() && !f.nullable);
}

void fill(const FieldDesc* f, Arena& arena, Value& v);

void fill_members(const TypeDesc& t, Arena& arena, Value& v) {
  if (!v.is_map() || !t.has_defaults) return;
  for (const FieldDesc& f : t.fields) {
    if (f.default_value == nullptr || !wants_default(v.find(f.name), f)) continue;
    v.set(arena, f.name, deep_copy(arena, *f.default_value));
  }
  FieldFinder finder(t);
  for (Member& m : v.members()) {
    const FieldDesc* f = finder.find(m.key());
    if (f == nullptr) {
      f = t.additional;
      if (f != nullptr && f->default_value != nullptr && wants_default(&m.value, *f)) {
        m.value = deep_copy(arena, *f->default_value);
      }
    }
    fill(f, arena, m.value);
  }
}

void fill(const FieldDesc* f, Arena& arena, Value& v) {
  if (f == nullptr) return;
  if (const TypeDesc* t = object_type(f)) {
    fill_members(*t, arena, v);
    return;
  }
  if (f->element == nullptr) return;
  auto one = [&](Value& x) {
    if (f->element->default_value != nullptr && wants_default(&x, *f->element)) {
      x = deep_copy(arena, *f->element->default_value);
    }
    fill(f->element, arena, x);
  };
  if (f->cardinality == Cardinality::kMap && v.is_map()) {
    for (Member& m : v.members()) one(m.value);
  } else if (f->cardinality == Cardinality::kList && v.is_list()) {
    for (Value& x : v.items()) one(x);
  }
}

// --- metadata -----------------------------------------------------------------------------------

// The sets of managed fields of metadata, taken out while it is normalised: a built-in kind keeps
// them as text, and to make it of a tree and read it again is most of what metadata costs.
class OpenSets {
 public:
  explicit OpenSets(Value& metadata) {
    Value* list = metadata.find("managedFields");
    if (!list) return;
    for (Value& entry : list->items()) {
      Value* fields = entry.find("fieldsV1");
      const bool open = fields && fields->is_map();
      sets_.push_back(open ? *fields : Value());
      if (open) *fields = Value::string(kNone);
    }
  }
  void put_back(Value& metadata) const {
    Value* list = metadata.find("managedFields");
    if (!list || list->size() != sets_.size()) return;
    for (size_t i = 0; i < sets_.size(); ++i) {
      if (sets_[i].is_null()) continue;
      if (Value* fields = list->items()[i].find("fieldsV1")) *fields = sets_[i];
    }
  }

 private:
  static constexpr std::string_view kNone = "{}";
  std::vector<Value> sets_;
};

// Normalises `metadata`; when it cannot be read as a whole, member by member (`leniently`).
Status shape_metadata(Arena& arena, Value& metadata, bool leniently, const std::string& path,
                      std::vector<std::string>* unknown) {
  if (metadata.is_null()) metadata = Value::map();
  std::vector<std::string> paths;
  const OpenSets sets(metadata);
  Value copy = leniently ? deep_copy(arena, metadata) : metadata;
  Status s = normalize_part(object_meta_type(), arena, copy, unknown ? &paths : nullptr);
  sets.put_back(metadata);
  if (s.ok()) {
    metadata = copy;
    sets.put_back(metadata);
  } else if (!leniently || !metadata.is_map()) {
    return s;
  } else {
    Value rebuilt = Value::map();
    for (const Member& m : metadata.members()) {
      Value one = Value::map();
      one.append_member(arena, m.key(), deep_copy(arena, m.value));
      if (!normalize_part(object_meta_type(), arena, one).ok()) continue;
      for (const Member& good : one.members()) rebuilt.set(arena, good.key(), good.value);
    }
    metadata = rebuilt;
  }
  open_managed_fields(arena, metadata);
  if (unknown != nullptr) {
    for (const std::string& p : paths) unknown->push_back(path + '.' + p);
  }
  return {};
}

class EmbeddedShaper {
 public:
  EmbeddedShaper(Arena& arena, bool leniently, std::vector<std::string>* unknown)
      : arena_(arena), leniently_(leniently), unknown_(unknown) {}

  Status object(const TypeDesc& t, Value& v, const TreePath& path, bool root) {
    if (!v.is_map()) return {};
    if (t.embedded_resource && !root) TRY(resource(v, path));
    FieldFinder finder(t);
    for (Member& m : v.members()) {
      if (root && m.key() == "metadata") continue;
      if (const FieldDesc* f = finder.find(m.key())) {
        TRY(value(f, m.value, path.child(m.key())));
      } else {
        TRY(value(t.additional, m.value, path.key(m.key())));
      }
    }
    return {};
  }

  Status value(const FieldDesc* f, Value& v, const TreePath& path) {
    if (f == nullptr) return {};
    if (const TypeDesc* t = object_type(f)) return object(*t, v, path, false);
    if (f->element == nullptr) return {};
    if (f->cardinality == Cardinality::kMap) {
      for (Member& m : v.members()) TRY(value(f->element, m.value, path.key(m.key())));
    } else if (f->cardinality == Cardinality::kList) {
      size_t i = 0;
      for (Value& x : v.items()) TRY(value(f->element, x, path.index(i++)));
    }
    return {};
  }

  // The error of the last call.
  const StatusCause& refusal() const { return refusal_; }

 private:
  Status resource(Value& v, const TreePath& path) {
    for (std::string_view name : {"apiVersion", "kind"}) {
      const Value* x = v.find(name);
      if (x == nullptr || x->is_string()) continue;
      if (!leniently_) return refused(path.child(name), *x, "must be a string");
      v.erase(name);
    }
    Value* metadata = v.find("metadata");
    if (metadata == nullptr) return {};
    const TreePath at = path.child("metadata");
    Value before = *metadata;
    Status s = shape_metadata(arena_, *metadata, leniently_, at.text(), unknown_);
    return s.ok() || leniently_ ? Status() : refused(at, before, s.message());
  }

  Status refused(const TreePath& path, const Value& v, std::string_view why) {
    refusal_ = rule_words::invalid(v, path, why);
    return Status::bad_request(refusal_.field + ": " + refusal_.message);
  }

  Arena& arena_;
  bool leniently_;
  std::vector<std::string>* unknown_;
  StatusCause refusal_;
};

Status shape(const TypeDesc& type, Arena& arena, Value& object, bool leniently,
             std::vector<std::string>* unknown) {
  Value* metadata = object.find("metadata");
  if (metadata != nullptr) TRY(shape_metadata(arena, *metadata, leniently, "metadata", unknown));
  prune(type, object, unknown);
  prune_nulls(type, object);
  std::vector<std::string> embedded;
  TRY(EmbeddedShaper(arena, leniently, unknown ? &embedded : nullptr)
          .object(type, object, TreePath(), true));
  std::sort(embedded.begin(), embedded.end());
  if (unknown != nullptr) unknown->insert(unknown->end(), embedded.begin(), embedded.end());
  return {};
}

class EmbeddedCheck {
 public:
  explicit EmbeddedCheck(FieldErrors& errors) : errors_(errors) {}

  void object(const TypeDesc& t, const Value& v, const TreePath& path, bool root) {
    if (!v.is_map()) return;
    if (t.embedded_resource && !root) resource(v, path);
    FieldFinder finder(t);
    for (const Member& m : v.members()) {
      if (const FieldDesc* f = finder.find(m.key())) {
        value(f, m.value, path.child(m.key()));
      } else {
        value(t.additional, m.value, path.key(m.key()));
      }
    }
  }

  void value(const FieldDesc* f, const Value& v, const TreePath& path) {
    if (f == nullptr) return;
    if (const TypeDesc* t = object_type(f)) {
      object(*t, v, path, false);
    } else if (f->element == nullptr) {
      return;
    } else if (f->cardinality == Cardinality::kMap) {
      for (const Member& m : v.members()) value(f->element, m.value, path.key(m.key()));
    } else if (f->cardinality == Cardinality::kList) {
      for (size_t i = 0; i < v.size(); ++i) value(f->element, v.at(i), path.index(i));
    }
  }

 private:
  void resource(const Value& v, const TreePath& path) {
    for (std::string_view name : {"apiVersion", "kind"}) {
      if (v.find(name) != nullptr) continue;
      const std::string at = path.child(name).text();
      field::required(errors_, FieldPath(at));
    }
    for (const Member& m : v.members()) {
      if (m.key() == "apiVersion") {
        api_version(m.value, path.child(m.key()));
      } else if (m.key() == "kind") {
        kind(m.value, path.child(m.key()));
      } else if (m.key() == "metadata") {
        metadata(m.value, path.child(m.key()));
      }
    }
  }

  void wrong(const Value& v, const TreePath& path, std::string_view why) {
    errors_.push_back(rule_words::invalid(v, path, why));
  }

  void api_version(const Value& v, const TreePath& path) {
    const std::string_view s = v.as_string();
    if (!v.is_string()) {
      wrong(v, path, "must be a string");
    } else if (s.empty()) {
      wrong(v, path, "must not be empty");
    } else if (s != "/" && std::count(s.begin(), s.end(), '/') > 1) {
      wrong(v, path, "unexpected GroupVersion string: " + std::string(s));
    }
  }

  void kind(const Value& v, const TreePath& path) {
    if (!v.is_string()) return wrong(v, path, "must be a string");
    if (v.as_string().empty()) return wrong(v, path, "must not be empty");
    std::string all;
    for (const std::string& m : check_dns1035_label(ascii_lower(v.as_string())))
      all += (all.empty() ? "" : ",") + m;
    if (!all.empty()) {
      wrong(v, path, "may have mixed case, but should otherwise match: " + all);
    }
  }

  void metadata(const Value& v, const TreePath& path) {
    Document doc;
    doc.root = deep_copy(doc.arena, v);
    if (doc.root.is_null()) doc.root = Value::map();
    Status s = normalize_part(object_meta_type(), doc.arena, doc.root);
    if (!s.ok()) return wrong(v, path, s.message());
    if (doc.root["name"].as_string().empty()) {
      doc.root.set(doc.arena, "name", Value::string("fakename"));
    }
    const std::string at = path.text();
    validate_object_meta(errors_, doc.root, !doc.root["namespace"].as_string().empty(),
                         name_is_path_segment, FieldPath(at));
  }

  FieldErrors& errors_;
};

}  // namespace

void prune(const TypeDesc& type, Value& object, std::vector<std::string>* unknown) {
  const size_t from = unknown != nullptr ? unknown->size() : 0;
  Pruner(unknown).root(type, object);
  if (unknown != nullptr) {
    std::sort(unknown->begin() + static_cast<ptrdiff_t>(from), unknown->end());
  }
}

void prune_field(const FieldDesc& field, Value& value) {
  Pruner(nullptr).value(&field, value, TreePath());
}

void prune_nulls(const TypeDesc& type, Value& object) {
  if (object.is_map()) {
    drop_null_members(object, MemberShapes(type));
  }
}

void fill_defaults(const TypeDesc& type, Arena& arena, Value& object) {
  fill_members(type, arena, object);
}

Status shape_custom(const TypeDesc& type, Arena& arena, Value& object,
                    std::vector<std::string>* unknown) {
  return shape(type, arena, object, false, unknown);
}

void shape_stored_custom(const TypeDesc& type, Arena& arena, Value& object) {
  // Leniently nothing fails but metadata that is no object at all, which then stays as it is.
  Status s = shape(type, arena, object, true, nullptr);
  if (!s.ok()) return;
  Value* metadata = object.find("metadata");
  if (metadata != nullptr && (*metadata)["generation"].as_int() == 0) {
    metadata->set(arena, "generation", Value(1));
  }
  fill_defaults(type, arena, object);
}

void check_embedded_resources(FieldErrors& errors, const TypeDesc& type, const Value& object) {
  EmbeddedCheck(errors).object(type, object, TreePath(), true);
}

void check_embedded_part(FieldErrors& errors, const FieldDesc& field, Arena& arena, Value& value,
                         std::string_view path) {
  const TreePath at = TreePath::text(path);
  EmbeddedShaper shaper(arena, false, nullptr);
  if (shaper.value(&field, value, at).ok()) {
    EmbeddedCheck(errors).value(&field, value, at);
  } else {
    errors.push_back(shaper.refusal());
  }
}

}  // namespace keles
