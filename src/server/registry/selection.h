// Selection: a list's or watch's label and field selectors, checked against the kind and applied to
// objects.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/object.h"
#include "store/store.h"

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
  // The part of the kind's events that can match, by the field that must have one value; the whole
  // when there is none, or the kind is not stored as it is shown. `name`: the one name that is
  // asked for beside; "": any.
  WatchPart part(const KindDesc& kind, std::string_view name) const;

 private:
  struct Rep;
  std::shared_ptr<const Rep> rep_;
};

}  // namespace keles::registry
