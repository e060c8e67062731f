// HttpsClient against the API server's HTTP front, over TLS on loopback.
#include "client/https_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/core_v1.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/sync.h"
#include "base/temporary_directory.h"
#include "client/informer.h"
#include "server/http/served_api.h"

namespace keles {
namespace {

using api::core_v1::ConfigMap;
using api::core_v1::ConfigMapEdit;
using api::core_v1::Pod;
using api::core_v1::PodEdit;

class Https : public testing::Test, protected server::ServedApi {
 protected:
  Https() {
    log::set_output(-1);
    client = connect("system:masters");
  }
  ClientConfig config() {
    ClientConfig c;
    Status s = parse_server_url("https://127.0.0.1:" + std::to_string(http->port()), &c);
    EXPECT_TRUE(s.ok());
    c.endpoint.tls->ca_pem = ca.certificate_pem;
    return c;
  }
  std::unique_ptr<HttpsClient> connect(const std::string& group) {
    ClientConfig c = config();
    std::vector<std::string> groups;
    if (!group.empty()) groups.push_back(group);
    c.endpoint.tls->identity = certificate("someone", false, std::move(groups));
    return std::make_unique<HttpsClient>(*loop, c);
  }
  static Document config_map(std::string_view name, std::string_view value) {
    Draft<ConfigMapEdit> d;
    d->edit_metadata().set_namespace_("default");
    d->edit_metadata().set_name(name);
    d->edit_data().set("k", value);
    return d.take();
  }

  std::unique_ptr<HttpsClient> client;
};

// Names come from objects that others write: none becomes a path to something else.
TEST_F(Https, ANameIsOnePartOfAPath) {
  for (const char* name : {"a/status", "../secrets/s", "..", ".", "a%2fstatus", "%2e%2e"}) {
    auto got = run(client->get<ConfigMap>(ctx, "default", name));
    EXPECT_TRUE(got.status().is(Reason::kBadRequest)) << name << got.status().to_string();
    got = run(client->get<ConfigMap>(ctx, name, "a"));
    EXPECT_TRUE(got.status().is(Reason::kBadRequest)) << name << got.status().to_string();
    Status gone = run(client->remove<ConfigMap>(ctx, "default", name));
    EXPECT_TRUE(gone.is(Reason::kBadRequest)) << name << gone.to_string();
  }
  auto got = run(client->get<ConfigMap>(ctx, "default", "a/b"));
  EXPECT_EQ(got.status().message(), "invalid resource name \"a/b\": [may not contain '/']");
  // What only needs encoding is asked for.
  got = run(client->get<ConfigMap>(ctx, "default", "a b?watch=1\r\n"));
  EXPECT_TRUE(got.status().is(Reason::kNotFound)) << got.status().to_string();
}

TEST_F(Https, CarriesEveryVerb) {
  auto made = run(client->create<ConfigMap>(ctx, config_map("a", "1")));
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  EXPECT_FALSE((*made)->metadata().uid().empty());
  auto got = run(client->get<ConfigMap>(ctx, "default", "a"));
  ASSERT_TRUE(got.ok());
  EXPECT_EQ((*got)->data().get("k"), "1");
  Draft<ConfigMapEdit> d(**got);
  d->edit_data().set("k", "2");
  Document stale = d.document().clone();
  auto updated = run(client->update<ConfigMap>(ctx, d.take()));
  ASSERT_TRUE(updated.ok()) << updated.status().to_string();
  auto conflict = run(client->update<ConfigMap>(ctx, std::move(stale)));
  EXPECT_TRUE(conflict.status().is(Reason::kConflict)) << conflict.status().to_string();
  Document patch;
  patch.root = Value::map();
  patch.root.set(patch.arena, "data", Value::map()).set(patch.arena, "l", Value::string("3"));
  auto patched = run(client->patch(ctx, &kind_of<ConfigMap>(), "default", "a", PatchType::kMerge,
                                   std::move(patch), {}));
  ASSERT_TRUE(patched.ok()) << patched.status().to_string();
  EXPECT_EQ(read<ConfigMap>(*patched)->data().get("l"), "3");
  auto again = run(client->create<ConfigMap>(ctx, config_map("a", "1")));
  EXPECT_TRUE(again.status().is(Reason::kAlreadyExists));
  EXPECT_EQ(again.status().message(), "configmaps \"a\" already exists");
  auto b = run(client->create<ConfigMap>(ctx, config_map("b", "1")));
  ASSERT_TRUE(b.ok());
  ListOptions lo;
  lo.field_selector = "metadata.name=b";
  auto some = run(client->list<ConfigMap>(ctx, "default", lo));
  ASSERT_TRUE(some.ok());
  EXPECT_EQ(some->size(), 1u);
  Status gone = run(client->remove<ConfigMap>(ctx, "default", "a"));
  EXPECT_TRUE(gone.ok()) << gone.to_string();
  auto missing = run(client->get<ConfigMap>(ctx, "default", "a"));
  EXPECT_EQ(missing.status().message(), "configmaps \"a\" not found");
}

// What is read from a list and written again leaves the managers as they were.
TEST_F(Https, ListsAndInformersHaveNoManagers) {
  ASSERT_TRUE(run(client->create<ConfigMap>(ctx, config_map("managed", "1"))).ok());
  auto managers = [&] {
    auto got = run(client->get<ConfigMap>(ctx, "default", "managed"));
    EXPECT_TRUE(got.ok());
    return (*got)->value()["metadata"]["managedFields"].size();
  };
  EXPECT_EQ(managers(), 1u);
  ListOptions lo;
  lo.field_selector = "metadata.name=managed";
  auto some = run(client->list<ConfigMap>(ctx, "default", lo));
  ASSERT_TRUE(some.ok());
  ASSERT_EQ(some->size(), 1u);
  EXPECT_TRUE(some->front()->value()["metadata"]["managedFields"].is_null());
  Draft<ConfigMapEdit> d(*some->front());
  d->edit_data().set("k", "2");
  ASSERT_TRUE(run(client->update<ConfigMap>(ctx, d.take())).ok());
  EXPECT_EQ(managers(), 1u);
}

TEST_F(Https, ListsPageByPage) {
  HttpsClientOptions o;
  o.list_page = 7;
  ClientConfig c = config();
  c.endpoint.tls->identity = certificate("someone", false, {"system:masters"});
  HttpsClient small(*loop, c, o);
  for (int i = 0; i < 20; ++i) {
    auto r = run(small.create<ConfigMap>(ctx, config_map("m" + std::to_string(i), "x")));
    ASSERT_TRUE(r.ok());
  }
  ListOptions lo;
  lo.label_selector = "!nothing";
  auto all = run(small.list<ConfigMap>(ctx, "default", lo));
  ASSERT_TRUE(all.ok()) << all.status().to_string();
  EXPECT_GE(all->size(), 20u);
}

TEST_F(Https, WritesSubresources) {
  Draft<api::core_v1::ServiceAccountEdit> account;
  account->edit_metadata().set_namespace_("default");
  account->edit_metadata().set_name("default");
  auto sa = run(client->create<api::core_v1::ServiceAccount>(ctx, account.take()));
  ASSERT_TRUE(sa.ok()) << sa.status().to_string();
  Draft<PodEdit> p;
  p->edit_metadata().set_namespace_("default");
  p->edit_metadata().set_name("p");
  auto container = p->edit_spec().edit_containers().add();
  container.set_name("c");
  container.set_image("i");
  auto made = run(client->create<Pod>(ctx, p.take()));
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  Document binding;
  binding.root = Value::map();
  Value& meta = binding.root.set(binding.arena, "metadata", Value::map());
  meta.set(binding.arena, "name", Value::string("p"));
  Value& target = binding.root.set(binding.arena, "target", Value::map());
  target.set(binding.arena, "kind", Value::string("Node"));
  target.set(binding.arena, "name", Value::string("n1"));
  WriteOptions o;
  o.subresource = "binding";
  auto bound = run(client->create(ctx, &kind_of<Pod>(), "default", "p", std::move(binding), o));
  ASSERT_TRUE(bound.ok()) << bound.status().to_string();
  auto got = run(client->get<Pod>(ctx, "default", "p"));
  EXPECT_EQ((*got)->spec().node_name(), "n1");
  Draft<PodEdit> d(**got);
  d->edit_status().set_phase("Running");
  auto status = run(client->update_status<Pod>(ctx, d.take()));
  ASSERT_TRUE(status.ok()) << status.status().to_string();
  EXPECT_EQ((*status)->status().phase(), "Running");
}

TEST_F(Https, FeedsAnInformer) {
  InformerFactory factory(*client);
  Informer<ConfigMap> maps = factory.informer<ConfigMap>("default");
  Context life = ctx.child();
  factory.start(life);
  ASSERT_TRUE(run(maps.base().wait_synced(ctx.with_timeout(5s))).ok());
  Event seen;
  maps.on_change([&](const Ref<ConfigMap>&, const Ref<ConfigMap>& now) {
    if (now && now->metadata().name() == "a" && now->data().get("k") == "2") seen.set();
  });
  ASSERT_TRUE(run(client->create<ConfigMap>(ctx, config_map("a", "1"))).ok());
  auto got = run(client->get<ConfigMap>(ctx, "default", "a"));
  Draft<ConfigMapEdit> d(**got);
  d->edit_data().set("k", "2");
  ASSERT_TRUE(run(client->update<ConfigMap>(ctx, d.take())).ok());
  EXPECT_TRUE(run(seen.wait(ctx.with_timeout(5s))).ok());
  store->compact(store->revision());
  WatchOptions o;
  o.resource_version = "1";
  auto w = run(client->watch(ctx, &kind_of<ConfigMap>(), "default", o));
  Status expired = w.status();
  if (w.ok()) {  // told in the stream
    auto e = run((*w)->next(ctx.with_timeout(5s)));
    expired = e.status();
    w->reset();
  }
  EXPECT_TRUE(expired.is(Reason::kExpired) || expired.is(Reason::kGone)) << expired.to_string();
  life.cancel();
  run(factory.join());
}

TEST_F(Https, TellsWhoMayNot) {
  auto nobody = connect("");
  auto r = run(nobody->get<ConfigMap>(ctx, "default", "a"));
  EXPECT_TRUE(r.status().is(Reason::kForbidden)) << r.status().to_string();
  ClientConfig c = config();
  const TemporaryDirectory files = *TemporaryDirectory::make();
  c.token_file = files.path() + "/keles-token";
  ASSERT_TRUE(write_file(c.token_file, "not-a-token\n").ok());
  HttpsClient by_token(*loop, c);
  auto t = run(by_token.get<ConfigMap>(ctx, "default", "a"));
  EXPECT_TRUE(t.status().is(Reason::kUnauthorized)) << t.status().to_string();
}

TEST_F(Https, SaysThatNobodyListens) {
  ClientConfig c = config();
  c.endpoint.port = 1;
  HttpsClient lost(*loop, c);
  auto r = run(lost.get<ConfigMap>(ctx, "default", "a"));
  EXPECT_TRUE(r.status().is(Reason::kUnavailable)) << r.status().to_string();
}

}  // namespace
}  // namespace keles
