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
    if (before && spec["priority"].is_null()) {
      registry::copy_member(pod, spec, "priority", (*before)["spec"].find("priority"));
      if (spec["preemptionPolicy"].is_null()) {
        registry::copy_member(pod, spec, "preemptionPolicy",
                              (*before)["spec"].find("preemptionPolicy"));
      }
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

}  // namespace keles::admission
