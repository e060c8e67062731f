// DeclType: what a schema says of a piece of an API object, for CEL: the type that expressions see,
// how its data is read, and how large it may be (for estimates of cost).
//
// Made from an OpenAPI v3 schema (a structural one, as custom resources have) or from a TypeDesc of
// the API description. Constant once made; any thread. Views into the schema are copied.
// Source: Kubernetes, "Validation rules": which schema fields CEL sees, and as what.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cel/type.h"
#include "machinery/value.h"

namespace keles {
struct TypeDesc;
}

namespace keles::cel {

struct DeclType;
using DeclPtr = std::shared_ptr<const DeclType>;

struct DeclField {
  std::string name;     // in the object
  std::string escaped;  // in an expression; "" when it cannot be written
  DeclPtr type;
  // Expressions see it. What they do not see still counts where objects are compared.
  bool visible = true;
  bool implied = false;  // every resource has it; the schema does not speak of it
};

struct DeclType {
  enum class Kind : uint8_t {
    kIntOrString,
    kBool,
    kInt,
    kDouble,
    kString,
    kBytes,  // base64 in the object
    kDuration,
    kDate,
    kDateTime,
    kList,
    kMap,
    kObject,
    kAny,      // JSON of any shape (dyn)
    kUnknown,  // not seen by expressions
  };
  enum class ListType : uint8_t { kAtomic, kSet, kMap };

  Kind kind = Kind::kUnknown;
  // Of a type that was made by hand: what expressions see it as, whatever its kind is; the name of
  // an object's type is then the name of its own. Null: it follows from the kind.
  TypePtr seen_as;
  bool nullable = false;
  bool preserve_unknown = false;
  ListType list_type = ListType::kAtomic;
  std::vector<std::string> list_map_keys;
  std::vector<DeclField> fields;  // by escaped name, those without one last
  DeclPtr element;                // of a list or a map
  int64_t max_elements = 0;       // of a string, bytes; list and map: how many
  int64_t min_size = 0;           // bytes of the shortest JSON

  bool is_container() const { return kind == Kind::kList || kind == Kind::kMap; }
  // By the name that expressions use; a keyword may be written as it is.
  const DeclField* find_visible(std::string_view escaped) const;
  // By the object's name, visible or not.
  const DeclField* find(std::string_view name) const;
};

// Null where expressions see nothing: no type, an array without items, unknown fields.
// `resource_root`: apiVersion, kind and metadata's name and generateName are there in any case.
DeclPtr decl_type(const Value& schema, bool resource_root);
// Of a built-in type.
DeclPtr decl_type(const TypeDesc& type);
// Objects made by hand: a type with that name, its fields as they are given.
struct NamedDecl {
  std::string_view name;
  DeclPtr type;
};
std::shared_ptr<DeclType> named_object(std::string type_name,
                                       std::initializer_list<NamedDecl> fields);
DeclPtr list_decl(DeclPtr element, int64_t most = -1);
DeclPtr map_decl(DeclPtr element, int64_t most = -1);
// A text of any length (or so many bytes at most), and other scalars.
DeclPtr text_decl(int64_t most = -1);
DeclPtr scalar_decl(DeclType::Kind kind, int64_t max_elements = 0);
// What expressions see as the type, without a word on its data.
DeclPtr typed_decl(TypePtr type, int64_t max_elements = 0);
// Adds a field where its name belongs, or replaces the one that has it.
void put_field(DeclType& object, std::string_view name, DeclPtr type);
// Data of no schema.
const DeclPtr& any_decl_type();

// Names of fields as expressions write them: "a-b" is a__dash__b, "namespace" __namespace__. False
// for a name that cannot be written.
bool escape_name(std::string_view name, std::string& out);
bool unescape_name(std::string_view escaped, std::string& out);
// unescape_name without a copy where nothing is escaped.
bool unescape_view(std::string_view escaped, std::string& scratch, std::string_view& out);

}  // namespace keles::cel
