// Custom resources: what is the same for all of them. Their schemas decide the rest.
#include <algorithm>
#include <array>
#include <set>

#include "base/metrics.h"
#include "cel/rules.h"
#include "machinery/custom_kind.h"
#include "machinery/custom_object.h"
#include "machinery/ratchet_time.h"
#include "machinery/rule_check.h"
#include "server/objects/meta.h"
#include "server/registry/custom_scale.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

const std::optional<CustomKinds::Scale>& scale_of(const HookContext& ctx) {
  return custom_kinds(*ctx.kind)->of(*ctx.kind).scale;
}

// Of the new object only its status counts.
void take_status(const HookContext&, Document& now, const Value& before) {
  Document made;
  made.root = deep_copy(made.arena, before);
  copy_member(made, made.root, "status", now.root.find("status"));
  now = std::move(made);
}

void validate_scale(const HookContext& ctx, const Value& now, FieldErrors& errors) {
  const auto& scale = scale_of(ctx);
  if (!scale) return;
  validate_scale_spec(*scale, now, errors);
  validate_scale_status(*scale, now, errors);
}

// The expressions of the kind's schema, compiled for the first who asks; null when it has none.
const cel::RuleTree* rules_of(const KindDesc& kind) {
  const CustomKinds& kinds = *custom_kinds(kind);
  const CustomKinds::Version& version = kinds.of(kind);
  std::call_once(version.rules.once, [&] {
    const DocumentPtr definition = kinds.definition()->tree();
    version.rules.made = cel::RuleTree::compile(kinds.schema_in(*definition, version), true);
  });
  return static_cast<const cel::RuleTree*>(version.rules.made.get());
}

// Where a value is not what its type says, expressions would only say so again.
bool keeps_from_rules(const StatusCause& e) {
  static constexpr std::array kTypes{"FieldValueNotSupported", "FieldValueRequired",
                                     "FieldValueTooLong", "FieldValueTooMany",
                                     "FieldValueTypeInvalid"};
  return std::find(kTypes.begin(), kTypes.end(), e.type) != kTypes.end();
}

// x-kubernetes-validations, after everything else. What an update leaves as it was may stay wrong:
// it is warned of.
void check_rules(const HookContext& ctx, const Value& now, const Value* before,
                 FieldErrors& errors) {
  const cel::RuleTree* rules = rules_of(*ctx.kind);
  if (!rules) return;
  if (std::any_of(errors.begin(), errors.end(), keeps_from_rules)) {
    errors.push_back({"FieldValueInvalid",
                      "Invalid value: null: some validation rules were not checked because the "
                      "object was invalid; correct the existing errors to complete validation",
                      "<nil>"});
    return;
  }
  std::vector<std::string> untold;
  cel::RuleTree::Check check{errors};
  if (before) check.warnings = ctx.warnings ? ctx.warnings : &untold;
  rules->check(check, now, before);
}

void validate(const HookContext& ctx, const Value& now, FieldErrors& errors) {
  const TypeDesc& type = *ctx.kind->type;
  check_schema(errors, type, now);
  validate_scale(ctx, now, errors);
  check_embedded_resources(errors, type, now);
  check_list_types(errors, type, now);
  check_rules(ctx, now, nullptr, errors);
}

// What the checks of this update have spent on comparing it with what was there.
void tell_ratcheting() {
  static metrics::Histogram& spent = metrics::histogram(
      "apiextensions_apiserver_validation_ratcheting_seconds",
      "Time for comparison of old to new for the purposes of CRDValidationRatcheting during an "
      "UPDATE in seconds.",
      {},
      {0.00001, 0.00004, 0.00016, 0.00064, 0.00256, 0.01024, 0.04096, 0.16384, 0.65536, 2.62144});
  spent.observe(RatchetTime::take());
}

// Lists that were no sets or maps before may stay so.
void check_new_list_types(const TypeDesc& type, const Value& now, const Value& before,
                          FieldErrors& errors) {
  FieldErrors old;
  check_list_types(old, type, before);
  if (old.empty()) check_list_types(errors, type, now);
}

void validate_update(const HookContext& ctx, const Value& now, const Value& before,
                     FieldErrors& errors) {
  (void)RatchetTime::take();
  const TypeDesc& type = *ctx.kind->type;
  check_schema_update(errors, type, now, before);
  validate_scale(ctx, now, errors);
  check_embedded_resources(errors, type, now);
  check_new_list_types(type, now, before, errors);
  check_rules(ctx, now, &before, errors);
  tell_ratcheting();
}

void validate_status_update(const HookContext& ctx, const Value& now, const Value& before,
                            FieldErrors& errors) {
  (void)RatchetTime::take();
  const TypeDesc& type = *ctx.kind->type;
  const FieldDesc* field = type.find("status");
  const Value* status = now.find("status");
  if (field && status) {
    check_schema_field(errors, *field, *status, before.find("status"), "status");
  }
  if (const auto& scale = scale_of(ctx)) validate_scale_status(*scale, now, errors);
  check_new_list_types(type, now, before, errors);
  check_rules(ctx, now, &before, errors);
  tell_ratcheting();
}

// Finalizers whose names others may choose as well.
void warn(const HookContext&, const Value& now, const Value* before,
          std::vector<std::string>& out) {
  static constexpr std::array kStandard{"orphan", "foregroundDeletion", "kubernetes"};
  std::set<std::string_view> added;
  for (const Value& f : metadata(now)["finalizers"].items()) added.insert(f.as_string());
  if (before) {
    for (const Value& f : metadata(*before)["finalizers"].items()) added.erase(f.as_string());
  }
  for (std::string_view name : added) {
    const std::string start = "metadata.finalizers: \"" + std::string(name) + "\": ";
    for (const std::string& bad : check_qualified_name(name)) out.push_back(start + bad);
    if (name.find('/') != name.npos ||
        std::find(kStandard.begin(), kStandard.end(), name) != kStandard.end()) {
      continue;
    }
    out.push_back(start + "prefer a domain-qualified finalizer name " +
                  (name.find('.') != name.npos ? "including a path (/) " : "") +
                  "to avoid accidental conflicts with other finalizer writers");
  }
}

}  // namespace

const Strategy kCustomResourceStrategy{.warnings = warn,
                                       .prepare_for_status_update = take_status,
                                       .validate = validate,
                                       .validate_update = validate_update,
                                       .validate_status_update = validate_status_update,
                                       .validates_update_whole = true,
                                       .described = false};

}  // namespace keles::registry
