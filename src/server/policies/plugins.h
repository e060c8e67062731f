// The two plugins over what is published.
#pragma once

#include <atomic>
#include <memory>

#include "machinery/catalog.h"
#include "server/admission/admission.h"
#include "server/auth/auth.h"
#include "server/policies/policy.h"

namespace keles::policies {

struct Sources {
  std::atomic<std::shared_ptr<const Index>> index{std::make_shared<const Index>()};
  const CatalogSource* kinds = nullptr;
  const auth::Auth* auth = nullptr;
};

// Whether any policy may have something to say; never of policies and webhooks themselves.
bool concerns(const Sources& sources, const admission::Attributes& a);

// `sources` outlive them.
std::shared_ptr<admission::Dynamic> make_mutating(const Sources* sources);
std::shared_ptr<admission::Dynamic> make_validating(const Sources* sources);

}  // namespace keles::policies
