// Discovery against the table of upstream's resources.
#include "server/discovery/discovery.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "api/meta_v1.h"
#include "base/file.h"
#include "base/testing.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/version_order.h"

namespace keles::server {
namespace {

namespace fs = std::filesystem;

Document get(const Discovery& d, std::string_view path,
             std::string_view accept = "application/json") {
  auto body = d.get(path, accept, "10.0.0.1:6443");
  EXPECT_TRUE(body.has_value()) << path;
  if (!body) return {};
  auto doc = parse_json(*body->bytes);
  EXPECT_TRUE(doc.ok()) << *body->bytes;
  return doc.ok() ? std::move(*doc) : Document();
}

constexpr std::string_view kAggregated =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

TEST(Discovery, EqualsUpstreamsTable) {
  const fs::path file = shared_dir() / "api" / "v1.36" / "resources.json";
  if (!fs::exists(file)) GTEST_SKIP() << "the shared tables are not at " << file;
  auto text = read_file(file.string());
  ASSERT_TRUE(text.ok());
  auto table = parse_json(*text);
  ASSERT_TRUE(table.ok());
  Discovery d(all_kinds());
  size_t versions = 0;
  for (const Member& gv : table->root.members()) {
    SCOPED_TRACE(std::string(gv.key()));
    const bool core = gv.key() == "v1";
    Document ours = get(d, (core ? "/api/" : "/apis/") + std::string(gv.key()));
    EXPECT_EQ(ours.root["groupVersion"].as_string(), gv.key());
    std::map<std::string_view, const Value*> by_name;
    for (const Value& r : ours.root["resources"].items()) by_name[r["name"].as_string()] = &r;
    EXPECT_EQ(by_name.size(), gv.value.size());
    for (const Value& want : gv.value.items()) {
      auto at = by_name.find(want["name"].as_string());
      ASSERT_NE(at, by_name.end()) << want["name"].as_string();
      Value has = *at->second;
      has.erase("storageVersionHash");  // the table has none
      EXPECT_TRUE(has.equals(want)) << to_json(has) << "\n" << to_json(want);
    }
    ++versions;
  }
  EXPECT_EQ(versions, table->root.size());
}

TEST(Discovery, GroupsAndVersions) {
  Discovery d(all_kinds());
  Document api = get(d, "/api");
  EXPECT_EQ(api.root["kind"].as_string(), "APIVersions");
  EXPECT_EQ(api.root["versions"].at(0).as_string(), "v1");
  EXPECT_EQ(api.root["serverAddressByClientCIDRs"].at(0)["serverAddress"].as_string(),
            "10.0.0.1:6443");
  Document groups = get(d, "/apis");
  EXPECT_EQ(groups.root["kind"].as_string(), "APIGroupList");
  EXPECT_EQ(groups.root["groups"].at(1)["name"].as_string(), "apps");
  Document autoscaling = get(d, "/apis/autoscaling/");
  EXPECT_EQ(autoscaling.root["preferredVersion"]["version"].as_string(), "v2");
  EXPECT_EQ(autoscaling.root["versions"].size(), 2u);
  EXPECT_FALSE(d.get("/apis/none", "", "").has_value());
  EXPECT_FALSE(d.get("/apis/apps/v9", "", "").has_value());
  EXPECT_FALSE(d.get("/api/v2", "", "").has_value());
  EXPECT_FALSE(d.get("/version", "", "").has_value());
}

TEST(Discovery, Aggregated) {
  Discovery d(all_kinds());
  auto body = d.get("/apis", kAggregated, "");
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(body->content_type,
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  EXPECT_EQ(body->etag.size(), 34u);
  auto doc = parse_json(*body->bytes);
  ASSERT_TRUE(doc.ok());
  EXPECT_EQ(doc->root["kind"].as_string(), "APIGroupDiscoveryList");
  const Value& apps = doc->root["items"].at(1);
  EXPECT_EQ(apps["metadata"]["name"].as_string(), "apps");
  const Value& deployments = apps["versions"].at(0)["resources"].at(2);
  EXPECT_EQ(deployments["resource"].as_string(), "deployments");
  EXPECT_EQ(deployments["scope"].as_string(), "Namespaced");
  EXPECT_EQ(to_json(deployments["responseKind"]),
            R"({"group":"","version":"","kind":"Deployment"})");
  EXPECT_EQ(deployments["subresources"].at(0)["responseKind"]["group"].as_string(), "autoscaling");
  Document core = get(d, "/api", kAggregated);
  EXPECT_EQ(core.root["items"].size(), 1u);
  // A group's own page has no such form.
  Document plain = get(d, "/api/v1", kAggregated);
  EXPECT_EQ(plain.root["kind"].as_string(), "APIResourceList");
}

// The order of groups, versions and resources is upstream's, and so is all that is said of each.
TEST(Discovery, AggregatedEqualsUpstreams) {
  const fs::path file = shared_dir() / "oracles" / "discovery" / "aggregated_v2.json";
  if (!fs::exists(file)) GTEST_SKIP() << "the shared document is not at " << file;
  auto text = read_file(file.string());
  ASSERT_TRUE(text.ok());
  auto theirs = parse_json(*text);
  ASSERT_TRUE(theirs.ok());
  Discovery d(all_kinds());
  Document ours = get(d, "/apis", kAggregated);
  std::vector<const Value*> served;
  for (const Value& g : ours.root["items"].items()) {
    // Upstream's metrics are another server's.
    if (g["metadata"]["name"].as_string() != "metrics.k8s.io") served.push_back(&g);
  }
  size_t at = 0;
  for (const Value& group : theirs->root["items"].items()) {
    std::vector<const Value*> stable;  // what a server has by default
    for (const Value& v : group["versions"].items()) {
      if (v["version"].as_string().find_first_not_of("v0123456789") == std::string_view::npos) {
        stable.push_back(&v);
      }
    }
    if (stable.empty()) continue;
    ASSERT_LT(at, served.size());
    const Value& has = *served[at++];
    SCOPED_TRACE(std::string(group["metadata"]["name"].as_string()));
    ASSERT_EQ(has["metadata"]["name"].as_string(), group["metadata"]["name"].as_string());
    ASSERT_EQ(has["versions"].size(), stable.size());
    for (size_t i = 0; i < stable.size(); ++i) {
      const Value& version = has["versions"].at(i);
      EXPECT_EQ(version["version"].as_string(), (*stable[i])["version"].as_string());
      EXPECT_EQ(version["freshness"].as_string(), "Current");
      const Value &mine = version["resources"], &wanted = (*stable[i])["resources"];
      ASSERT_EQ(mine.size(), wanted.size());
      for (size_t k = 0; k < wanted.size(); ++k) {
        EXPECT_TRUE(mine.at(k).equals(wanted.at(k))) << to_json(mine.at(k)) << "\n"
                                                     << to_json(wanted.at(k));
      }
    }
  }
  EXPECT_EQ(at, served.size());
}

TEST(Discovery, StorageVersionHashes) {
  Discovery d(all_kinds());
  struct Row {
    const char *path, *resource, *hash;
  };
  // Of upstream's servers.
  const Row kRows[] = {
      {"/api/v1", "pods", "xPOwRZ+Yhw8="},
      {"/api/v1", "configmaps", "qFsyl6wFWjQ="},
      {"/apis/apps/v1", "deployments", "8aSe+NMegvE="},
      {"/api/v1", "pods/status", ""},
      {"/api/v1", "bindings", ""},
      {"/apis/authorization.k8s.io/v1", "subjectaccessreviews", ""},
      // Both versions are stored as one.
      {"/api/v1", "events", "r2yiGXH7wu8="},
      {"/apis/events.k8s.io/v1", "events", "r2yiGXH7wu8="},
      {"/apis/autoscaling/v1", "horizontalpodautoscalers", "qwQve8ut294="},
      {"/apis/autoscaling/v2", "horizontalpodautoscalers", "qwQve8ut294="},
  };
  for (const Row& row : kRows) {
    Document list = get(d, row.path, "");
    bool found = false;
    for (const Value& r : list.root["resources"].items()) {
      if (r["name"].as_string() != row.resource) continue;
      found = true;
      EXPECT_EQ(r["storageVersionHash"].as_string(), row.hash) << row.path << " " << row.resource;
    }
    EXPECT_TRUE(found) << row.resource;
  }
}

// As ever: the core group's pages say no version of their own.
TEST(Discovery, WhichPagesSayTheirVersion) {
  Discovery d(all_kinds());
  const std::pair<const char*, const char*> kRows[] = {
      {"/api", R"({"kind":"APIVersions","versions":["v1"],)"},
      {"/api/v1", R"({"kind":"APIResourceList","groupVersion":"v1","resources":[)"},
      {"/apis", R"({"kind":"APIGroupList","apiVersion":"v1","groups":[)"},
      {"/apis/apps", R"({"kind":"APIGroup","apiVersion":"v1","name":"apps",)"},
      {"/apis/apps/v1",
       R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"apps/v1","resources":[)"},
  };
  for (auto [path, begins] : kRows) {
    auto body = d.get(path, "", "10.0.0.1:6443");
    ASSERT_TRUE(body.has_value());
    EXPECT_TRUE(body->bytes->starts_with(begins)) << *body->bytes;
  }
  auto page = d.get("/api/v1", "application/vnd.kubernetes.protobuf", "");
  ASSERT_TRUE(page.has_value());
  auto core = open_protobuf(*page->bytes);
  ASSERT_TRUE(core.ok());
  EXPECT_EQ(core->api_version, "");
  EXPECT_EQ(core->kind, "APIResourceList");
}

TEST(Discovery, OtherEncodings) {
  Discovery d(all_kinds());
  auto pb = d.get("/apis", "application/vnd.kubernetes.protobuf", "");
  ASSERT_TRUE(pb.has_value());
  EXPECT_TRUE(decode_object_protobuf(kind_of<api::meta_v1::APIGroupList>(), *pb->bytes).ok());
  auto yaml = d.get("/apis", "application/yaml", "");
  ASSERT_TRUE(yaml.has_value());
  EXPECT_TRUE(yaml->bytes->starts_with("apiVersion: v1\n"));
}

TEST(Discovery, VersionOrder) {
  EXPECT_TRUE(version_before("v2", "v1"));
  EXPECT_TRUE(version_before("v1", "v2beta1"));
  EXPECT_TRUE(version_before("v1beta2", "v1beta1"));
  EXPECT_TRUE(version_before("v1beta1", "v1alpha9"));
  EXPECT_TRUE(version_before("v10", "v9"));
  EXPECT_TRUE(version_before("v1", "other"));
}

}  // namespace
}  // namespace keles::server
