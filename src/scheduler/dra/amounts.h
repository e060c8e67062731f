// Quantities that devices share out: the capacity of a device that several claims have at once
// (KEP-5075), and counters that devices of a pool take from (KEP-4815). Pure; any thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "machinery/quantity.h"
#include "machinery/value.h"

namespace keles::scheduler::dra {

using Amounts = std::map<std::string, Quantity, std::less<>>;
using CounterSets = std::map<std::string, Amounts, std::less<>>;

// Counters of a CounterSet or a DeviceCounterConsumption.
Amounts read_counters(const Value& counters);
void add_amounts(Amounts& to, const Amounts& more);
void subtract_amounts(Amounts& from, const Amounts& less);

// What a request takes of each capacity that a device has: what it asks for, rounded up as the
// capacity's requestPolicy says; what it does not ask for, the policy's default, or all of it.
// Nothing when it asks for a capacity that the device has not, or for one that the policy forbids,
// or less than nothing of one, or more than 64 bits hold.
std::optional<Amounts> consumption(const Value& requested, const Value& capacities);

// Whether `wanted` is left of what the device has when `used` is taken.
bool leaves_room(const Value& capacities, const Amounts& used, const Amounts& wanted);

}  // namespace keles::scheduler::dra
