#include "documents.h"

namespace keles::extension {
namespace {

constexpr const char* kGroup =
    R"({"kind":"APIGroup","apiVersion":"v1","name":"fruit.example.com","versions":[)"
    R"({"groupVersion":"fruit.example.com/v1","version":"v1"}],)"
    R"("preferredVersion":{"groupVersion":"fruit.example.com/v1","version":"v1"}})";

constexpr const char* kResources =
    R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"fruit.example.com/v1","resources":[)"
    R"({"name":"fruits","singularName":"fruit","namespaced":true,"kind":"Fruit",)"
    R"("verbs":["create","delete","deletecollection","get","list","update","watch"],)"
    R"("shortNames":["fr"],"categories":["all"]},)"
    R"({"name":"fruits/echo","singularName":"","namespaced":true,"kind":"Fruit","verbs":["get"]}]})";

constexpr const char* kAggregated =
    R"({"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":[)"
    R"({"metadata":{"name":"fruit.example.com","creationTimestamp":null},"versions":[{"version":"v1",)"
    R"("resources":[{"resource":"fruits","responseKind":{"group":"fruit.example.com","version":"v1",)"
    R"("kind":"Fruit"},"scope":"Namespaced","singularResource":"fruit",)"
    R"("verbs":["create","delete","deletecollection","get","list","update","watch"],)"
    R"("shortNames":["fr"],"categories":["all"],"subresources":[{"subresource":"echo",)"
    R"("responseKind":{"group":"fruit.example.com","version":"v1","kind":"Fruit"},"verbs":["get"]}]}],)"
    R"("freshness":"Current"}]}]})";

constexpr const char* kGvk = R"([{"group":"fruit.example.com","version":"v1","kind":"Fruit"}])";

std::string fruit_schema(const std::string& refs) {
  return R"({"description":"Fruit is what is served here.","type":"object","properties":{)"
         R"("apiVersion":{"type":"string"},"kind":{"type":"string"},)"
         R"("metadata":{"$ref":")" +
         refs +
         R"(io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},)"
         R"("spec":{"description":"What it is like.","type":"object","properties":{)"
         R"("color":{"description":"Its color when it is ripe.","type":"string"},)"
         R"("grams":{"description":"What it weighs.","type":"integer","format":"int64"}}}},)"
         R"("x-kubernetes-group-version-kind":)" +
         std::string(kGvk) + "}";
}

constexpr const char* kMetadata =
    R"({"description":"Metadata of a fruit.","type":"object","properties":{"name":{"type":"string"},)"
    R"("namespace":{"type":"string"},"labels":{"type":"object","additionalProperties":{"type":"string"}}}})";

std::string action(const std::string& verb) {
  return R"("x-kubernetes-action":")" + verb +
         R"(","x-kubernetes-group-version-kind":{"group":"fruit.example.com","kind":"Fruit","version":"v1"})";
}

std::string openapi_v2() {
  const std::string answer =
      R"("responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/com.example.fruit.v1.Fruit"}}})";
  const std::string validation =
      R"({"name":"fieldValidation","in":"query","type":"string","uniqueItems":true})";
  return R"({"swagger":"2.0","info":{"title":"fruit","version":"v1"},"paths":{)"
         R"("/apis/fruit.example.com/v1/namespaces/{namespace}/fruits":{"post":{)" +
         action("post") + R"(,"parameters":[)" + validation + "]," + answer +
         R"(}},"/apis/fruit.example.com/v1/namespaces/{namespace}/fruits/{name}":{"get":{)" +
         action("get") + "," + answer + "}}}," + R"("definitions":{"com.example.fruit.v1.Fruit":)" +
         fruit_schema("#/definitions/") + R"(,"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta":)" +
         kMetadata + "}}";
}

std::string openapi_v3() {
  const std::string answer =
      R"("responses":{"200":{"description":"OK","content":{"application/json":{"schema":)"
      R"({"$ref":"#/components/schemas/com.example.fruit.v1.Fruit"}}}}})";
  const std::string validation =
      R"({"name":"fieldValidation","in":"query","schema":{"type":"string","uniqueItems":true}})";
  return R"({"openapi":"3.0.0","info":{"title":"fruit","version":"v1"},"paths":{)"
         R"("/apis/fruit.example.com/v1/namespaces/{namespace}/fruits":{"post":{)" +
         action("post") + R"(,"parameters":[)" + validation + "]," + answer +
         R"(}},"/apis/fruit.example.com/v1/namespaces/{namespace}/fruits/{name}":{"get":{)" +
         action("get") + "," + answer + "}}}," +
         R"("components":{"schemas":{"com.example.fruit.v1.Fruit":)" +
         fruit_schema("#/components/schemas/") +
         R"(,"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta":)" + kMetadata + "}}}";
}

}  // namespace

std::optional<Text> document(std::string_view path, std::string_view accept) {
  if (path == "/apis") {
    if (accept.find("as=APIGroupDiscoveryList") != accept.npos) {
      return Text{kAggregated,
                  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"};
    }
    return Text{R"({"kind":"APIGroupList","apiVersion":"v1","groups":[)" + std::string(kGroup) +
                "]}"};
  }
  if (path == "/apis/fruit.example.com") return Text{kGroup};
  if (path == "/apis/fruit.example.com/v1") return Text{kResources};
  if (path == "/openapi/v2") return Text{openapi_v2()};
  if (path == "/openapi/v3") {
    return Text{R"({"paths":{"apis/fruit.example.com/v1":{"serverRelativeURL":)"
                R"("/openapi/v3/apis/fruit.example.com/v1?hash=1"}}})"};
  }
  if (path == "/openapi/v3/apis/fruit.example.com/v1") return Text{openapi_v3()};
  return std::nullopt;
}

}  // namespace keles::extension
