#include "server/audit/auditor.h"

#include <array>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "base/sync.h"
#include "server/audit/log_file.h"

namespace keles::audit {
namespace {

metrics::Value& events_total() {
  static metrics::Value& v =
      metrics::counter("apiserver_audit_event_total",
                       "Counter of audit events generated and sent to the audit backend.")
          .with({});
  return v;
}

metrics::Value& rejected_total() {
  static metrics::Value& v =
      metrics::counter("apiserver_audit_requests_rejected_total",
                       "Counter of apiserver requests rejected due to an error in audit logging "
                       "backend.")
          .with({});
  return v;
}

metrics::Value& level_total(Level level) {
  static const std::array<metrics::Value*, 4> values = [] {
    metrics::Counter& c =
        metrics::counter("apiserver_audit_level_total",
                         "Counter of policy levels for audit events (1 per request).", {"level"});
    std::array<metrics::Value*, 4> out{};
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = &c.with({std::string(level_name(static_cast<Level>(i)))});
    }
    return out;
  }();
  return *values[static_cast<size_t>(level)];
}

class Log final : public Delivery {
 public:
  Log(std::unique_ptr<LogFile> file, bool legacy) : file_(std::move(file)), legacy_(legacy) {}
  std::string_view name() const override { return "log"; }
  std::string text(const Event& e, bool whole) const override {
    if (legacy_) return legacy_line(e) + "\n";
    std::string out = R"({"kind":"Event","apiVersion":"audit.k8s.io/v1",)";
    return out.append(event_members(e, whole)).append("}\n");
  }
  bool immediate() const override { return true; }
  Status write(const std::string& text, WallTime now) override { return file_->write(text, now); }
  Task<Status> send(Context, std::vector<std::string>) override {
    co_return Status::internal("audit events of a log are written");
  }

 private:
  std::unique_ptr<LogFile> file_;
  const bool legacy_;
};

}  // namespace

Result<std::unique_ptr<Auditor>> Auditor::make(Loop& loop, const Options& o,
                                               std::optional<WebhookTarget> webhook) {
  TRY(check(o));
  const bool logs = !o.log.path.empty();
  if (o.policy_file.empty()) {
    if (logs || webhook) {
      log::warn("No audit policy file provided, no events will be recorded",
                {{"flag", "--audit-policy-file"}});
    }
    return std::unique_ptr<Auditor>();
  }
  auto policy = Policy::load(o.policy_file);
  if (!policy.ok()) return policy.status().with_prefix("--audit-policy-file");
  if (!logs && !webhook) return std::unique_ptr<Auditor>();
  std::unique_ptr<Auditor> out(new Auditor(loop, std::move(*policy)));
  auto add = [&](const BatchOptions& batch, const TruncateOptions& truncate,
                 std::unique_ptr<Delivery> delivery) {
    out->outlets_.push_back(std::make_unique<Outlet>(loop, batch, truncate, std::move(delivery)));
  };
  if (logs) {
    TRY_ASSIGN(file, LogFile::open(o.log));
    add(o.log.batch, o.log.truncate,
        std::make_unique<Log>(std::move(file), o.log.format == "legacy"));
  }
  if (webhook) {
    add(o.webhook.batch, o.webhook.truncate,
        make_webhook(loop, std::move(*webhook), o.webhook.initial_backoff));
  }
  return out;
}

std::unique_ptr<Event> Auditor::begin(const Question& q) const {
  const Decision how = policy_.decide(q);
  level_total(how.level).add();
  if (how.level == Level::kNone) return nullptr;
  auto out = std::make_unique<Event>();
  out->how = how;
  return out;
}

Task<bool> Auditor::record(Context ctx, Event* event, Stage stage) const {
  if (event->how.omits(stage)) co_return true;
  event->stage = stage;
  event->at = stage == Stage::kRequestReceived ? event->received : ctx.loop().wall_now();
  events_total().add();
  bool fine = true;
  for (const auto& outlet : outlets_) {
    bool taken = co_await outlet->take(ctx, event);
    fine = fine && taken;
  }
  if (!fine && stage == Stage::kRequestReceived) rejected_total().add();
  co_return fine;
}

Task<void> Auditor::run(Context ctx) {
  TaskGroup all(loop_);
  for (const auto& outlet : outlets_) all.spawn(outlet->run(ctx));
  co_await all.join();
}

}  // namespace keles::audit
