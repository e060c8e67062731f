#include "server/webhooks/call.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/encoding.h"
#include "server/admission/answer.h"
#include "server/webhooks/metrics.h"

namespace keles::webhooks {
namespace {

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// What keeps the server from asking at all.
std::optional<Called> cannot_ask(const Question& q) {
  const Hook& hook = *q.hook;
  if (q.attributes->dry_run) {
    if (hook.side_effects == SideEffects::kNotSaid) {
      return call_failed(hook, "Webhook SideEffects is nil", 400);
    }
    if (hook.side_effects == SideEffects::kSome) {
      return refused(Status::bad_request("admission webhook " + quoted(hook.name) +
                                         " does not support dry run"));
    }
  }
  if (hook.review_version.empty()) {
    return call_failed(hook,
                       "could not create admission objects: webhook does not accept known "
                       "AdmissionReview versions (v1, v1beta1)",
                       400);
  }
  if (!hook.callee) return call_failed(hook, "could not get REST client: " + hook.no_callee, 500);
  return std::nullopt;
}

std::string review_of(const Question& q, std::string_view uid) {
  Arena arena;
  const Value request = matching::request_value(arena, *q.request, *q.match->resource);
  return request_text(q.hook->review_version, uid, request, q.shown->object_text,
                      q.shown->old_object_text);
}

void take_words(const Question& q, Answer& answer) {
  for (auto& [key, value] : answer.annotations) {
    annotate(*q.attributes, q.hook->name + "/" + key, std::move(value));
  }
  if (!q.attributes->warnings) return;
  for (std::string& w : answer.warnings) q.attributes->warnings->push_back(std::move(w));
}

}  // namespace

Called call_failed(const Hook& hook, std::string_view why, int code) {
  Called out;
  out.kind = Called::Kind::kCallFailed;
  out.status =
      Status::internal("failed calling webhook " + quoted(hook.name) + ": " + std::string(why));
  out.code = code;
  return out;
}

Called refused(Status status) {
  Called out;
  out.kind = Called::Kind::kRefused;
  out.status = std::move(status);
  return out;
}

Task<Result<bool>> meets_conditions(Context ctx, const Hook* hook, const matching::Request* request,
                                    const matching::Match* match, const Shown* shown,
                                    matching::Asking* asking) {
  const Loop& loop = ctx.loop();
  matching::Inputs inputs(request, *match, shown->object, shown->old_object, asking->variable());
  TimePoint began = loop.now();
  matching::Verdict verdict = hook->conditions.evaluate(inputs);
  while (asking->pending()) {
    co_await asking->ask(ctx);
    began = loop.now();
    verdict = hook->conditions.evaluate(inputs);
  }
  matching::observe_conditions(hook->name, "webhook", hook->mutating ? "mutating" : "validating",
                               request->operation, seconds(loop.now() - began), verdict);
  if (verdict.matches) co_return true;
  if (verdict.error.empty()) {
    matching::observe_exclusion(hook->name, "webhook", hook->mutating ? "admit" : "validate",
                                request->operation);
    co_return false;
  }
  co_return Status::forbidden(request->resource->group, request->resource->plural, request->name,
                              verdict.error);
}

Task<Called> call(Context ctx, const Question* q) {
  if (auto known = cannot_ask(*q)) co_return std::move(*known);
  const Hook& hook = *q->hook;
  Loop& loop = ctx.loop();
  const std::string uid = loop.random().uuid();
  Context limited = ctx.with_timeout(hook.timeout);
  const Duration left = std::max<Duration>(limited.deadline() - loop.now(), 1s);
  auto body = co_await hook.callee->post(limited, left, review_of(*q, uid));
  if (!body.ok()) {
    Called failed = call_failed(hook, "failed to call webhook: " + body.status().message(),
                                body.status().code());
    failed.cancelled = ctx.done() && !ctx.status().is(Reason::kTimeout);
    co_return std::move(failed);
  }
  auto answer = read_answer(*body, hook.review_version, uid, hook.mutating);
  if (!answer.ok()) co_return call_failed(hook, answer.status().message(), 503);
  take_words(*q, *answer);
  Called out;
  if (!answer->allowed) {
    out.kind = Called::Kind::kRejected;
    out.status = rejection(hook.name, answer->result.root);
    out.code = out.status.code();
    co_return std::move(out);
  }
  out.code = 200;
  if (answer->patch.empty()) co_return std::move(out);
  if (answer->patch_type != "JSONPatch") {
    co_return call_failed(hook, "unsupported patch type " + quoted(answer->patch_type), 400);
  }
  out.patch = std::move(answer->patch);
  co_return std::move(out);
}

Status settle(const Question& q, const Called& called, Duration took, const std::string& open_key) {
  const Hook& hook = *q.hook;
  Measured m;
  m.hook = &hook;
  m.operation = q.request->operation;
  m.seconds = seconds(took);
  m.code = called.code;
  switch (called.kind) {
    case Called::Kind::kAllowed:
      break;
    case Called::Kind::kRejected:
      m.rejected = true;
      m.error_type = kNoError;
      break;
    case Called::Kind::kCallFailed:
      m.rejected = hook.fails;
      m.error_type = called.cancelled ? "" : kCallingError;
      break;
    case Called::Kind::kRefused:
      m.rejected = true;
      m.error_type = kServerError;
      break;
  }
  observe(m);
  if (called.kind == Called::Kind::kAllowed) return {};
  if (called.kind != Called::Kind::kCallFailed || hook.fails) {
    if (called.kind == Called::Kind::kCallFailed) {
      log::warn("Failed calling webhook, failing closed",
                {{"webhook", hook.name}, {"error", called.status.message()}});
    }
    return called.status;
  }
  if (!called.cancelled) {
    log::warn("Failed calling webhook, failing open",
              {{"webhook", hook.name}, {"error", called.status.message()}});
    observe_fail_open(hook);
    annotate(*q.attributes, open_key, hook.name);
  }
  return {};
}

}  // namespace keles::webhooks
