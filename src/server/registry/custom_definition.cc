// CustomResourceDefinitions. Who serves what they define, and tells so in their status, is
// server/extensions.
#include <algorithm>

#include "cel/rules.h"
#include "server/objects/meta.h"
#include "server/registry/definition_check.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

constexpr std::string_view kCleanup = "customresourcecleanup.apiextensions.k8s.io";

// The version that is stored is among those that have been.
void remember_stored_version(Document& d) {
  std::string_view stored;
  for (const Value& v : d.root["spec"]["versions"].items()) {
    if (v["storage"].as_bool()) stored = v["name"].as_string();
    if (!stored.empty()) break;
  }
  if (stored.empty()) return;
  Value& status = edit_map(d, d.root, "status");
  Value& known = status.get_or_add(d.arena, "storedVersions");
  if (!known.is_list()) known = Value::list();
  for (const Value& v : known.items()) {
    if (v.as_string() == stored) return;
  }
  known.append(d.arena, Value::string(d.arena.copy(stored)));
}

void prepare_for_create(const HookContext&, Document& now) {
  now.root.erase("status");
  remember_stored_version(now);
}

void prepare_for_update(const HookContext&, Document& now, const Value&) {
  remember_stored_version(now);
}

// Expressions are compiled and their cost is estimated; defaults are held against them.
DefinitionExpressions expressions() { return {cel::check_rule_definitions, nullptr}; }

void validate(const HookContext&, const Value& now, FieldErrors& errors) {
  check_definition(errors, now, nullptr, expressions());
}

void validate_update(const HookContext&, const Value& now, const Value& before,
                     FieldErrors& errors) {
  check_definition(errors, now, &before, expressions());
}

void validate_status_update(const HookContext&, const Value& now, const Value&,
                            FieldErrors& errors) {
  check_definition_status(errors, now);
}

void warn(const HookContext&, const Value& now, const Value* before,
          std::vector<std::string>& out) {
  for (std::string& text : definition_warnings(now, before)) out.push_back(std::move(text));
}

// Its objects go first: it stays, marked, until they have.
bool begin_delete(const HookContext& ctx, Document& now) {
  set_meta(now, "deletionTimestamp", time_text(ctx.now));
  auto held = finalizers(now.root);
  if (std::find(held.begin(), held.end(), kCleanup) == held.end()) held.emplace_back(kCleanup);
  set_finalizers(now, held);
  set_condition(now, "Terminating", "True", "InstanceDeletionPending",
                "CustomResourceDefinition marked for deletion; CustomResource deletion will begin "
                "soon",
                ctx.now);
  return true;
}

}  // namespace

extern const Strategy kCustomResourceDefinitionStrategy{
    .warnings = warn,
    .prepare_for_create = prepare_for_create,
    .prepare_for_update = prepare_for_update,
    .validate = validate,
    .validate_update = validate_update,
    .validate_status_update = validate_status_update,
    .begin_delete = begin_delete,
    .validates_update_whole = true,
    .described = false,
    .any_finalizer = true};

}  // namespace keles::registry
