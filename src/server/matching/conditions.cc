#include "server/matching/conditions.h"

#include <algorithm>
#include <utility>

#include "base/list_text.h"
#include "base/metrics.h"
#include "server/objects/keys.h"

namespace keles::matching {
namespace {

metrics::LabelValues labels_of(std::string_view name, std::string_view kind, std::string_view type,
                               std::string_view operation) {
  return {std::string(name), std::string(kind), std::string(type), std::string(operation)};
}

}  // namespace

cel::AuthorizationAnswer Asking::authorize(const cel::AuthorizationUser& user,
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
  const auth::Decision decision = auth_->decide(*caller, access, &open_);
  answer.allowed = decision.allowed;
  answer.reason = decision.reason;
  answer.error = decision.error;
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

cel::AdmissionInput Inputs::values() {
  const auto known = [](const Value* v) { return v && !v->is_null() ? v : nullptr; };
  cel::AdmissionInput in;
  in.object = known(object_);
  in.old_object = known(old_object_);
  in.namespace_object = known(namespace_);
  in.request = &request();
  in.params = known(params_);
  in.authorizer = authorizer_;
  in.user = &user_;
  in.resource.group = request_->resource->group;
  in.resource.resource = request_->resource->plural;
  in.resource.subresource = request_->subresource;
  in.resource.namespace_ = request_->namespace_;
  in.resource.name = request_->name;
  return in;
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

Conditions Conditions::compile(const Value& conditions, Variables names, bool fails) {
  cel::AdmissionCompiler compiler(cel::AdmissionCompiler::Variables::kNone);
  return compile(conditions, compiler, names, fails);
}

Conditions Conditions::compile(const Value& conditions, cel::AdmissionCompiler& compiler,
                               Variables names, bool fails) {
  Conditions out;
  out.fails_ = fails;
  for (const Value& c : conditions.items()) {
    out.conditions_.push_back(
        {std::string(c["name"].as_string()),
         compiler.compile(c["expression"].as_string(), cel::results::boolean(), names)});
  }
  return out;
}

Verdict Conditions::evaluate(Inputs& inputs, const cel::NamedExpressions* variables) const {
  Verdict out;
  const cel::AdmissionInput values = inputs.values();
  cel::Evaluation evaluation(values, variables, static_cast<int64_t>(cel::kMatchConditionsBudget));
  std::vector<std::string> errors;
  std::string_view excluded_by;
  bool excluded = false;
  for (const cel::NamedExpression& c : conditions_) {
    const Result<cel::Val> v = evaluation.evaluate(c.expression);
    if (!v.ok()) {  // not even a condition that is false counts then
      out.error = fails_ ? v.status().message() : "";
      return out;
    }
    if (v->is_error()) {
      errors.emplace_back(v->text());
    } else if (v->is_false() && !excluded) {
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
