// ValidatingAdmissionPolicies, MutatingAdmissionPolicies and their bindings. Their expressions are
// compiled here to refuse them, and once more where they run.
#include <algorithm>
#include <cctype>
#include <set>

#include "api/admissionregistration_v1.h"
#include "base/text_parts.h"
#include "cel/admission/compiler.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/match_rules.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

using api::admissionregistration_v1::AuditAnnotation;
using api::admissionregistration_v1::MatchResources;
using api::admissionregistration_v1::MutatingAdmissionPolicy;
using api::admissionregistration_v1::MutatingAdmissionPolicyBinding;
using api::admissionregistration_v1::Mutation;
using api::admissionregistration_v1::ParamKind;
using api::admissionregistration_v1::ParamRef;
using api::admissionregistration_v1::ValidatingAdmissionPolicy;
using api::admissionregistration_v1::ValidatingAdmissionPolicyBinding;
using api::admissionregistration_v1::ValidatingAdmissionPolicySpec;
using api::admissionregistration_v1::Validation;

const FieldPath kSpec("spec");

std::string joined_messages(const Messages& messages) {
  std::string s;
  for (const std::string& m : messages) s += (s.empty() ? "" : ",") + m;
  return s;
}

// --- what policies share ------------------------------------------------------------------------

void validate_failure_policy(FieldErrors& e, const View& spec) {
  const Value& policy = spec.value()["failurePolicy"];
  if (policy.is_null()) return field::required(e, kSpec["failurePolicy"]);
  check_known(e, kSpec["failurePolicy"], policy.as_string(), {"Fail", "Ignore"});
}

void validate_param_version(FieldErrors& e, const FieldPath& p, std::string_view text) {
  if (text.empty()) return field::required(e, p);
  if (std::count(text.begin(), text.end(), '/') > 1) {
    return field::invalid(e, p, text, "unexpected GroupVersion string: " + std::string(text));
  }
  const size_t slash = text.find('/');
  const std::string_view group = slash == text.npos ? "" : text.substr(0, slash),
                         version = slash == text.npos ? text : text.substr(slash + 1);
  if (!group.empty()) {
    if (auto bad = check_dns1123_subdomain(group); !bad.empty()) {
      field::invalid(e, p, group, joined_messages(bad));
    }
  }
  if (version.empty()) {
    field::invalid(e, p, text, "version must be specified");
  } else if (auto bad = check_dns1035_label(version); !bad.empty()) {
    field::invalid(e, p, version, joined_messages(bad));
  }
}

void validate_param_kind(FieldErrors& e, const ParamKind& kind) {
  if (!kind) return;
  const FieldPath p = kSpec["paramKind"];
  validate_param_version(e, p["apiVersion"], kind.api_version());
  if (kind.kind().empty()) return field::required(e, p["kind"]);
  std::string lower(kind.kind());
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (auto bad = check_dns1035_label(lower); !bad.empty()) {
    field::invalid(e, p["kind"], kind.kind(),
                   "may have mixed case, but should otherwise match: " + joined_messages(bad));
  }
}

void validate_constraints(FieldErrors& e, const MatchResources& match) {
  const FieldPath p = kSpec["matchConstraints"];
  if (!match) return field::required(e, p);
  validate_match_resources(e, p, match);
  if (match.resource_rules().empty()) field::required(e, p["resourceRules"]);
}

bool is_identifier(std::string_view s) {
  auto letter = [](char c) { return c == '_' || std::isalpha(static_cast<unsigned char>(c)); };
  return !s.empty() && letter(s.front()) && std::all_of(s.begin(), s.end(), [&](char c) {
    return letter(c) || std::isdigit(static_cast<unsigned char>(c));
  }) && !is_one_of(s, {"true",     "false",   "null",      "in",       "as",  "break",  "const",
                       "continue", "else",    "for",       "function", "if",  "import", "let",
                       "loop",     "package", "namespace", "return",   "var", "void",   "while"});
}

// Compiles a policy's expressions, each where it is looked at: later ones may name variables.
class Expressions {
 public:
  Expressions(const Value& spec, bool composed)
      : compiler_(composed ? cel::AdmissionCompiler::Variables::kComposed
                           : cel::AdmissionCompiler::Variables::kNone) {
    names_.params = !spec["paramKind"].is_null();
  }
  bool params() const { return names_.params; }
  void variable(FieldErrors& e, const FieldPath& p, std::string_view name, std::string_view text) {
    report_expression(e, p, text, compiler_.add_variable(name, text, names_));
  }
  void check(FieldErrors& e, const FieldPath& p, std::string_view text,
             const cel::results::Results& wanted) {
    report_expression(e, p, text, compiler_.compile(text, wanted, names_));
  }
  // Shown as it was written, compiled without what is around it.
  void check_trimmed(FieldErrors& e, const FieldPath& p, std::string_view text,
                     const cel::results::Results& wanted) {
    report_expression(e, p, text, compiler_.compile(trim(text), wanted, names_));
  }
  void message(FieldErrors& e, const FieldPath& p, std::string_view text) {
    cel::AdmissionNames names = names_;
    names.authorizer = false;
    report_expression(e, p, text, compiler_.compile(text, cel::results::text(), names));
  }
  void mutation(FieldErrors& e, const FieldPath& p, std::string_view text,
                const cel::results::Results& wanted) {
    cel::AdmissionNames names = names_;
    names.objects = true;
    report_expression(e, p, text, compiler_.compile(text, wanted, names));
  }

 private:
  cel::AdmissionCompiler compiler_;
  cel::AdmissionNames names_;
};

template <class Variables>
void validate_variables(FieldErrors& e, const Variables& variables, Expressions& expressions) {
  size_t i = 0;
  for (const auto& v : variables) {
    const FieldPath at = kSpec["variables"][i++];
    if (trim(v.name()).empty()) {
      field::required(e, at["name"], "name is not specified");
    } else if (!is_identifier(v.name())) {
      field::invalid(e, at["name"], v.name(), "must be a valid CEL identifier");
    }
    if (trim(v.expression()).empty()) {
      field::required(e, at["expression"], "expression is not specified");
    } else {
      expressions.variable(e, at["expression"], v.name(), v.expression());
    }
  }
}

// Whether what the conditions mean is as it was.
bool same_conditions(const Value& now, const Value& before) {
  return now["spec"]["paramKind"].equals(before["spec"]["paramKind"]) &&
         now["spec"]["matchConditions"].equals(before["spec"]["matchConditions"]);
}

// --- ValidatingAdmissionPolicy ------------------------------------------------------------------

void validate_validation(FieldErrors& e, const FieldPath& p, const Validation& v,
                         Expressions& expressions) {
  constexpr const char* kText = "must be non-empty if specified";
  if (trim(v.expression()).empty()) {
    field::required(e, p["expression"], "expression is not specified");
  } else {
    expressions.check(e, p["expression"], v.expression(), cel::results::boolean());
  }
  if (trim(v.message_expression()).empty()) {
    if (!v.message_expression().empty()) {
      field::invalid(e, p["messageExpression"], v.message_expression(), kText);
    }
  } else {
    expressions.message(e, p["messageExpression"], v.message_expression());
  }
  const std::string_view message = trim(v.message());
  if (!v.message().empty() && message.empty()) {
    field::invalid(e, p["message"], v.message(), kText);
  } else if (message.find_first_of("\n\r") != message.npos) {
    field::invalid(e, p["message"], v.message(), "must not contain line breaks");
  }
  described(e, p, v, "reason");
}

void validate_annotations_of(FieldErrors& e, const ValidatingAdmissionPolicySpec& spec,
                             std::string_view name, Expressions& expressions) {
  constexpr size_t kMost = 20, kLongest = 5 * 1024;
  const FieldPath p = kSpec["auditAnnotations"];
  const auto annotations = spec.audit_annotations();
  if (annotations.size() > kMost) {
    std::string all;
    for (const AuditAnnotation& a : annotations) all += (all.empty() ? "" : ",") + struct_text(a);
    invalid_as(e, p, "[" + all + "]", "must not have more than 20 auditAnnotations");
  }
  std::set<std::string_view> keys;
  size_t i = 0;
  for (const AuditAnnotation& a : annotations) {
    const FieldPath at = p[i++];
    if (name.empty()) {
      field::invalid(e, at["key"], a.key(), "requires metadata.name be non-empty");
    } else {
      const std::string whole = std::string(name) + "/" + std::string(a.key());
      field::invalid_each(e, at["key"], whole, check_qualified_name(whole));
    }
    const size_t size = trim(a.value_expression()).size();
    if (size == 0) {
      field::required(e, at["valueExpression"], "valueExpression is not specified");
    } else if (size > kLongest) {
      field::required(e, at["valueExpression"], "must not exceed 5120 bytes in length");
    } else {
      expressions.check_trimmed(e, at["valueExpression"], a.value_expression(),
                                cel::results::text_or_null());
    }
    if (!keys.insert(a.key()).second) field::duplicate(e, at["key"], a.key());
  }
}

void validate_policy(FieldErrors& e, const ValidatingAdmissionPolicy& policy, bool conditions) {
  const ValidatingAdmissionPolicySpec spec = policy.spec();
  validate_failure_policy(e, spec);
  validate_param_kind(e, spec.param_kind());
  validate_constraints(e, spec.match_constraints());
  Expressions expressions(spec.value(), !spec.variables().empty());
  if (conditions) {
    validate_match_conditions(e, kSpec["matchConditions"], spec.match_conditions(),
                              expressions.params());
  }
  validate_variables(e, spec.variables(), expressions);
  if (spec.validations().empty() && spec.audit_annotations().empty()) {
    constexpr const char* kOne = "validations or auditAnnotations must contain at least one item";
    field::required(e, kSpec["validations"], kOne);
    field::required(e, kSpec["auditAnnotations"], kOne);
    return;
  }
  size_t i = 0;
  for (const Validation& v : spec.validations()) {
    validate_validation(e, kSpec["validations"][i++], v, expressions);
  }
  validate_annotations_of(e, spec, policy.metadata().name(), expressions);
}

void validate_validating(const HookContext&, const Value& now, FieldErrors& e) {
  validate_policy(e, ValidatingAdmissionPolicy(now), true);
}

void validate_validating_update(const HookContext&, const Value& now, const Value& before,
                                FieldErrors& e) {
  validate_policy(e, ValidatingAdmissionPolicy(now), !same_conditions(now, before));
}

void validate_policy_status(const HookContext&, const Value& now, const Value&, FieldErrors& e) {
  const auto status = ValidatingAdmissionPolicy(now).status();
  const FieldPath p("status");
  size_t i = 0;
  for (const auto& w : status.type_checking().expression_warnings()) {
    const FieldPath at = p["typeChecking"]["expressionWarnings"][i++];
    if (w.warning().empty()) field::required(e, at["warning"]);
    if (trim(w.field_ref()).empty()) field::required(e, at["fieldRef"]);
  }
  validate_conditions(e, p["conditions"], status.conditions().value());
}

// --- MutatingAdmissionPolicy --------------------------------------------------------------------

void validate_mutation(FieldErrors& e, const FieldPath& p, const Mutation& m,
                       Expressions& expressions) {
  const std::string_view type = m.patch_type();
  if (type.empty()) return field::required(e, p["patchType"]);
  if (type != "JSONPatch" && type != "ApplyConfiguration") {
    return field::not_supported(e, p["patchType"], type, {"ApplyConfiguration", "JSONPatch"});
  }
  const bool json = type == "JSONPatch";
  const std::string_view own = json ? "jsonPatch" : "applyConfiguration",
                         other = json ? "applyConfiguration" : "jsonPatch";
  const Value& patch = m.value()[own];
  if (patch.is_null()) {
    field::required(e, p[own], "must be specified when patchType is " + std::string(type));
  } else if (const std::string_view text = trim(patch["expression"].as_string()); text.empty()) {
    field::required(e, p[own]["expression"]);
  } else {
    expressions.mutation(e, p[own]["expression"], text,
                         json ? cel::results::json_patch() : cel::results::object());
  }
  if (!m.value()[other].is_null()) {
    field::invalid(e, p[other], "{" + std::string(other) + "}",
                   "must not be specified when patchType is " + std::string(type));
  }
}

// A policy that changes has nothing to say of deletion.
void validate_operations(FieldErrors& e, const FieldPath& p, const MatchResources& match) {
  for (const auto& rule : match.resource_rules()) {
    for (std::string_view op : rule.operations()) {
      check_known(e, p["resourceRules"]["operations"], op, {"*", "CONNECT", "CREATE", "UPDATE"});
    }
  }
}

void validate_mutating_policy(FieldErrors& e, const MutatingAdmissionPolicy& policy,
                              bool conditions) {
  const auto spec = policy.spec();
  validate_failure_policy(e, spec);
  validate_param_kind(e, spec.param_kind());
  validate_constraints(e, spec.match_constraints());
  validate_operations(e, kSpec["matchConstraints"], spec.match_constraints());
  Expressions expressions(spec.value(), true);
  if (conditions) {
    validate_match_conditions(e, kSpec["matchConditions"], spec.match_conditions(),
                              expressions.params());
  }
  validate_variables(e, spec.variables(), expressions);
  if (spec.mutations().empty()) {
    field::required(e, kSpec["mutations"], "mutations must contain at least one item");
  }
  size_t i = 0;
  for (const Mutation& m : spec.mutations()) {
    validate_mutation(e, kSpec["mutations"][i++], m, expressions);
  }
  described(e, kSpec, spec, "reinvocationPolicy");
}

void validate_mutating(const HookContext&, const Value& now, FieldErrors& e) {
  validate_mutating_policy(e, MutatingAdmissionPolicy(now), true);
}

void validate_mutating_update(const HookContext&, const Value& now, const Value& before,
                              FieldErrors& e) {
  validate_mutating_policy(e, MutatingAdmissionPolicy(now), !same_conditions(now, before));
}

// --- bindings -----------------------------------------------------------------------------------

void validate_param_ref(FieldErrors& e, const ParamRef& ref) {
  constexpr const char* kEither = "name and selector are mutually exclusive";
  if (!ref) return;
  const FieldPath p = kSpec["paramRef"];
  const std::string_view name = ref.name();
  if (!name.empty()) {
    field::invalid_each(e, p["name"], name, check_path_segment_name(name));
    if (ref.has_selector()) field::forbidden(e, p["name"], kEither);
  }
  if (ref.has_selector()) {
    validate_label_selector(e, p["selector"], ref.selector().value());
    if (!name.empty()) field::forbidden(e, p["selector"], kEither);
  } else if (name.empty()) {
    field::required(e, p, "one of name or selector must be specified");
  }
  described(e, p, ref, "parameterNotFoundAction");
}

void validate_actions(FieldErrors& e, const List<std::string_view>& actions) {
  const FieldPath p = kSpec["validationActions"];
  std::set<std::string_view> seen;
  size_t i = 0;
  for (std::string_view action : actions) {
    const FieldPath at = p[i++];
    check_known(e, at, action, {"Audit", "Deny", "Warn"});
    if (!seen.insert(action).second) field::duplicate(e, at, action);
  }
  if (seen.count("Deny") && seen.count("Warn")) {
    field::invalid(e, p, actions.value(),
                   "must not contain both Deny and Warn (repeating the same validation failure "
                   "information in the API response and headers serves no purpose)");
  }
  if (seen.empty()) field::required(e, p, "at least one validation action is required");
}

void validate_validating_binding(const HookContext&, const Value& now, FieldErrors& e) {
  const auto spec = ValidatingAdmissionPolicyBinding(now).spec();
  described(e, kSpec, spec, "policyName");
  validate_param_ref(e, spec.param_ref());
  validate_match_resources(e, kSpec["matchResources"], spec.match_resources());
  validate_actions(e, spec.validation_actions());
}

void validate_mutating_binding(const HookContext&, const Value& now, FieldErrors& e) {
  const auto spec = MutatingAdmissionPolicyBinding(now).spec();
  described(e, kSpec, spec, "policyName");
  validate_param_ref(e, spec.param_ref());
  validate_match_resources(e, kSpec["matchResources"], spec.match_resources());
  validate_operations(e, kSpec["matchResources"], spec.match_resources());
}

void policy_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  w.number("Validations", static_cast<int64_t>(spec["validations"].size()));
  w.number("Mutations", static_cast<int64_t>(spec["mutations"].size()));
  const Value& param = spec["paramKind"];
  w.text("ParamKind", param.is_null() ? "<unset>"
                                      : std::string(param["apiVersion"].as_string()) + "/" +
                                            std::string(param["kind"].as_string()));
}

void policy_binding_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& ref = o["spec"]["paramRef"];
  std::string text = "<unset>";
  if (!ref.is_null()) {
    std::string_view ns = ref["namespace"].as_string(), name = ref["name"].as_string();
    text = !name.empty() ? (ns.empty() ? "" : std::string(ns) + "/") + std::string(name)
                         : selector_text(ref["selector"]);
  }
  CellWriter(ctx, out).text("ParamRef", text);
}

}  // namespace

extern const Strategy kValidatingPolicyStrategy{.warnings = static_suffix_warnings,
                                                .prepare_for_status_update = take_only_status,
                                                .validate = validate_validating,
                                                .validate_update = validate_validating_update,
                                                .validate_status_update = validate_policy_status,
                                                .validates_update_whole = true,
                                                .described = false,
                                                .any_finalizer = true,
                                                .metadata_again = MetadataAgain::kWhole,
                                                .cells = policy_cells};
extern const Strategy kMutatingPolicyStrategy{.warnings = static_suffix_warnings,
                                              .validate = validate_mutating,
                                              .validate_update = validate_mutating_update,
                                              .validates_update_whole = true,
                                              .described = false,
                                              .any_finalizer = true,
                                              .metadata_again = MetadataAgain::kWhole,
                                              .cells = policy_cells};
extern const Strategy kValidatingPolicyBindingStrategy{.warnings = static_suffix_warnings,
                                                       .validate = validate_validating_binding,
                                                       .described = false,
                                                       .any_finalizer = true,
                                                       .metadata_again = MetadataAgain::kWhole,
                                                       .cells = policy_binding_cells};
extern const Strategy kMutatingPolicyBindingStrategy{.warnings = static_suffix_warnings,
                                                     .validate = validate_mutating_binding,
                                                     .described = false,
                                                     .any_finalizer = true,
                                                     .metadata_again = MetadataAgain::kWhole,
                                                     .cells = policy_binding_cells};

}  // namespace keles::registry
