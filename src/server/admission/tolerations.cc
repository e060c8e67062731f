#include "server/admission/tolerations.h"

#include <utility>

namespace keles::admission {

bool toleration_covers(const Value& wide, const Value& narrow) {
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

void merge_tolerations(Document& d, Value& spec, const Value& more) {
  if (more.empty()) return;
  Value all = Value::list(), merged = Value::list();
  for (const Value* list : {&std::as_const(spec)["tolerations"], &more}) {
    for (const Value& t : list->items()) all.append(d.arena, deep_copy(d.arena, t));
  }
  auto items = all.items();
  for (size_t i = 0; i < items.size(); ++i) {
    bool needless = false;
    for (const Value& kept : merged.items()) needless |= toleration_covers(kept, items[i]);
    for (size_t j = i + 1; j < items.size(); ++j) {
      needless |= !items[j].equals(items[i]) && toleration_covers(items[j], items[i]);
    }
    if (!needless) merged.append(d.arena, items[i]);
  }
  spec.set(d.arena, "tolerations", merged);
}

}  // namespace keles::admission
