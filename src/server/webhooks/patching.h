// What a webhook's patch makes of an object.
#pragma once

#include <string_view>

#include "base/loop.h"
#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles::webhooks {

struct Patched {
  bool applied = false;  // false: the patch has no operations
  bool changed = false;  // before defaults
  Document object;       // decoded, and with its defaults
};

// `text` is the object as it was sent, `before` its tree. Errors: kBadRequest for a patch that
// cannot be read, else kInternalError, as upstream has them.
Result<Patched> apply_answer(const KindDesc& kind, std::string_view text, const Value& before,
                             std::string_view patch, Loop& loop);

}  // namespace keles::webhooks
