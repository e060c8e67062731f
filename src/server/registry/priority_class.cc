// PriorityClasses.
#include "api/scheduling_v1.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

using api::scheduling_v1::PriorityClass;

constexpr int64_t kHighestUserPriority = 1'000'000'000;

struct SystemClass {
  std::string_view name;
  int64_t value;
};
constexpr SystemClass kSystem[] = {{"system-node-critical", 2'000'001'000},
                                   {"system-cluster-critical", 2'000'000'000}};

// Why it is none of the system's own; "" when it is.
std::string system_error(const PriorityClass& c) {
  const std::string name(c.metadata().name());
  for (const SystemClass& s : kSystem) {
    if (s.name != name) continue;
    if (s.value != c.value()) {
      return "value of " + name + " PriorityClass must be " + std::to_string(s.value);
    }
    return c.global_default() ? "globalDefault of " + name + " PriorityClass must be false" : "";
  }
  return name + " is not a known system priority class";
}

void validate(const HookContext&, const Value& now, FieldErrors& e) {
  const PriorityClass c(now);
  if (c.metadata().name().substr(0, 7) == "system-") {
    if (std::string why = system_error(c); !why.empty()) {
      field::forbidden(e, FieldPath("metadata")["name"],
                       "priority class names with 'system-' prefix are reserved for system use "
                       "only. error: " +
                           why);
    }
  } else if (c.value() > kHighestUserPriority) {
    field::forbidden(e, FieldPath("value"),
                     "maximum allowed value of a user defined priority is 1000000000");
  }
  if (c.has_preemption_policy()) {
    check_word(e, FieldPath("preemptionPolicy"), c.preemption_policy(),
               {"PreemptLowerPriority", "Never"});
  }
}

void validate_update(const HookContext&, const Value& now, const Value& before, FieldErrors& e) {
  if (PriorityClass(now).value() != PriorityClass(before).value()) {
    field::forbidden(e, FieldPath("value"), "may not be changed in an update.");
  }
  described_kept(e, FieldPath(), PriorityClass(now), PriorityClass(before), "preemptionPolicy");
}

}  // namespace

extern const Strategy kPriorityClassStrategy{.validate = validate,
                                             .validate_update = validate_update,
                                             .validates_update_whole = true,
                                             .described = false,
                                             .metadata_again = MetadataAgain::kChange};

}  // namespace keles::registry
