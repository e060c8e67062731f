#include "server/objects/keys.h"

#include "machinery/kind_facts.h"

namespace keles::registry {

namespace {

// One allocation: a key is made for every request.
std::string joined(const KindDesc& kind, std::string_view ns, std::string_view name) {
  const std::string_view prefix = kind.facts->key_prefix;
  const bool within = kind.namespaced && !ns.empty();
  std::string out;
  out.reserve(prefix.size() + (within ? ns.size() + 1 : 0) + name.size());
  out.append(prefix);
  if (within) out.append(ns).push_back('/');
  return out.append(name), out;
}

}  // namespace

std::string kind_prefix(const KindDesc& kind) { return std::string(kind.facts->key_prefix); }

std::string list_prefix(const KindDesc& kind, std::string_view ns) { return joined(kind, ns, ""); }

std::string object_key(const KindDesc& kind, std::string_view ns, std::string_view name) {
  return joined(kind, ns, name);
}

const KindDesc& storage_kind(const KindDesc& kind) {
  return kind.facts->stored ? *kind.facts->stored : kind;
}

}  // namespace keles::registry
