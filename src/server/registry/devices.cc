#include "server/registry/devices.h"

#include <algorithm>
#include <cctype>

#include "cel/admission/device_selector.h"
#include "machinery/codec_json.h"
#include "server/registry/volume_parts.h"

namespace keles::registry {
namespace {

using api::resource_v1::DeviceSelector;
using api::resource_v1::DeviceTaint;
using api::resource_v1::DeviceToleration;
using api::resource_v1::OpaqueDeviceConfiguration;

const Words kEffects = {"NoExecute", "NoSchedule", "None"};

void validate_identifier(FieldErrors& e, const FieldPath& p, std::string_view id) {
  constexpr size_t kLongest = 32;
  auto letter = [](char c) { return c == '_' || std::isalpha(static_cast<unsigned char>(c)) != 0; };
  if (id.size() > kLongest) field::too_long(e, p, kLongest);
  const bool fine =
      !id.empty() && letter(id.front()) && std::all_of(id.begin(), id.end(), [&](char c) {
        return letter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0;
      });
  if (fine) return;
  field::invalid(e, p, id,
                 "a valid C identifier must start with alphabetic character or '_', followed by a "
                 "string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
                 "'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')");
}

bool is_uuid_form(std::string_view s) {
  if (s.size() != 36) return false;
  for (size_t i = 0; i < s.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? s[i] != '-' : std::isxdigit(static_cast<unsigned char>(s[i])) == 0) return false;
  }
  return true;
}

void check_label_text(FieldErrors& e, const FieldPath& p, std::string_view value) {
  field::invalid_each(e, p, value, check_label_value(value));
}

}  // namespace

void validate_device_driver(FieldErrors& e, const FieldPath& p, std::string_view name) {
  validate_driver_name(e, p, name);
}

void validate_pool_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  constexpr size_t kLongest = 253;
  if (name.empty()) return field::required(e, p);
  if (name.size() > kLongest) field::too_long(e, p, kLongest);
  for (size_t from = 0; from <= name.size();) {
    const size_t slash = std::min(name.find('/', from), name.size());
    const std::string_view part = name.substr(from, slash - from);
    field::invalid_each(e, p, part, check_dns1123_subdomain(part));
    from = slash + 1;
  }
}

void validate_attribute_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == name.npos) return validate_identifier(e, p, name);
  const std::string_view domain = name.substr(0, slash), id = name.substr(slash + 1);
  if (id.find('/') != id.npos) return;  // as upstream has it
  if (domain.empty()) {
    field::invalid(e, p, "", "the domain must not be empty");
  } else {
    validate_device_driver(e, p, domain);
  }
  if (id.empty()) {
    field::invalid(e, p, "", "the name must not be empty");
  } else {
    validate_identifier(e, p, id);
  }
}

void validate_full_attribute_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  validate_attribute_name(e, p, name);
  if (name.find('/') == name.npos) {
    field::invalid(e, p, name,
                   "a fully qualified name must be a domain and a name separated by a slash");
  }
}

void validate_share_id(FieldErrors& e, const FieldPath& p, std::string_view id) {
  constexpr std::string_view kUrn = "urn:uuid:";
  std::string_view bare = id;
  if (bare.size() == 36 + kUrn.size()) {
    if (bare.substr(0, kUrn.size()) == kUrn) bare.remove_prefix(kUrn.size());
  } else if (bare.size() == 38 && bare.front() == '{' && bare.back() == '}') {
    bare = bare.substr(1, 36);
  }
  const bool plain = id.size() == 32 && std::all_of(id.begin(), id.end(), [](char c) {
                       return std::isxdigit(static_cast<unsigned char>(c)) != 0;
                     });
  if (!plain && !is_uuid_form(bare)) {
    const bool length =
        id.size() != 36 && id.size() != 36 + kUrn.size() && id.size() != 38 && id.size() != 32;
    field::invalid(
        e, p, id,
        "error validating uid: " + (length ? "invalid UUID length: " + std::to_string(id.size())
                                           : std::string("invalid UUID format")));
    return;
  }
  const bool upper = std::any_of(id.begin(), id.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (id.size() != 36 || upper) {
    field::invalid(e, p, id,
                   "uid must be in RFC 4122 normalized form, "
                   "`xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters");
  }
}

namespace {

void validate_device_expression(FieldErrors& e, const FieldPath& p, std::string_view text) {
  if (text.size() > cel::kDeviceSelectorLength) {
    return field::too_long(e, p, cel::kDeviceSelectorLength);
  }
  const cel::DeviceSelectorFault fault = cel::check_device_selector(text);
  if (!fault.invalid.empty()) {
    field::invalid(e, p, text, fault.invalid);
  } else if (!fault.internal.empty()) {
    e.push_back({"InternalError", "Internal error: " + fault.internal, p.text()});
  } else if (fault.too_complex) {
    field::forbidden(e, p, "too complex, exceeds cost limit");
  }
}

}  // namespace

void validate_selectors(FieldErrors& e, const FieldPath& p, const List<DeviceSelector>& selectors) {
  constexpr size_t kMost = 32;
  validate_up_to(e, p, selectors, kMost, [&](const FieldPath& at, const DeviceSelector& s) {
    if (!s.has_cel()) {
      field::required(e, at["cel"]);
    } else {
      validate_device_expression(e, at["cel"]["expression"], s.cel().expression());
    }
  });
}

void validate_raw_object(FieldErrors& e, const FieldPath& p, const Value& raw, size_t most) {
  if (raw.is_null()) {
    field::required(e, p);
  } else if (to_json(raw).size() > most) {
    field::too_long(e, p, most);
  } else if (!raw.is_map()) {
    field::invalid(e, p, "<value omitted>", "must be a valid JSON object");
  }
}

void validate_opaque(FieldErrors& e, const FieldPath& p, const OpaqueDeviceConfiguration& config) {
  constexpr size_t kLongest = 10 * 1024;
  if (!config) return field::required(e, p);
  validate_device_driver(e, p["driver"], config.driver());
  validate_raw_object(e, p["parameters"], config.parameters(), kLongest);
}

void validate_device_taint(FieldErrors& e, const FieldPath& p, const DeviceTaint& taint) {
  validate_label_key(e, p["key"], taint.key());
  check_label_text(e, p["value"], taint.value());
  check_word(e, p["effect"], taint.effect(), kEffects);
}

void validate_device_toleration(FieldErrors& e, const FieldPath& p,
                                const DeviceToleration& toleration) {
  const std::string_view op = toleration.operator_(), value = toleration.value();
  if (!toleration.key().empty()) validate_label_key(e, p["key"], toleration.key());
  if (op == "Exists") {
    if (!value.empty()) {
      field::invalid(e, p["value"], value, "must be empty for operator `Exists`");
    }
  } else if (op == "Equal") {
    check_label_text(e, p["value"], value);
  } else {
    check_word(e, p["operator"], op, {"Equal", "Exists"});
  }
  if (!toleration.effect().empty()) check_known(e, p["effect"], toleration.effect(), kEffects);
}

void validate_binding_conditions(FieldErrors& e, const FieldPath& p,
                                 const List<std::string_view>& conditions,
                                 const List<std::string_view>& failures) {
  constexpr size_t kMost = 4;
  const FieldPath at = p["bindingConditions"], at_failures = p["bindingFailureConditions"];
  auto label = [&](const FieldPath& here, std::string_view c) { validate_label_key(e, here, c); };
  validate_up_to(e, at, conditions, kMost, label);
  validate_up_to(e, at_failures, failures, kMost, label);
  std::set<std::string_view> seen, failed;
  size_t i = 0;
  for (std::string_view c : conditions) {
    if (!seen.insert(c).second) field::duplicate(e, at[i], c);
    ++i;
  }
  i = 0;
  for (std::string_view c : failures) {
    const FieldPath here = at_failures[i++];
    if (!failed.insert(c).second) field::duplicate(e, here, c);
    if (seen.count(c)) {
      field::invalid(e, here, c,
                     "bindingFailureConditions must not overlap with bindingConditions");
    }
  }
  if (conditions.empty() && !failures.empty()) {
    invalid_as(e, at, "null", "bindingConditions are required to use bindingFailureConditions");
  }
  if (failures.empty() && !conditions.empty()) {
    invalid_as(e, at_failures, "null",
               "bindingFailureConditions are required to use bindingConditions");
  }
}

}  // namespace keles::registry
