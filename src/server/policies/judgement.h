// What one ValidatingAdmissionPolicy says of one request, with one param. Texts, budgets and what
// counts as a failure are upstream's. Pure but for the authorizer.
#pragma once

#include <string>
#include <vector>

#include "base/loop.h"
#include "server/matching/conditions.h"
#include "server/policies/policy.h"

namespace keles::policies {

struct Decision {
  bool denied = false;
  bool failed = false;  // an expression failed; denied if the failure counts
  std::string message;
  Reason reason = Reason::kInvalid;
  double seconds = 0;
};

struct Note {  // an audit annotation
  enum class Kind : uint8_t { kPublish, kFailed, kNone };
  Kind kind = Kind::kNone;
  std::string key;
  std::string text;  // the value, or what went wrong
  double seconds = 0;
};

struct Judgement {
  std::vector<Decision> decisions;  // one for each validation, or a single one for all
  std::vector<Note> notes;
};

// `inputs` have their params; `space` is the namespace, which match conditions do not see. `loop`:
// its clock. Of no worth when `asking` is pending afterwards.
Judgement judge(const Policy& policy, matching::Inputs& inputs, const Value* space,
                std::string_view operation, const matching::Asking& asking, Loop& loop);

}  // namespace keles::policies
