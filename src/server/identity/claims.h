// From the claims of a verified token to a user: mappings and rules of validation, by claim or in
// CEL (AuthenticationConfiguration; KEP-3331). Texts of errors are upstream's. Constant once made;
// any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cel/program.h"
#include "machinery/value.h"
#include "server/auth/caller.h"

namespace keles::identity {

struct Compiled {
  std::string text;
  cel::ProgramPtr program;  // null: there is no expression
  bool names_email = false, names_email_verified = false;
};
// Over `claims`, and over `user`. The error is what stands behind the field: "compilation failed:
// ...", "must evaluate to bool".
Result<Compiled> compile_claims(std::string_view text, bool to_bool);
Result<Compiled> compile_user(std::string_view text);

struct ClaimOrExpression {
  std::string claim, prefix;
  Compiled expression;
};
struct ExtraMapping {
  std::string key;
  Compiled value;
};
struct ValidationRule {
  Compiled expression;
  std::string message;
};

struct ClaimRules {
  ClaimOrExpression username, groups, uid;
  std::vector<ExtraMapping> extra;
  std::map<std::string, std::string> required;  // claims and their values
  std::vector<ValidationRule> claim_rules, user_rules;
  bool use_expressions() const;
};

// Who the claims name. The error is why they name nobody.
Result<Caller> user_of(const ClaimRules& rules, const Value& claims);

}  // namespace keles::identity
