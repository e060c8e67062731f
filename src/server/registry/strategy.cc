#include "server/registry/strategy.h"

#include "machinery/kind_facts.h"
#include "machinery/validation.h"

namespace keles::registry {

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
