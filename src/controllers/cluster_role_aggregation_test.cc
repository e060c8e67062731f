#include "controllers/cluster_role_aggregation.h"

#include <gtest/gtest.h>

#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/manager.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::controllers {
namespace {

using api::rbac_v1::ClusterRole;

Ref<ClusterRole> role(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml;
  return Ref<ClusterRole>(std::make_shared<const Document>(std::move(*d)));
}

std::string planned(std::string_view of, const std::vector<std::string_view>& others) {
  std::vector<Ref<ClusterRole>> all{role(of)};
  for (std::string_view o : others) all.push_back(role(o));
  auto plan = plan_aggregation(*all[0], all);
  if (!plan.ok()) return plan.status().message();
  return *plan ? to_json((**plan).root) : "nothing";
}

TEST(ClusterRoleAggregation, SumsTheRulesOfThoseThatItSelects) {
  constexpr std::string_view kSum =
      "metadata: {name: sum, labels: {to: x}}\n"
      "aggregationRule: {clusterRoleSelectors: [{matchLabels: {to: x}}, {matchLabels: {to: y}}]}\n";
  const std::vector<std::string_view> parts{
      "metadata: {name: z, labels: {to: x}}\nrules: [{verbs: [get]}, {verbs: [list]}]",
      "metadata: {name: a, labels: {to: x}}\nrules: [{verbs: [list]}]",
      "metadata: {name: b, labels: {to: y}}\nrules: [{verbs: [watch]}]",
      "metadata: {name: c, labels: {to: q}}\nrules: [{verbs: [delete]}]"};
  // By name, each rule once, not itself.
  EXPECT_EQ(planned(kSum, parts),
            R"({"rules":[{"verbs":["list"]},{"verbs":["get"]},{"verbs":["watch"]}]})");
  std::string done(kSum);
  done += "rules: [{verbs: [list]}, {verbs: [get]}, {verbs: [watch]}]";
  EXPECT_EQ(planned(done, parts), "nothing");
  EXPECT_EQ(planned(done, {}), R"({"rules":[]})");  // what nobody gives any more is taken back
  EXPECT_EQ(planned(kSum, {}), "nothing");
  EXPECT_EQ(planned("metadata: {name: plain}\nrules: [{verbs: [get]}]", parts), "nothing");
}

TEST(ClusterRoleAggregation, FollowsAggregatesOfAggregatesAndFallsQuiet) {
  SimLoop loop(7);
  FakeClient client(loop);
  Context ctx = Context::root(loop);
  auto put = [&](std::string_view yaml) {
    client.put_yaml("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n" +
                    std::string(yaml));
  };
  put("metadata: {name: admin}\naggregationRule: {clusterRoleSelectors: [{matchLabels: {to: "
      "admin}}]}\nrules: null");
  put("metadata: {name: edit, labels: {to: admin}}\naggregationRule: {clusterRoleSelectors: "
      "[{matchLabels: {to: edit}}]}\nrules: null");
  Manager manager(client, Options{});
  spawn(loop, [](Context c, Manager* m) -> Task<void> { co_await m->run(c); }(ctx, &manager));
  loop.advance(1s);
  put("metadata: {name: extra, labels: {to: edit}}\nrules: [{verbs: [get], apiGroups: [x], "
      "resources: [y]}]");
  loop.advance(5s);
  const KindDesc& kind = kind_of<ClusterRole>();
  for (const char* name : {"admin", "edit"}) {
    EXPECT_EQ(client.now(kind, "", name)->tree()->root["rules"].size(), 1u) << name;
  }
  client.clear_calls();
  loop.advance(1h);
  for (const FakeCall& call : client.calls()) {
    const bool reads = call.verb == "watch" || call.verb == "list";  // informers look again
    const bool role = call.resource == "clusterroles.rbac.authorization.k8s.io";
    EXPECT_FALSE(role && !reads) << call.to_string();
  }
  ctx.cancel();
  loop.advance(5min);
}

}  // namespace
}  // namespace keles::controllers
