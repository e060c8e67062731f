// Asks the webhooks that change objects, one after the other. Internal to webhooks/.
#pragma once

#include <atomic>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "server/admission/admission.h"
#include "server/webhooks/hook.h"

namespace keles::webhooks {

// The webhooks that hold now. A configuration that cannot be read is not one that is not there:
// until it is gone, `whole` says which it is, and nothing passes but configurations themselves.
struct Index {
  Hooks hooks;
  Status whole;
};
// Published whole. Never null.
using Published = std::atomic<std::shared_ptr<const Index>>;

// Whether any of them may be about the request.
bool concerns(const Index& index, const admission::Attributes& a);

// Both must outlive it.
std::shared_ptr<admission::Dynamic> make_mutating(const Published* hooks, const auth::Auth* auth);
std::shared_ptr<admission::Dynamic> make_validating(const Published* hooks, const auth::Auth* auth);

}  // namespace keles::webhooks
