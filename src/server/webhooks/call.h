// One call of one webhook, from the request to what became of it.
#pragma once

#include <string>
#include <string_view>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "server/admission/admission.h"
#include "server/matching/conditions.h"
#include "server/matching/match.h"
#include "server/matching/request.h"
#include "server/webhooks/hook.h"
#include "server/webhooks/review.h"
#include "server/webhooks/versions.h"

namespace keles::webhooks {

// Whether the webhook's conditions let the request come to it: false is no failure. kForbidden when
// they fail and failures count.
// What is pointed to outlives it.
Task<Result<bool>> meets_conditions(Context ctx, const Hook* hook, const matching::Request* request,
                                    const matching::Match* match, const Shown* shown,
                                    matching::Asking* asking);

struct Called {
  enum class Kind : uint8_t {
    kAllowed,
    kRejected,    // the webhook said no
    kCallFailed,  // it did not say anything: the failure policy decides
    kRefused      // the server cannot ask it, or do what it says
  };
  Kind kind = Kind::kAllowed;
  // What the client is told, if it is told of it: of a failed call, `failed calling webhook ...`.
  Status status;
  int code = 0;            // for metrics
  bool cancelled = false;  // the client left
  std::string patch;       // of one that changes objects, when it allowed: "" for none
};

struct Question {
  const Hook* hook;
  const admission::Attributes* attributes;
  const matching::Request* request;
  const matching::Match* match;
  const Shown* shown;
};

// Asks. Warnings and audit annotations go to the attributes'. What is pointed to outlives it.
Task<Called> call(Context ctx, const Question* q);

// `failed calling webhook "x": why`, with the code that metrics tell.
Called call_failed(const Hook& hook, std::string_view why, int code);
// What the server itself cannot do.
Called refused(Status status);

// Counts it, and says whether the request goes on: OK when the webhook allowed it, or failed and
// failures are let pass (told to the audit under `open_key`).
Status settle(const Question& q, const Called& called, Duration took, const std::string& open_key);

}  // namespace keles::webhooks
