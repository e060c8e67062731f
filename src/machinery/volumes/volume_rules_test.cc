// Which volume serves which claim, by tables.
#include <gtest/gtest.h>

#include "machinery/codec_yaml.h"
#include "machinery/object.h"
#include "machinery/volumes/claim_rules.h"
#include "machinery/volumes/plugins.h"
#include "machinery/volumes/volume_index.h"

namespace keles::volumes {
namespace {

using namespace api::core_v1;

template <class T>
Ref<T> from(const std::string& yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << d.status().to_string() << "\n" << yaml;
  return Ref<T>(std::make_shared<const Document>(std::move(*d)));
}

Ref<PersistentVolume> volume(const std::string& name, const std::string& spec,
                             const std::string& phase = "Available",
                             const std::string& metadata = "") {
  return from<PersistentVolume>("{metadata: {name: " + name + ", uid: u-" + name +
                                (metadata.empty() ? "" : ", " + metadata) + "}, spec: {" + spec +
                                "}, status: {phase: " + phase + "}}");
}

Ref<PersistentVolumeClaim> claim(const std::string& spec, const std::string& metadata = "") {
  return from<PersistentVolumeClaim>("{metadata: {name: c, namespace: ns, uid: u1" +
                                     (metadata.empty() ? "" : ", " + metadata) + "}, spec: {" +
                                     spec + "}}");
}

std::string name_of(const VolumeInfo* v) { return v == nullptr ? "-" : v->name; }

constexpr const char* kRwo = "accessModes: [ReadWriteOnce]";

std::string sized(const std::string& size, const std::string& more = kRwo) {
  return "capacity: {storage: " + size + "}, " + more;
}

std::string asking(const std::string& size, const std::string& more = kRwo) {
  return "resources: {requests: {storage: " + size + "}}, " + more;
}

class Index : public testing::Test {
 protected:
  void put(const Ref<PersistentVolume>& v, int64_t revision = 1) {
    index.put(extract_volume(*v, revision));
  }
  std::string best(const std::string& spec, const std::string& metadata = "",
                   bool reserved_only = false) {
    auto ask = ask_of(*claim(spec, metadata));
    EXPECT_TRUE(ask.ok()) << ask.status().to_string();
    return name_of(index.best_for(*ask, reserved_only));
  }
  std::string on_node(const std::string& spec, const std::set<std::string>& reach,
                      const std::set<std::string, std::less<>>& taken = {}) {
    auto ask = ask_of(*claim(spec));
    EXPECT_TRUE(ask.ok());
    return name_of(index.best_on_node(
        *ask, [&](const VolumeInfo& v) { return reach.contains(v.name); }, taken));
  }
  VolumeIndex index;
};

TEST_F(Index, TheSmallestThatFits) {
  put(volume("big", sized("10Gi")));
  put(volume("mid", sized("5Gi")));
  put(volume("mid-also", sized("5Gi")));
  put(volume("small", sized("1Gi")));
  EXPECT_EQ(best(asking("1Gi")), "small");
  EXPECT_EQ(best(asking("1025Mi")), "mid");
  EXPECT_EQ(best(asking("6Gi")), "big");
  EXPECT_EQ(best(asking("11Gi")), "-");
  index.erase("mid");
  EXPECT_EQ(best(asking("2Gi")), "mid-also");
}

TEST_F(Index, WhatKeepsAVolumeFromAClaim) {
  struct Row {
    const char *spec, *phase, *metadata;
    bool fits;
  };
  const std::string good = sized("5Gi", std::string(kRwo) + ", storageClassName: gold");
  const std::string ask = asking("5Gi", std::string(kRwo) +
                                            ", storageClassName: gold, selector: {matchLabels: "
                                            "{disk: ssd}}, volumeAttributesClassName: fast");
  const char* labels = "labels: {disk: ssd}";
  const std::string fast = good + ", volumeAttributesClassName: fast";
  const std::string block = fast + ", volumeMode: Block";
  const std::string other = sized("5Gi", std::string(kRwo) +
                                             ", storageClassName: tin, "
                                             "volumeAttributesClassName: fast");
  const std::string taken = fast + ", claimRef: {namespace: ns, name: other}";
  const std::string modes = sized("5Gi",
                                  "accessModes: [ReadOnlyMany], storageClassName: gold, "
                                  "volumeAttributesClassName: fast");
  for (const Row& r : std::initializer_list<Row>{
           {fast.c_str(), "Available", labels, true},
           {fast.c_str(), "Pending", labels, false},
           {fast.c_str(), "Released", labels, false},
           {fast.c_str(), "Available", "labels: {disk: hdd}", false},
           {fast.c_str(), "Available", "", false},
           {good.c_str(), "Available", labels, false},
           {block.c_str(), "Available", labels, false},
           {other.c_str(), "Available", labels, false},
           {taken.c_str(), "Available", labels, false},
           {modes.c_str(), "Available", labels, false},
           {fast.c_str(), "Available",
            "labels: {disk: ssd}, deletionTimestamp: '2026-01-01T00:00:00Z'", false}}) {
    index = VolumeIndex();
    put(volume("v", r.spec, r.phase, r.metadata));
    EXPECT_EQ(best(ask), r.fits ? "v" : "-") << r.spec << " " << r.phase << " " << r.metadata;
  }
}

TEST_F(Index, TheFewestAccessModesFirst) {
  put(volume("all", sized("1Gi", "accessModes: [ReadWriteMany, ReadWriteOnce, ReadOnlyMany]")));
  put(volume("one", sized("5Gi")));
  EXPECT_EQ(best(asking("1Gi")), "one");
  EXPECT_EQ(best(asking("1Gi", "accessModes: [ReadWriteOnce, ReadOnlyMany]")), "all");
  EXPECT_EQ(best(asking("1Gi", "accessModes: [ReadWriteOncePod]")), "-");
  // Where a node is known the smallest wins, whatever else it can.
  EXPECT_EQ(on_node(asking("1Gi"), {"all", "one"}), "all");
}

TEST_F(Index, ReservedVolumes) {
  put(volume("free", sized("1Gi")));
  put(volume("mine", sized("5Gi", std::string(kRwo) + ", storageClassName: other, claimRef: "
                                                      "{namespace: ns, name: c}")));
  EXPECT_EQ(best(asking("1Gi")), "mine");
  EXPECT_EQ(best(asking("1Gi"), "", true), "mine");
  EXPECT_EQ(best(asking("6Gi")), "-") << "too small, reserved or not";
  put(volume("mine", sized("5Gi", std::string(kRwo) + ", claimRef: {namespace: ns, name: c, "
                                                      "uid: of-an-earlier-one}")),
      2);
  EXPECT_EQ(best(asking("1Gi")), "free");
  EXPECT_EQ(best(asking("1Gi"), "", true), "-");
}

TEST_F(Index, OlderStatesAreNotTaken) {
  put(volume("v", sized("1Gi"), "Bound"), 7);
  put(volume("v", sized("1Gi"), "Available"), 6);
  EXPECT_EQ(best(asking("1Gi")), "-");
  put(volume("v", sized("1Gi"), "Available"), 8);
  EXPECT_EQ(best(asking("1Gi")), "v");
}

TEST_F(Index, OnANode) {
  put(volume("a", sized("2Gi")));
  put(volume("b", sized("1Gi")));
  EXPECT_EQ(on_node(asking("1Gi"), {"a", "b"}), "b");
  EXPECT_EQ(on_node(asking("1Gi"), {"a"}), "a");
  EXPECT_EQ(on_node(asking("1Gi"), {"a", "b"}, {"b"}), "a");
  EXPECT_EQ(on_node(asking("1Gi"), {}), "-");
  put(volume("mine", sized("9Gi", std::string(kRwo) + ", claimRef: {namespace: ns, name: c}")));
  EXPECT_EQ(on_node(asking("1Gi"), {"a", "b"}), "-") << "its own is out of reach";
  EXPECT_EQ(on_node(asking("1Gi"), {"a", "mine"}), "mine");
}

TEST_F(Index, SelectorsThatAreNone) {
  auto ask = ask_of(*claim("selector: {matchExpressions: [{key: a, operator: Odd}]}"));
  ASSERT_FALSE(ask.ok());
  EXPECT_TRUE(ask.status().message().starts_with(
      "error creating internal label selector for claim: ns/c: "))
      << ask.status().message();
}

TEST(ClaimRules, WhatAClaimCannotHave) {
  struct Row {
    std::string volume, claim, why;
  };
  for (const Row& r : std::initializer_list<Row>{
           {sized("5Gi"), asking("5Gi"), ""},
           {sized("1Gi"), asking("5Gi"), "requested PV is too small"},
           {sized("5Gi", std::string(kRwo) + ", storageClassName: a"), asking("5Gi"),
            "storageClassName does not match"},
           {sized("5Gi", std::string(kRwo) + ", volumeAttributesClassName: a"), asking("5Gi"),
            "volumeAttributesClassName does not match"},
           {sized("5Gi", std::string(kRwo) + ", volumeMode: Block"), asking("5Gi"),
            "incompatible volumeMode"},
           {sized("5Gi"), asking("5Gi", "accessModes: [ReadWriteMany]"),
            "incompatible accessMode"}}) {
    EXPECT_EQ(check_satisfies(*volume("v", r.volume), *claim(r.claim)).message(), r.why)
        << r.volume << " " << r.claim;
  }
  EXPECT_EQ(check_satisfies(*volume("v", sized("5Gi"), "Available",
                                    "deletionTimestamp: '2026-01-01T00:00:00Z'"),
                            *claim(asking("1Gi")))
                .message(),
            "the volume is marked for deletion \"v\"");
}

TEST(ClaimRules, TheDefaultClass) {
  auto c = [](const std::string& name, const std::string& created, const std::string& annotation) {
    return from<api::storage_v1::StorageClass>("{metadata: {name: " + name +
                                               ", creationTimestamp: '" + created +
                                               "', annotations: {" + annotation + "}}}");
  };
  const std::string yes = "storageclass.kubernetes.io/is-default-class: 'true'";
  const std::string beta = "storageclass.beta.kubernetes.io/is-default-class: 'true'";
  const std::string no = "storageclass.kubernetes.io/is-default-class: 'false'";
  auto chosen = [](std::vector<Ref<api::storage_v1::StorageClass>> all) {
    const auto best = default_class(all);
    return best ? std::string(best->metadata().name()) : "-";
  };
  const std::string t1 = "2026-01-01T00:00:00Z", t2 = "2026-01-02T00:00:00Z";
  EXPECT_EQ(chosen({c("a", t1, no)}), "-");
  EXPECT_EQ(chosen({c("a", t1, yes), c("b", t2, beta), c("c", "2026-01-03T00:00:00Z", no)}), "b");
  EXPECT_EQ(chosen({c("second", t1, yes), c("first", t1, yes)}), "first");
}

TEST(ClaimRules, ClassesOfOldAndNew) {
  EXPECT_EQ(class_of(*claim("storageClassName: a")), "a");
  EXPECT_EQ(class_of(*claim("storageClassName: a",
                            "annotations: {volume.beta.kubernetes.io/storage-class: b}")),
            "b");
  EXPECT_TRUE(has_class(*claim("storageClassName: ''")));
  EXPECT_FALSE(has_class(*claim("accessModes: [ReadWriteOnce]")));
}

TEST(ClaimRules, PodsThatLetGo) {
  struct Row {
    const char* pod;
    bool terminated;
  };
  const char* dying = "metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}, ";
  const std::string running =
      std::string("{") + dying + "status: {containerStatuses: [{state: {running: {}}}]}}";
  const std::string ended =
      std::string("{") + dying + "status: {containerStatuses: [{state: {terminated: {}}}]}}";
  const std::string bare = std::string("{") + dying + "status: {phase: Pending}}";
  for (const Row& r : std::initializer_list<Row>{{"{status: {phase: Running}}", false},
                                                 {"{status: {phase: Succeeded}}", true},
                                                 {"{status: {phase: Failed}}", true},
                                                 {running.c_str(), false},
                                                 {ended.c_str(), true},
                                                 {bare.c_str(), true}}) {
    EXPECT_EQ(is_terminated(*from<Pod>(r.pod)), r.terminated) << r.pod;
  }
}

TEST(Plugins, WhoDeletes) {
  struct Row {
    const char *source, *provisioned_by;
    Deleter::Who who;
    const char* error;
  };
  using W = Deleter::Who;
  for (const Row& r : std::initializer_list<Row>{
           {"hostPath: {path: /tmp/a}", "", W::kHostPath, ""},
           {"csi: {driver: d}", "", W::kNobodyHere, ""},
           {"hostPath: {path: /tmp/a}", "rancher.io/local-path", W::kNobodyHere, ""},
           {"hostPath: {path: /tmp/a}", "kubernetes.io/host-path", W::kHostPath, ""},
           {"hostPath: {path: /tmp/a}", "kubernetes.io/unheard-of", W::kError,
            "no volume plugin matched name: kubernetes.io/unheard-of"},
           {"nfs: {path: /a}", "", W::kError,
            "error getting deleter volume plugin for volume \"v\": no deletable volume plugin "
            "matched"},
           {"local: {path: /a}", "", W::kError,
            "error getting deleter volume plugin for volume \"v\": no volume plugin matched"}}) {
    const std::string annotation =
        r.provisioned_by[0] == '\0'
            ? ""
            : "annotations: {pv.kubernetes.io/provisioned-by: " + std::string(r.provisioned_by) +
                  "}";
    const Deleter d = deleter_of(*volume("v", r.source, "Released", annotation));
    EXPECT_EQ(d.who, r.who) << r.source << " " << r.provisioned_by;
    EXPECT_EQ(d.error, r.error);
  }
}

TEST(Plugins, WhoProvisions) {
  EXPECT_EQ(provisioner_of("example.com/nfs").name, "example.com/nfs");
  EXPECT_EQ(provisioner_of("kubernetes.io/aws-ebs").name, "ebs.csi.aws.com");
  EXPECT_EQ(provisioner_of("kubernetes.io/no-provisioner").error,
            "no volume plugin matched name: kubernetes.io/no-provisioner");
  EXPECT_EQ(provisioner_of("kubernetes.io/host-path").error,
            "Failed to create provisioner: provisioning in volume plugin "
            "\"kubernetes.io/host-path\" is disabled");
  EXPECT_EQ(provisioner_of("kubernetes.io/nfs").error, "no provisionable volume plugin matched");
}

}  // namespace
}  // namespace keles::volumes
