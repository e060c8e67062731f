#include "server/objects/keys.h"

#include "machinery/kind_facts.h"

namespace keles::registry {

std::string kind_prefix(const KindDesc& kind) { return std::string(kind.facts->key_prefix); }

std::string list_prefix(const KindDesc& kind, std::string_view ns) {
  std::string out = kind_prefix(kind);
  if (kind.namespaced && !ns.empty()) out.append(ns).push_back('/');
  return out;
}

std::string object_key(const KindDesc& kind, std::string_view ns, std::string_view name) {
  std::string out = list_prefix(kind, ns);
  out.append(name);
  return out;
}

const KindDesc& storage_kind(const KindDesc& kind) {
  return kind.facts->stored ? *kind.facts->stored : kind;
}

}  // namespace keles::registry
