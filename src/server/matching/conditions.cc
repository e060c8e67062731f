#include "server/matching/conditions.h"

#include <algorithm>
#include <utility>

#include "base/metrics.h"
#include "server/objects/keys.h"

namespace keles::matching {
namespace {

constexpr std::string_view kOutOfBudget =
    "validation failed due to running out of cost budget, no further validation rules will be run";

cel::Val wrapped(cel::Run& run, const Value* v) {
  return v && !v->is_null() ? cel::wrap(run, *v, nullptr) : cel::Val::null();
}

// Upstream's text of several errors: each once.
std::string aggregate(const std::vector<std::string>& errors) {
  if (errors.empty()) return {};
  if (errors.size() == 1) return errors.front();
  std::vector<std::string_view> seen;
  std::string out = "[";
  for (const std::string& e : errors) {
    if (std::find(seen.begin(), seen.end(), e) != seen.end()) continue;
    if (!seen.empty()) out += ", ";
    out += e;
    seen.push_back(e);
  }
  return seen.size() == 1 ? errors.front() : out + "]";
}

metrics::LabelValues labels_of(std::string_view name, std::string_view kind, std::string_view type,
                               std::string_view operation) {
  return {std::string(name), std::string(kind), std::string(type), std::string(operation)};
}

}  // namespace

cel::AuthorizationAnswer AuthAuthorizer::authorize(const cel::AuthorizationUser& user,
                                                   const cel::AuthorizationQuery& query) const {
  Caller other;
  const auto* caller = static_cast<const Caller*>(user.info);
  if (!caller) {
    other.name = user.name;
    other.uid = user.uid;
    other.groups = user.groups;
    caller = &other;
  }
  Access access;
  access.verb = query.verb;
  if (query.is_resource) {
    access.group = query.group;
    access.version = "*";
    access.resource = query.resource;
    access.subresource = query.subresource;
    access.ns = query.namespace_;
    access.name = query.name;
    access.demand(query.field_selector);
  } else {
    access.path = query.path;
  }
  cel::AuthorizationAnswer answer;
  const auth::Decision decision = auth_->decide(*caller, access);
  answer.allowed = decision.allowed;
  answer.reason = decision.reason;
  return answer;
}

Inputs::Inputs(const Request* request, Match match, const Value* object, const Value* old_object,
               const cel::Authorizer* authorizer)
    : request_(request),
      match_(match),
      object_(object),
      old_object_(old_object),
      authorizer_(authorizer) {
  if (!request->caller) return;
  user_.name = request->caller->name;
  user_.uid = request->caller->uid;
  user_.groups = request->caller->groups;
  user_.info = request->caller;
}

const Value& Inputs::request() {
  if (made_.root.is_null()) made_.root = request_value(made_.arena, *request_, *match_.resource);
  return made_.root;
}

void Inputs::bind(cel::Run& run, const cel::Env& env) {
  for (const cel::Variable& v : env.variables()) {
    const size_t at = env.index_of(v);
    if (v.name == "object") {
      run.bind(at, wrapped(run, object_));
    } else if (v.name == "oldObject") {
      run.bind(at, wrapped(run, old_object_));
    } else if (v.name == "namespaceObject") {
      run.bind(at, wrapped(run, namespace_));
    } else if (v.name == "request") {
      run.bind(at, wrapped(run, &request()));
    } else if (v.name == "params") {
      run.bind(at, wrapped(run, params_));
    } else if (v.name == "authorizer" && authorizer_) {
      run.bind(at, cel::Val::opaque(run.make<cel::AuthorizerValue>(authorizer_, &user_)));
    } else if (v.name == "authorizer.requestResource" && authorizer_) {
      const cel::AuthorizerValue whole(authorizer_, &user_);
      auto* check = run.make<cel::CheckValue>(cel::Opaque::Kind::kResourceCheck, whole);
      check->query.is_resource = true;
      check->query.group = request_->resource->group;
      check->query.resource = request_->resource->plural;
      check->query.subresource = request_->subresource;
      check->query.namespace_ = request_->namespace_;
      check->query.name = request_->name;
      run.bind(at, cel::Val::opaque(check));
    }
  }
}

Status read_namespace(const Request& request, Document* out) {
  out->root = Value();
  if (request.namespace_.empty()) return {};
  static const KindDesc* const kind = find_kind("", "v1", "Namespace");
  const ObjectPtr found =
      request.state ? request.state->get(registry::object_key(*kind, "", request.namespace_))
                    : nullptr;
  if (!found) return Status::not_found("", "namespaces", request.namespace_);
  *out = found->tree()->clone();
  if (Value* metadata = out->root.find("metadata")) {
    metadata->erase("managedFields");
    metadata->erase("ownerReferences");
    metadata->erase("selfLink");
  }
  return {};
}

std::string compile(std::string_view expression, const cel::Env& env, const cel::TypePtr& type,
                    cel::ProgramPtr* program) {
  const Result<cel::Expression> e = cel::Expression::compile(expression, env);
  if (!e.ok()) return "compilation failed: " + e.status().message();
  if (!e->type()->same(*type)) {
    return "must evaluate to " + type->to_string() + " but got " + e->type()->to_string();
  }
  Result<cel::ProgramPtr> planned = e->plan();
  if (!planned.ok()) return "program instantiation failed: " + planned.status().message();
  if (program) *program = std::move(*planned);
  return {};
}

Conditions Conditions::compile(const Value& conditions, Variables variables, bool fails) {
  Conditions out;
  out.variables_ = variables;
  out.fails_ = fails;
  for (const Value& c : conditions.items()) {
    Condition made;
    made.name = c["name"].as_string();
    made.expression = c["expression"].as_string();
    made.error = matching::compile(made.expression, shared_environment(variables), cel::bool_type(),
                                   &made.program);
    out.conditions_.push_back(std::move(made));
  }
  return out;
}

Verdict Conditions::evaluate(Inputs& inputs) const {
  Verdict out;
  cel::Run run;
  inputs.bind(run, shared_environment(variables_));
  std::vector<std::string> errors;
  uint64_t budget = cel::kMatchConditionsBudget;
  std::string_view excluded_by;
  bool excluded = false;
  for (const Condition& c : conditions_) {
    if (!c.program) {
      errors.push_back("compilation error: " + c.error);
      continue;
    }
    run.restart(cel::kPerCallLimit);
    const cel::Val v = c.program->evaluate(run);
    if (run.cost() > budget) {  // not even a condition that is false counts then
      out.error = fails_ ? kOutOfBudget : "";
      return out;
    }
    budget -= run.cost();
    if (v.is_error()) {
      errors.push_back("expression '" + c.expression +
                       "' resulted in error: " + std::string(v.text()));
    } else if (v.is_false() && !excluded) {
      excluded = true;
      excluded_by = c.name;
    }
    if (!excluded) out.errors = static_cast<int>(errors.size());
  }
  if (excluded) {
    out.excluded_by = excluded_by;
    return out;
  }
  out.errors = static_cast<int>(errors.size());
  if (errors.empty()) {
    out.matches = true;
  } else if (fails_) {
    out.error = aggregate(errors);
  }
  return out;
}

void observe_exclusion(std::string_view name, std::string_view kind, std::string_view type,
                       std::string_view operation) {
  static metrics::Counter& exclusions = metrics::counter(
      "apiserver_admission_match_condition_exclusions_total",
      "Admission match condition evaluation exclusions count, identified by name of resource "
      "containing the match condition and broken out for each kind containing matchConditions "
      "(webhook or policy), operation and admission type (validate or admit).",
      {"name", "kind", "type", "operation"});
  exclusions.with(labels_of(name, kind, type, operation)).add(1);
}

void observe_conditions(std::string_view name, std::string_view kind, std::string_view type,
                        std::string_view operation, double seconds, const Verdict& verdict) {
  static metrics::Histogram& durations = metrics::histogram(
      "apiserver_admission_match_condition_evaluation_seconds",
      "Admission match condition evaluation time in seconds, identified by name and broken out for "
      "each kind containing matchConditions (webhook or policy), operation and type (validate or "
      "admit).",
      {"name", "kind", "type", "operation"}, {0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25});
  static metrics::Counter& failures = metrics::counter(
      "apiserver_admission_match_condition_evaluation_errors_total",
      "Admission match condition evaluation errors count, identified by name of resource "
      "containing the match condition and broken out for each kind containing matchConditions "
      "(webhook or policy), operation and admission type (validate or admit).",
      {"name", "kind", "type", "operation"});
  const metrics::LabelValues labels = labels_of(name, kind, type, operation);
  durations.with(labels).observe(seconds);
  if (verdict.errors > 0) failures.with(labels).add(verdict.errors);
}

}  // namespace keles::matching
