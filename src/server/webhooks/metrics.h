// Upstream's metrics of admission webhooks (apiserver_admission_webhook_*). Any thread.
#pragma once

#include <string_view>

#include "server/webhooks/hook.h"

namespace keles::webhooks {

struct Measured {
  const Hook* hook;
  std::string_view operation;
  double seconds = 0;
  int code = 200;  // of the answer, or of what became of the call; 0: the server's own failure
  bool rejected = false;
  std::string_view error_type;  // of a rejection; "": it is not counted as one (the client left)
};

inline constexpr std::string_view kCallingError = "calling_webhook_error",
                                  kServerError = "apiserver_internal_error", kNoError = "no_error";

void observe(const Measured& m);
void observe_fail_open(const Hook& hook);

}  // namespace keles::webhooks
