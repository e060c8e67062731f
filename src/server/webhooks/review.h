// AdmissionReview (admission.k8s.io/v1 and v1beta1): what is sent to an admission webhook, and what
// of its answer is taken. Pure; any thread. Texts are upstream's.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles::webhooks {

inline constexpr size_t kMaxAnswerBytes = size_t{8} << 20;

// An object as it is sent; "null" for none.
std::string object_text(const KindDesc& kind, const Value* object);

// The body of a request. `request` is matching::request_value()'s; objects are texts (see above).
std::string request_text(std::string_view version, std::string_view uid, const Value& request,
                         std::string_view object, std::string_view old_object);

struct Answer {
  bool allowed = false;
  std::string patch;       // a JSON Patch, as text; "" for none
  std::string patch_type;  // "JSONPatch"
  std::vector<std::pair<std::string, std::string>> annotations;
  std::vector<std::string> warnings;
  Document result;  // the Status that came, or null
};

// The error's message says what went wrong, from "failed to call webhook: " (no AdmissionReview can
// be read) or "received invalid webhook response: " (one that breaks the rules).
Result<Answer> read_answer(std::string_view body, std::string_view version, std::string_view uid,
                           bool mutating);

// What the client is told when it was not allowed.
Status rejection(std::string_view webhook, const Value& result);

}  // namespace keles::webhooks
