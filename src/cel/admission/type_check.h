// What is wrong with the types of a ValidatingAdmissionPolicy's expressions, held against the kinds
// that its rules name: warnings, which refuse nothing. Texts are a 1.36 server's; a type is called
// by its kind.
// Source: KEP-3488, "Type checking".
#pragma once

#include <string>
#include <vector>

#include "machinery/catalog.h"
#include "machinery/value.h"

namespace keles::cel {

struct ExpressionWarning {
  std::string field;  // "spec.validations[0].expression"
  std::string warning;
};

// `policy`: a whole object. The kinds are looked up in the catalog; at most ten are looked at,
// those that nobody serves are left out.
std::vector<ExpressionWarning> check_policy_types(const Value& policy, const Catalog& catalog);

}  // namespace keles::cel
