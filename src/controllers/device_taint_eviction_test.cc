// Who must go when a device of his claim is tainted, and when.
#include "controllers/device_taint_eviction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/options.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using api::core_v1::Pod;
using api::resource_v1::ResourceClaim;

std::string claim_of(const std::string& tolerations, const std::string& more = "") {
  return "{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: c, namespace: x}, "
         "status: {allocation: {devices: {results: [{request: r, driver: d, pool: p, device: gpu, "
         "tolerations: [" +
         tolerations + "]}" + more + "]}}, reservedFor: [{resource: pods, name: p, uid: u}]}}";
}

TEST(DeviceTaintPlan, WhenAClaimsUsersMustGo) {
  struct Case {
    const char *what, *taints, *tolerations;
    int64_t after;  // seconds since kNow; -1: never
  };
  const std::string at = "timeAdded: '2026-01-01T12:00:10Z'";
  const std::string sick = "{key: sick, value: very, effect: NoExecute, " + at + "}";
  const std::string soft = "{key: sick, value: very, effect: NoSchedule, " + at + "}";
  const std::string later = "{key: old, effect: NoExecute, timeAdded: '2026-01-01T12:00:30Z'}";
  const std::string both = later + ", " + sick;
  const Case cases[] = {
      {"no taints", "", "", -1},
      {"keeps off, drives nobody out", soft.c_str(), "", -1},
      {"at once", sick.c_str(), "", 10},
      {"the first of two", both.c_str(), "", 10},
      {"tolerated", sick.c_str(), "{key: sick, operator: Exists, effect: NoExecute}", -1},
      {"by its value", sick.c_str(), "{key: sick, operator: Equal, value: very, effect: NoExecute}",
       -1},
      {"not another value", sick.c_str(),
       "{key: sick, operator: Equal, value: less, effect: NoExecute}", 10},
      {"an effect must be named", sick.c_str(), "{key: sick, operator: Exists}", 10},
      {"everything", sick.c_str(), "{operator: Exists, effect: NoExecute}", -1},
      {"for a while", sick.c_str(),
       "{key: sick, operator: Exists, effect: NoExecute, tolerationSeconds: 60}", 70},
      {"the shorter while", sick.c_str(),
       "{key: sick, operator: Exists, effect: NoExecute, tolerationSeconds: 60}, {operator: "
       "Exists, effect: NoExecute, tolerationSeconds: 5}",
       15},
      {"no while at all", sick.c_str(),
       "{operator: Exists, effect: NoExecute, tolerationSeconds: -5}", 10},
      {"the other taint is not tolerated", both.c_str(),
       "{key: sick, operator: Exists, effect: NoExecute}", 30},
  };
  for (const Case& c : cases) {
    auto claim = parse<ResourceClaim>(claim_of(c.tolerations));
    Document taints = std::move(*parse_yaml(std::string("[") + c.taints + "]"));
    auto when = plan_claim_eviction(
        *claim,
        [&](std::string_view driver, std::string_view pool, std::string_view device,
            const EachTaint& fn) {
          EXPECT_EQ(std::string(driver) + "/" + std::string(pool) + "/" + std::string(device),
                    "d/p/gpu");
          for (const Value& t : taints.root.items()) fn(api::resource_v1::DeviceTaint(t));
        },
        kNow);
    const int64_t after =
        when ? std::chrono::duration_cast<std::chrono::seconds>(*when - kNow).count() : -1;
    EXPECT_EQ(after, c.after) << c.what;
  }
}

class DeviceTaintEvictionTest : public testing::Test {
 protected:
  DeviceTaintEvictionTest() : loop(5), client(loop), informers(client), ctx(Context::root(loop)) {
    log::set_output(-1);
    controller = std::make_unique<DeviceTaintEvictionController>(Deps{client, informers, options});
    informers.start(ctx);
    spawn(loop, run(ctx, controller.get()));
    put_slice("");
    loop.advance(1s);
  }
  ~DeviceTaintEvictionTest() override {
    ctx.cancel();
    loop.advance(1min);
  }
  static Task<void> run(Context c, Controller* r) { co_await r->run(c); }
  void put_slice(const std::string& taint, int generation = 1, const std::string& name = "s") {
    client.put_yaml(
        "{apiVersion: resource.k8s.io/v1, kind: ResourceSlice, metadata: {name: " + name +
        "}, spec: {driver: d, pool: {name: p, generation: " + std::to_string(generation) +
        ", resourceSliceCount: 1}, nodeName: n1, devices: [{name: gpu, taints: [" + taint +
        "]}]}}");
  }
  std::string taint_now() const {
    return "{key: sick, effect: NoExecute, timeAdded: '" + format_time(loop.wall_now()) + "'}";
  }
  void put_pod(const std::string& uid = "u") {
    client.put_yaml(
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: x, uid: " + uid +
        "}, spec: {nodeName: n1, resourceClaims: [{name: one, resourceClaimName: c}]}}");
  }
  bool is_there() const {
    auto pod = client.now<Pod>("x", "p");
    return pod && pod->metadata().deletion_timestamp().empty();
  }
  std::vector<std::string> messages() const {
    std::vector<std::string> out;
    for (const auto& e : client.all<api::core_v1::Event>("x"))
      out.push_back(std::string(e->reason()) + ": " + std::string(e->message()));
    return out;
  }

  SimLoop loop;
  FakeClient client;
  InformerFactory informers;
  Options options;
  Context ctx;
  std::unique_ptr<DeviceTaintEvictionController> controller;
};

TEST_F(DeviceTaintEvictionTest, WhoHasASickDeviceGoes) {
  put_pod();
  client.put_yaml(claim_of(""));
  loop.advance(1min);
  EXPECT_TRUE(is_there());
  put_slice(taint_now());
  loop.advance(2s);
  EXPECT_FALSE(is_there());
  EXPECT_THAT(messages(), testing::Contains("DeviceTaintManagerEviction: Marking for deletion"));
  EXPECT_THAT(client.writes(),
              testing::ElementsAre("patch pods/status x/p", testing::_, "delete pods x/p"));
}

TEST_F(DeviceTaintEvictionTest, AWhileIsGrantedAndATaintThatGoesIsForgotten) {
  put_pod();
  client.put_yaml(
      claim_of("{key: sick, operator: Exists, effect: NoExecute, tolerationSeconds: 60}"));
  put_slice(taint_now());
  loop.advance(50s);
  EXPECT_TRUE(is_there());
  put_slice("");
  loop.advance(60s);
  EXPECT_TRUE(is_there());
  EXPECT_THAT(messages(), testing::Contains("DeviceTaintManagerEviction: Cancelling deletion"));
  put_slice(taint_now());
  loop.advance(59s);
  EXPECT_TRUE(is_there());
  loop.advance(5s);
  EXPECT_FALSE(is_there());
}

TEST_F(DeviceTaintEvictionTest, TheNewestOfAPoolCounts) {
  put_pod();
  client.put_yaml(claim_of(""));
  put_slice("", 2, "newer");
  put_slice(taint_now(), 1);
  loop.advance(10s);
  EXPECT_TRUE(is_there());
  put_slice(taint_now(), 3, "newest");
  loop.advance(10s);
  EXPECT_FALSE(is_there());
}

TEST_F(DeviceTaintEvictionTest, AnotherPodOfThatNameStays) {
  put_slice(taint_now());
  client.put_yaml(claim_of(""));
  put_pod("other");
  loop.advance(1min);
  EXPECT_TRUE(is_there());
}

}  // namespace
}  // namespace keles::controllers
