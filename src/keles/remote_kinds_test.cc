#include "keles/remote_kinds.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"
#include "machinery/object.h"

namespace keles {
namespace {

DocumentPtr json(std::string_view text) {
  auto d = parse_json(text);
  EXPECT_TRUE(d.ok()) << text;
  return std::make_shared<const Document>(std::move(*d));
}

constexpr const char* kFruits = R"({"version":"v1","resources":[
    {"resource":"fruits","responseKind":{"group":"fruit.example.com","version":"v1","kind":"Fruit"},
     "scope":"Namespaced","singularResource":"fruit","verbs":["get","list","watch","delete"]},
    {"resource":"trees","responseKind":{"kind":"Tree"},"scope":"Cluster","verbs":["list"]},
    {"resource":"nothing","scope":"Cluster"}]})";

aggregation::Remote remote(std::string version, bool available, DocumentPtr discovery) {
  auto service = std::make_shared<aggregation::ApiService>();
  service->name = version + ".fruit.example.com";
  service->group = "fruit.example.com";
  service->version = std::move(version);
  service->available = available;
  auto documents = std::make_shared<aggregation::Documents>();
  documents->discovery = std::move(discovery);
  return {service, documents};
}

TEST(RemoteKinds, AreWhatDiscoveryTells) {
  auto kinds = read_remote_kinds("fruit.example.com", json(kFruits)->root);
  ASSERT_EQ(kinds.size(), 2u);
  EXPECT_EQ(kinds[0]->kind, "Fruit");
  EXPECT_EQ(kinds[0]->api_version(), "fruit.example.com/v1");
  EXPECT_EQ(kinds[0]->group_resource(), "fruits.fruit.example.com");
  EXPECT_TRUE(kinds[0]->namespaced);
  EXPECT_EQ(kinds[0]->verbs.size(), 4u);
  EXPECT_FALSE(kinds[1]->namespaced);
  EXPECT_TRUE(is_remote(*kinds[0]));
  EXPECT_FALSE(is_remote(*find_kind("v1", "Pod")));
  // An object holds its kind.
  auto object = Object::from_document(
      *kinds[0], json(R"({"metadata":{"name":"apple","uid":"u"},"spec":{"a":[1]}})")->clone());
  kinds.clear();
  EXPECT_EQ(object->kind().plural, "fruits");
  EXPECT_EQ(object->tree()->root["spec"]["a"].size(), 1u);
}

TEST(RemoteKinds, StayTheSameWhileTheDocumentDoes) {
  RemoteKinds kinds;
  DocumentPtr document = json(kFruits);
  aggregation::View view;
  view.remotes = {remote("v1", true, document)};
  const auto first = kinds.of(view), again = kinds.of(view);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].get(), again[0].get());
  view.remotes = {remote("v1", true, json(kFruits))};
  EXPECT_NE(kinds.of(view)[0].get(), first[0].get());
  view.remotes = {remote("v1", false, document)};
  EXPECT_TRUE(kinds.of(view).empty()) << "nobody is there";
  view.remotes = {remote("v2", true, nullptr)};
  EXPECT_TRUE(kinds.of(view).empty()) << "nothing is known of it";
  // Of two versions, the first.
  view.remotes = {remote("v1", true, document), remote("v2", true, json(kFruits))};
  EXPECT_EQ(kinds.of(view).size(), 2u);
}

}  // namespace
}  // namespace keles
