// What the description in api/ says about a valid object of a built-in kind: fields that must be
// there, texts that must be one of a few, and the fields' `rules` (bounds, formats, what may not
// change ...; api/README.md lists them), in the words of upstream's validation of built-in kinds.
// The counterpart for custom kinds is rule_check.h; the rules are of one form (value_rules.h).
// Pure; any thread.
#pragma once

#include <string_view>

#include "machinery/schema.h"
#include "machinery/validation.h"
#include "machinery/value.h"

namespace keles {

// Appends what is wrong with everything but metadata and status. `before`: what an update starts
// from, or null.
void check_described(FieldErrors& errors, const TypeDesc& type, const Value& now,
                     const Value* before = nullptr);
// The same of one part, `now` of `type`, which lies at `path`; nothing is left out.
void check_described_part(FieldErrors& errors, const TypeDesc& type, const FieldPath& path,
                          const Value& now, const Value* before = nullptr);

// Of kinds whose causes come in an order that no table has: one field of `now`, which lies at `at`,
// against its own rules, where their code wants it; what lies within it has none of this. And
// whether it may have changed since `before`. `field` is one of the type's.
void check_described_field(FieldErrors& errors, const TypeDesc& type, const FieldPath& at,
                           std::string_view field, const Value& now);
void check_described_kept(FieldErrors& errors, const TypeDesc& type, const FieldPath& at,
                          std::string_view field, const Value& now, const Value& before);

}  // namespace keles
