// What a schema's rules say of a value, in upstream's words: each rule judged and worded in one
// place. For rule_check.cc and those who check schemas. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/tree_path.h"
#include "machinery/validation.h"
#include "machinery/value.h"
#include "machinery/value_rules.h"

namespace keles::rule_words {

// One failure: the sentence by which it is known, and what becomes of it in a Status.
struct Failure {
  std::string text;  // "spec.replicas in body must be of type integer: \"string\""
  std::string type;  // "FieldValueInvalid" ...
  std::string body;  // "Invalid value: \"string\": spec.replicas in body ..."
  std::string path;  // of the value, "" for the root or where upstream does not say it
};

// The failure as a cause; `base` is the path of the root. Without either the field is "<nil>".
StatusCause cause_of(Failure f, std::string_view base);

std::optional<Failure> wrong_type(const ValueRules& r, const Value& v, const TreePath& path);
std::optional<Failure> wrong_text(const ValueRules& r, std::string_view s, const TreePath& path);
Failure wrong_format(const ValueRules& r, std::string_view s, const TreePath& path);
std::vector<Failure> wrong_number(const ValueRules& r, const Value& v, const TreePath& path);
std::vector<Failure> wrong_list(const ValueRules& r, const Value& v, const TreePath& path);
std::vector<Failure> wrong_size(const ValueRules& r, const Value& v, const TreePath& path);
Failure not_in_enum(const ValueRules& r, const Value& v, const TreePath& path);
Failure forbidden_member(std::string_view name, const TreePath& object);
Failure missing(std::string_view name, const TreePath& object);
// `"spec" ` and what follows.
Failure junctor(const TreePath& path, const std::string& what);

// Causes of a value at a path.
StatusCause duplicate(const Value& v, const TreePath& path);
StatusCause invalid(const Value& v, const TreePath& path, std::string_view detail);

// A value as field errors show it: texts quoted, other scalars plain, the rest as JSON.
std::string shown(const Value& v);
// Compact JSON, members sorted: what is equal has one text.
std::string json_text(const Value& v);

}  // namespace keles::rule_words
