// An object that a patch was laid over, made normal again. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// As normalize() does it, of an object that was normal before `patch` was laid over it, a merge
// patch or a strategic one or the words of an apply: only what that names is looked at. Fields that
// the type does not know are dropped, and told as texts when `unknown` is not null. Of a type that
// a schema describes all of it is looked at.
Status normalize_patched(const TypeDesc& type, Document& doc, const Value& patch,
                         std::vector<std::string>* unknown = nullptr);
// The same with decode_object's errors.
Status decode_patched(const KindDesc& kind, Document& doc, const Value& patch,
                      std::vector<std::string>* unknown);

}  // namespace keles
