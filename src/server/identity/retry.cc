#include "server/identity/retry.h"

#include "base/encoding.h"

namespace keles::identity {
namespace {

constexpr int kAttempts = 5;

// What may be taken the next time: a connection that was lost, and a server that says so.
bool may_pass(const Result<net::Response>& answer) {
  if (!answer.ok()) {
    return answer.status().is(Reason::kUnavailable) || answer.status().is(Reason::kOutcomeUnknown);
  }
  return answer->status == 429 || answer->status == 500 || answer->status == 503 ||
         answer->status == 504;
}

}  // namespace

Task<Result<std::string>> post_with_patience(Context ctx, std::shared_ptr<Remote> at,
                                             std::string body, Duration timeout, size_t most,
                                             std::string* result, Duration pause) {
  for (int attempt = 1;; ++attempt) {
    Context limited = timeout > Duration() ? ctx.with_timeout(timeout) : ctx.child();
    auto answer = co_await at->post(limited, body, most);
    if (answer.ok() && (answer->status == 200 || answer->status == 201)) {
      if (result != nullptr) *result = "success";
      co_return std::move(answer->body);
    }
    Status why = answer.ok() ? Status::unavailable("an error on the server (" +
                                                   quoted(answer->body.substr(0, 256)) +
                                                   ") has prevented the request from succeeding (" +
                                                   std::to_string(answer->status) + ")")
                             : answer.status();
    const bool late = limited.done() || (answer.ok() && answer->status == 504);
    if (result != nullptr) {
      *result = ctx.done() && ctx.status().is(Reason::kCancelled) ? "canceled"
                : late                                            ? "timeout"
                                                                  : "error";
    }
    if (attempt == kAttempts || ctx.done() || !may_pass(answer)) co_return why;
    Status slept = co_await ctx.sleep(pause);
    if (!slept.ok()) co_return why;
    pause += pause / 2;
  }
}

}  // namespace keles::identity
