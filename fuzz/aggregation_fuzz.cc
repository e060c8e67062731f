// What an extension API server says of itself: read or refused, and merged into ours without taking
// anything of ours away; a v2 document converts to one that parses.
#include <cstdint>
#include <cstdlib>

#include "machinery/codec_json.h"
#include "seeds.h"
#include "server/aggregation/documents.h"

namespace {

using namespace keles;
using namespace keles::aggregation;

ApiService fruit() {
  ApiService s = local_api_service("fruit.example.com", "v1", false, 1000, 10);
  s.remote = true;
  return s;
}

aggregation::View view_with(Documents documents) {
  aggregation::View v;
  v.services.push_back(std::make_shared<const ApiService>(fruit()));
  v.remotes.push_back({v.services[0], std::make_shared<const Documents>(std::move(documents))});
  return v;
}

void check(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Document kOurs = *parse_json(
      R"({"paths":{"/apis/apps/v1/x":{"get":1}},"definitions":{"Fruit":{"ours":true}},
      "items":[{"metadata":{"name":"apps"}}],"groups":[{"name":"apps"}]})");
  std::string text(reinterpret_cast<const char*>(data), size);
  Documents have;
  for (auto read : {read_discovery, read_resource_list}) {
    auto d = read(text, fruit());
    if (!d.ok()) continue;
    check((*d)->root["version"].as_string() == "v1");
    have.discovery = *d;
  }
  have.openapi_v3_url = read_openapi_v3_index(text, fruit()).value_or("");
  check(have.openapi_v3_url.empty() ||
        have.openapi_v3_url.starts_with("/openapi/v3/apis/fruit.example.com/v1"));
  have.openapi_v2 = std::make_shared<const std::string>(text);
  aggregation::View view = view_with(have);
  Document merged = merge_openapi_v2(kOurs.root, view);
  check(merged.root["paths"]["/apis/apps/v1/x"].equals(kOurs.root["paths"]["/apis/apps/v1/x"]));
  check(merged.root["definitions"]["Fruit"].equals(kOurs.root["definitions"]["Fruit"]));
  for (const Member& m : merged.root["paths"].members()) {
    check(m.key() == "/apis/apps/v1/x" || m.key().starts_with("/apis/fruit.example.com/v1/"));
  }
  check(merge_discovery(kOurs.root, view).root["items"].size() == 2);
  have.openapi_v3_url.clear();
  if (auto v3 = converted_openapi_v3(view_with(have).remotes[0])) {
    check(parse_json(to_json(v3->root)).ok());
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      R"({"items":[{"metadata":{"name":"fruit.example.com"},"versions":[{"version":"v1","resources":[
      {"resource":"f","responseKind":{"kind":"F"},"scope":"Namespaced","verbs":["get"],
      "subresources":[{"subresource":"s","verbs":["get"]}]}],"freshness":"Current"}]}]})",
      R"({"groupVersion":"fruit.example.com/v1","resources":[{"name":"f","kind":"F","namespaced":true,
      "verbs":["get"]},{"name":"f/s","kind":"F","verbs":["get"]}]})",
      R"({"paths":{"apis/fruit.example.com/v1":{"serverRelativeURL":
      "/openapi/v3/apis/fruit.example.com/v1?hash=1"}}})",
      R"({"paths":{"/apis/fruit.example.com/v1/f":{"post":{"parameters":[{"in":"body","schema":
      {"$ref":"#/definitions/Fruit"}},{"$ref":"#/parameters/p"}],"responses":{"200":{"schema":
      {"$ref":"#/definitions/Fruit"}}}}},"/apis/apps/v1/x":{}},"parameters":{"p":{"name":"p",
      "in":"query","type":"string"}},"definitions":{"Fruit":{"a":{"$ref":"#/definitions/B"}},
      "B":{"$ref":"#/definitions/Fruit"}}})"};
}
