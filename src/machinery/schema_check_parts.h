// What schema_check.cc is made of.
#pragma once

#include "machinery/schema_check.h"
#include "machinery/tree_path.h"

namespace keles::schema_check {

// Why upstream cannot make a structural schema of it, or "".
std::string not_convertible(const Value& schema);
// The rules of structural schemas; errors sorted by their text.
void check_structural(FieldErrors& errors, const Value& schema, const TreePath& path);
// Every default is pruned and valid.
void check_defaults(FieldErrors& errors, const Value& schema, const TreePath& path,
                    const SchemaCheckOptions& options);
// Keys of a list map are required or have defaults; items of sets and maps are not nullable. Of
// this schema alone, not of what is in it.
void check_map_keys(FieldErrors& errors, const Value& schema, const TreePath& path);
bool is_non_atomic_set(const Value& schema);

// Errors at a path of any depth.
class Errors {
 public:
  explicit Errors(FieldErrors& to) : to_(to) {}
  void required(const TreePath& p, std::string_view detail);
  void forbidden(const TreePath& p, std::string_view detail);
  void invalid(const TreePath& p, const Value& v, std::string_view detail);
  void invalid(const TreePath& p, std::string_view v, std::string_view detail);
  void not_supported(const TreePath& p, std::string_view v,
                     std::initializer_list<std::string_view> supported);
  FieldErrors& list() { return to_; }

 private:
  FieldErrors& to_;
};

// Calls `f(schema)` for this schema and every one in it, until it returns true. Upstream's order.
bool any_schema(const Value& schema, const std::function<bool(const Value&)>& f);

}  // namespace keles::schema_check
