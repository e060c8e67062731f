#include "server/admission/plugins.h"
#include "server/objects/meta.h"

namespace keles::admission {
namespace {

bool tolerates(const Value& spec, std::string_view taint) {
  for (const Value& t : spec["tolerations"].items()) {
    auto key = t["key"].as_string(), effect = t["effect"].as_string();
    if ((key == taint || key.empty()) && (effect == "NoExecute" || effect.empty())) return true;
  }
  return false;
}

}  // namespace

Status default_toleration_seconds(const Attributes& a, Document& pod, const Value*) {
  if (!a.is("", "Pod") || !a.subresource.empty() || a.operation == Operation::kDelete) return {};
  static const PluginConfig kDefault;
  const PluginConfig& config = a.config ? a.config->plugins : kDefault;
  Value& spec = registry::edit_map(pod, pod.root, "spec");
  for (std::string_view taint :
       {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
    if (tolerates(spec, taint)) continue;
    Value* list = spec.find("tolerations");
    if (!list) list = &spec.set(pod.arena, "tolerations", Value::list());
    if (!list->is_list()) *list = Value::list();
    Value& t = list->append(pod.arena, Value::map());
    registry::set_text(pod, t, "key", taint);
    registry::set_text(pod, t, "operator", "Exists");
    registry::set_text(pod, t, "effect", "NoExecute");
    const bool ready = taint == "node.kubernetes.io/not-ready";
    t.set(pod.arena, "tolerationSeconds",
          Value(ready ? config.not_ready_seconds : config.unreachable_seconds));
  }
  return {};
}

}  // namespace keles::admission
