#include "server/audit/webhook.h"

#include "base/file.h"

namespace keles::audit {
namespace {

constexpr Duration kTimeout = 30s;
constexpr int kTries = 5;
constexpr double kFactor = 1.5, kJitter = 0.2;
constexpr size_t kMostAnswer = 64 * 1024;

class Webhook final : public Delivery {
 public:
  Webhook(Loop& loop, WebhookTarget target, Duration backoff)
      : loop_(loop),
        target_(std::move(target)),
        backoff_(backoff),
        client_(net::HttpClient::create(loop, target_.endpoint)) {}

  std::string_view name() const override { return "webhook"; }
  std::string text(const Event& e, bool whole) const override {
    return "{" + event_members(e, whole) + "}";
  }
  bool immediate() const override { return false; }
  Status write(const std::string&, WallTime) override {
    return Status::internal("audit events of a webhook are sent");
  }

  Task<Status> send(Context ctx, std::vector<std::string> texts) override {
    std::string body =
        R"({"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[)";
    for (size_t i = 0; i < texts.size(); ++i) {
      if (i > 0) body += ',';
      body += texts[i];
    }
    body += "]}\n";
    texts.clear();
    double wait = std::chrono::duration<double>(backoff_).count();
    Status s;
    for (int i = 0; i < kTries; ++i) {
      if (i > 0) {
        const double seconds = wait * (1 + kJitter * loop_.random().unit());
        wait *= kFactor;
        Status slept = co_await ctx.sleep(Duration(static_cast<int64_t>(seconds * 1e9)));
        if (!slept.ok()) break;
      }
      s = co_await post(ctx, body);
      if (s.ok()) break;
    }
    co_return s;
  }

 private:
  Task<Status> post(Context ctx, std::string body) {
    net::Request request("POST", target_.path, "timeout=30s", std::move(body));
    request.headers.add("Content-Type", "application/json");
    request.headers.add("Accept", "application/json, */*");
    std::string authorization = target_.authorization;
    if (!target_.token_file.empty()) {
      auto token = read_file(target_.token_file, 64 * 1024);
      if (!token.ok()) co_return token.status();
      while (!token->empty() && (token->back() == '\n' || token->back() == '\r')) token->pop_back();
      authorization = "Bearer " + *token;
    }
    if (!authorization.empty()) request.headers.add("Authorization", authorization);
    Context limit = ctx.with_timeout(kTimeout);
    auto answer = co_await client_->send(limit, std::move(request), kMostAnswer);
    if (!answer.ok()) co_return answer.status();
    if (answer->status >= 200 && answer->status < 300) co_return Status();
    co_return Status::unavailable("the audit webhook answered " + std::to_string(answer->status));
  }

  Loop& loop_;
  const WebhookTarget target_;
  const Duration backoff_;
  std::unique_ptr<net::HttpClient> client_;
};

}  // namespace

std::unique_ptr<Delivery> make_webhook(Loop& loop, WebhookTarget target, Duration initial_backoff) {
  return std::make_unique<Webhook>(loop, std::move(target), initial_backoff);
}

}  // namespace keles::audit
