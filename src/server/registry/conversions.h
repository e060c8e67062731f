// Managers of an object may have written it in other versions than the one that is written now, and
// what a write changes of theirs is told in their version. Where a webhook makes the versions of
// each other (spec.conversion.strategy Webhook), machinery/apply, which waits for nobody, is run as
// often as it wants trees that nobody has converted yet; these are asked for in between.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles::registry {

// Of one write. One loop's thread.
class Conversions {
 public:
  // The tree, an object of `from`, as `to`; null when that is still to be asked for. Both are
  // versions of one custom kind with a converter.
  const Document* find(const Value& tree, const KindDesc& from, const KindDesc& to);
  bool wants_any() const { return wanted_ > 0; }
  // Asks for what was not found. An error is the converter's.
  Task<Status> ask(Context ctx);

 private:
  struct One {
    const KindDesc* to;
    DocumentPtr from;
    Document made;
    bool done = false;
  };
  std::deque<One> all_;  // trees are found by what they hold: a write compares a few
  size_t wanted_ = 0;
};

// How often a write may want more: versions are few, and each round is about trees that the one
// before has made.
inline constexpr int kConversionRounds = 16;

}  // namespace keles::registry
