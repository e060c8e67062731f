// Checks that several kinds share beyond machinery/validation.h: words of an enumeration, amounts
// and names of resources, conditions, and values shown as upstream shows its own structs. Messages
// are upstream's. Pure functions of their arguments; any thread.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "machinery/described_rules.h"
#include "machinery/schema.h"
#include "machinery/validation.h"

namespace keles::registry {

// One field of what lies at `p` against what the description says of it.
template <class T>
void described(FieldErrors& e, const FieldPath& p, const T& view, std::string_view field) {
  check_described_field(e, T::descriptor(), p, field, static_cast<const View&>(view).value());
}
// Whether it may have changed.
template <class T>
void described_kept(FieldErrors& e, const FieldPath& p, const T& now, const T& before,
                    std::string_view field) {
  check_described_kept(e, T::descriptor(), p, field, static_cast<const View&>(now).value(),
                       static_cast<const View&>(before).value());
}

using Words = std::initializer_list<std::string_view>;

// A value of the type as JSON with the names of Go's fields, nothing left out: what upstream prints
// of a struct without JSON names of its own.
std::string struct_text(const TypeDesc& type, const Value& v);
template <class T>
std::string struct_text(const T& view) {
  return struct_text(T::descriptor(), static_cast<const View&>(view).value());
}
// Compact JSON with sorted keys of maps left as they are: what upstream prints of lists of texts.
std::string value_text(const Value& v);

// Finalizers need a domain, but for those that Kubernetes itself has.
void validate_finalizer_names(FieldErrors& e, const Value& meta);

// Errors whose value is shown as `shown`, or not at all.
void invalid_as(FieldErrors& e, const FieldPath& p, std::string_view shown,
                std::string_view detail);
void duplicate_as(FieldErrors& e, const FieldPath& p, std::string_view shown,
                  std::string_view detail = {});
void not_supported_as(FieldErrors& e, const FieldPath& p, std::string_view shown,
                      std::initializer_list<std::string_view> supported);
void too_long_characters(FieldErrors& e, const FieldPath& p, size_t most);
void too_few(FieldErrors& e, const FieldPath& p, size_t actual, size_t least);
void type_invalid(FieldErrors& e, const FieldPath& p, std::string_view shown,
                  std::string_view detail);

bool is_one_of(std::string_view word, Words words);
// Required when empty, not supported when none of the words (in upstream's order).
void check_word(FieldErrors& e, const FieldPath& p, std::string_view word, Words words);
// The same of a word that may be absent.
void check_known(FieldErrors& e, const FieldPath& p, std::string_view word, Words words);
// One error for each message, or Required when the text is empty.
void check_name(FieldErrors& e, const FieldPath& p, std::string_view name,
                Messages (*check)(std::string_view));

// A name of at least three parts, or of two that may end in a dot. Required when empty.
void check_qualified_domain(FieldErrors& e, const FieldPath& p, std::string_view name);
void check_domain_name(FieldErrors& e, const FieldPath& p, std::string_view name);
// "example.com/path".
void check_domain_path(FieldErrors& e, const FieldPath& p, std::string_view text);
// No ".." among the path's parts.
void no_backsteps(FieldErrors& e, const FieldPath& p, std::string_view path);
// A LabelSelector; `any_values`: values that no label can have are let through, as where the stored
// object has some.
void validate_selector(FieldErrors& e, const FieldPath& p, const Value& selector, bool any_values);

// metadata.v1 conditions.
void validate_conditions(FieldErrors& e, const FieldPath& p, const Value& conditions);

// --- names and amounts of resources -------------------------------------------------------------

bool is_native_resource(std::string_view name);
bool is_extended_resource(std::string_view name);
bool is_huge_page(std::string_view name);
bool is_integer_resource(std::string_view name);
bool is_standard_resource(std::string_view name);
bool is_standard_quota_resource(std::string_view name);
bool is_standard_container_resource(std::string_view name);
void validate_resource_name(FieldErrors& e, const FieldPath& p, std::string_view name);
void validate_container_resource_name(FieldErrors& e, const FieldPath& p, std::string_view name);
void validate_quota_resource_name(FieldErrors& e, const FieldPath& p, std::string_view name);
void nonnegative_quantity(FieldErrors& e, const FieldPath& p, std::string_view amount);
void positive_quantity(FieldErrors& e, const FieldPath& p, std::string_view amount);
// Not negative, and whole where the resource is counted.
void validate_amount(FieldErrors& e, const FieldPath& p, std::string_view name,
                     std::string_view amount);

}  // namespace keles::registry
