// The configurations of admission webhooks.
#include <algorithm>
#include <set>

#include "api/admissionregistration_v1.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/match_rules.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"
#include "server/registry/webhook_check.h"

namespace keles::registry {
namespace {

// A webhook that changes has one field more than one that only judges.
using api::admissionregistration_v1::MutatingWebhook;
using api::admissionregistration_v1::MutatingWebhookConfiguration;

const Words kNoEffects = {"None", "NoneOnDryRun"},
            kEffects = {"None", "NoneOnDryRun", "Some", "Unknown"};

// What is stored already and is let through for it.
struct Tolerance {
  bool conditions = false, effects = false, versions = false, names = false, label_values = false;
};

bool is_review_version(std::string_view v) { return v == "v1" || v == "v1beta1"; }

bool has_review_version(const MutatingWebhook& hook) {
  const auto versions = hook.admission_review_versions();
  return std::any_of(versions.begin().at, versions.end().at,
                     [](const Value& v) { return is_review_version(v.as_string()); });
}

void validate_versions(FieldErrors& e, const FieldPath& p, const MutatingWebhook& hook,
                       const Tolerance& tolerance) {
  const auto versions = hook.admission_review_versions();
  if (versions.empty()) return field::required(e, p, "must specify one of v1, v1beta1");
  std::set<std::string_view> seen;
  size_t i = 0;
  for (std::string_view v : versions) {
    const FieldPath at = p[i++];
    if (!seen.insert(v).second) {
      field::invalid(e, at, v, "duplicate version");
    } else {
      field::invalid_each(e, at, v, check_dns1035_label(v));
    }
  }
  if (!tolerance.versions && !has_review_version(hook)) {
    field::invalid(e, p, versions.value(), "must include at least one of v1, v1beta1");
  }
}

void validate_effects(FieldErrors& e, const FieldPath& p, const MutatingWebhook& hook,
                      const Tolerance& tolerance) {
  if (hook.has_side_effects()) {
    check_known(e, p, hook.side_effects(), tolerance.effects ? kEffects : kNoEffects);
    return;
  }
  std::string all;
  for (std::string_view w : tolerance.effects ? kEffects : kNoEffects) {
    all.append(all.empty() ? "" : ", ").append(w);
  }
  field::required(e, p, "must specify one of " + all);
}

void validate_hook(FieldErrors& e, const FieldPath& p, const MutatingWebhook& hook,
                   const Tolerance& tolerance) {
  check_qualified_domain(e, p["name"], hook.name());
  size_t i = 0;
  for (const auto& rule : hook.rules()) validate_rule_with_operations(e, p["rules"][i++], rule);
  described(e, p, hook, "failurePolicy");
  described(e, p, hook, "matchPolicy");
  validate_effects(e, p["sideEffects"], hook, tolerance);
  described(e, p, hook, "timeoutSeconds");
  validate_selector(e, p["namespaceSelector"], hook.namespace_selector().value(),
                    tolerance.label_values);
  validate_selector(e, p["objectSelector"], hook.object_selector().value(), tolerance.label_values);
  described(e, p, hook, "reinvocationPolicy");
  check_webhook_client(e, hook.client_config().value(), p["clientConfig"]);
  if (!tolerance.conditions) {
    validate_match_conditions(e, p["matchConditions"], hook.match_conditions());
  }
}

void validate_all(FieldErrors& e, const Value& now, const Tolerance& tolerance) {
  std::set<std::string_view> names;
  size_t i = 0;
  for (const MutatingWebhook& hook : MutatingWebhookConfiguration(now).webhooks()) {
    const FieldPath at = FieldPath("webhooks")[i++];
    validate_hook(e, at, hook, tolerance);
    validate_versions(e, at["admissionReviewVersions"], hook, tolerance);
    if (tolerance.names || hook.name().empty()) continue;
    if (!names.insert(hook.name()).second) field::duplicate(e, at["name"], hook.name());
  }
}

void validate(const HookContext&, const Value& now, FieldErrors& e) { validate_all(e, now, {}); }

bool has_ill_selector(const MutatingWebhook& hook) {
  FieldErrors ill;
  validate_label_selector(ill, FieldPath(), hook.namespace_selector().value());
  validate_label_selector(ill, FieldPath(), hook.object_selector().value());
  return !ill.empty();
}

void validate_update(const HookContext&, const Value& now, const Value& before, FieldErrors& e) {
  const auto is = MutatingWebhookConfiguration(now).webhooks(),
             was = MutatingWebhookConfiguration(before).webhooks();
  Tolerance tolerance;
  tolerance.conditions = is.size() == was.size();
  std::set<std::string_view> names;
  for (size_t i = 0; i < was.size(); ++i) {
    const MutatingWebhook old = was[i];
    if (i < is.size() && !is[i].match_conditions().value().equals(old.match_conditions().value())) {
      tolerance.conditions = false;
    }
    if (!is_one_of(old.side_effects(), kNoEffects)) tolerance.effects = true;
    if (!old.admission_review_versions().empty() && !has_review_version(old)) {
      tolerance.versions = true;
    }
    if (!names.insert(old.name()).second) tolerance.names = true;
    if (has_ill_selector(old)) tolerance.label_values = true;
  }
  validate_all(e, now, tolerance);
}

void webhook_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).number("Webhooks", static_cast<int64_t>(o["webhooks"].size()));
}

}  // namespace

extern const Strategy kMutatingWebhooksStrategy{.warnings = static_suffix_warnings,
                                                .validate = validate,
                                                .validate_update = validate_update,
                                                .validates_update_whole = true,
                                                .described = false,
                                                .any_finalizer = true,
                                                .metadata_again = MetadataAgain::kWhole,
                                                .cells = webhook_cells};
extern const Strategy kValidatingWebhooksStrategy{.warnings = static_suffix_warnings,
                                                  .validate = validate,
                                                  .validate_update = validate_update,
                                                  .validates_update_whole = true,
                                                  .described = false,
                                                  .any_finalizer = true,
                                                  .metadata_again = MetadataAgain::kWhole,
                                                  .cells = webhook_cells};

}  // namespace keles::registry
