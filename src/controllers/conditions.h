// Conditions as every kind's status has them: found and set by their type. One rule for all: the
// time of transition moves with the status alone, and nothing is written that says the same.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "machinery/time.h"

namespace keles::controllers {

struct ConditionWrite {
  std::string_view type, status, reason, message;
};

// The condition of that type; false in bool context when there is none.
template <class List>
auto find_condition(const List& conditions, std::string_view type) {
  using Condition = std::decay_t<decltype(*conditions.begin())>;
  for (Condition c : conditions) {
    if (c.type() == type) return c;
  }
  return Condition();
}

template <class List>
bool condition_is_true(const List& conditions, std::string_view type) {
  return find_condition(conditions, type).status() == "True";
}

// Whether anything changed. Of the times beside that of the transition, those that the kind has are
// set with any change. `observed` is the generation that it speaks of, for the kinds that say it.
template <class EditList>
bool set_condition(EditList conditions, const ConditionWrite& w, WallTime now,
                   int64_t observed = 0) {
  size_t at = 0;
  while (at < conditions.size() && conditions[at].type() != w.type) ++at;
  const bool fresh = at == conditions.size();
  auto c = fresh ? conditions.add() : conditions[at];
  bool same =
      !fresh && c.status() == w.status && c.reason() == w.reason && c.message() == w.message;
  if constexpr (requires { c.observed_generation(); }) {
    same = same && c.observed_generation() == observed;
  }
  if (same) return false;
  const std::string when = format_time(now);
  if (fresh || c.status() != w.status) c.set_last_transition_time(when);
  c.set_type(w.type);
  c.set_status(w.status);
  c.set_reason(w.reason);
  c.set_message(w.message);
  if constexpr (requires { c.set_last_update_time(when); }) c.set_last_update_time(when);
  if constexpr (requires { c.set_last_probe_time(when); }) c.set_last_probe_time(when);
  if constexpr (requires { c.observed_generation(); }) {
    if (observed != 0) c.set_observed_generation(observed);
  }
  return true;
}

// Whether there was one.
template <class EditList>
bool remove_condition(EditList conditions, std::string_view type) {
  for (size_t i = 0; i < conditions.size(); ++i) {
    if (conditions[i].type() != type) continue;
    conditions.erase_at(i);
    return true;
  }
  return false;
}

}  // namespace keles::controllers
