// What claims, classes and slices of devices share (KEP-4381): names, selectors, configuration,
// taints, and lists with a limit whose elements differ. Messages are upstream's. Pure; any thread.
#pragma once

#include <set>
#include <string>

#include "api/resource_v1.h"
#include "server/registry/checks.h"

namespace keles::registry {

// Each element by `check(path, element)`; nothing of a list that is too long. False then.
template <class List, class Check>
bool validate_up_to(FieldErrors& e, const FieldPath& p, const List& list, size_t most,
                    const Check& check) {
  if (list.size() > most) {
    field::too_many(e, p, list.size(), most);
    return false;
  }
  size_t i = 0;
  for (const auto& item : list) check(p[i++], item);
  return true;
}

// The same, and no two have the same key.
template <class List, class Check, class Key>
void validate_distinct(FieldErrors& e, const FieldPath& p, const List& list, size_t most,
                       const Check& check, const Key& key) {
  if (!validate_up_to(e, p, list, most, check)) return;
  std::set<std::string> seen;
  size_t i = 0;
  for (const auto& item : list) {
    const std::string k(key(item));
    if (!seen.insert(k).second) duplicate_as(e, p[i], k.starts_with('{') ? k : quoted(k));
    ++i;
  }
}

void validate_device_driver(FieldErrors& e, const FieldPath& p, std::string_view name);
void validate_pool_name(FieldErrors& e, const FieldPath& p, std::string_view name);
// "color", "example.com/color": an attribute's or a capacity's.
void validate_attribute_name(FieldErrors& e, const FieldPath& p, std::string_view name);
void validate_full_attribute_name(FieldErrors& e, const FieldPath& p, std::string_view name);
void validate_share_id(FieldErrors& e, const FieldPath& p, std::string_view id);
void validate_selectors(FieldErrors& e, const FieldPath& p,
                        const List<api::resource_v1::DeviceSelector>& selectors);
void validate_opaque(FieldErrors& e, const FieldPath& p,
                     const api::resource_v1::OpaqueDeviceConfiguration& config);
// A JSON object of at most so many bytes.
void validate_raw_object(FieldErrors& e, const FieldPath& p, const Value& raw, size_t most);
void validate_device_taint(FieldErrors& e, const FieldPath& p,
                           const api::resource_v1::DeviceTaint& taint);
void validate_device_toleration(FieldErrors& e, const FieldPath& p,
                                const api::resource_v1::DeviceToleration& toleration);
void validate_binding_conditions(FieldErrors& e, const FieldPath& p,
                                 const List<std::string_view>& conditions,
                                 const List<std::string_view>& failures);

}  // namespace keles::registry
