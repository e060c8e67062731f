// Kinds that come and go: catalogs, definitions' kinds, objects that are shown as other kinds.
#include "machinery/catalog.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "base/sim_loop.h"
#include "machinery/codec_json.h"
#include "machinery/custom_kind.h"
#include "machinery/unbound_kind.h"

namespace keles {
namespace {

const KindDesc& definitions() {
  return *find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
}

ObjectPtr definition() {
  return Object::from_document(
      definitions(),
      *parse_json(R"({"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",
        "metadata":{"name":"foos.example.com","uid":"u","generation":1},
        "spec":{"group":"example.com","scope":"Namespaced","names":{"kind":"Foo"},"versions":[
          {"name":"v1beta1","served":true,"storage":false,"deprecated":true},
          {"name":"v1","served":true,"storage":true,
           "subresources":{"status":{},"scale":{"specReplicasPath":".spec.n",
                                                 "statusReplicasPath":".status.n"}},
           "additionalPrinterColumns":[{"name":"N","type":"integer","jsonPath":".spec.n"}],
           "selectableFields":[{"jsonPath":".spec.color"}]}]},
        "status":{"acceptedNames":{"plural":"foos","singular":"foo","kind":"Foo",
                                   "listKind":"FooList","shortNames":["fo"]}}})"));
}

Bytes bytes(std::string s) { return std::make_shared<const std::string>(std::move(s)); }

ObjectPtr record(std::string json) {
  auto o = Object::from_json(nullptr, bytes(std::move(json)), 7);
  EXPECT_TRUE(o.ok()) << o.status().to_string();
  return o.ok() ? *o : nullptr;
}

// The JSON of a custom resource that was just written is its stored text with the version put in:
// the same as if it were written from the tree.
TEST(CustomObject, AnswersWithItsStoredText) {
  auto kind = CustomKinds::make(definition());
  ASSERT_TRUE(kind.ok()) << kind.status().to_string();
  const char* cases[] = {
      R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a","uid":"u"},"spec":{}})",
      // Nothing of metadata sorts behind the version; there is nothing else of it.
      R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a"}})",
      R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{}})",
      R"({"apiVersion":"example.com/v1","kind":"Foo"})",
      // What looks like it stands before it, within other values and within texts.
      R"({"aaa":{"metadata":{"uid":"u","resourceVersion":"5"}},"apiVersion":"example.com/v1",
          "data":["metadata",{"metadata":{}},"\"metadata\":{",12,null,true,"\\","]}\\\"",[[]]],
          "kind":"Foo","metadata":{"annotations":{"uid":"{\"uid\":\"","z":"}"},
          "managedFields":[{"fieldsV1":{"f:spec":{".":{}}},"manager":"m\\"}],
          "name":"a","namespace":"n","ownerReferences":[{"uid":"u"}],"selfLink":"s","uid":"u"},
          "spec":{"metadata":{"uid":"w"}},"status":1.5})",
  };
  for (const char* text : cases) {
    auto tree = parse_json(text);
    ASSERT_TRUE(tree.ok()) << text;
    std::string stored;
    write_json(stored, tree->root, true);
    const ObjectPtr o =
        Object::Draft::trust(*kind->get(), bytes(stored), tree->clone()).finish(4711);
    std::string wanted;
    write_json(wanted, o->tree()->root, true);
    EXPECT_EQ(*o->json(), wanted);
    EXPECT_NE(wanted.find(R"("resourceVersion":"4711")"), std::string::npos);
    EXPECT_EQ(*o->stored(), stored);
  }
}

TEST(Catalog, HasTheBuiltInKinds) {
  const Catalog& c = *builtin_catalog();
  EXPECT_EQ(c.generation(), 0);
  EXPECT_EQ(c.kinds().size(), all_kinds().size());
  EXPECT_EQ(c.find_kind("v1", "Pod"), find_kind("v1", "Pod"));
  EXPECT_EQ(c.find_resource("apps", "v1", "deployments"), find_kind("apps/v1", "Deployment"));
  EXPECT_EQ(c.find_kind("example.com/v1", "Foo"), nullptr);
  EXPECT_TRUE(c.serves_group("apps"));
  EXPECT_FALSE(c.serves_group("example.com"));
}

TEST(Catalog, IsReplacedAsAWhole) {
  auto kind = CustomKinds::make(definition());
  ASSERT_TRUE(kind.ok()) << kind.status().to_string();
  SimLoop loop(1);
  CatalogSource source;
  int told = 0;
  auto subscription = source.changed().subscribe(loop, [&] { ++told; });
  CatalogPtr before = source.current();
  std::vector<KindRef> custom;
  for (const auto& v : custom_kinds(**kind)->versions()) custom.emplace_back(&v->kind);
  source.publish(std::move(custom));
  source.publish({*kind});
  EXPECT_EQ(told, 0);
  loop.advance(1ms);
  EXPECT_EQ(told, 1);  // both at once
  CatalogPtr now = source.current();
  EXPECT_EQ(before->find_kind("example.com/v1", "Foo"), nullptr);
  EXPECT_EQ(now->find_kind("example.com/v1", "Foo"), kind->get());
  EXPECT_EQ(now->find_resource("example.com", "v1", "foos"), kind->get());
  EXPECT_EQ(now->find_resource("example.com", "v1beta1", "foos"), nullptr);
  EXPECT_TRUE(now->serves_group("example.com"));
  EXPECT_EQ(now->kinds().size(), all_kinds().size() + 1);
  EXPECT_TRUE(std::is_sorted(now->kinds().begin(), now->kinds().end(), [](auto* a, auto* b) {
    return std::tie(a->group, a->version, a->plural) < std::tie(b->group, b->version, b->plural);
  }));
  subscription.reset();
  source.publish({});
  loop.advance(1ms);
  EXPECT_EQ(told, 1);
}

TEST(CustomKinds, AreDescribedByTheirDefinition) {
  auto made = CustomKinds::make(definition());
  ASSERT_TRUE(made.ok());
  const KindDesc& v1 = **made;
  EXPECT_EQ(v1.api_version(), "example.com/v1");
  EXPECT_EQ(v1.group_resource(), "foos.example.com");
  EXPECT_EQ(v1.list_kind, "FooList");
  EXPECT_TRUE(v1.namespaced);
  EXPECT_EQ(v1.short_names[0], "fo");
  EXPECT_TRUE(v1.subresource("status") && v1.subresource("scale"));
  EXPECT_EQ(v1.columns.size(), 2u);
  EXPECT_EQ(v1.columns[1].path, ".spec.n");
  EXPECT_EQ(v1.selectable_fields[0], "spec.color");
  const CustomKinds& kinds = *custom_kinds(v1);
  EXPECT_EQ(&kinds.stored(), &v1);
  EXPECT_EQ(kinds.of(v1).scale->replicas, "spec.n");
  const CustomKinds::Version& beta = *kinds.find("v1beta1");
  EXPECT_EQ(beta.kind.columns[1].name, "Age");
  EXPECT_EQ(beta.kind.facts->deprecated,
            "example.com/v1beta1 Foo is deprecated; use example.com/v1 Foo");
  EXPECT_EQ(custom_kinds(*find_kind("v1", "Pod")), nullptr);
}

TEST(CustomKinds, LiveAsLongAsTheirLastObject) {
  ObjectPtr object;
  DocumentPtr tree;
  {
    auto kind = CustomKinds::make(definition());
    ASSERT_TRUE(kind.ok());
    object = Object::as(**kind, record(R"({"apiVersion":"example.com/v1beta1","kind":"Foo",
                                           "metadata":{"name":"a","namespace":"n"},"x":1})"));
  }
  EXPECT_EQ(object->kind().plural, "foos");
  EXPECT_EQ(object->key(), "n/a");
  EXPECT_EQ(*object->json(),
            R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"generation":1,)"
            R"("name":"a","namespace":"n","resourceVersion":"7"}})");  // the schema knows no x
  tree = object->tree();
  object.reset();
  EXPECT_EQ(tree->root["apiVersion"].as_string(), "example.com/v1");
}

TEST(Object, OfARecordWithoutADefinition) {
  ObjectPtr a = record(R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a"}})");
  ObjectPtr b = record(R"({"kind":"Foo","metadata":{"name":"b"},"apiVersion":"example.com/v1"})");
  EXPECT_EQ(&a->kind(), &b->kind());  // one for each name
  EXPECT_EQ(a->kind().version, "v1");
  EXPECT_EQ(a->kind().group, "example.com");
  EXPECT_EQ(a->tree()->root["metadata"]["resourceVersion"].as_string(), "7");
  EXPECT_EQ(*a->stored(),
            R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a"}})");
  for (const char* bad : {"{", "[]", "{}", R"({"kind":"Foo"})", "null", "1"}) {
    EXPECT_FALSE(Object::from_json(nullptr, bytes(bad), 1).ok()) << bad;
  }
}

TEST(Object, IsShownAsAnotherKindOnce) {
  auto kind = CustomKinds::make(definition());
  ASSERT_TRUE(kind.ok());
  ObjectPtr raw = record(R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a"}})");
  ObjectPtr shown = Object::as(**kind, raw);
  EXPECT_EQ(Object::as(**kind, raw), shown);
  EXPECT_EQ(Object::as(**kind, shown), shown);
  EXPECT_EQ(Object::seen_as(custom_kinds(**kind)->find("v1beta1")->kind, raw), nullptr);
  ObjectPtr beta = Object::as(custom_kinds(**kind)->find("v1beta1")->kind, raw);
  EXPECT_EQ(beta->tree()->root["apiVersion"].as_string(), "example.com/v1beta1");
  EXPECT_EQ(beta->stored(), raw->stored());  // the same bytes
  EXPECT_EQ(beta->revision(), 7);
}

TEST(Object, OfABuiltInKindMayBeStoredAsJson) {
  auto find = [](std::string_view api, std::string_view kind) { return find_kind(api, kind); };
  auto o =
      Object::from_json(find,
                        bytes(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},)"
                              R"("data":{"k":"v"},"unknown":1})"),
                        3);
  ASSERT_TRUE(o.ok());
  EXPECT_EQ(&(*o)->kind(), find_kind("v1", "ConfigMap"));
  EXPECT_TRUE((*o)->tree()->root["unknown"].is_null());
  auto again = Object::from_stored((*o)->kind(), (*o)->protobuf(), 3);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*(*again)->json(), *(*o)->json());
}

}  // namespace
}  // namespace keles
