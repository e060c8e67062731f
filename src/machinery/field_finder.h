// Finds the fields of an object's members one after the other: at once where they come in the
// type's order, which is how most objects are written.
#pragma once

#include <cstddef>
#include <string_view>

#include "machinery/schema.h"

namespace keles {

class FieldFinder {
 public:
  explicit FieldFinder(const TypeDesc& type) : type_(type) {}
  // Null when there is none.
  const FieldDesc* find(std::string_view name) {
    for (size_t i = next_; i < type_.fields.size() && i < next_ + kAhead; ++i) {
      if (type_.fields[i].name != name) continue;
      next_ = i + 1;
      return &type_.fields[i];
    }
    const FieldDesc* found = type_.find(name);
    if (found != nullptr) next_ = static_cast<size_t>(found - type_.fields.data()) + 1;
    return found;
  }

 private:
  static constexpr size_t kAhead = 2;  // fields that may be left out
  const TypeDesc& type_;
  size_t next_ = 0;
};

}  // namespace keles
