#include "client/rate_limited_client.h"

#include <algorithm>

#include "base/metrics.h"

namespace keles {

RateLimitedClient::RateLimitedClient(Client& inner, double qps, int64_t burst)
    : inner_(inner),
      interval_(std::max<int64_t>(1, static_cast<int64_t>(1e9 / qps))),
      credit_(interval_ * (std::max<int64_t>(1, burst) - 1)),
      next_(inner.loop().now() - credit_) {}

Task<Status> RateLimitedClient::turn(Context ctx, std::string verb) {
  static metrics::Histogram& waited = metrics::histogram(
      "rest_client_rate_limiter_duration_seconds",
      "How long requests waited for their turn within the client, by verb and host.",
      {"verb", "host"}, {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60});
  const TimePoint now = loop().now();
  next_ = std::max(next_, now - credit_);
  const Duration wait = next_ - now;
  next_ = next_ + interval_;
  waited.with({verb, "local"})
      .observe(wait > Duration(0) ? std::chrono::duration<double>(wait).count() : 0);
  if (wait <= Duration(0)) co_return Status();
  Status s = co_await ctx.sleep(wait);
  if (s.ok()) co_return s;
  next_ = next_ - interval_;  // it was not asked
  co_return s.with_prefix("client rate limiter Wait returned an error");
}

Task<Result<ObjectPtr>> RateLimitedClient::get(Context ctx, const KindDesc* kind, std::string ns,
                                               std::string name) {
  Status s = co_await turn(ctx, "GET");
  if (!s.ok()) co_return s;
  co_return co_await inner_.get(ctx, kind, std::move(ns), std::move(name));
}

Task<Result<ListResult>> RateLimitedClient::list(Context ctx, const KindDesc* kind, std::string ns,
                                                 ListOptions options) {
  Status s = co_await turn(ctx, "GET");
  if (!s.ok()) co_return s;
  co_return co_await inner_.list(ctx, kind, std::move(ns), std::move(options));
}

Task<Result<std::unique_ptr<Watch>>> RateLimitedClient::watch(Context ctx, const KindDesc* kind,
                                                              std::string ns,
                                                              WatchOptions options) {
  Status s = co_await turn(ctx, "GET");
  if (!s.ok()) co_return s;
  co_return co_await inner_.watch(ctx, kind, std::move(ns), std::move(options));
}

Task<Result<ObjectPtr>> RateLimitedClient::create(Context ctx, const KindDesc* kind, std::string ns,
                                                  std::string name, Document body,
                                                  WriteOptions options) {
  Status s = co_await turn(ctx, "POST");
  if (!s.ok()) co_return s;
  co_return co_await inner_.create(ctx, kind, std::move(ns), std::move(name), std::move(body),
                                   std::move(options));
}

Task<Result<ObjectPtr>> RateLimitedClient::update(Context ctx, const KindDesc* kind, std::string ns,
                                                  std::string name, Document body,
                                                  WriteOptions options) {
  Status s = co_await turn(ctx, "PUT");
  if (!s.ok()) co_return s;
  co_return co_await inner_.update(ctx, kind, std::move(ns), std::move(name), std::move(body),
                                   std::move(options));
}

Task<Result<ObjectPtr>> RateLimitedClient::patch(Context ctx, const KindDesc* kind, std::string ns,
                                                 std::string name, PatchType type, Document body,
                                                 WriteOptions options) {
  Status s = co_await turn(ctx, "PATCH");
  if (!s.ok()) co_return s;
  co_return co_await inner_.patch(ctx, kind, std::move(ns), std::move(name), type, std::move(body),
                                  std::move(options));
}

Task<Result<ObjectPtr>> RateLimitedClient::remove(Context ctx, const KindDesc* kind, std::string ns,
                                                  std::string name, DeleteOptions options) {
  Status s = co_await turn(ctx, "DELETE");
  if (!s.ok()) co_return s;
  co_return co_await inner_.remove(ctx, kind, std::move(ns), std::move(name), std::move(options));
}

}  // namespace keles
