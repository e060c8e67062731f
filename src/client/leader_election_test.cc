// Candidates for one Lease on virtual time against FakeClient.
#include "client/leader_election.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/coordination_v1.h"
#include "api/core_v1.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/sim_loop.h"
#include "base/sync.h"
#include "client/testing/fake_client.h"

namespace keles {
namespace {

using api::coordination_v1::Lease;
using testing::HasSubstr;

// One candidate, and how often it has begun and ended to lead.
struct Candidate {
  Candidate(SimLoop& loop, FakeClient& client, std::string identity, bool release = true)
      : ctx(Context::root(loop)), tasks(loop) {
    LeaderElectionOptions o;
    o.name = "work";
    o.identity = std::move(identity);
    o.release_on_cancel = release;
    std::function<Task<void>(Context)> lead = [this](Context c) { return work(std::move(c)); };
    tasks.spawn(stand_for_leader(ctx, &client, o, lead));
  }
  Task<void> work(Context leading) {
    ++began;
    Event never;
    (void)co_await never.wait(leading);
    ++ended;
  }
  bool leads() const { return began > ended; }
  Context ctx;
  TaskGroup tasks;
  int began = 0, ended = 0;
};

struct Election : testing::Test {
  Election() { log::set_output(-1); }
  ~Election() override {
    for (auto& c : candidates) c->ctx.cancel();
    loop.advance(1min);
  }
  Candidate& add(std::string identity, bool release = true) {
    candidates.push_back(std::make_unique<Candidate>(loop, client, std::move(identity), release));
    return *candidates.back();
  }
  Ref<Lease> lease() { return client.now<Lease>("kube-system", "work"); }
  SimLoop loop{1};
  FakeClient client{loop};
  std::vector<std::unique_ptr<Candidate>> candidates;
};

TEST_F(Election, TheFirstLeadsAtOnceAndRenews) {
  Candidate& a = add("a");
  loop.run_ready();
  ASSERT_TRUE(a.leads());
  EXPECT_EQ(lease()->spec().holder_identity(), "a");
  EXPECT_EQ(lease()->spec().lease_duration_seconds(), 15);
  EXPECT_EQ(lease()->spec().lease_transitions(), 0);
  const std::string first(lease()->spec().renew_time()), acquired(lease()->spec().acquire_time());
  client.clear_calls();
  loop.advance(60s);
  EXPECT_TRUE(a.leads());
  EXPECT_NE(lease()->spec().renew_time(), first);
  EXPECT_EQ(lease()->spec().acquire_time(), acquired);
  // A leader that nobody disturbs does not read what it wrote itself.
  for (const FakeCall& c : client.calls()) EXPECT_EQ(c.verb, "update");
  EXPECT_EQ(client.calls().size(), 30u);
  EXPECT_THAT(metrics::expose(), HasSubstr("leader_election_master_status{name=\"work\"} 1"));
}

TEST_F(Election, WhoCannotRenewStopsBeforeAnotherMayLead) {
  Candidate& a = add("a");
  loop.run_ready();
  Candidate& b = add("b");
  loop.advance(5min);
  EXPECT_TRUE(a.leads());
  EXPECT_FALSE(b.leads());
  EXPECT_EQ(b.began, 0);
  // It cannot write any more; reading goes on.
  client.fail("update", "leases.coordination.k8s.io", Status::unavailable("away"), 1000);
  loop.advance(11s);
  EXPECT_EQ(a.ended, 1);
  EXPECT_EQ(b.began, 0) << "the lease lasts 15 s";
}

TEST_F(Election, WhoGivesUpIsFollowedSoon) {
  Candidate& a = add("a");
  loop.run_ready();
  Candidate& b = add("b");
  loop.advance(10s);
  a.ctx.cancel();
  loop.run_ready();
  EXPECT_EQ(a.ended, 1);
  EXPECT_EQ(lease()->spec().holder_identity(), "");
  EXPECT_EQ(lease()->spec().lease_duration_seconds(), 1);
  loop.advance(5s);
  EXPECT_TRUE(b.leads());
  EXPECT_EQ(lease()->spec().holder_identity(), "b");
  EXPECT_EQ(lease()->spec().lease_transitions(), 1);
}

TEST_F(Election, WhoDiesIsFollowedWhenTheLeaseHasRunOut) {
  Candidate& a = add("a", false);
  loop.run_ready();
  Candidate& b = add("b");
  loop.advance(10s);
  a.ctx.cancel();
  loop.advance(10s);
  EXPECT_EQ(lease()->spec().holder_identity(), "a");
  EXPECT_FALSE(b.leads());
  loop.advance(12s);
  EXPECT_TRUE(b.leads());
}

TEST_F(Election, WhoComesBackUnderItsNameLeadsAtOnce) {
  Candidate& a = add("a", false);
  loop.advance(3s);
  a.ctx.cancel();
  loop.advance(1s);
  Candidate& again = add("a");
  loop.run_ready();
  EXPECT_TRUE(again.leads());
  EXPECT_EQ(lease()->spec().lease_transitions(), 0);
}

TEST_F(Election, AfterALossItStandsAgain) {
  Candidate& a = add("a");
  loop.run_ready();
  // Six attempts within the ten seconds, each by an update and one by reading first.
  client.fail("*", "leases.coordination.k8s.io", Status::unavailable("away"), 12);
  loop.advance(11s);
  EXPECT_EQ(a.ended, 1);
  loop.advance(30s);
  EXPECT_EQ(a.began, 2);
  EXPECT_TRUE(a.leads());
}

TEST_F(Election, AConflictIsNoLossWhenTheLeaseIsStillOurs) {
  Candidate& a = add("a");
  loop.run_ready();
  Draft<api::coordination_v1::LeaseEdit> touched(*lease());
  touched->edit_metadata().edit_labels().set("touched", "yes");
  client.put(kind_of<Lease>(), touched.take());
  loop.advance(30s);
  EXPECT_EQ(a.began, 1);
  EXPECT_TRUE(a.leads());
  EXPECT_EQ(lease()->metadata().labels().get("touched"), "yes");
}

TEST_F(Election, ItsEventsNameWhoLeads) {
  EventRecorder recorder(client, "kube-controller-manager");
  Context ctx = Context::root(loop);
  recorder.start(ctx);
  LeaderElectionOptions o;
  o.name = "work";
  o.identity = "me";
  o.events = &recorder;
  Context standing = ctx.child();
  TaskGroup tasks(loop);
  std::function<Task<void>(Context)> lead = [](Context c) -> Task<void> {
    Event never;
    (void)co_await never.wait(c);
  };
  tasks.spawn(stand_for_leader(standing, &client, o, lead));
  loop.advance(1s);
  standing.cancel();
  loop.advance(1s);
  auto events = client.all<api::core_v1::Event>("kube-system");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]->reason(), "LeaderElection");
  EXPECT_EQ(events[0]->involved_object().kind(), "Lease");
  EXPECT_EQ(events[0]->involved_object().api_version(), "coordination.k8s.io/v1");
  std::string said = std::string(events[0]->message()) + "; " + std::string(events[1]->message());
  EXPECT_THAT(said, HasSubstr("me became leader"));
  EXPECT_THAT(said, HasSubstr("me stopped leading"));
  ctx.cancel();
  loop.advance(1s);
}

TEST(ElectionOptions, FitTogether) {
  LeaderElectionOptions o;
  o.identity = "a";
  EXPECT_TRUE(check_leader_election(o).ok());
  o.renew_deadline = 15s;
  EXPECT_EQ(check_leader_election(o).message(), "leaseDuration must be greater than renewDeadline");
  o.renew_deadline = 10s;
  o.retry_period = 9s;
  EXPECT_EQ(check_leader_election(o).message(),
            "renewDeadline must be greater than retryPeriod*JitterFactor");
}

}  // namespace
}  // namespace keles
