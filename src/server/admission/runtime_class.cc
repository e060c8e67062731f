// RuntimeClass (https://kubernetes.io/docs/concepts/containers/runtime-class): a pod that names a
// class runs with its handler or not at all; it costs what the class costs, and goes where nodes
// have it.
#include <utility>

#include "machinery/quantity.h"
#include "server/admission/plugins.h"
#include "server/admission/tolerations.h"
#include "server/objects/meta.h"

namespace keles::admission {
namespace {

using registry::edit_map;

constexpr std::string_view kOtherOverhead =
    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

// Null when the pod names none.
Result<DocumentPtr> class_of(const Attributes& a, const Value& spec) {
  const std::string name(spec["runtimeClassName"].as_string());
  if (spec["runtimeClassName"].is_null()) return DocumentPtr();
  ObjectPtr found = find(a, "node.k8s.io", "v1", "RuntimeClass", "", name);
  if (found) return found->tree();
  return refuse(a, "pod rejected: RuntimeClass \"" + name + "\" not found");
}

bool same_amounts(const Value& a, const Value& b) {
  if (a.size() != b.size()) return false;
  for (const Member& m : a.members()) {
    const Value* other = b.find(m.key());
    if (!other) return false;
    auto x = Quantity::parse_or_zero(m.value.as_string());
    auto y = Quantity::parse_or_zero(other->as_string());
    if (x < y || x > y) return false;
  }
  return true;
}

Status set_scheduling(const Attributes& a, Document& pod, Value& spec, const Value& scheduling) {
  for (const Member& m : scheduling["nodeSelector"].members()) {
    Value& selector = edit_map(pod, spec, "nodeSelector");
    const std::string key(m.key()), value(m.value.as_string());
    if (const Value* own = selector.find(key); own && !own->equals(m.value)) {
      return refuse(a, "conflict: runtimeClass.scheduling.nodeSelector[" + key + "] = " + value +
                           "; pod.spec.nodeSelector[" + key +
                           "] = " + std::string(own->as_string()));
    }
    registry::set_text(pod, selector, pod.arena.copy(key), value);
  }
  merge_tolerations(pod, spec, scheduling["tolerations"]);
  return {};
}

}  // namespace

Status runtime_class(const Attributes& a, Document& pod, const Value*) {
  if (!pod_create(a)) return {};
  TRY_ASSIGN(found, class_of(a, pod.root["spec"]));
  if (!found) return {};
  Value& spec = edit_map(pod, pod.root, "spec");
  const Value& fixed = found->root["overhead"]["podFixed"];
  if (!found->root["overhead"].is_null()) {
    if (!spec["overhead"].empty() && !same_amounts(spec["overhead"], fixed)) {
      return refuse(a, kOtherOverhead);
    }
    registry::copy_member(pod, spec, "overhead", &fixed);
  }
  return set_scheduling(a, pod, spec, found->root["scheduling"]);
}

Status runtime_class_validate(const Attributes& a, const Value* pod, const Value*) {
  if (!pod || !pod_create(a)) return {};
  const Value& spec = (*pod)["spec"];
  TRY_ASSIGN(found, class_of(a, spec));
  if (found && !found->root["overhead"].is_null()) {
    const Value& fixed = found->root["overhead"]["podFixed"];
    return same_amounts(spec["overhead"], fixed) ? Status() : refuse(a, kOtherOverhead);
  }
  if (spec["overhead"].is_null()) return {};
  return refuse(a,
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined "
                "Overhead");
}

}  // namespace keles::admission
