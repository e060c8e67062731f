// Hooks of a Strategy made of checks that take typed views: check(errors, now, before), `before`
// being a pointer that is null on a create, or a view.
#pragma once

#include "server/registry/strategy.h"

namespace keles::registry {

template <auto check, class View>
void validate_created(const HookContext&, const Value& now, FieldErrors& errors) {
  check(errors, View(now), nullptr);
}

template <auto check, class View>
void validate_updated(const HookContext&, const Value& now, const Value& before,
                      FieldErrors& errors) {
  const View stored(before);
  check(errors, View(now), &stored);
}

template <auto check, class View>
void validate_changed(const HookContext&, const Value& now, const Value& before,
                      FieldErrors& errors) {
  check(errors, View(now), View(before));
}

}  // namespace keles::registry
