// Decisions over all objects of a kind, where one of them cannot be read: nothing is let that it
// may forbid, nothing is given away that it may hold; and it is said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/run_task.h"
#include "keles/local_client.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "server/registry/registry.h"
#include "server/registry/services.h"
#include "store/sim/sim_store.h"

namespace keles {
namespace {

using testing::HasSubstr;

const KindDesc& kind(std::string_view api_version, std::string_view name) {
  return *find_kind(api_version, name);
}
const KindDesc& pods() { return kind("v1", "Pod"); }
const KindDesc& services() { return kind("v1", "Service"); }
const KindDesc& addresses() { return kind("networking.k8s.io/v1", "IPAddress"); }

class Decisions : public testing::Test {
 protected:
  SimLoop loop{7};
  SimDisk disk{loop};
  Context ctx = Context::root(loop);
  std::unique_ptr<Store> store;
  std::unique_ptr<ApiServer> server;
  std::unique_ptr<Client> client;

  Decisions() {
    start();
    must(kind("v1", "Namespace"), "", "metadata: {name: other}");
    for (const char* ns : {"default", "other"})
      must(kind("v1", "ServiceAccount"), ns, "metadata: {name: default}");
  }
  void start() {
    client.reset();
    server.reset();
    store.reset();
    store = std::move(*open_sim_store(disk));
    ApiServerOptions options;
    options.service_cidr = "10.96.0.0/29";
    server = std::make_unique<ApiServer>(store.get(), options);
    Status s = run(server->start(ctx));
    EXPECT_TRUE(s.ok()) << s.to_string();
    client = make_local_client(*server, loop, "test");
  }
  // From now on the record cannot be read.
  void damage(std::string key) {
    disk.damage(key);
    start();
    EXPECT_EQ(store->unreadable(key).size(), 1u);
  }
  template <class T>
  T run(Task<T> t) {
    return run_task(loop, std::move(t));
  }
  Result<ObjectPtr> create(const KindDesc& k, std::string ns, std::string_view yaml,
                           std::string name = "", std::string subresource = "") {
    WriteOptions o;
    o.subresource = subresource;
    auto d = decode_body(*ApiServer::body_kind(k, subresource), to_json(parse_yaml(yaml)->root));
    EXPECT_TRUE(d.ok()) << d.status().to_string() << " in " << yaml;
    return run(client->create(ctx, &k, ns, name, std::move(*d), o));
  }
  ObjectPtr must(const KindDesc& k, std::string ns, std::string_view yaml) {
    auto made = create(k, ns, yaml);
    EXPECT_TRUE(made.ok()) << made.status().message() << " in " << yaml;
    return made.ok() ? *made : nullptr;
  }
  std::string try_pod(std::string ns, std::string name, std::string more = "") {
    return create(pods(), ns,
                  "metadata: {name: " + name +
                      ", labels: {app: x}}\nspec: {containers: [{name: c, "
                      "image: i}]" +
                      more + "}")
        .status()
        .message();
  }
  bool is_there(const KindDesc& k, std::string ns, std::string name) {
    return run(client->get(ctx, &k, ns, name)).ok();
  }
};

TEST_F(Decisions, NoPodPastALimitThatNobodyKnows) {
  must(kind("v1", "LimitRange"), "default",
       "metadata: {name: l}\nspec: {limits: [{type: Container, max: {cpu: 1}}]}");
  damage("/registry/limitranges/default/l");
  EXPECT_THAT(try_pod("default", "p"), HasSubstr("/registry/limitranges/default/l"));
  EXPECT_EQ(try_pod("other", "p"), "");
}

TEST_F(Decisions, NoPodOfADefaultPriorityThatNobodyKnows) {
  const KindDesc& classes = kind("scheduling.k8s.io/v1", "PriorityClass");
  must(classes, "", "metadata: {name: usual}\nvalue: 10\nglobalDefault: true");
  must(classes, "", "metadata: {name: low}\nvalue: 1");
  damage("/registry/priorityclasses/usual");
  EXPECT_THAT(try_pod("default", "p"), HasSubstr("/registry/priorityclasses/usual"));
  EXPECT_EQ(try_pod("default", "p", ", priorityClassName: low"), "");
}

TEST_F(Decisions, NoEvictionPastABudgetThatNobodyKnows) {
  must(kind("policy/v1", "PodDisruptionBudget"), "default",
       "metadata: {name: b}\nspec: {minAvailable: 1, selector: {matchLabels: {app: x}}}");
  ASSERT_EQ(try_pod("default", "p"), "");
  ASSERT_EQ(try_pod("other", "p"), "");
  for (const char* ns : {"default", "other"}) {
    WriteOptions o;
    o.subresource = "status";
    auto patched = run(client->patch(ctx, &pods(), ns, "p", PatchType::kMerge,
                                     *parse_yaml("status: {phase: Running}"), o));
    ASSERT_TRUE(patched.ok()) << patched.status().message();
  }
  damage("/registry/poddisruptionbudgets/default/b");
  auto evict = [&](std::string ns) {
    return create(pods(), ns, "metadata: {name: p}", "p", "eviction").status();
  };
  EXPECT_THAT(evict("default").message(), HasSubstr("/registry/poddisruptionbudgets/default/b"));
  EXPECT_TRUE(is_there(pods(), "default", "p"));
  EXPECT_TRUE(evict("other").ok());
}

TEST_F(Decisions, TheAddressAndPortOfAServiceStayItsOwn) {
  ObjectPtr held = must(services(), "default",
                        "metadata: {name: s}\nspec: {type: NodePort, ports: [{port: 80, nodePort: "
                        "30080}]}");
  ASSERT_NE(held, nullptr);
  const std::string ip(held->tree()->root["spec"]["clusterIP"].as_string());
  damage("/registry/services/specs/default/s");
  registry::ServiceAllocator& allocator = server->registry().services();
  std::set<int64_t> suspects;
  for (int i = 0; i < 3; ++i) {
    auto repaired = run(allocator.repair(ctx, suspects));
    ASSERT_TRUE(repaired.ok()) << repaired.status().message();
    suspects = *repaired;
    EXPECT_TRUE(suspects.empty());
    loop.advance(5min);
  }
  EXPECT_TRUE(is_there(addresses(), "", ip));
  auto taken = create(services(), "default",
                      "metadata: {name: t}\nspec: {type: NodePort, ports: [{port: 80, nodePort: "
                      "30080}]}");
  EXPECT_THAT(taken.status().message(), HasSubstr("provided port is already allocated"));
  // Once it is gone, by name, both are free.
  registry::DeleteRequest request;
  request.ignore_store_read_error = true;
  auto gone = run(server->registry().remove(ctx, &services(), "default", "s", request,
                                            registry::WriteRequest()));
  ASSERT_TRUE(gone.ok()) << gone.status().message();
  for (int i = 0; i < 2; ++i) {
    auto repaired = run(allocator.repair(ctx, suspects));
    ASSERT_TRUE(repaired.ok()) << repaired.status().message();
    suspects = *repaired;
  }
  EXPECT_FALSE(is_there(addresses(), "", ip));
  EXPECT_TRUE(create(services(), "default",
                     "metadata: {name: t}\nspec: {type: NodePort, ports: [{port: 80, nodePort: "
                     "30080}]}")
                  .ok());
}

TEST_F(Decisions, AnAddressWhoseClaimCannotBeReadIsTaken) {
  ObjectPtr held = must(services(), "default", "metadata: {name: s}\nspec: {ports: [{port: 80}]}");
  ASSERT_NE(held, nullptr);
  const std::string ip(held->tree()->root["spec"]["clusterIP"].as_string());
  damage("/registry/ipaddresses/" + ip);
  std::set<std::string> given;
  Status last;
  for (int i = 0; i < 10; ++i) {
    auto made = create(services(), "default",
                       "metadata: {name: s" + std::to_string(i) + "}\nspec: {ports: [{port: 80}]}");
    if (made.ok()) {
      given.emplace((*made)->tree()->root["spec"]["clusterIP"].as_string());
    } else {
      last = made.status();
    }
  }
  EXPECT_FALSE(given.contains(ip));
  EXPECT_GE(given.size(), 3u);
  EXPECT_THAT(last.message(), HasSubstr("range is full"));
}

}  // namespace
}  // namespace keles
