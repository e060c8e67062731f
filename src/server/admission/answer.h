// What plugins answer, and tell the audit.
#pragma once

#include <string>
#include <string_view>

#include "server/admission/admission.h"

namespace keles::admission {

// kind.group "name" is forbidden: why.
Status refuse(const Attributes& a, std::string_view why);
// Where somebody audits; a key that is none of an annotation is left out.
void annotate(const Attributes& a, std::string key, std::string value);

}  // namespace keles::admission
