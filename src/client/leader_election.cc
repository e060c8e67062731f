#include "client/leader_election.h"

#include "api/coordination_v1.h"
#include "base/log.h"
#include "base/sync.h"
#include "machinery/time.h"

namespace keles {

namespace {

using api::coordination_v1::Lease;
using api::coordination_v1::LeaseEdit;

class Elector {
 public:
  Elector(Client* client, LeaderElectionOptions options)
      : client_(client), options_(std::move(options)) {}

  Task<Status> acquire(Context ctx);
  Task<void> renew(Context leading);
  Task<void> release(Context ctx);

 private:
  Task<Status> try_once(Context ctx);
  Task<Status> create(Context ctx);
  Loop& loop() { return client_->loop(); }

  Client* client_;
  LeaderElectionOptions options_;
  std::string observed_version_;
  TimePoint observed_at_;
  bool holding_ = false;
};

Task<Status> Elector::create(Context ctx) {
  Draft<LeaseEdit> d;
  auto meta = d->edit_metadata();
  meta.set_namespace_(options_.ns);
  meta.set_name(options_.name);
  auto spec = d->edit_spec();
  std::string now = format_micro_time(loop().wall_now());
  spec.set_holder_identity(options_.identity);
  spec.set_lease_duration_seconds(options_.lease_duration / 1s);
  spec.set_acquire_time(now);
  spec.set_renew_time(now);
  spec.set_lease_transitions(0);
  auto r = co_await client_->create<Lease>(ctx, d.take());
  co_return r.status();
}

// OK: we hold the lease. kConflict: somebody else does.
Task<Status> Elector::try_once(Context ctx) {
  auto current = co_await client_->get<Lease>(ctx, options_.ns, options_.name);
  if (!current.ok()) {
    if (!current.status().is(Reason::kNotFound)) co_return current.status();
    co_return co_await create(ctx);
  }
  Ref<Lease> lease = *current;
  std::string version(lease->metadata().resource_version());
  if (version != observed_version_) {
    observed_version_ = version;
    observed_at_ = loop().now();
  }
  auto spec = lease->spec();
  bool ours = spec.holder_identity() == options_.identity;
  if (!ours && !spec.holder_identity().empty()) {
    Duration lasts = std::chrono::seconds(spec.lease_duration_seconds());
    if (loop().now() - observed_at_ < lasts) {
      co_return Status(Reason::kConflict,
                       "lease is held by " + std::string(spec.holder_identity()));
    }
  }
  Draft<LeaseEdit> d(*lease);
  auto edit = d->edit_spec();
  std::string now = format_micro_time(loop().wall_now());
  edit.set_renew_time(now);
  edit.set_lease_duration_seconds(options_.lease_duration / 1s);
  if (!ours) {
    edit.set_holder_identity(options_.identity);
    edit.set_acquire_time(now);
    edit.set_lease_transitions(spec.lease_transitions() + 1);
  }
  auto r = co_await client_->update<Lease>(ctx, d.take());
  if (r.ok()) {
    observed_version_ = (*r)->metadata().resource_version();
    observed_at_ = loop().now();
  }
  co_return r.status();
}

Task<Status> Elector::acquire(Context ctx) {
  for (;;) {
    Context limited = ctx.with_timeout(options_.renew_deadline);
    Status s = co_await try_once(limited);
    if (s.ok()) {
      holding_ = true;
      log::info("Successfully acquired lease",
                {{"lock", options_.ns + "/" + options_.name}, {"identity", options_.identity}});
      co_return s;
    }
    if (ctx.done()) co_return ctx.status();
    if (!s.is(Reason::kConflict) && !s.is(Reason::kAlreadyExists)) {
      log::warn("Error retrieving lease lock",
                {{"lock", options_.ns + "/" + options_.name}, {"err", s}});
    }
    auto jitter = static_cast<int64_t>(static_cast<double>(options_.retry_period.count()) *
                                       (1 + loop().random().unit() * 1.2));
    TRY_CO(ctx.sleep(Duration(jitter)));
  }
}

// Renews until it fails for longer than the deadline, then ends `leading`.
Task<void> Elector::renew(Context leading) {
  TimePoint renewed = loop().now();
  while (!leading.done()) {
    Status slept = co_await leading.sleep(options_.retry_period);
    if (!slept.ok()) co_return;
    Context limited = leading.with_deadline(renewed + options_.renew_deadline);
    TimePoint asked = loop().now();
    Status s = co_await try_once(limited);
    if (leading.done()) co_return;
    if (s.ok()) {
      renewed = asked;
      continue;
    }
    if (loop().now() - renewed >= options_.renew_deadline) {
      holding_ = false;
      log::error("Failed to renew lease",
                 {{"lock", options_.ns + "/" + options_.name}, {"err", s}});
      leading.cancel(Status::unavailable("leader election lost"));
    }
  }
}

Task<void> Elector::release(Context ctx) {
  if (!holding_ || !options_.release_on_cancel) co_return;
  auto current = co_await client_->get<Lease>(ctx, options_.ns, options_.name);
  if (!current.ok()) co_return;
  Ref<Lease> lease = *current;
  if (lease->spec().holder_identity() != options_.identity) co_return;
  Draft<LeaseEdit> d(*lease);
  auto spec = d->edit_spec();
  spec.set_holder_identity("");
  spec.set_lease_duration_seconds(1);
  (void)co_await client_->update<Lease>(ctx, d.take());
}

Task<void> renew_task(Elector* elector, Context leading) { co_await elector->renew(leading); }

}  // namespace

Task<Status> run_as_leader(Context ctx, Client* client, LeaderElectionOptions options,
                           std::function<Task<void>(Context)> lead) {
  Elector elector(client, std::move(options));
  TRY_CO(elector.acquire(ctx));
  Context leading = ctx.child();
  TaskGroup group(ctx.loop());
  group.spawn(renew_task(&elector, leading));
  co_await lead(leading);
  Status why = leading.status();
  leading.cancel();
  co_await group.join();
  Context last_words = Context::root(ctx.loop()).with_timeout(2s);
  co_await elector.release(last_words);
  if (ctx.done() || why.ok()) co_return Status();
  co_return why;
}

}  // namespace keles
