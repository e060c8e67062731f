// Selection: a list's or watch's label and field selectors, checked against the kind and applied to
// objects.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/object.h"

namespace keles::registry {

class Selection {
 public:
  // kBadRequest when a selector does not parse or names a field that the kind cannot select by.
  static Result<Selection> parse(const KindDesc& kind, std::string_view label_selector,
                                 std::string_view field_selector);
  bool matches(const ObjectPtr& object) const;
  bool everything() const;
  // The one name that can match; "" when there may be others.
  std::string_view only_name() const;

 private:
  struct Rep;
  std::shared_ptr<const Rep> rep_;
};

}  // namespace keles::registry
