#include "server/registry/strategy.h"

#include "machinery/kind_facts.h"
#include "machinery/validation.h"
#include "server/objects/meta.h"

namespace keles::registry {

void take_only_status(const HookContext&, Document& now, const Value& before) {
  Document made;
  made.root = deep_copy(made.arena, before);
  copy_member(made, made.root, "status", now.root.find("status"));
  for (std::string_view key : {"resourceVersion", "managedFields"}) {
    copy_member(made, edit_metadata(made), key, metadata(now.root).find(key));
  }
  now = std::move(made);
}

const Strategy& strategy_of(const KindDesc& kind) {
  static const Strategy kGeneric;
  if (kind.owner) return kCustomResourceStrategy;
  const Strategy* s = described_strategies()[kind.facts->strategy];
  return s ? *s : kGeneric;
}

NameChecker name_checker(const KindDesc& kind) {
  switch (kind.facts->name) {
    case NameRule::kLabel:
      return &name_is_dns_label;
    case NameRule::kLabel1035:
      return &name_is_dns1035_label;
    case NameRule::kPathSegment:
      return &name_is_path_segment;
    case NameRule::kStrategy:
      return strategy_of(kind).validate_name;
    case NameRule::kSubdomain:
      break;
  }
  return &name_is_dns_subdomain;
}

}  // namespace keles::registry
