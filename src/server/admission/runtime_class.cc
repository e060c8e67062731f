// RuntimeClass (https://kubernetes.io/docs/concepts/containers/runtime-class): a pod that names a
// class runs with its handler or not at all; it costs what the class costs, and goes where nodes
// have it.
#include <utility>

#include "machinery/quantity.h"
#include "server/admission/plugins.h"
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

// Whether what `narrow` tolerates, `wide` does.
bool covers(const Value& wide, const Value& narrow) {
  if (wide.equals(narrow)) return true;
  const bool any_value = wide["operator"].as_string() == "Exists";
  if (!wide["key"].as_string().empty() || !any_value) {
    if (wide["key"].as_string() != narrow["key"].as_string()) return false;
  }
  std::string_view effect = wide["effect"].as_string();
  if (!effect.empty() && effect != narrow["effect"].as_string()) return false;
  const Value &longest = wide["tolerationSeconds"], &seconds = narrow["tolerationSeconds"];
  if (effect == "NoExecute" && !longest.is_null()) {
    if (seconds.is_null() || seconds.as_int() > longest.as_int()) return false;
  }
  if (any_value) return true;
  std::string_view op = wide["operator"].as_string();
  return (op.empty() || op == "Equal") && narrow["operator"].as_string() == "Equal" &&
         narrow["value"].as_string() == wide["value"].as_string();
}

// Both lists, without what others of them cover; of equal ones the first stays.
void merge_tolerations(Document& d, Value& spec, const Value& more) {
  if (more.empty()) return;
  Value all = Value::list(), merged = Value::list();
  for (const Value* list : {&std::as_const(spec)["tolerations"], &more}) {
    for (const Value& t : list->items()) all.append(d.arena, deep_copy(d.arena, t));
  }
  auto items = all.items();
  for (size_t i = 0; i < items.size(); ++i) {
    bool needless = false;
    for (const Value& kept : merged.items()) needless |= covers(kept, items[i]);
    for (size_t j = i + 1; j < items.size(); ++j) {
      needless |= !items[j].equals(items[i]) && covers(items[j], items[i]);
    }
    if (!needless) merged.append(d.arena, items[i]);
  }
  spec.set(d.arena, "tolerations", merged);
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
