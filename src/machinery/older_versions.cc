#include "machinery/older_versions.h"

#include <utility>

namespace keles {
namespace {

constexpr std::string_view kOld = "apiextensions.k8s.io/v1beta1";
constexpr std::string_view kNow = "apiextensions.k8s.io/v1";

// What v1beta1 says of all versions at once, and by which name v1 says it of each.
constexpr std::pair<std::string_view, std::string_view> kOfAll[] = {
    {"validation", "schema"},
    {"subresources", "subresources"},
    {"additionalPrinterColumns", "additionalPrinterColumns"},
    {"selectableFields", "selectableFields"}};

void rename(Arena& a, Value& map, std::string_view from, std::string_view to) {
  const Value* there = map.find(from);
  if (!there) return;
  const Value moved = *there;
  map.erase(from);
  map.set(a, to, moved);
}

void rename_columns(Arena& a, Value& holder) {
  Value* columns = holder.find("additionalPrinterColumns");
  if (!columns) return;
  for (Value& column : columns->items()) rename(a, column, "JSONPath", "jsonPath");
}

void one_version(Arena& a, Value& spec) {
  const Value name = spec["version"];
  spec.erase("version");
  if (!spec["versions"].empty() || name.as_string().empty()) return;
  Value only = Value::map();
  only.set(a, "name", name);
  only.set(a, "served", true);
  only.set(a, "storage", true);
  Value versions = Value::list();
  versions.append(a, only);
  spec.set(a, "versions", versions);
}

void of_each(Arena& a, Value& spec) {
  rename_columns(a, spec);
  for (Value& version : spec.get_or_add(a, "versions").items()) rename_columns(a, version);
  for (const auto& [of_all, of_one] : kOfAll) {
    const Value* said = spec.find(of_all);
    if (!said) continue;
    const Value value = *said;
    spec.erase(of_all);
    for (Value& version : spec.find("versions")->items())
      version.set(a, of_one, deep_copy(a, value));
  }
}

// The client and the versions of reviews are one webhook in v1.
void conversion(Arena& a, Value& spec) {
  Value* c = spec.find("conversion");
  if (!c) return;
  rename(a, *c, "webhookClientConfig", "clientConfig");
  Value webhook = Value::map();
  for (std::string_view part : {"clientConfig", "conversionReviewVersions"}) {
    const Value* said = c->find(part);
    if (!said) continue;
    webhook.set(a, part, *said);
    c->erase(part);
  }
  if (!webhook.empty()) c->set(a, "webhook", webhook);
}

}  // namespace

bool is_older_version(std::string_view api_version, std::string_view kind) {
  return api_version == kOld && kind == "CustomResourceDefinition";
}

void to_served_version(Document& object) {
  object.root.set(object.arena, "apiVersion", Value::string(kNow));
  Value* spec = object.root.find("spec");
  if (!spec || !spec->is_map()) return;
  one_version(object.arena, *spec);
  of_each(object.arena, *spec);
  conversion(object.arena, *spec);
}

}  // namespace keles
