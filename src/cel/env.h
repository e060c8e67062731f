// What an expression may name: functions, variables, and the fields of the variables' types.
//
// The functions are the same for all (Kubernetes 1.36's: the standard library, strings, lists,
// sets, optionals, regex, url, ip, cidr, quantity, format, semver, authorizer); an Env adds
// variables. Constant once made; any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cel/decl_type.h"
#include "cel/type.h"
#include "cel/val.h"

namespace keles::cel {

class Run;

using Function = Val (*)(Run&, std::span<const Val>);

struct Overload {
  std::string_view id;
  bool member = false;
  std::vector<TypePtr> args;
  TypePtr result;
  Function call = nullptr;  // null: the evaluator does it itself
};

struct FunctionDecl {
  std::string_view name;
  std::vector<Overload> overloads;
  // Its values may be of any type when it is called: it looks for itself.
  bool unguarded = false;
};

// All functions by name. Made once.
const FunctionDecl* find_function(std::string_view name);

struct Variable {
  std::string name;
  TypePtr type;
  DeclPtr decl;  // of its data; may be null
};

class Env {
 public:
  Env() = default;
  // `container`: names are looked for in it first ("a.b": a.b.x, a.x, x).
  explicit Env(std::string container) : container_(std::move(container)) {}

  // At most Run::kMaxVariables. Its number is how a Run is told its value.
  size_t add(std::string name, TypePtr type);
  // An API object: its type is made from `decl`; objects inside it are named after `type_name`.
  // `optional`: the object may be missing (oldSelf of a rule with optionalOldSelf).
  size_t add_object(std::string name, DeclPtr decl, std::string_view type_name,
                    bool optional = false);

  const std::string& container() const { return container_; }
  const std::vector<Variable>& variables() const { return variables_; }
  const Variable* find_variable(std::string_view name) const;
  size_t index_of(const Variable& v) const { return static_cast<size_t>(&v - variables_.data()); }
  // The names to be tried for `name`, in order.
  std::vector<std::string> candidates(std::string_view name) const;

  // The type of `decl` where it is reached as `path` ("selfType.spec").
  TypePtr type_of(const DeclPtr& decl, const std::string& path) const;
  // The object type of that name; null when there is none.
  const DeclType* find_object(std::string_view type_name) const;
  // The type of its field; null when it has none of that name.
  TypePtr field_type(std::string_view type_name, std::string_view field) const;

  // jsonpatch.escapeKey is for expressions that make patches alone.
  void forbid_json_patch() { json_patch_ = false; }
  // The function of that name, where it may be called.
  const FunctionDecl* function(std::string_view name) const;

  // Whether cel.bind(name, value, expression) is there (selectors of devices).
  void allow_bindings() { bindings_allowed_ = true; }
  bool bindings_allowed() const { return bindings_allowed_; }

  // Whether objects can be made (mutating admission policies): Object{...}, Object.spec{...}, each
  // with any fields, and JSONPatch{...}.
  void allow_objects() { objects_allowed_ = true; }
  // The type of such a name; null when there is none, or objects cannot be made.
  TypePtr find_made_type(std::string_view name) const;
  // find_type_name, and those.
  TypePtr find_type(std::string_view name) const;
  // Whether the type has fields.
  bool has_fields(std::string_view type_name) const;

  // Whether literals of lists and maps must be of one type, and the arguments of duration,
  // timestamp, matches and format are looked at: as Kubernetes has it. Off for plain CEL.
  void set_validating(bool on) { validating_ = on; }
  bool validating() const { return validating_; }

 private:
  std::string container_;
  std::vector<Variable> variables_;
  std::map<std::string, DeclPtr, std::less<>> objects_;
  bool validating_ = true, objects_allowed_ = false, bindings_allowed_ = false, json_patch_ = true;
};

// A type by the name under which expressions know it ("int", "google.protobuf.Duration"); null
// when there is none.
TypePtr find_type_name(std::string_view name);

}  // namespace keles::cel
