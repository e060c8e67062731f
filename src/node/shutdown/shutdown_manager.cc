#include "node/shutdown/shutdown_manager.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/recurring.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "node/node_metrics.h"

namespace keles::node {
namespace {

constexpr Duration kFirstPause = 1s, kLastPause = 5min;
constexpr const char* kNever = "0001-01-01T00:00:00Z";  // Go's zero time, as upstream writes it

std::string stamp(WallTime t) { return t.ns == 0 ? kNever : format_micro_time(t); }

WallTime time_of(const Value& v) {
  const auto t = parse_time(v.as_string());
  return t.ok() && t->ns > 0 ? *t : WallTime{};
}

}  // namespace

ShutdownManager::ShutdownManager(ShutdownPeriods periods, std::unique_ptr<ShutdownNotice> notice,
                                 ShutdownHost& host)
    : periods_(std::move(periods)), notice_(std::move(notice)), host_(host) {}

Task<void> ShutdownManager::run(Context ctx) {
  node_metrics::graceful_shutdown({}, {});
  if (periods_.empty()) co_return;
  co_await read_kept(ctx);
  Duration pause = kFirstPause;
  Recurring failing;
  while (!ctx.done()) {
    followed_ = false;
    Status s = co_await follow(ctx);
    if (ctx.done()) co_return;
    if (followed_) {
      pause = kFirstPause;
      failing.over();
    }
    if (failing.news(ctx.loop().now(), s.message())) {
      log::error("A shutdown of this machine would not wait for its pods", {{"error", s}});
    }
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, kLastPause);
  }
}

// Until the connection fails.
Task<Status> ShutdownManager::follow(Context ctx) {
  TRY_CO(notice_->connect(ctx));
  TRY_CO(reach_delay(ctx));
  TRY_CO(notice_->hold(ctx));
  followed_ = true;
  log::info("A shutdown of this machine waits for its pods",
            {{"period", format_duration(whole_period(periods_))}});
  for (;;) {
    TRY_ASSIGN_CO(down, notice_->next(ctx));
    log::info("Shutdown manager detected new shutdown event",
              {{"event", down ? "shutdown" : "cancelled"}});
    host_.node_event("Normal", "NodeShutdown",
                     down ? "Shutdown manager detected shutdown event"
                          : "Shutdown manager detected shutdown cancellation");
    down_ = down;
    host_.shutting_down(down);
    if (!down) {
      TRY_CO(notice_->hold(ctx));
      continue;
    }
    co_await end_pods(ctx);
    notice_->release();
  }
}

// logind waits for the shorter of what it was told and what we want.
Task<Status> ShutdownManager::reach_delay(Context ctx) {
  const Duration wanted = whole_period(periods_);
  TRY_ASSIGN_CO(now, notice_->longest_delay(ctx));
  if (wanted <= now) co_return Status();
  TRY_CO(notice_->extend_delay(ctx, wanted));
  Duration pause = 100ms;
  for (int i = 0; i < 5; ++i) {
    TRY_ASSIGN_CO(reached, notice_->longest_delay(ctx));
    if (wanted <= reached) co_return Status();
    now = reached;
    TRY_CO(ctx.sleep(pause));
    pause *= 2;
  }
  co_return Status::unavailable(
      "node shutdown manager was timed out after 5 attempts waiting for logind InhibitDelayMaxSec "
      "to update to " +
      format_duration(wanted) + " (ShutdownGracePeriod), current value is " + format_duration(now));
}

Task<void> ShutdownManager::end_pods(Context ctx) {
  began_ = ctx.loop().wall_now();
  ended_ = {};
  co_await keep(ctx);
  const std::vector<ShutdownGroup> groups = shutdown_groups(periods_, host_.running_pods());
  for (const ShutdownGroup& group : groups)
    if (!group.pods.empty() && !ctx.done()) co_await end_group(ctx, &group);
  if (ctx.done()) co_return;
  ended_ = ctx.loop().wall_now();
  co_await keep(ctx);
  log::info("The pods have ended, the machine goes down");
}

// Their volumes too: a driver that runs as a pod of a later group is still there to unmount them.
Task<void> ShutdownManager::end_group(Context ctx, const ShutdownGroup* group) {
  for (const auto& pod : group->pods) host_.end_pod(pod, shutdown_grace(*group, *pod));
  Context period = ctx.with_timeout(std::chrono::seconds(group->seconds));
  for (;;) {
    poke_.reset();
    size_t left = 0;
    for (const auto& pod : group->pods)
      if (!host_.is_at_rest(std::string(pod->metadata().uid()))) ++left;
    if (left == 0) co_return;
    Status s = co_await poke_.wait(period);
    if (s.ok()) continue;
    if (!ctx.done()) log::warn("Pods are left at the end of their period", {{"pods", left}});
    co_return;
  }
}

Task<void> ShutdownManager::keep(Context ctx) {
  node_metrics::graceful_shutdown(began_, ended_);
  std::string text =
      R"({"startTime":")" + stamp(began_) + R"(","endTime":")" + stamp(ended_) + "\"}";
  Status s = co_await host_.keep_shutdown_state(ctx, std::move(text));
  if (!s.ok()) log::warn("Failed to store graceful shutdown state", {{"error", s}});
}

Task<void> ShutdownManager::read_kept(Context ctx) {
  const std::string text = co_await host_.kept_shutdown_state(ctx);
  if (text.empty()) co_return;
  const auto doc = parse_json(text);
  if (!doc.ok()) {
    log::warn("Failed to load graceful shutdown state", {{"error", doc.status()}});
    co_return;
  }
  began_ = time_of(doc->root["startTime"]);
  ended_ = time_of(doc->root["endTime"]);
  node_metrics::graceful_shutdown(began_, ended_);
}

}  // namespace keles::node
