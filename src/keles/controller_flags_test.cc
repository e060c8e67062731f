// The flags of the controllers, and who leads.
#include "keles/controller_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "api/coordination_v1.h"
#include "api/core_v1.h"
#include "base/log.h"
#include "base/sim_loop.h"
#include "base/sync.h"
#include "client/testing/fake_client.h"
#include "controllers/manager.h"
#include "keles/leading.h"

namespace keles {
namespace {

using testing::HasSubstr;

// The names of those that run under these flags; or why not.
std::string chosen(const std::string& controllers) {
  ControllerFlags c;
  Flags flags("");
  add_controller_flags(flags, c);
  auto rest = flags.parse({"--controllers=" + controllers});
  if (!rest.ok()) return rest.status().message();
  if (Status s = check_controller_flags(&c, "10.244.0.0/16"); !s.ok()) return s.message();
  std::string out;
  for (const auto& known : controllers::known_controllers()) {
    if (wants_controller(c.controllers, known)) out += std::string(known.name) + " ";
  }
  return out;
}

TEST(Controllers, AreChosenByName) {
  const std::string all = chosen("*");
  EXPECT_THAT(all, HasSubstr("job-controller "));
  EXPECT_THAT(all, Not(HasSubstr(" token-cleaner-controller ")));
  EXPECT_EQ(chosen(""), "");
  EXPECT_EQ(chosen("-job-controller"), "");
  EXPECT_EQ(chosen("job"), "job-controller ");
  EXPECT_EQ(chosen("-job,job"), "") << "what is said first counts";
  EXPECT_EQ(chosen("job,-job"), "job-controller ");
  EXPECT_EQ(chosen("*,-job-controller").size(), all.size() - std::string("job-controller ").size());
  EXPECT_EQ(chosen("tokencleaner"), "token-cleaner-controller ");
  EXPECT_EQ(chosen("*,foo"), "\"foo\" is not in the list of known controllers");
  EXPECT_EQ(chosen("-foo"), "\"foo\" is not in the list of known controllers");
  EXPECT_EQ(chosen("-*"), "\"*\" is not in the list of known controllers");
}

TEST(Controllers, HaveNamesOfTheirOwn) {
  std::set<std::string_view> names, flags;
  for (const auto& c : controllers::known_controllers()) {
    EXPECT_TRUE(names.insert(c.name).second) << c.name;
    EXPECT_TRUE(c.alias.empty() || names.insert(c.alias).second) << c.alias;
    EXPECT_TRUE(c.syncs_flag.empty() || flags.insert(c.syncs_flag).second) << c.syncs_flag;
    EXPECT_GT(c.syncs, 0) << c.name;
  }
}

TEST(Controllers, TheirFlagsAreChecked) {
  struct Case {
    std::vector<std::string> args;
    std::string why;
  } cases[] = {
      {{"--concurrent-job-syncs=0"}, "concurrent-job-syncs must be greater than 0, but got 0"},
      {{"--concurrent-gc-syncs=5000"}, "concurrent-gc-syncs must be not more than 1000"},
      {{"--kube-api-qps=fast"}, "invalid argument \"fast\" for \"--kube-api-qps\" flag"},
      {{"--kube-api-qps=20", "--kube-api-burst=0"}, "--kube-api-burst"},
      {{"--leader-elect-resource-lock=endpoints"}, "resourceLock value must be \"leases\""},
      {{"--leader-elect-lease-duration=5s"}, "leaseDuration must be greater than renewDeadline"},
      {{"--node-cidr-mask-size-ipv6=80"},
       "usage of --node-cidr-mask-size-ipv6 is not allowed for a single-stack IPv4 cluster"},
      {{"--node-cidr-mask-size=26"}, ""},
      {{"--load-balancer-pool=10.0.0.16/28,fd00::10-fd00::1f"}, ""},
      {{"--load-balancer-pool=10.0.0.17/28"},
       "--load-balancer-pool: \"10.0.0.17/28\" is no range, but an address within one: want "
       "10.0.0.16/28, or 10.0.0.17 alone"},
      {{"--load-balancer-pool=10.244.7.0/28"},
       "--load-balancer-pool: \"10.244.7.0/28\" has addresses of pods (10.244.0.0/16)"},
      {{"--load-balancer-pool=10.0.0.16/28", "--local-load-balancers"},
       "leave out --local-load-balancers"},
      {{"--leader-elect=false", "--leader-elect-lease-duration=5s"}, ""},
      {{"--kube-api-qps=2.5", "--concurrent-rc-syncs=3"}, ""},
  };
  for (const Case& k : cases) {
    ControllerFlags c;
    Flags flags("");
    add_controller_flags(flags, c);
    ASSERT_TRUE(flags.parse(k.args).ok());
    Status s = check_controller_flags(&c, "10.244.0.0/16");
    EXPECT_EQ(s.ok(), k.why.empty()) << s.message();
    EXPECT_THAT(s.message(), HasSubstr(k.why));
    EXPECT_THAT(flags.help_text(),
                HasSubstr("garbage-collector-controller, horizontal-pod-autoscaler-controller"));
  }
}

Task<void> until_told(Context leading, int* began) {
  ++*began;
  Event never;
  (void)co_await never.wait(leading);
}

TEST(Leading, AServerThatComesBackLeadsAtOnce) {
  log::set_output(-1);
  SimLoop loop(1);
  FakeClient client(loop);
  client.put_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, uid: u}}");
  LeaderElectionOptions o;
  o.name = "kube-scheduler";
  o.release_on_cancel = false;  // as one that is killed
  int began = 0;
  std::function<Task<void>(Context)> lead = [&began](Context c) { return until_told(c, &began); };
  for (int life = 1; life <= 2; ++life) {
    Context ctx = Context::root(loop);
    spawn(loop, run_leading(ctx, &client, true, o, "default-scheduler", lead));
    loop.run_ready();
    EXPECT_EQ(began, life);
    ctx.cancel();
    loop.advance(1s);
  }
  auto lease = client.now<api::coordination_v1::Lease>("kube-system", "kube-scheduler");
  EXPECT_THAT(std::string(lease->spec().holder_identity()), testing::EndsWith("_u"));
  // Without election nothing is written, and it runs all the same.
  client.clear_calls();
  Context ctx = Context::root(loop);
  spawn(loop, run_leading(ctx, &client, false, o, "default-scheduler", lead));
  loop.run_ready();
  EXPECT_EQ(began, 3);
  EXPECT_TRUE(client.calls().empty());
  ctx.cancel();
  loop.advance(1s);
}

}  // namespace
}  // namespace keles
