#include "server/registry/strategy.h"

#include <map>
#include <utility>

namespace keles::registry {

const Strategy& strategy_of(const KindDesc& kind) {
  static const Strategy kGeneric;
  static const std::map<std::pair<std::string_view, std::string_view>, const Strategy*> kTable =
      [] {
        std::map<std::pair<std::string_view, std::string_view>, const Strategy*> t;
        for (const Strategy* s : all_strategies()) t[{s->group, s->kind}] = s;
        return t;
      }();
  if (kind.owner) return kCustomResourceStrategy;
  auto it = kTable.find({kind.group, kind.kind});
  return it == kTable.end() ? kGeneric : *it->second;
}

}  // namespace keles::registry
