// Checks that every kind shares: names, labels, ports, addresses, and metadata on create and
// update; and the path and error helpers with which strategies report what is wrong. Messages are
// upstream's (k8s.io/apimachinery/pkg/util/validation, .../validation/field). Pure, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// Every error of one object: type "FieldValueInvalid", message without the field, field path.
using FieldErrors = std::vector<StatusCause>;

// Where a field lies: FieldPath("spec")["containers"][0]["name"]. A small value that keeps views of
// its names (literals, or keys of the tree); the text is made only when there is an error.
class FieldPath {
 public:
  FieldPath() = default;
  explicit FieldPath(std::string_view name) { push(name, kName); }
  FieldPath operator[](std::string_view name) const { return with(name, kName); }
  FieldPath operator[](const char* name) const { return with(name, kName); }
  FieldPath operator[](size_t index) const { return with({}, static_cast<int64_t>(index)); }
  FieldPath operator[](int index) const { return with({}, index); }
  FieldPath key(std::string_view key) const { return with(key, kKey); }
  std::string text() const;  // "<nil>" when empty, as upstream's nil path

 private:
  static constexpr int64_t kName = -1, kKey = -2;
  struct Part {
    std::string_view name;
    int64_t kind = kName;  // kName, kKey, or an index
  };
  FieldPath with(std::string_view name, int64_t kind) const {
    FieldPath p = *this;
    p.push(name, kind);
    return p;
  }
  void push(std::string_view name, int64_t kind) {
    if (size_ < parts_.size()) parts_[size_++] = {name, kind};
  }
  std::array<Part, 16> parts_;
  size_t size_ = 0;
};

// Appending one error. A value is shown as upstream shows it: strings quoted, numbers and booleans
// plain, anything else as compact JSON.
namespace field {
void required(FieldErrors& e, const FieldPath& p, std::string detail = {});
void invalid(FieldErrors& e, const FieldPath& p, std::string_view value, std::string detail);
void invalid(FieldErrors& e, const FieldPath& p, int64_t value, std::string detail);
inline void invalid(FieldErrors& e, const FieldPath& p, const char* value, std::string detail) {
  invalid(e, p, std::string_view(value), std::move(detail));
}
inline void invalid(FieldErrors& e, const FieldPath& p, const std::string& value,
                    std::string detail) {
  invalid(e, p, std::string_view(value), std::move(detail));
}
void invalid(FieldErrors& e, const FieldPath& p, const Value& value, std::string detail);
// One error for each message.
void invalid_each(FieldErrors& e, const FieldPath& p, std::string_view value,
                  std::vector<std::string> details);
void not_supported(FieldErrors& e, const FieldPath& p, std::string_view value,
                   std::span<const std::string_view> supported);
void not_supported(FieldErrors& e, const FieldPath& p, std::string_view value,
                   std::initializer_list<std::string_view> supported);
void forbidden(FieldErrors& e, const FieldPath& p, std::string detail);
void duplicate(FieldErrors& e, const FieldPath& p, std::string_view value);
void duplicate(FieldErrors& e, const FieldPath& p, const Value& value);
inline void duplicate(FieldErrors& e, const FieldPath& p, const char* value) {
  duplicate(e, p, std::string_view(value));
}
inline void duplicate(FieldErrors& e, const FieldPath& p, const std::string& value) {
  duplicate(e, p, std::string_view(value));
}
void not_found(FieldErrors& e, const FieldPath& p, std::string_view value);
void too_long(FieldErrors& e, const FieldPath& p, size_t max_bytes);
void too_many(FieldErrors& e, const FieldPath& p, size_t actual, size_t most);
// Adds an error unless 0 <= value.
void nonnegative(FieldErrors& e, const FieldPath& p, int64_t value);
// Adds "field is immutable" unless the two are equal.
void immutable(FieldErrors& e, const FieldPath& p, const Value& now, const Value& before);
}  // namespace field

// What is wrong with a text; empty when it is well formed.
using Messages = std::vector<std::string>;
Messages check_dns1123_label(std::string_view s);
Messages check_dns1123_subdomain(std::string_view s);
Messages check_dns1035_label(std::string_view s);
Messages check_wildcard_dns1123_subdomain(std::string_view s);
Messages check_qualified_name(std::string_view s);  // label keys, finalizers, conditions
Messages check_label_value(std::string_view s);
Messages check_path_segment_name(std::string_view s);  // rbac names
Messages check_config_map_key(std::string_view s);
Messages check_env_var_name(std::string_view s);
Messages check_port_number(int64_t port);
Messages check_port_name(std::string_view s);
Messages check_ip(std::string_view s);
Messages check_cidr(std::string_view s);
Messages check_percent(std::string_view s);
Messages check_http_header_name(std::string_view s);
Messages check_range(int64_t v, int64_t lo, int64_t hi);

// How a kind's names are checked; `prefix`: the text is a generateName and may end in '-'.
using NameCheck = Messages (*)(std::string_view name, bool prefix);
Messages name_is_dns_subdomain(std::string_view name, bool prefix);
Messages name_is_dns_label(std::string_view name, bool prefix);
Messages name_is_dns1035_label(std::string_view name, bool prefix);
Messages name_is_path_segment(std::string_view name, bool prefix);

void validate_labels(FieldErrors& e, const FieldPath& p, const Value& labels);
void validate_label_key(FieldErrors& e, const FieldPath& p, std::string_view key);
void validate_annotations(FieldErrors& e, const FieldPath& p, const Value& annotations);
// A LabelSelector value; messages as upstream's ValidateLabelSelector.
void validate_label_selector(FieldErrors& e, const FieldPath& p, const Value& selector);

// `meta` is the object's metadata (null counts as empty). A name must have been generated already.
void validate_object_meta(FieldErrors& e, const Value& meta, bool namespaced, NameCheck name_check,
                          const FieldPath& p = FieldPath("metadata"));
// What may not change. With `unconditional`, an absent resourceVersion is in order.
void validate_object_meta_update(FieldErrors& e, const Value& now, const Value& before,
                                 bool unconditional, const FieldPath& p = FieldPath("metadata"));

}  // namespace keles
