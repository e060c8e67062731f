// The members of a map by the fields of its type: what the writers walk. A value of the stack;
// holds views into the tree.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

class FieldSlots {
 public:
  // Members that the type does not know, and nulls, are left out.
  FieldSlots(const TypeDesc& t, const Value& v) {
    if (t.fields.size() > few_.size()) {
      many_.resize(t.fields.size());
      slots_ = many_.data();
    } else {
      std::fill_n(slots_, t.fields.size(), nullptr);
    }
    size_t expected = 0;
    for (const Member& m : v.members()) {
      // Members mostly come in the type's order: try the next field before searching.
      const int i = expected < t.fields.size() && t.fields[expected].name == m.key()
                        ? static_cast<int>(expected)
                        : t.index_of(m.key());
      if (i < 0) continue;
      slots_[i] = m.value.is_null() ? nullptr : &m.value;
      expected = static_cast<size_t>(i) + 1;
    }
  }
  FieldSlots(const FieldSlots&) = delete;

  // Of field `i`: its value, or null when it is not there.
  const Value*& operator[](size_t i) { return slots_[i]; }

 private:
  std::array<const Value*, 64> few_;  // set as far as the type has fields
  std::vector<const Value*> many_;
  const Value** slots_ = few_.data();
};

}  // namespace keles
