// Whether the schema of a custom resource may be one: structural (KEP-1023's rules), made of what
// OpenAPI v3 has and Kubernetes takes, its x-kubernetes-* used where they mean something, its
// defaults valid under it. Works on `openAPIV3Schema` as a CustomResourceDefinition holds it,
// decoded. Words, paths and order are those of upstream's validation of definitions; where Go goes
// through a map, the order is that of the document. Expressions (x-kubernetes-validations) are
// checked for their form; what they say is for src/cel. Pure, any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/schema.h"
#include "machinery/validation.h"
#include "machinery/value.h"

namespace keles {

// What an update does not ask for when the stored definition did not hold it either.
struct SchemaCheckOptions {
  bool structural = true;
  bool valid_types = true;
  bool pruned_defaults = true;
  bool atomic_sets = true;
  bool map_keys = true;         // keys of list maps are required or have defaults
  bool status_enabled = false;  // a status subresource: the root is then limited
  // Holds a default, which is valid else, against the expressions of its field. May be empty.
  std::function<void(FieldErrors&, const FieldDesc&, const Value&, std::string_view path)>
      check_default;
};

// Appends what is wrong with `schema`, which lies at `path` ("spec.versions[0].schema").
void check_custom_schema(FieldErrors& errors, const Value& schema, std::string_view path,
                         const SchemaCheckOptions& options);

// Whether the schema is not structural; has defaults, or members that Kubernetes adds to OpenAPI;
// breaks the rules of the options of these names.
bool is_structural(const Value& schema);
bool has_defaults(const Value& schema);
bool has_extensions(const Value& schema);
bool has_invalid_types(const Value& schema);
bool has_unpruned_defaults(const Value& schema);
bool has_non_atomic_sets(const Value& schema);
bool has_invalid_map_keys(const Value& schema);

// Why upstream cannot even ask whether the schema is structural, or ""; and what keeps one that can
// be asked about, at `path`, from being so.
std::string structure_failure(const Value& schema);
void check_structure(FieldErrors& errors, const Value& schema, std::string_view path);

// Formats that ask for nothing because nobody knows them, in the order of upstream's walk.
std::vector<std::string> unknown_formats(const Value& schema);

// The field that a path of dots (".spec.color") leads to, its schema at `found`; else why there is
// none. For selectable fields and fieldPath of expressions, which alone may go through lists and
// maps by key (`keys`: ".spec.map['a.b']").
struct SchemaField {
  const Value* found = nullptr;
  std::string path;   // as upstream writes it
  std::string error;  // "" when found
};
SchemaField find_schema_field(const Value& schema, std::string_view path, bool keys);

}  // namespace keles
