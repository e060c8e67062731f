#include "server/registry/write_options.h"

#include <array>

#include "server/objects/meta.h"

namespace keles::registry {
namespace {

Document options_of(std::string_view kind) {
  Document d;
  d.root = Value::map();
  set_text(d, d.root, "kind", kind);
  set_text(d, d.root, "apiVersion", "meta.k8s.io/v1");
  return d;
}

void add_dry_run(Document& d, bool dry_run) {
  if (!dry_run) return;
  Value list = Value::list();
  list.append(d.arena, Value::string("All"));
  d.root.set(d.arena, "dryRun", list);
}

// What the client did not say of it is Warn, which is not told here.
std::string_view said(FieldValidation v) {
  switch (v) {
    case FieldValidation::kIgnore:
      return "Ignore";
    case FieldValidation::kStrict:
      return "Strict";
    case FieldValidation::kWarn:
      break;
  }
  return {};
}

void add_text(Document& d, std::string_view key, std::string_view text) {
  if (!text.empty()) set_text(d, d.root, key, text);
}

Document write_options(std::string_view kind, const WriteRequest& how) {
  Document d = options_of(kind);
  add_dry_run(d, how.dry_run);
  add_text(d, "fieldManager", how.field_manager);
  add_text(d, "fieldValidation", said(how.validation));
  return d;
}

Document delete_options(const DeleteRequest& r) {
  Document d = options_of("DeleteOptions");
  if (r.grace_period_seconds) {
    d.root.set(d.arena, "gracePeriodSeconds", Value(*r.grace_period_seconds));
  }
  if (!r.uid.empty() || !r.resource_version.empty()) {
    Value& p = edit_map(d, d.root, "preconditions");
    if (!r.uid.empty()) set_text(d, p, "uid", r.uid);
    if (!r.resource_version.empty()) set_text(d, p, "resourceVersion", r.resource_version);
  }
  if (r.orphan_dependents) d.root.set(d.arena, "orphanDependents", Value(*r.orphan_dependents));
  add_text(d, "propagationPolicy", r.propagation_policy);
  add_dry_run(d, !r.dry_run.empty());
  if (r.ignore_store_read_error) {
    d.root.set(d.arena, "ignoreStoreReadErrorWithClusterBreakingPotential", Value(true));
  }
  return d;
}

}  // namespace

WriteOptions::WriteOptions(admission::Operation operation, const WriteRequest* how) {
  const bool create = operation == admission::Operation::kCreate;
  const std::string_view kind = create ? "CreateOptions" : "UpdateOptions";
  make = [kind = kind.data(), how] { return write_options(kind, *how); };
}

WriteOptions::WriteOptions(const DeleteRequest& request)
    : make([r = &request] { return delete_options(*r); }) {}

}  // namespace keles::registry
