// Who puts params to work in a policy must be able to read them: its answers tell of them.
#pragma once

#include <functional>
#include <string_view>

#include "base/status.h"
#include "machinery/catalog.h"
#include "machinery/value.h"
#include "server/auth/caller.h"
#include "store/store.h"

namespace keles::policies {

// Whether there is anything to ask about objects of the kind.
bool has_params(const KindDesc& kind);

// Of a policy or a binding that is written (`before` null: made). Invalid, in upstream's words,
// where the caller may not read what it names anew. `may`: what else they may do.
Status check_param_access(const Caller& caller, const KindDesc& kind, const Value& now,
                          const Value* before, const Catalog& catalog, const StoreSnapshot& state,
                          const std::function<bool(const Access&)>& may);

}  // namespace keles::policies
