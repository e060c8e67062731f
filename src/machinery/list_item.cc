#include "machinery/list_item.h"

#include <string_view>

namespace keles {
namespace {

constexpr std::string_view kKind = R"({"kind":")", kVersion = R"(","apiVersion":")", kEnd = R"(",)";

// What the JSON of an object of the kind begins with.
bool skip_type(std::string_view& json, const KindDesc& kind) {
  std::string_view rest = json;
  for (std::string_view part : {kKind, kind.kind, kVersion, kind.api_version(), kEnd}) {
    if (!rest.starts_with(part)) return false;
    rest.remove_prefix(part.size());
  }
  json = rest;
  return true;
}

}  // namespace

void append_list_item(std::string& out, const Object& object) {
  const Bytes whole = object.json();
  std::string_view json = *whole;
  const bool custom = object.kind().owner != nullptr;
  if (!custom && skip_type(json, object.kind())) out.push_back('{');
  out.append(json);
}

}  // namespace keles
