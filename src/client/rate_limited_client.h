// RateLimitedClient: a Client that asks no more often than it may: so many requests a second, with
// bursts (--kube-api-qps, --kube-api-burst; upstream: k8s.io/client-go/util/flowcontrol). Every
// call takes its turn in the order of asking; a watch counts when it is begun. Waiting ends with
// the call's context, and counts into rest_client_rate_limiter_duration_seconds.
#pragma once

#include "client/client.h"

namespace keles {

class RateLimitedClient final : public Client {
 public:
  // `qps` above 0; `burst` at least 1. `inner` outlives it, and is of its loop.
  RateLimitedClient(Client& inner, double qps, int64_t burst);

  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns,
                              std::string name) override;
  Task<Result<ListResult>> list(Context ctx, const KindDesc* kind, std::string ns,
                                ListOptions options) override;
  Task<Result<std::unique_ptr<Watch>>> watch(Context ctx, const KindDesc* kind, std::string ns,
                                             WatchOptions options) override;
  Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> update(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> patch(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                                PatchType type, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> remove(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, DeleteOptions options) override;
  Loop& loop() override { return inner_.loop(); }
  CatalogSource& kinds() override { return inner_.kinds(); }
  using Client::create;
  using Client::get;
  using Client::list;
  using Client::remove;
  using Client::update;

 private:
  Task<Status> turn(Context ctx, std::string verb);

  Client& inner_;
  Duration interval_;  // between requests in the long run
  Duration credit_;    // how far next_ may lie behind: a burst
  TimePoint next_;     // when the next request may go, if the burst is used up
};

}  // namespace keles
