// ResourceSlices: the devices that a driver offers.
#include <algorithm>
#include <cctype>

#include "machinery/quantity.h"
#include "machinery/time.h"
#include "machinery/validation.h"
#include "server/registry/devices.h"
#include "server/registry/node_selector.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

using api::resource_v1::CapacityRequestPolicy;
using api::resource_v1::CapacityRequestPolicyRange;
using api::resource_v1::Counter;
using api::resource_v1::CounterSet;
using api::resource_v1::Device;
using api::resource_v1::DeviceAttribute;
using api::resource_v1::DeviceCounterConsumption;
using api::resource_v1::ResourceSlice;
using api::resource_v1::ResourceSliceSpec;

const FieldPath kSpec("spec");

// A key of a map as it is shown in a path: its ends, where it is long.
std::string shortened(std::string_view key, size_t most) {
  constexpr std::string_view kDots = "...";
  if (key.size() <= most) return std::string(key);
  const size_t rest = most - kDots.size();
  return std::string(key.substr(0, (rest + 1) / 2)) + std::string(kDots) +
         std::string(key.substr(key.size() - rest / 2));
}

// --- semantic versions --------------------------------------------------------------------------

bool is_identifier_char(char c) {
  return c == '-' || std::isalnum(static_cast<unsigned char>(c)) != 0;
}

// Identifiers between dots; numbers among them have no leading zero, unless it is a build.
bool are_identifiers(std::string_view s, bool build) {
  for (size_t from = 0; from <= s.size();) {
    const size_t dot = std::min(s.find('.', from), s.size());
    const std::string_view part = s.substr(from, dot - from);
    if (part.empty() || !std::all_of(part.begin(), part.end(), is_identifier_char)) return false;
    const bool number = std::all_of(part.begin(), part.end(), [](char c) {
      return std::isdigit(static_cast<unsigned char>(c)) != 0;
    });
    if (!build && number && part.size() > 1 && part[0] == '0') return false;
    from = dot + 1;
  }
  return true;
}

bool is_semver(std::string_view s) {
  const size_t plus = s.find('+');
  if (plus != s.npos && !are_identifiers(s.substr(plus + 1), true)) return false;
  s = s.substr(0, plus);
  const size_t dash = s.find('-');
  if (dash != s.npos && !are_identifiers(s.substr(dash + 1), false)) return false;
  s = s.substr(0, dash);
  size_t parts = 0;
  for (size_t from = 0; from <= s.size(); ++parts) {
    const size_t dot = std::min(s.find('.', from), s.size());
    const std::string_view part = s.substr(from, dot - from);
    const bool digits = !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
      return std::isdigit(static_cast<unsigned char>(c)) != 0;
    });
    if (!digits || (part.size() > 1 && part[0] == '0')) return false;
    from = dot + 1;
  }
  return parts == 3;
}

// --- attributes, capacities ---------------------------------------------------------------------

constexpr size_t kLongestKey = 63 + 1 + 32, kLongestValue = 64;

void validate_text(FieldErrors& e, const FieldPath& p, std::string_view text) {
  if (text.size() > kLongestValue) field::too_long(e, p, kLongestValue);
}

void validate_version(FieldErrors& e, const FieldPath& p, std::string_view version) {
  if (!is_semver(version)) {
    field::invalid(e, p, version, "must be a string compatible with semver.org spec 2.0.0");
  }
  validate_text(e, p, version);
}

std::string attribute_text(const DeviceAttribute& a) {
  const Value& v = a.value();
  auto member = [&](std::string_view name) {
    return v[name].is_null() ? std::string("null") : value_text(v[name]);
  };
  return "{\"IntValue\":" + member("int") + ",\"BoolValue\":" + member("bool") +
         ",\"StringValue\":" + member("string") + ",\"VersionValue\":" + member("version") +
         ",\"IntValues\":" + member("ints") + ",\"BoolValues\":" + member("bools") +
         ",\"StringValues\":" + member("strings") + ",\"VersionValues\":" + member("versions") +
         "}";
}

void validate_attribute(FieldErrors& e, const FieldPath& p, const DeviceAttribute& a) {
  constexpr const char* kOne = "exactly one value must be specified";
  size_t set = 0;
  for (std::string_view name : {"int", "bool", "string", "version"}) {
    set += a.value()[name].is_null() ? 0 : 1;
  }
  if (a.has_string()) validate_text(e, p["string"], a.string());
  if (a.has_version()) validate_version(e, p["version"], a.version());
  if (set == 0) {
    field::invalid(e, p, "", kOne);
  } else if (set > 1) {
    invalid_as(e, p, attribute_text(a), kOne);
  }
}

Quantity amount(std::string_view text) { return Quantity::parse_or_zero(text); }

void validate_step(FieldErrors& e, const FieldPath& p, const Quantity& value, const Quantity& min,
                   const Quantity& step) {
  const int64_t each = step.value();
  if (each != 0 && (value.value() - min.value()) % each == 0) return;
  field::invalid(e, p, value.to_string(),
                 "value is not a multiple of a given step (" + step.to_string() + ") from (" +
                     min.to_string() + ")");
}

void validate_range(FieldErrors& e, const FieldPath& p, const CapacityRequestPolicyRange& range,
                    const Quantity& normal, const Quantity& most) {
  if (!range.has_min()) {
    return field::required(e, p["min"], "required when validRange is defined");
  }
  const Quantity min = amount(range.min());
  const std::string larger = " is larger than capacity value: " + most.to_string();
  if (min > most) field::invalid(e, p["min"], min.to_string(), "min" + larger);
  if (normal < min) {
    field::invalid(e, p["min"], normal.to_string(), "default is less than min: " + min.to_string());
  }
  const Quantity max = amount(range.max()), step = amount(range.step());
  if (range.has_max()) {
    if (min > max) {
      field::invalid(e, p["max"], min.to_string(), "min is larger than max: " + max.to_string());
    }
    if (max > most) field::invalid(e, p["max"], max.to_string(), "max" + larger);
    if (normal > max) {
      field::invalid(e, p["max"], normal.to_string(),
                     "default is more than max: " + max.to_string());
    }
  }
  if (!range.has_step()) return;
  Quantity first = min;
  first.add(step);
  if (first > most) {
    field::invalid(e, p["step"], step.to_string(), "one step " + first.to_string() + larger);
  }
  validate_step(e, p["step"], normal, min, step);
  if (range.has_max()) validate_step(e, p["step"], max, min, step);
}

void validate_values(FieldErrors& e, const FieldPath& p, const List<std::string_view>& values,
                     const Quantity& normal, const Quantity& most) {
  constexpr size_t kMostValues = 10;
  bool found = false;
  for (size_t i = 0; i + 1 < values.size(); ++i) {
    if (amount(values[i]) > amount(values[i + 1])) {
      field::invalid(e, p[i + 1], amount(values[i + 1]).to_string(),
                     "values must be sorted in ascending order");
    }
  }
  validate_distinct(
      e, p, values, kMostValues,
      [&](const FieldPath& at, std::string_view text) {
        const Quantity q = amount(text);
        if (q > most) {
          field::invalid(e, at, q.to_string(),
                         "option is larger than capacity value: " + most.to_string());
        }
        found = found || q == normal;
      },
      [](std::string_view text) { return std::to_string(amount(text).value()); });
  if (!found) {
    field::invalid(e, p, normal.to_string(),
                   "default value is not valid according to the requestPolicy");
  }
}

void validate_policy(FieldErrors& e, const FieldPath& p, const CapacityRequestPolicy& policy,
                     const Quantity& most) {
  const bool values = !policy.valid_values().empty(), range = policy.has_valid_range();
  if (values && range) {
    field::forbidden(e, p,
                     "exactly one policy can be specified, cannot specify \"validValues\" and "
                     "\"validRange\" at the same time");
    return;
  }
  if (!values && !range) return;
  const char* name = values ? "validValues" : "validRange";
  if (!policy.has_default_()) {
    field::required(e, p["default"], "required when " + std::string(name) + " is defined");
  } else if (values) {
    validate_values(e, p[name], policy.valid_values(), amount(policy.default_()), most);
  } else {
    validate_range(e, p[name], policy.valid_range(), amount(policy.default_()), most);
  }
}

void validate_contents(FieldErrors& e, const FieldPath& p, const Device& device) {
  constexpr size_t kMostContents = 32, kMostValues = 48;
  const size_t total = device.attributes().size() + device.capacity().size();
  if (total > kMostContents) {
    field::invalid(e, p, static_cast<int64_t>(total),
                   "the total number of attributes and capacities must not exceed 32");
  }
  if (device.attributes().size() > kMostValues) {
    field::invalid(e, p, static_cast<int64_t>(device.attributes().size()),
                   "the total number of attribute values must not exceed 48");
  }
  for (auto [key, attribute] : device.attributes()) {
    const std::string shown = shortened(key, kLongestKey);
    validate_attribute_name(e, p["attributes"], key);
    validate_attribute(e, p["attributes"].key(shown), attribute);
  }
  for (auto [key, capacity] : device.capacity()) {
    const std::string shown = shortened(key, kLongestKey);
    validate_attribute_name(e, p["capacity"], key);
    if (!capacity.has_request_policy()) continue;
    const FieldPath at = p["capacity"].key(shown)["requestPolicy"];
    if (device.allow_multiple_allocations()) {
      validate_policy(e, at, capacity.request_policy(), amount(capacity.value()));
    } else {
      field::forbidden(e, at, "allowMultipleAllocations must be true");
    }
  }
}

// --- devices ------------------------------------------------------------------------------------

void validate_counters(FieldErrors& e, const FieldPath& p, const Map<Counter>& counters) {
  constexpr size_t kMost = 32;
  if (counters.empty()) return field::required(e, p);
  if (counters.size() > kMost) return field::too_many(e, p, counters.size(), kMost);
  for (auto [key, counter] : counters) field::invalid_each(e, p, key, check_dns1123_label(key));
}

void validate_node_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  field::invalid_each(e, p, name, check_dns1123_subdomain(name));
}

std::string set_text_of(const std::vector<std::string>& set) {
  std::string s;
  for (const std::string& name : set) s += (s.empty() ? "{" : ", ") + name;
  return s + "}";
}

// Where a device of its own is reached from.
void validate_own_nodes(FieldErrors& e, const FieldPath& p, const Device& device) {
  constexpr const char* kOne =
      "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
      "`perDeviceNodeSelection` is set to true in the ResourceSlice spec";
  std::vector<std::string> set;
  if (device.has_node_name()) {
    if (device.node_name().empty()) {
      field::invalid(e, p["nodeName"], "", "must not be empty");
    } else {
      set.emplace_back("`nodeName`");
      validate_node_name(e, p["nodeName"], device.node_name());
    }
  }
  if (device.has_node_selector()) {
    set.emplace_back("`nodeSelector`");
    validate_node_terms(e, p["nodeSelector"], device.node_selector());
  }
  if (device.has_all_nodes()) {
    if (device.all_nodes()) {
      set.emplace_back("`allNodes`");
    } else {
      invalid_as(e, p["allNodes"], "false", "must be either unset or set to true");
    }
  }
  if (set.empty()) {
    field::required(e, p, kOne);
  } else if (set.size() > 1) {
    field::invalid(e, p, set_text_of(set), kOne);
  }
}

void validate_device(FieldErrors& e, const FieldPath& p, const Device& device, const Device& old,
                     bool own_nodes) {
  constexpr size_t kMostTaints = 16, kMostConsumed = 2;
  field::invalid_each(e, p["name"], device.name(), check_dns1123_label(device.name()));
  validate_contents(e, p, device);
  if (!device.taints().value().equals(old.taints().value())) {
    validate_up_to(e, p["taints"], device.taints(), kMostTaints,
                   [&](const FieldPath& at, const auto& t) { validate_device_taint(e, at, t); });
  }
  validate_distinct(
      e, p["consumesCounters"], device.consumes_counters(), kMostConsumed,
      [&](const FieldPath& at, const DeviceCounterConsumption& c) {
        check_name(e, at["counterSet"], c.counter_set(), check_dns1123_label);
        validate_counters(e, at["counters"], c.counters());
      },
      [](const DeviceCounterConsumption& c) { return c.counter_set(); });
  if (own_nodes) {
    validate_own_nodes(e, p, device);
  } else if (device.has_node_name() || device.has_node_selector() || device.has_all_nodes()) {
    invalid_as(e, p, "null",
               "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
               "`perDeviceNodeSelection` is set to true in the ResourceSlice spec");
  }
  validate_binding_conditions(e, p, device.binding_conditions(),
                              device.binding_failure_conditions());
}

// --- ResourceSlice ------------------------------------------------------------------------------

void validate_pool(FieldErrors& e, const ResourceSliceSpec& spec) {
  const FieldPath p = kSpec["pool"];
  const auto pool = spec.pool();
  validate_pool_name(e, p["name"], pool.name());
  if (pool.resource_slice_count() <= 0) {
    field::invalid(e, p["resourceSliceCount"], pool.resource_slice_count(),
                   "must be greater than zero");
  }
  if (pool.generation() < 0) {
    field::invalid(e, p["generation"], pool.generation(), "must be greater than or equal to zero");
  }
}

void validate_nodes(FieldErrors& e, const ResourceSliceSpec& spec) {
  constexpr const char* kOne =
      "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
  std::vector<std::string> set;
  if (spec.has_node_name()) {
    if (spec.node_name().empty()) {
      field::invalid(e, kSpec["nodeName"], "", "must be either unset or set to a non-empty string");
    } else {
      set.emplace_back("`nodeName`");
      validate_node_name(e, kSpec["nodeName"], spec.node_name());
    }
  }
  if (spec.has_node_selector()) {
    const FieldPath at = kSpec["nodeSelector"];
    set.emplace_back("`nodeSelector`");
    validate_node_terms(e, at, spec.node_selector());
    const auto terms = spec.node_selector().node_selector_terms();
    if (terms.size() != 1) {
      std::string all;
      for (const auto& t : terms) all += (all.empty() ? "" : ",") + struct_text(t);
      invalid_as(e, at["nodeSelectorTerms"], terms.empty() ? "null" : "[" + all + "]",
                 "must have exactly one node selector term");
    }
  }
  auto flag = [&](const char* name, bool has, bool value) {
    if (has && value) set.push_back("`" + std::string(name) + "`");
    if (has && !value) {
      invalid_as(e, kSpec[name], "false", "must be either unset or set to true");
    }
  };
  flag("allNodes", spec.has_all_nodes(), spec.all_nodes());
  flag("perDeviceNodeSelection", spec.has_per_device_node_selection(),
       spec.per_device_node_selection());
  if (set.empty()) {
    field::required(e, kSpec, kOne);
  } else if (set.size() > 1) {
    field::invalid(e, kSpec, set_text_of(set), std::string(kOne) + ", but multiple fields are set");
  }
}

bool is_advanced(const ResourceSliceSpec& spec) {
  for (const Device& d : spec.devices()) {
    if (!d.taints().empty() || !d.consumes_counters().empty()) return true;
  }
  return false;
}

void validate_contents(FieldErrors& e, const ResourceSliceSpec& spec,
                       const ResourceSliceSpec& old) {
  constexpr size_t kMostDevices = 128, kMostAdvanced = 64, kMostSets = 8;
  if (!spec.shared_counters().empty() && !spec.devices().empty()) {
    field::invalid(e, kSpec, "", "only one of `sharedCounters` or `devices` is allowed");
  }
  auto before = [&](std::string_view name) {
    for (const Device& d : old.devices()) {
      if (d.name() == name) return d;
    }
    return Device();
  };
  validate_distinct(
      e, kSpec["devices"], spec.devices(), is_advanced(spec) ? kMostAdvanced : kMostDevices,
      [&](const FieldPath& at, const Device& d) {
        validate_device(e, at, d, before(d.name()), spec.per_device_node_selection());
      },
      [](const Device& d) { return d.name(); });
  validate_distinct(
      e, kSpec["sharedCounters"], spec.shared_counters(), kMostSets,
      [&](const FieldPath& at, const CounterSet& s) {
        check_name(e, at["name"], s.name(), check_dns1123_label);
        validate_counters(e, at["counters"], s.counters());
      },
      [](const CounterSet& s) { return s.name(); });
}

void validate(const HookContext&, const Value& now, FieldErrors& e) {
  const ResourceSliceSpec spec = ResourceSlice(now).spec();
  validate_device_driver(e, kSpec["driver"], spec.driver());
  validate_pool(e, spec);
  validate_nodes(e, spec);
  validate_contents(e, spec, ResourceSliceSpec());
}

void validate_update(const HookContext&, const Value& now, const Value& before, FieldErrors& e) {
  const ResourceSliceSpec spec = ResourceSlice(now).spec(), old = ResourceSlice(before).spec();
  validate_device_driver(e, kSpec["driver"], spec.driver());
  validate_pool(e, spec);
  const Value &is = now["spec"], &was = before["spec"];
  auto keep = [&](const FieldPath& p, std::string_view a, std::string_view b) {
    if (a != b) field::invalid(e, p, a, "field is immutable");
  };
  keep(kSpec["pool"]["name"], spec.pool().name(), old.pool().name());
  keep(kSpec["driver"], spec.driver(), old.driver());
  field::immutable(e, kSpec["nodeName"], is["nodeName"], was["nodeName"]);
  validate_nodes(e, spec);
  validate_contents(e, spec, old);
}

// Alpha features, off.
void drop_disabled(Document& now) {
  Value* spec = now.root.find("spec");
  Value* devices = spec ? spec->find("devices") : nullptr;
  if (!devices || !devices->is_list()) return;
  for (Value& d : devices->items()) {
    if (!d.is_map()) continue;
    d.erase("nodeAllocatableResourceMappings");
    Value* attributes = d.find("attributes");
    if (!attributes || !attributes->is_map()) continue;
    for (Member& m : attributes->members()) {
      if (!m.value.is_map()) continue;
      for (std::string_view name : {"ints", "bools", "strings", "versions"}) m.value.erase(name);
    }
  }
}

// A taint counts from when it was first seen, unless its driver says otherwise.
void date_taints(const HookContext& ctx, Document& now) {
  Value* spec = now.root.find("spec");
  Value* devices = spec ? spec->find("devices") : nullptr;
  if (!devices || !devices->is_list()) return;
  for (Value& d : devices->items()) {
    Value* taints = d.find("taints");
    if (!taints || !taints->is_list()) continue;
    for (Value& t : taints->items()) {
      if (!t.is_map() || !t["timeAdded"].is_null()) continue;
      t.set(now.arena, "timeAdded", Value::string(now.arena.copy(format_time(ctx.now))));
    }
  }
}

void prepare(const HookContext& ctx, Document& now) {
  drop_disabled(now);
  date_taints(ctx, now);
}
void prepare_update(const HookContext& ctx, Document& now, const Value&) { prepare(ctx, now); }

}  // namespace

extern const Strategy kResourceSliceStrategy{.warnings = resource_slice_warnings,
                                             .prepare_for_create = prepare,
                                             .prepare_for_update = prepare_update,
                                             .validate = validate,
                                             .validate_update = validate_update,
                                             .validates_update_whole = true,
                                             .described = false,
                                             .metadata_again = MetadataAgain::kChange};

}  // namespace keles::registry
