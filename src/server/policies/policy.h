// Policies and bindings, compiled. Constant once made; any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cel/admission/evaluation.h"
#include "machinery/labels.h"
#include "machinery/object.h"
#include "server/matching/conditions.h"
#include "server/matching/match.h"

namespace keles::policies {

struct ParamKind {
  std::string group, version, kind;
  std::string shown() const { return group + "/" + version + ", Kind=" + kind; }
};

struct Validation {
  cel::CompiledExpression expression;
  std::optional<cel::CompiledExpression> message;
  std::string fixed_message;  // trimmed
  Reason reason = Reason::kInvalid;
};

struct AuditAnnotation {
  std::string key;
  cel::CompiledExpression value;
};

struct Mutation {
  bool json_patch = false;  // else an apply configuration
  cel::CompiledExpression expression;
};

struct Policy {
  std::string name;
  matching::Criteria criteria;
  // The resources of its rules ("pods"); `any_resource`: one of them stands for all.
  std::vector<std::string> resources;
  bool any_resource = false;
  bool fails = true;  // failurePolicy: Fail
  std::optional<ParamKind> params;
  cel::NamedExpressions variables;
  matching::Conditions conditions;
  std::vector<Validation> validations;
  std::vector<AuditAnnotation> annotations;
  std::vector<Mutation> mutations;
  bool reinvoked = false;  // reinvocationPolicy: IfNeeded
};

struct ParamRef {
  std::string name, namespace_;
  std::optional<Result<Selector>> selector;
  bool deny_when_none = false;
};

struct Binding {
  std::string name, policy;
  matching::Criteria criteria;
  std::optional<ParamRef> params;
  std::vector<std::string> actions;  // "Deny", "Warn", "Audit"
};

// What does not compile fails when it runs.
std::shared_ptr<const Policy> read_policy(const Object& object, bool mutating);
std::shared_ptr<const Binding> read_binding(const Object& object);

// A policy and the bindings that put it to work: at least one.
struct Hook {
  std::shared_ptr<const Policy> policy;
  std::vector<std::shared_ptr<const Binding>> bindings;  // by name
};

// What holds at a time: hooks by the policies' names, and the way to those that could concern a
// resource.
class Index {
 public:
  Index() = default;
  explicit Index(std::vector<Hook> hooks, Status whole = Status());
  // Not OK while one that is stored cannot be read: nothing passes until it is gone.
  const Status& whole() const { return whole_; }
  const std::vector<Hook>& hooks() const { return hooks_; }
  // Whether a policy may have something to say of the request: looks at its rules alone.
  bool concerns(const matching::Request& request) const;
  // Those whose rules may be about it, in order.
  std::vector<const Hook*> candidates(const matching::Request& request) const;

 private:
  template <class F>
  void each(std::string_view resource, const F& f) const;
  std::vector<Hook> hooks_;
  Status whole_;
  std::vector<std::pair<std::string, std::vector<uint32_t>>> by_resource_;  // sorted
  std::vector<uint32_t> of_any_;
};

}  // namespace keles::policies
