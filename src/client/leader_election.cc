#include "client/leader_election.h"

#include <algorithm>

#include "api/coordination_v1.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/sync.h"
#include "machinery/time.h"

namespace keles {

namespace {

using api::coordination_v1::Lease;
using api::coordination_v1::LeaseEdit;

constexpr double kJitter = 1.2;  // of the time between attempts to become leader
constexpr Duration kLastWords = 2s;

metrics::Value& master_status(const std::string& name) {
  static metrics::Gauge& status = metrics::gauge(
      "leader_election_master_status",
      "Whether this process leads by the lease of that name: 1 if so, 0 while it is a backup.",
      {"name"});
  return status.with({name});
}

metrics::Value& slow_paths(const std::string& name) {
  static metrics::Counter& total = metrics::counter(
      "leader_election_slowpath_total",
      "Renewals for which the leader had to read its lease of that name first.", {"name"});
  return total.with({name});
}

class Elector {
 public:
  Elector(Client* client, LeaderElectionOptions options)
      : client_(client), options_(std::move(options)), lock_(options_.ns + "/" + options_.name) {
    master_status(options_.name).set(0);
  }

  Task<Status> acquire(Context ctx);
  Task<void> renew(Context leading);
  Task<void> release(Context ctx);
  void tell(std::string_view what);
  const std::string& lock() const { return lock_; }

 private:
  Task<Status> attempt(Context ctx);
  Task<Status> create(Context ctx);
  Task<Status> write(Context ctx, Ref<Lease> seen);
  void observe(Ref<Lease> lease);
  bool ours() const { return lease_ && lease_->spec().holder_identity() == options_.identity; }
  // Whether the holder may still be at work, by our clock since we saw the Lease change.
  bool valid() const {
    if (!lease_) return false;
    const Duration lasts = std::chrono::seconds(lease_->spec().lease_duration_seconds());
    return loop().now() - observed_at_ < lasts;
  }
  Loop& loop() const { return client_->loop(); }

  Client* client_;
  LeaderElectionOptions options_;
  std::string lock_, reported_;
  Ref<Lease> lease_;  // as it was last seen; empty: not yet, or there was none
  TimePoint observed_at_;
  bool holding_ = false;
  TimePoint acquired_{};  // when what made us the leader was asked for
};

void Elector::observe(Ref<Lease> lease) {
  const bool same =
      lease_ && lease_->metadata().resource_version() == lease->metadata().resource_version();
  lease_ = std::move(lease);
  if (!same) observed_at_ = loop().now();
  if (lease_->spec().holder_identity() == reported_) return;
  reported_ = lease_->spec().holder_identity();
  if (!reported_.empty() && reported_ != options_.identity)
    log::info("New leader elected", {{"lock", lock_}, {"identity", reported_}});
}

Task<Status> Elector::create(Context ctx) {
  Draft<LeaseEdit> d;
  auto meta = d->edit_metadata();
  meta.set_namespace_(options_.ns);
  meta.set_name(options_.name);
  auto spec = d->edit_spec();
  const std::string now = format_micro_time(loop().wall_now());
  spec.set_holder_identity(options_.identity);
  spec.set_lease_duration_seconds(options_.lease_duration / 1s);
  spec.set_acquire_time(now);
  spec.set_renew_time(now);
  spec.set_lease_transitions(0);
  Document body = d.take();
  auto r = co_await client_->create<Lease>(ctx, std::move(body));
  if (r.ok()) observe(*r);
  co_return r.status();
}

// Only over the Lease as it was seen: kConflict when another was quicker.
Task<Status> Elector::write(Context ctx, Ref<Lease> seen) {
  Draft<LeaseEdit> d(*seen);
  auto spec = d->edit_spec();
  const std::string now = format_micro_time(loop().wall_now());
  spec.set_renew_time(now);
  spec.set_lease_duration_seconds(options_.lease_duration / 1s);
  if (seen->spec().holder_identity() != options_.identity) {
    spec.set_holder_identity(options_.identity);
    spec.set_acquire_time(now);
    spec.set_lease_transitions(seen->spec().lease_transitions() + 1);
  }
  Document body = d.take();
  auto r = co_await client_->update<Lease>(ctx, std::move(body));
  if (r.ok()) observe(*r);
  co_return r.status();
}

// OK: we hold the Lease. kConflict: somebody else does.
Task<Status> Elector::attempt(Context ctx) {
  if (ours() && valid()) {  // nobody else writes it: it need not be read
    Status s = co_await write(ctx, lease_);
    if (s.ok()) co_return s;
  }
  auto current = co_await client_->get<Lease>(ctx, options_.ns, options_.name);
  if (!current.ok()) {
    if (!current.status().is(Reason::kNotFound)) co_return current.status();
    co_return co_await create(ctx);
  }
  observe(*current);
  const bool held = !lease_->spec().holder_identity().empty() && !ours();
  if (held && valid()) {
    co_return Status(Reason::kConflict,
                     "lease is held by " + std::string(lease_->spec().holder_identity()));
  }
  if (ours() && holding_) slow_paths(options_.name).add();
  co_return co_await write(ctx, lease_);
}

Task<Status> Elector::acquire(Context ctx) {
  log::info("Attempting to acquire leader lease...", {{"lock", lock_}});
  for (;;) {
    const TimePoint asked = loop().now();
    Context limited = ctx.with_timeout(options_.renew_deadline);
    Status s = co_await attempt(limited);
    if (s.ok()) {
      acquired_ = asked;
      holding_ = true;
      master_status(options_.name).set(1);
      log::info("Successfully acquired lease", {{"lock", lock_}, {"identity", options_.identity}});
      tell("became leader");
      co_return s;
    }
    if (ctx.done()) co_return ctx.status();
    if (!s.is(Reason::kConflict) && !s.is(Reason::kAlreadyExists))
      log::warn("Error retrieving lease lock", {{"lock", lock_}, {"err", s}});
    const double wait =
        static_cast<double>(options_.retry_period.count()) * (1 + loop().random().unit() * kJitter);
    TRY_CO(ctx.sleep(Duration(static_cast<int64_t>(wait))));
  }
}

// Renews until it has failed for as long as the deadline, then ends `leading`. The deadline counts
// from when the last renewal was asked for, so that it ends before another may take over.
Task<void> Elector::renew(Context leading) {
  TimePoint renewed = acquired_;
  while (!leading.done()) {
    const TimePoint end = renewed + options_.renew_deadline;
    const Duration pause = std::min(options_.retry_period, end - loop().now());
    Status slept = co_await leading.sleep(std::max(pause, Duration(0)));
    if (!slept.ok()) co_return;
    const TimePoint asked = loop().now();
    Context limited = leading.with_deadline(end);
    Status s = asked < end ? Status() : Status(Reason::kTimeout, "renew deadline exceeded");
    if (s.ok()) s = co_await attempt(limited);
    if (leading.done()) co_return;
    if (s.ok()) {
      renewed = asked;
      continue;
    }
    if (loop().now() < end) continue;
    holding_ = false;
    master_status(options_.name).set(0);
    log::error("Failed to renew lease", {{"lock", lock_}, {"err", s}});
    leading.cancel(Status::unavailable("leader election lost"));
  }
}

Task<void> Elector::release(Context ctx) {
  master_status(options_.name).set(0);
  tell("stopped leading");
  if (!holding_ || !options_.release_on_cancel) co_return;
  holding_ = false;
  auto current = co_await client_->get<Lease>(ctx, options_.ns, options_.name);
  if (!current.ok()) co_return;
  Ref<Lease> lease = *current;
  if (lease->spec().holder_identity() != options_.identity) co_return;
  Draft<LeaseEdit> d(*lease);
  auto spec = d->edit_spec();
  const std::string now = format_micro_time(loop().wall_now());
  spec.set_holder_identity("");
  spec.set_lease_duration_seconds(1);
  spec.set_renew_time(now);
  spec.set_acquire_time(now);
  Document body = d.take();
  auto r = co_await client_->update<Lease>(ctx, std::move(body));
  if (!r.ok()) log::warn("Failed to release lease", {{"lock", lock_}, {"err", r.status()}});
}

void Elector::tell(std::string_view what) {
  if (!options_.events || !lease_) return;
  options_.events->normal(reference_to(lease_), "LeaderElection",
                          options_.identity + " " + std::string(what));
}

Task<void> renew_task(Elector* elector, Context leading) { co_await elector->renew(leading); }

}  // namespace

Status check_leader_election(const LeaderElectionOptions& o) {
  const auto jittered =
      Duration(static_cast<int64_t>(static_cast<double>(o.retry_period.count()) * kJitter));
  if (o.lease_duration <= o.renew_deadline)
    return Status::bad_request("leaseDuration must be greater than renewDeadline");
  if (o.renew_deadline <= jittered)
    return Status::bad_request("renewDeadline must be greater than retryPeriod*JitterFactor");
  if (o.lease_duration < 1s) return Status::bad_request("leaseDuration must be greater than zero");
  if (o.renew_deadline < Duration(1))
    return Status::bad_request("renewDeadline must be greater than zero");
  if (o.retry_period < Duration(1))
    return Status::bad_request("retryPeriod must be greater than zero");
  if (o.identity.empty()) return Status::bad_request("Lock identity is empty");
  return {};
}

Task<Status> run_as_leader(Context ctx, Client* client, LeaderElectionOptions options,
                           std::function<Task<void>(Context)> lead) {
  Elector elector(client, std::move(options));
  Status acquired = co_await elector.acquire(ctx);
  if (!acquired.ok()) co_return acquired;
  Context leading = ctx.child();
  TaskGroup group(ctx.loop());
  group.spawn(renew_task(&elector, leading));
  Task<void> work = lead(leading);
  co_await std::move(work);
  Status why = leading.status();
  leading.cancel();
  co_await group.join();
  Context last_words = Context::root(ctx.loop()).with_timeout(kLastWords);
  co_await elector.release(last_words);
  if (ctx.done() || why.ok()) co_return Status();
  co_return why;
}

Task<void> stand_for_leader(Context ctx, Client* client, LeaderElectionOptions options,
                            std::function<Task<void>(Context)> lead) {
  while (!ctx.done()) {
    LeaderElectionOptions again = options;
    Status s = co_await run_as_leader(ctx, client, std::move(again), lead);
    if (ctx.done()) co_return;
    if (s.ok()) co_return;  // the work is done
    log::warn("Standing for leader again", {{"lock", options.ns + "/" + options.name}, {"why", s}});
  }
}

}  // namespace keles
