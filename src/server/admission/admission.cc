#include "server/admission/admission.h"

#include "server/admission/plugins.h"
#include "server/registry/keys.h"

namespace keles::admission {

Status admit(const Attributes& a, Document& object, const Value* before) {
  // As upstream, the namespace is looked at first.
  TRY(namespace_lifecycle(a, &object.root, before));
  TRY(limit_ranger(a, object, before));
  TRY(service_account(a, object, before));
  TRY(priority(a, object, before));
  return default_toleration_seconds(a, object, before);
}

Status validate(const Attributes& a, const Value* object, const Value* before) {
  if (a.operation == Operation::kDelete) TRY(namespace_lifecycle(a, object, before));
  TRY(node_restriction(a, object, before));
  return limit_ranger_validate(a, object, before);
}

Status refuse(const Attributes& a, std::string_view why) {
  return Status::forbidden(a.kind->group, a.kind->plural, a.name, why);
}

ObjectPtr find(const Attributes& a, std::string_view group, std::string_view version,
               std::string_view kind, std::string_view ns, std::string_view name) {
  const KindDesc* k = find_kind(group, version, kind);
  return k ? a.state->get(registry::object_key(*k, ns, name)) : nullptr;
}

}  // namespace keles::admission
