// Who is told that what they set is stored and no more, and of what.
#include "machinery/inert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/run_task.h"
#include "machinery/codec_yaml.h"
#include "server/objects/meta.h"
#include "server/registry/registry.h"
#include "store/sim/sim_store.h"

namespace keles::registry {
namespace {

using Lines = std::vector<std::string>;

Document doc(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml;
  return std::move(*d);
}

struct Case {
  const char *api, *kind, *yaml;
  Lines paths;
};

TEST(Inert, Fields) {
  const Case kCases[] = {
      {"v1", "Pod", "spec: {containers: [{name: a}]}", {}},
      {"v1", "Pod", "spec: {containers: [{name: a, resizePolicy: []}]}", {}},
      {"v1", "Pod", "spec: {schedulingGroup: {podGroupName: g}}", {}},  // dropped, not passed over
      {"v1",
       "Pod",
       "spec: {securityContext: {windowsOptions: {hostProcess: true}}}",
       {"spec.securityContext.windowsOptions"}},
      {"v1", "Pod", "spec: {topologySpreadConstraints: [{maxSkew: 1}]}", {}},
      {"apps/v1",
       "Deployment",
       "spec: {template: {spec: {containers: [{name: a}, {name: b, securityContext: "
       "{windowsOptions: "
       "{hostProcess: true}}}]}}}",
       {"spec.template.spec.containers[1].securityContext.windowsOptions"}},
      {"v1", "Pod", "spec: {volumes: [{emptyDir: {sizeLimit: 1Gi, medium: Memory}}]}", {}},
      {"v1", "Pod", "spec: {volumes: [{emptyDir: {}}, {emptyDir: {sizeLimit: 1Gi}}]}", {}},
      {"v1", "Pod", "spec: {resources: {limits: {cpu: '1', ephemeral-storage: 1Gi}}}", {}},
      {"apps/v1",
       "StatefulSet",
       "spec: {persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Delete}, "
       "updateStrategy: {rollingUpdate: {maxUnavailable: 2}}}",
       {}},
      {"kubeproxy.config.k8s.io/v1alpha1",
       "KubeProxyConfiguration",
       "detectLocalMode: ClusterCIDR",
       {}},
      {"kubeproxy.config.k8s.io/v1alpha1",
       "KubeProxyConfiguration",
       "detectLocalMode: BridgeInterface",
       {"detectLocalMode"}},
      // What others write is not asked of the user.
      {"v1", "Pod", "status: {resources: {limits: {ephemeral-storage: 1Gi}}}", {}},
  };
  for (const Case& c : kCases) {
    const KindDesc* kind = find_kind(c.api, c.kind);
    Document d = doc(c.yaml);
    EXPECT_EQ(inert_fields(*kind, d.root, 64), c.paths) << c.yaml;
    EXPECT_LE(inert_fields(*kind, d.root, 0).size(), 0u);
  }
}

TEST(Inert, Kinds) {
  EXPECT_EQ(inert_kind(*find_kind("storage.k8s.io/v1", "VolumeAttributesClass")), "");
  EXPECT_EQ(inert_kind(*find_kind("networking.k8s.io/v1", "NetworkPolicy")), "");
  EXPECT_EQ(inert_kind(*find_kind("autoscaling/v1", "HorizontalPodAutoscaler")), "");
  EXPECT_EQ(inert_kind(*find_kind("batch/v1", "Job")), "");
  EXPECT_EQ(inert_kind(*find_kind("batch/v1", "CronJob")), "");
}

struct World {
  std::unique_ptr<SimLoop> loop = std::make_unique<SimLoop>(1);
  Context ctx = Context::root(*loop);
  SimDisk disk{*loop};
  std::unique_ptr<Store> store = *open_sim_store(disk);
  Registry registry{store.get(), "10.96.0.0/16", "30000-32767"};

  World() { write("", "v1", "Namespace", "metadata: {name: default}"); }

  Result<ObjectPtr> run(Task<Result<ObjectPtr>> t) {
    Result<ObjectPtr> out = run_task(*loop, std::move(t));
    EXPECT_TRUE(out.ok()) << out.status().message();
    return out;
  }
  // Creates, or with a name patches; what was said.
  Lines write(std::string user, std::string_view api, std::string_view kind_name,
              std::string_view yaml, std::string patched = "") {
    const KindDesc* kind = find_kind(api, kind_name);
    Document d = doc(yaml);
    Lines said;
    WriteRequest how;
    how.user = std::move(user);
    how.warnings = &said;
    std::string ns = kind->namespaced ? "default" : "";
    auto got =
        patched.empty()
            ? run(registry.create(ctx, kind, ns, std::move(d), how))
            : run(registry.patch(ctx, kind, ns, patched, "", PatchType::kMerge, std::move(d), how));
    return said;
  }
};

constexpr std::string_view kSpec =
    "spec: {serviceName: x, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: "
    "b}}, "
    "spec: {securityContext: {seLinuxChangePolicy: Recursive}, containers: [{name: c, "
    "image: i}]}}}";
const char* const kSaid =
    "spec.template.spec.securityContext.seLinuxChangePolicy: accepted and stored, but this version "
    "of keles does not act on it";

TEST(Inert, UsersAreToldAndComponentsAreNot) {
  World w;
  int n = 0;
  for (std::string user : {"jane", "kubernetes-admin", "system:serviceaccount:default:robot",
                           "system:anonymous", "system:serviceaccount:kube-system-2:robot"})
    EXPECT_EQ(w.write(user, "apps/v1", "StatefulSet",
                      "metadata: {name: s" + std::to_string(n++) + "}\n" + std::string(kSpec)),
              Lines{kSaid})
        << user;
  for (std::string user : {"", "system:kube-controller-manager", "system:node:n1",
                           "system:serviceaccount:kube-system:job-controller"})
    EXPECT_EQ(w.write(user, "apps/v1", "StatefulSet",
                      "metadata: {name: s" + std::to_string(n++) + "}\n" + std::string(kSpec)),
              Lines{})
        << user;
}

TEST(Inert, AChangeIsToldAndALabelIsNot) {
  World w;
  w.write("jane", "apps/v1", "StatefulSet", "metadata: {name: s}\n" + std::string(kSpec));
  EXPECT_EQ(w.write("jane", "apps/v1", "StatefulSet", "metadata: {labels: {a: b}}", "s"), Lines{});
  EXPECT_EQ(w.write("jane", "apps/v1", "StatefulSet", "spec: {replicas: 2}", "s"), Lines{kSaid});
  EXPECT_EQ(w.write("jane", "apps/v1", "StatefulSet",
                    "spec: {template: {spec: {securityContext: null}}}", "s"),
            Lines{});
}

}  // namespace
}  // namespace keles::registry
