// Expressions, from text to result:
//
//   Env env;                                            // what may be named
//   env.add_object("self", decl_type(schema, true), "selfType");
//   TRY_ASSIGN(checked, Expression::compile("self.minReplicas <= self.replicas", env));
//   checked.type(); checked.estimate();                 // static: the type, the worst cost
//   TRY_ASSIGN(program, checked.plan());                // to be kept and shared by threads
//   Run run;                                            // one evaluation after the other
//   run.bind(0, wrap(run, object, type));
//   const Val v = program->evaluate(run);               // a value, or an error
//
// An Expression and a Program are constant once made; any thread. The Env and the types must
// outlive the Expression; a Program keeps what it needs.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cel/ast.h"
#include "cel/cost.h"
#include "cel/env.h"
#include "cel/run.h"
#include "cel/source.h"
#include "cel/type.h"
#include "cel/val.h"

namespace keles::cel {

class Node;

class Program {
 public:
  ~Program();
  Program(const Program&) = delete;
  // The value, or an error whose text is upstream's. The run's cost is that of this evaluation.
  Val evaluate(Run& run) const;

 private:
  friend class Planner;
  Program();
  std::unique_ptr<Node> root_;
  size_t slots_ = 0;
  std::unique_ptr<Run> constants_;  // the memory of literals
  std::vector<std::unique_ptr<Node>> shared_;
};
using ProgramPtr = std::shared_ptr<const Program>;

class Expression {
 public:
  // Parsed and checked. The error's message is the list of faults as Kubernetes shows it. `env`
  // outlives the expression (not the programs that are planned of it).
  static Result<Expression> compile(std::string_view text, const Env& env);
  static Result<Expression> compile(std::string_view text, const Env&& env) = delete;
  // Only parsed: every type is found out when it runs.
  static Result<Expression> parse_only(std::string_view text, const Env& env);
  static Result<Expression> parse_only(std::string_view text, const Env&& env) = delete;

  const TypePtr& type() const { return ast_->root->type; }
  // Whether it names the variable.
  bool names(std::string_view variable) const;
  // What one evaluation can cost. Sizes come from the variables' declared data.
  CostRange estimate() const;
  // The error's message is upstream's: a conversion of a literal that fails, a bad pattern.
  Result<ProgramPtr> plan() const;
  const Ast& ast() const { return *ast_; }

 private:
  Expression(std::shared_ptr<Ast> ast, const Env& env) : ast_(std::move(ast)), env_(&env) {}
  std::shared_ptr<Ast> ast_;
  const Env* env_;
};

}  // namespace keles::cel
