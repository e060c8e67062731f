#include "scheduler/dra/amounts.h"

#include <algorithm>
#include <limits>

namespace keles::scheduler::dra {
namespace {

Quantity amount(const Value& v) { return Quantity::parse_or_zero(v.as_string()); }

// Up to the policy's next step from its least on; the value as it is where there are no steps.
// Nothing where that is no amount of 64 bits: users choose what they ask for.
std::optional<Quantity> in_range(const Quantity& wanted, const Value& range) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const Quantity min = amount(range["min"]);
  if (wanted < min) return min;
  const int64_t step = range["step"].is_null() ? 0 : amount(range["step"]).value();
  if (step <= 0) return wanted;
  if (wanted > Quantity::from_int(kMost)) return std::nullopt;
  const __int128 least = min.value();
  const __int128 steps = (wanted.value() - least + step - 1) / step;
  const __int128 up = least + steps * step;
  if (up > kMost) return std::nullopt;
  return Quantity::from_int(static_cast<int64_t>(up), Quantity::Format::kBinarySI);
}

Quantity one_of(const Quantity& wanted, const Value& valid) {
  for (const Value& v : valid.items())
    if (wanted <= amount(v)) return amount(v);
  return wanted;
}

std::optional<Quantity> rounded(const Value* wanted, const Value& capacity) {
  const Value& policy = capacity["requestPolicy"];
  if (!wanted) return amount(policy["default"].is_null() ? capacity["value"] : policy["default"]);
  if (!policy["validRange"]["min"].is_null())
    return in_range(amount(*wanted), policy["validRange"]);
  return one_of(amount(*wanted), policy["validValues"]);
}

bool allows(const Value& policy, const Quantity& taken) {
  if (!policy["default"].is_null() && taken == amount(policy["default"])) return true;
  const Value& range = policy["validRange"];
  if (!range.is_null()) {
    if (!range["max"].is_null() && taken > amount(range["max"])) return false;
    const int64_t step = range["step"].is_null() ? 0 : amount(range["step"]).value();
    return step <= 0 ||
           (static_cast<__int128>(taken.value()) - amount(range["min"]).value()) % step == 0;
  }
  const auto valid = policy["validValues"].items();
  return valid.empty() || std::any_of(valid.begin(), valid.end(),
                                      [&](const Value& v) { return amount(v) == taken; });
}

}  // namespace

Amounts read_counters(const Value& counters) {
  Amounts out;
  for (const Member& m : counters.members()) out[std::string(m.key())] = amount(m.value["value"]);
  return out;
}

void add_amounts(Amounts& to, const Amounts& more) {
  for (const auto& [name, q] : more) to[name].add(q);
}

void subtract_amounts(Amounts& from, const Amounts& less) {
  for (const auto& [name, q] : less) from[name].sub(q);
}

std::optional<Amounts> consumption(const Value& requested, const Value& capacities) {
  for (const Member& m : requested.members())
    if (!capacities.find(m.key())) return std::nullopt;
  Amounts out;
  for (const Member& m : capacities.members()) {
    std::optional<Quantity> taken = rounded(requested.find(m.key()), m.value);
    if (!taken || taken->sign() < 0 || !allows(m.value["requestPolicy"], *taken))
      return std::nullopt;
    out.emplace(std::string(m.key()), std::move(*taken));
  }
  return out;
}

bool leaves_room(const Value& capacities, const Amounts& used, const Amounts& wanted) {
  for (const auto& [name, q] : wanted) {
    Quantity all = q;
    if (auto at = used.find(name); at != used.end()) all.add(at->second);
    if (all > amount(capacities[name]["value"])) return false;
  }
  return true;
}

}  // namespace keles::scheduler::dra
