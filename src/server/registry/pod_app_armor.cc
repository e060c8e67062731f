#include "server/registry/pod_app_armor.h"

#include "server/objects/meta.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

constexpr std::string_view kLocalhost = "localhost/";
constexpr size_t kLongestName = 4095;  // PATH_MAX, less its end

bool is_valid(const AppArmor& a) {
  constexpr std::string_view kBlanks = " \t\r\n";
  return a.type != "Localhost" || (a.localhost.size() <= kLongestName &&
                                   kBlanks.find(a.localhost.front()) == std::string_view::npos &&
                                   kBlanks.find(a.localhost.back()) == std::string_view::npos);
}

// True when the author should hear of it.
bool take(Document& pod, Value& container, std::string_view annotation,
          const std::optional<AppArmor>& of_pod) {
  auto said = app_armor_of_annotation(annotation);
  if (!said || !is_valid(*said)) return true;
  if (said == of_pod) return false;
  Arena& a = pod.arena;
  Value profile = Value::map();
  profile.set(a, "type", Value::string(said->type));
  if (said->type == "Localhost") {
    profile.set(a, "localhostProfile", Value::string(a.copy(said->localhost)));
  }
  edit_map(pod, container, "securityContext").set(a, "appArmorProfile", profile);
  return true;
}

}  // namespace

std::optional<AppArmor> app_armor_of_annotation(std::string_view annotation) {
  if (annotation == "unconfined") return AppArmor{"Unconfined", ""};
  if (annotation == "runtime/default") return AppArmor{"RuntimeDefault", ""};
  if (annotation.starts_with(kLocalhost) && annotation.size() > kLocalhost.size()) {
    return AppArmor{"Localhost", annotation.substr(kLocalhost.size())};
  }
  return std::nullopt;
}

std::optional<AppArmor> app_armor_of_field(const Value& profile) {
  if (profile.is_null()) return std::nullopt;
  return AppArmor{profile["type"].as_string(), profile["localhostProfile"].as_string()};
}

void take_app_armor_annotations(const HookContext& ctx, Document& pod) {
  const Value& annotations = metadata(pod.root)["annotations"];
  Value* spec = pod.root.find("spec");
  if (annotations.empty() || !spec || (*spec)["os"]["name"].as_string() == "windows") return;
  const auto of_pod = app_armor_of_field((*spec)["securityContext"]["appArmorProfile"]);
  for (std::string_view list : {"initContainers", "containers", "ephemeralContainers"}) {
    Value* containers = spec->find(list);
    if (!containers) continue;
    for (Value& c : containers->items()) {
      const Value& container = c;
      const std::string key =
          std::string(kAppArmorAnnotation) + std::string(container["name"].as_string());
      const Value* annotation = annotations.find(key);
      if (!annotation || !container["securityContext"]["appArmorProfile"].is_null()) continue;
      if (take(pod, c, annotation->as_string(), of_pod) && ctx.warnings) {
        warn(*ctx.warnings, FieldPath("metadata")["annotations"].key(key), kAppArmorDeprecated);
      }
    }
  }
}

}  // namespace keles::registry
