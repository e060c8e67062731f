// AppArmor profiles as annotations of a pod, which its fields have replaced (KEP-24).
#pragma once

#include <optional>
#include <string_view>

#include "server/registry/strategy.h"

namespace keles::registry {

inline constexpr std::string_view kAppArmorAnnotation =
    "container.apparmor.security.beta.kubernetes.io/";  // and the container's name
inline constexpr std::string_view kAppArmorDeprecated =
    "deprecated since v1.30; use the \"appArmorProfile\" field instead";

struct AppArmor {
  std::string_view type, localhost;
  bool operator==(const AppArmor&) const = default;
};

// What an annotation says; nothing when it says nothing that is known.
std::optional<AppArmor> app_armor_of_annotation(std::string_view annotation);
// What a securityContext's field says; nothing when it is not set.
std::optional<AppArmor> app_armor_of_field(const Value& profile);

// Containers without the field take what their annotation says, where the pod does not say so
// anyway; the author is warned. Not for Windows.
void take_app_armor_annotations(const HookContext& ctx, Document& pod);

}  // namespace keles::registry
