#include "server/admission/plugins.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/unreadable.h"

namespace keles::admission {
namespace {

const KindDesc& class_kind() {
  static const KindDesc* const k = find_kind("scheduling.k8s.io", "v1", "PriorityClass");
  return *k;
}

// The class that pods without one get: of several, the one with the lowest value.
Result<ObjectPtr> global_default(const Attributes& a) {
  ObjectPtr best;
  auto look = [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr tree = o->tree();
    if (tree->root["globalDefault"].as_bool() &&
        (!best || tree->root["value"].as_int() < best->tree()->root["value"].as_int())) {
      best = o;
    }
    return true;
  };
  TRY(scan_whole(*a.state, registry::kind_prefix(class_kind()), look));
  return best;
}

}  // namespace

Status priority(const Attributes& a, Document& pod, const Value* before) {
  if (!a.is("", "Pod") || !a.subresource.empty()) return {};
  Value& spec = registry::edit_map(pod, pod.root, "spec");
  if (a.operation == Operation::kUpdate) {
    for (std::string_view field : {"priority", "preemptionPolicy"}) {
      if (!before || !spec[field].is_null()) continue;
      registry::copy_member(pod, spec, field, (*before)["spec"].find(field));
    }
    return {};
  }
  if (a.operation != Operation::kCreate) return {};
  int64_t value = 0;
  std::string policy = "PreemptLowerPriority";
  std::string name(spec["priorityClassName"].as_string());
  ObjectPtr found;
  if (name.empty()) {
    TRY_ASSIGN(best, global_default(a));
    found = std::move(best);
  } else {
    found = find(a, "scheduling.k8s.io", "v1", "PriorityClass", "", name);
  }
  if (!name.empty() && !found)
    return refuse(a, "no PriorityClass with name " + name + " was found");
  if (found) {
    DocumentPtr tree = found->tree();
    value = tree->root["value"].as_int();
    if (auto p = tree->root["preemptionPolicy"].as_string(); !p.empty()) policy = p;
    registry::set_text(pod, spec, "priorityClassName", found->name());
  }
  if (const Value& own = spec["priority"]; own.is_number() && own.as_int() != value) {
    return refuse(a, "the integer value of priority (" + std::to_string(own.as_int()) +
                         ") must not be provided in pod spec; priority admission controller "
                         "computed " +
                         std::to_string(value) + " from the given PriorityClass name");
  }
  if (const Value& own = spec["preemptionPolicy"]; own.is_string() && own.as_string() != policy) {
    return refuse(a, "the string value of PreemptionPolicy (" + std::string(own.as_string()) +
                         ") must not be provided in pod spec; priority admission controller "
                         "computed " +
                         policy + " from the given PriorityClass name");
  }
  spec.set(pod.arena, "priority", Value(value));
  registry::set_text(pod, spec, "preemptionPolicy", policy);
  return {};
}

// One class at most is the global default.
Status priority_validate(const Attributes& a, const Value* object, const Value*) {
  const bool writes = a.operation == Operation::kCreate || a.operation == Operation::kUpdate;
  if (!object || !writes || !a.subresource.empty()) return {};
  if (!a.is("scheduling.k8s.io", "PriorityClass")) return {};
  if (!(*object)["globalDefault"].as_bool()) return {};
  auto best = global_default(a);
  if (!best.ok()) {
    return Status(Reason::kUnknown,
                  "failed to get default priority class: " + best.status().message());
  }
  if (!*best) return {};
  const std::string name((*best)->name());
  if (a.operation == Operation::kUpdate && name == registry::meta(*object, "name")) return {};
  return refuse(
      a, "PriorityClass " + name + " is already marked as default. Only one default can exist");
}

}  // namespace keles::admission
