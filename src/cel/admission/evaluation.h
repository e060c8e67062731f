// Expressions about one request, evaluated one after the other under one budget. Variables of a
// policy are evaluated when somebody asks for them, once.
//
// One thread; the input outlives it, and it outlives every value that it gives. Costs and texts of
// errors are a 1.36 server's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cel/admission/compiler.h"
#include "cel/authorizer.h"
#include "cel/opaque.h"
#include "cel/run.h"

namespace keles::cel {

// What the variables are; null: null.
struct AdmissionInput {
  const Value* object = nullptr;
  const Value* old_object = nullptr;
  const Value* namespace_object = nullptr;
  const Value* request = nullptr;  // an AdmissionRequest
  const Value* params = nullptr;
  const Authorizer* authorizer = nullptr;
  const AuthorizationUser* user = nullptr;
  AuthorizationQuery resource;  // what the request is for: authorizer.requestResource
};

// A policy's variables, compiled, in order.
struct NamedExpression {
  std::string name;
  CompiledExpression expression;
};
using NamedExpressions = std::vector<NamedExpression>;

inline constexpr std::string_view kOutOfBudget =
    "validation failed due to running out of cost budget, no further validation rules will be run";

class Evaluation {
 public:
  // Variables that need each other deeper than this fail.
  static constexpr int kMaxDepth = 64;

  // `variables`: null where expressions have none.
  Evaluation(const AdmissionInput& input, const NamedExpressions* variables,
             int64_t budget = static_cast<int64_t>(kRunBudget));
  ~Evaluation();
  Evaluation(const Evaluation&) = delete;

  // The value, or an error value whose text says which expression failed, and why. Fails when the
  // budget is used up: nothing further is to be evaluated.
  Result<Val> evaluate(const CompiledExpression& e);
  Run& run() { return run_; }
  int64_t budget() const { return budget_; }

 private:
  class Variables;
  void bind(Run& run) const;
  const AdmissionInput& input_;
  AuthorizerValue authorizer_;
  CheckValue request_resource_;
  Run run_;
  std::unique_ptr<Variables> variables_;
  int64_t budget_, spent_on_variables_ = 0;
};

}  // namespace keles::cel
