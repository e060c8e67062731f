// What says the same in the API: empty and absent, other texts of one amount; and what does not.
#include "machinery/equality.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"

namespace keles {
namespace {

Document decoded(const KindDesc& kind, std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml;
  Status s = decode_object(kind, *d, FieldValidation::kStrict);
  EXPECT_TRUE(s.ok()) << s.message() << "\n" << yaml;
  return std::move(*d);
}

bool same(std::string_view api, std::string_view kind, std::string_view a, std::string_view b) {
  const KindDesc& k = *find_kind(api, kind);
  Document x = decoded(k, a), y = decoded(k, b);
  const bool one = same_meaning(*k.type, x.root, y.root);
  EXPECT_EQ(one, same_meaning(*k.type, y.root, x.root)) << a << "\n" << b;
  drop_empty(*k.type, x.root);
  drop_empty(*k.type, y.root);
  EXPECT_EQ(one, same_meaning(*k.type, x.root, y.root)) << a << "\n" << b;
  return one;
}

TEST(Equality, EmptyIsAbsent) {
  const char* bare = "spec: {containers: [{name: a}]}";
  for (const char* with :
       {"spec: {containers: [{name: a}], volumes: [], nodeSelector: {}}",
        "spec: {containers: [{name: a, env: [], resources: {limits: {}, requests: {}}}]}",
        "spec: {containers: [{name: a}], tolerations: [], imagePullSecrets: []}",
        "{metadata: {labels: {}, annotations: {}, finalizers: []}, spec: {containers: [{name: "
        "a}]}}"}) {
    EXPECT_TRUE(same("v1", "Pod", bare, with)) << with;
  }
  EXPECT_TRUE(same("networking.k8s.io/v1", "Ingress", "spec: {tls: []}", "{}"));
  EXPECT_TRUE(same("storage.k8s.io/v1", "StorageClass", "{provisioner: a/b, parameters: {}}",
                   "provisioner: a/b"));
}

TEST(Equality, SetPointersAreNotAbsent) {
  const char* bare = "spec: {containers: [{name: a}]}";
  for (const char* with : {"spec: {containers: [{name: a}], affinity: {}}",
                           "spec: {containers: [{name: a}], securityContext: {}}",
                           "spec: {containers: [{name: a, securityContext: {}}]}",
                           "spec: {containers: [{name: a}], hostUsers: false}",
                           "spec: {containers: [{name: a}], volumes: [{name: v}]}"}) {
    EXPECT_FALSE(same("v1", "Pod", bare, with)) << with;
  }
  EXPECT_FALSE(same("networking.k8s.io/v1", "NetworkPolicy", "spec: {ingress: [{}]}", "spec: {}"));
}

TEST(Equality, QuantitiesAreAmounts) {
  auto limits = [](std::string_view q) {
    return "spec: {containers: [{name: a, resources: {limits: {memory: '" + std::string(q) +
           "'}}}]}";
  };
  EXPECT_TRUE(same("v1", "Pod", limits("1G"), limits("1e9")));
  EXPECT_TRUE(same("v1", "Pod", limits("1.500"), limits("1500m")));
  EXPECT_FALSE(same("v1", "Pod", limits("1G"), limits("1Gi")));
}

// What is dropped is what the stored form would not bring back.
TEST(Equality, DroppedIsWhatIsNotStored) {
  const KindDesc& pod = *find_kind("v1", "Pod");
  Document d =
      decoded(pod,
              "spec: {containers: [{name: a, env: [], args: [''], resources: {limits: {}}}], "
              "affinity: {}, volumes: [{name: v, emptyDir: {}}], nodeSelector: {}}");
  drop_empty(*pod.type, d.root);
  std::string json;
  write_json(json, d.root, false);
  EXPECT_EQ(json, R"({"spec":{"containers":[{"name":"a","args":[""]}],"affinity":{},)"
                  R"("volumes":[{"name":"v","emptyDir":{}}]}})");
}

}  // namespace
}  // namespace keles
