// Expressions over a request: the values of the variables that webhooks and policies may name
// (object, oldObject, request, namespaceObject, params, authorizer), and match conditions. Names,
// types, compiling and cost are in cel/admission.
// Source: Kubernetes, "Validating Admission Policy", "matchConditions"; KEP-3488, KEP-3716.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cel/admission/evaluation.h"
#include "cel/authorizer.h"
#include "machinery/value.h"
#include "server/auth/auth.h"
#include "server/matching/match.h"
#include "server/matching/request.h"

namespace keles::matching {

// What those expressions may name besides.
using Variables = cel::AdmissionNames;

// Asks this server's authorization on behalf of one request's expressions. Of the caller's own
// questions `info` is a Caller. An evaluation cannot wait: what somebody outside has to be asked
// first is noted, and what was evaluated until then is worth nothing; it is to be made again once
// that was asked. One thread.
class Asking final : public cel::Authorizer {
 public:
  // `auth` null: the variable has no value.
  Asking(const auth::Auth* auth, TimePoint now) : auth_(auth), open_(now) {}
  const cel::Authorizer* variable() const { return auth_ ? this : nullptr; }
  cel::AuthorizationAnswer authorize(const cel::AuthorizationUser& user,
                                     const cel::AuthorizationQuery& query) const override;
  bool pending() const { return open_.pending(); }
  // Only while it is pending.
  Task<void> ask(Context ctx) { return auth_->ask(std::move(ctx), &open_); }

 private:
  const auth::Auth* auth_;
  mutable auth::Questions open_;
};

// The values of one request's variables. It outlives every Evaluation of its values, and what is
// pointed to outlives both. One thread.
class Inputs {
 public:
  // Objects in the version of `match`; null where there is none. `authorizer` may be null: then
  // its variables have no value.
  Inputs(const Request* request, Match match, const Value* object, const Value* old_object,
         const cel::Authorizer* authorizer);
  void set_params(const Value* object) { params_ = object; }        // null: there is no such object
  void set_namespace(const Value* object) { namespace_ = object; }  // likewise
  cel::AdmissionInput values();
  const Value& request();  // made when it is first asked for

 private:
  const Request* request_;
  Match match_;
  const Value *object_, *old_object_, *params_ = nullptr, *namespace_ = nullptr;
  const cel::Authorizer* authorizer_;
  cel::AuthorizationUser user_;
  Document made_;
};

// The namespace that the request is in, as `namespaceObject` shows it (without managed fields and
// owners); a null value for a cluster-scoped resource. Into `out`.
Status read_namespace(const Request& request, Document* out);

// How many evaluations were made of what, for metrics.
struct Verdict {
  bool matches = false;
  std::string excluded_by;  // the condition that is false; "" when none is
  // Only where failures count: what went wrong. Upstream's text: one error as it is, several as
  // [a, b].
  std::string error;
  int errors = 0;  // whether they count or not
};

class Conditions {
 public:
  // From a list of MatchCondition. `fails`: failurePolicy is Fail, so that an error is one. What is
  // wrong with an expression is found when it runs.
  static Conditions compile(const Value& conditions, Variables names, bool fails);
  // Of a policy, which may name the variables that the compiler knows already.
  static Conditions compile(const Value& conditions, cel::AdmissionCompiler& compiler,
                            Variables names, bool fails);
  bool empty() const { return conditions_.empty(); }
  // All are looked at until one is false, which decides, whatever else failed.
  Verdict evaluate(Inputs& inputs, const cel::NamedExpressions* variables = nullptr) const;

 private:
  cel::NamedExpressions conditions_;
  bool fails_ = true;
};

// Upstream's metrics of match conditions. `kind`: "webhook" or a policy's kind; `type`: which list
// it is in ("validating", "mutating"), in exclusions what it does ("validate", "admit").
void observe_exclusion(std::string_view name, std::string_view kind, std::string_view type,
                       std::string_view operation);
void observe_conditions(std::string_view name, std::string_view kind, std::string_view type,
                        std::string_view operation, double seconds, const Verdict& verdict);

}  // namespace keles::matching
