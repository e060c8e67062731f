// The objects of a request as a webhook is sent them. One request; its loop's thread.
#pragma once

#include <memory>
#include <string>

#include "server/registry/versions.h"

namespace keles::webhooks {

// What one webhook, or several of the same version, are shown.
struct Shown : registry::ShownObjects {
  std::string object_text, old_object_text;
};

// As registry::show_objects().
Task<Result<std::shared_ptr<Shown>>> show(Context ctx, const admission::Attributes* a,
                                          const KindDesc* resource, const Value* object,
                                          const Value* before);

}  // namespace keles::webhooks
