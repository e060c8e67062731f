// Label selectors: the query text of the API and of kubectl (`a=b,c!=d,e in (x,y),!f,g>1`), the
// LabelSelector of objects, and matching. Errors and texts are upstream's. Values; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"

namespace keles {

struct LabelRequirement {
  enum class Op : uint8_t {
    kEquals,
    kDoubleEquals,
    kNotEquals,
    kIn,
    kNotIn,
    kExists,
    kDoesNotExist,
    kGreaterThan,
    kLessThan
  };
  std::string key;
  Op op = Op::kExists;
  std::vector<std::string> values;  // sorted, no duplicates

  // `labels` is a map of strings (metadata.labels); null is an empty one.
  bool matches(const Value& labels) const;
  std::string to_string() const;
};

class Selector {
 public:
  Selector() = default;  // matches everything
  static Selector nothing();
  // At most 64 KiB of text. The error is "unable to parse requirement: ..." and the like.
  static Result<Selector> parse(std::string_view text);
  // From a LabelSelector: null matches nothing, an empty one everything.
  static Result<Selector> from_label_selector(const Value& selector);
  static Result<Selector> from_label_selector(const View& v) {
    return from_label_selector(v.value());
  }
  // From a map of labels that must all be there (Service.spec.selector); empty matches everything.
  static Selector from_set(const Value& labels);
  static Selector from_set(const View& v) { return from_set(v.value()); }

  bool matches(const Value& labels) const;
  bool matches(const View& labels) const { return matches(labels.value()); }
  bool is_everything() const { return !nothing_ && requirements_.empty(); }
  bool is_nothing() const { return nothing_; }
  const std::vector<LabelRequirement>& requirements() const { return requirements_; }
  void add(LabelRequirement r);  // kept in the order of keys
  // The query text; "" for everything.
  std::string to_string() const;

 private:
  std::vector<LabelRequirement> requirements_;
  bool nothing_ = false;
};

}  // namespace keles
