#include "machinery/internal_names.h"

namespace keles {

std::string internal_package(std::string_view group) {
  if (group.empty() || group == "events.k8s.io") return "core";
  return std::string(group.substr(0, group.find('.')));
}

std::string internal_type_name(const KindDesc& kind, bool list) {
  const bool custom = kind.owner != nullptr;
  if (custom) return list ? "unstructured.UnstructuredList" : "unstructured.Unstructured";
  return internal_package(kind.group) + '.' + std::string(list ? kind.list_kind : kind.kind);
}

}  // namespace keles
