// x-kubernetes-validations: the expressions of a custom resource's schema, compiled, and held
// against objects. Texts, order, budgets, transition rules (oldSelf), their correlation through
// maps and lists of maps, and ratcheting are upstream's; where Go goes through a map, the order is
// that of the document.
// Source: Kubernetes, "Validation rules"; KEP-2876, KEP-4008 (ratcheting).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cel/decl_type.h"
#include "cel/program.h"
#include "machinery/tree_path.h"
#include "machinery/validation.h"
#include "machinery/value.h"

namespace keles::cel {

// One rule of a schema and what became of it.
struct CompiledRule {
  std::string rule, message, message_expression, reason, field_path;
  bool optional_old_self = false, says_optional_old_self = false;
  // Null when the rule is empty, or `error` says why it cannot be run.
  ProgramPtr program;
  std::string error;
  bool uses_old_self = false;
  uint64_t max_cost = 0;
  ProgramPtr message_program;  // null likewise
  std::string message_error;
  uint64_t message_max_cost = 0;
  std::string normalized_path;  // of field_path; "" when it leads nowhere
  // Its text in the messages of those it refuses.
  std::string shown() const;
};

// The rules of this schema, not of what is in it. `decl` is what it declares.
std::vector<CompiledRule> compile_rules(const Value& schema, const DeclPtr& decl);

// Constant once made; any thread.
class RuleTree {
 public:
  // Null when there is no rule in the schema, which need not live on. `resource_root`: it is of a
  // whole resource.
  static std::shared_ptr<const RuleTree> compile(const Value& schema, bool resource_root);
  ~RuleTree();

  struct Check {
    FieldErrors& errors;
    // Of an update, what is wrong where nothing was changed: told here, and let pass. Null: there
    // is no such leniency.
    std::vector<std::string>* warnings = nullptr;
    std::string_view path;                              // of the value; "" for a whole resource
    int64_t budget = static_cast<int64_t>(kRunBudget);  // left after it: less than 0 when used up
  };
  // `before`: null when there was none. The schema has been found to hold.
  void check(Check& check, const Value& now, const Value* before) const;

 private:
  friend class RuleTreeBuilder;
  friend class RuleCheck;
  struct Node;
  RuleTree();
  std::unique_ptr<Node> root_;
};

// What is wrong with the rules of a schema: texts that do not compile, costs beyond the limits,
// oldSelf where there is none. `unchanged`: the version had this schema before, so that the cost of
// a single rule is not looked at. The schema has no other faults; `path` is its own.
void check_rule_definitions(FieldErrors& errors, const Value& schema, std::string_view path,
                            bool unchanged);

}  // namespace keles::cel
