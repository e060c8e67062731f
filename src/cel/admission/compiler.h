// Expressions about requests: match conditions of webhooks, all that admission policies say. What
// they may name, and their compiling in upstream's words.
//
//   object, oldObject, params   data of any shape; null where there is none
//   request, namespaceObject    typed by hand
//   authorizer, authorizer.requestResource
//   variables                   of a policy, typed by what they were compiled to
//
// A compiler is one policy's (its variables gather in it), one thread. What it makes is constant.
// Source: Kubernetes, "Validating Admission Policy", "Mutating Admission Policy"; KEP-3488,
// KEP-3962, KEP-3716.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cel/env.h"
#include "cel/program.h"

namespace keles::cel {

// The numbers of the variables, for Run::bind.
enum AdmissionVariable : size_t {
  kObjectVariable,
  kOldObjectVariable,
  kNamespaceVariable,
  kRequestVariable,
  kParamsVariable,
  kAuthorizerVariable,
  kRequestResourceVariable,
  kVariablesVariable,
  kAdmissionVariables
};

// What one expression may name besides object, oldObject, namespaceObject and request.
struct AdmissionNames {
  bool params = false, authorizer = true;
  bool objects = false;  // it makes Object{...} and JSONPatch{...}
};

// What expressions see of the request and of the namespace.
const DeclPtr& admission_request_type();
const DeclPtr& admission_namespace_type();

struct CompiledExpression {
  std::string text;
  ProgramPtr program;  // null: `error` says why
  std::string error;
  bool internal = false;  // the error is not the writer's
  TypePtr type;           // what it gives; null when it did not compile
};

// What an expression may give; none: anything.
namespace results {
using Results = std::vector<TypePtr>;
const Results& any();
const Results& boolean();
const Results& text();          // messageExpression
const Results& text_or_null();  // valueExpression of an audit annotation
const Results& object();        // applyConfiguration
const Results& json_patch();
}  // namespace results

// The types of data that a policy is held against when its types are checked; null: any.
struct CheckedTypes {
  DeclPtr object, params;
  std::string_view object_name, params_name;  // of the types
};

class AdmissionCompiler {
 public:
  enum class Variables : uint8_t { kNone, kComposed };
  explicit AdmissionCompiler(Variables variables, const CheckedTypes* types = nullptr);
  AdmissionCompiler(const AdmissionCompiler&) = delete;

  CompiledExpression compile(std::string_view text, const results::Results& wanted,
                             const AdmissionNames& names);
  // The same, and what is compiled later may name it: variables.NAME.
  CompiledExpression add_variable(std::string_view name, std::string_view text,
                                  const AdmissionNames& names);
  // Parsed and checked alone: "" or what is wrong.
  std::string check(std::string_view text, const AdmissionNames& names);
  std::string check_variable(std::string_view name, std::string_view text,
                             const AdmissionNames& names);

 private:
  Env& env(const AdmissionNames& names);
  void declare(std::string_view name, const TypePtr& type);
  std::shared_ptr<DeclType> variables_;  // null: there are none
  const CheckedTypes* types_;
  std::unique_ptr<Env> envs_[8];
};

}  // namespace keles::cel
