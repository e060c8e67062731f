// Defaults of a schema: they are pruned, and valid under the schema that has them.
#include "base/list_text.h"
#include "machinery/custom_object.h"
#include "machinery/decode_part.h"
#include "machinery/rule_check.h"
#include "machinery/rule_words.h"
#include "machinery/schema_check_parts.h"
#include "machinery/structural_schema.h"

namespace keles::schema_check {
namespace {

// A schema compiled as a field, which it takes a whole schema to be.
class AloneField {
 public:
  explicit AloneField(const Value& schema) {
    Arena arena;
    Value properties = Value::map(), whole = Value::map();
    properties.append_member(arena, "default", schema);
    whole.append_member(arena, "type", Value::string("object"));
    whole.append_member(arena, "properties", properties);
    auto made = StructuralSchema::compile(whole, "");
    if (made.ok()) schema_ = *made;
  }
  const FieldDesc* field() const { return schema_ ? schema_->type().find("default") : nullptr; }

 private:
  std::shared_ptr<const StructuralSchema> schema_;
};

// The way from an embedded resource to a field of its metadata.
struct Surrounding {
  const Surrounding* outer = nullptr;
  std::string_view name;  // of a member; "": an item of a list

  // {apiVersion, kind, ...: ... v}
  Value around(Arena& arena, Value v) const {
    for (const Surrounding* s = this; s != nullptr && s->outer != nullptr; s = s->outer) {
      Value next = s->name.empty() ? Value::list() : Value::map();
      s->name.empty() ? (void)next.append(arena, v) : (void)next.append_member(arena, s->name, v);
      v = next;
    }
    if (v.is_map()) {
      if (v.find("kind") == nullptr) v.set(arena, "kind", Value::string("Validation"));
      if (v.find("apiVersion") == nullptr) {
        v.set(arena, "apiVersion", Value::string("validation/v1"));
      }
    }
    return v;
  }
};

class Defaults {
 public:
  Defaults(FieldErrors& errors, const SchemaCheckOptions& options)
      : errors_(errors), options_(options) {}

  void schema(const Value& s, const TreePath& path, const Surrounding& around, bool in_meta,
              bool root) {
    const bool resource = root || s["x-kubernetes-embedded-resource"].as_bool();
    const Surrounding start;
    const Surrounding& here = resource ? start : around;
    if (resource) in_meta = false;
    const Value& value = s["default"];
    if (!value.is_null()) one(s, value, path.child("default").text(), here, in_meta);
    if (s["items"].is_map()) {
      schema(s["items"], path.child("items"), Surrounding{&here, {}}, in_meta, false);
    }
    const TreePath properties = path.child("properties");
    for (const Member& m : s["properties"].members()) {
      const bool meta =
          resource && (m.key() == "metadata" || m.key() == "apiVersion" || m.key() == "kind");
      schema(m.value, properties.key(m.key()), Surrounding{&here, m.key()}, in_meta || meta, false);
    }
  }

 private:
  void one(const Value& s, const Value& value, const std::string& path, const Surrounding& around,
           bool in_meta) {
    const AloneField alone(s);
    const FieldDesc* field = alone.field();
    if (field == nullptr) return;
    Document doc;
    Value copy = deep_copy(doc.arena, value);
    const size_t before = errors_.size();
    if (in_meta) {
      if (std::string why = bad_metadata(around, doc.arena, copy); !why.empty()) {
        errors_.push_back(rule_words::invalid(value, TreePath::text(path),
                                              "must result in valid metadata: " + why));
        return;
      }
    } else {
      if (options_.pruned_defaults) unpruned(*field, value, path);
      FieldErrors embedded;
      check_embedded_part(embedded, *field, doc.arena, copy, path);
      errors_.insert(errors_.end(), embedded.begin(), embedded.end());
      if (!embedded.empty()) return;
    }
    const size_t unpruned_errors = errors_.size() - before;
    check_schema_field(errors_, *field, copy, nullptr, path);
    if (errors_.size() == before + unpruned_errors && options_.check_default) {
      options_.check_default(errors_, *field, copy, path);
    }
  }

  void unpruned(const FieldDesc& field, const Value& value, const std::string& path) {
    Document doc;
    Value pruned = deep_copy(doc.arena, value);
    prune_field(field, pruned);
    if (pruned.equals(value)) return;
    errors_.push_back(
        rule_words::invalid(value, TreePath::text(path), "must not have unknown fields"));
  }

  static std::string bad_metadata(const Surrounding& around, Arena& arena, const Value& value) {
    Value object = around.around(arena, value);
    Value* metadata = object.find("metadata");
    if (metadata == nullptr) return {};
    Status s = normalize_part(object_meta_type(), arena, *metadata);
    if (!s.ok()) {
      const StatusCause c = rule_words::invalid(*metadata, TreePath::text("metadata"), s.message());
      return c.field + ": " + c.message;
    }
    FieldErrors found;
    Value named = *metadata;
    if (named["name"].as_string().empty()) named.set(arena, "name", Value::string("fakename"));
    validate_object_meta(found, named, !named["namespace"].as_string().empty(),
                         name_is_path_segment);
    return aggregate(found);
  }

  FieldErrors& errors_;
  const SchemaCheckOptions& options_;
};

}  // namespace

void check_defaults(FieldErrors& errors, const Value& schema, const TreePath& path,
                    const SchemaCheckOptions& options) {
  Defaults(errors, options).schema(schema, path, Surrounding(), false, true);
}

}  // namespace keles::schema_check

namespace keles {

bool has_unpruned_defaults(const Value& schema) {
  if (!has_defaults(schema) || !is_structural(schema)) return false;
  SchemaCheckOptions options;
  FieldErrors with, without;
  schema_check::check_defaults(with, schema, TreePath(), options);
  options.pruned_defaults = false;
  schema_check::check_defaults(without, schema, TreePath(), options);
  return with.size() != without.size();
}

}  // namespace keles
