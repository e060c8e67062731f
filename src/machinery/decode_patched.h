// An object that a patch was laid over, made normal again. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// As decode_object does it, of an object that was normal before a merge patch or a strategic one
// (`patch`): only what the patch names is looked at. Fields that the kind does not know are
// dropped, and told as texts when `unknown` is not null. Of a custom kind all of it is looked at.
Status decode_patched(const KindDesc& kind, Document& doc, const Value& patch,
                      std::vector<std::string>* unknown);

}  // namespace keles
