// Volumes against a real containerd: what a container can do to them, and what it sees.
#include "node/node_containerd_world.h"

namespace keles::node {
namespace {

Task<void> volumes_test(World* w) {
  w->put(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cm",
    "namespace":"default"},"data":{"color":"blue","app.conf":"x"}})");
  w->put(R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"default"},
    "data":{"key":"c2VjcmV0"}})");
  std::string volumes = R"("volumes":[{"name":"c","configMap":{"name":"cm"}},
      {"name":"s","secret":{"secretName":"s"}},
      {"name":"d","downwardAPI":{"items":[{"path":"n","fieldRef":{"fieldPath":"metadata.name"}}]}},
      {"name":"p","projected":{"sources":[{"configMap":{"name":"cm"}}]}},
      {"name":"e","emptyDir":{}},{"name":"unused","nfs":{"server":"x","path":"/"}}],)";
  std::string mounts = R"(,"volumeMounts":[{"name":"c","mountPath":"/c"},
      {"name":"s","mountPath":"/s"},{"name":"d","mountPath":"/d"},{"name":"p","mountPath":"/p"},
      {"name":"e","mountPath":"/c/nested"},{"name":"e","mountPath":"/mine","subPath":"a/b"},
      {"name":"c","mountPath":"/one","subPath":"color"},
      {"name":"e","mountPath":"/whole"}])";
  // Nobody writes in what the API's objects are mounted as; links are left as they were.
  w->put(pod_json(
      "writer",
      volumes + R"("containers":[)" +
          container("a",
                    "for d in /c /s /d /p; do rm $d/..data || echo $d ro; "
                    "touch $d/x; done 2>/dev/null; (echo > /one) 2>/dev/null || echo one ro; "
                    "cat /one; echo; touch /c/nested/x && ls /whole; "
                    "echo end; sleep 1000",
                    mounts) +
          "]"));
  std::string out = co_await output_of(w, "writer");
  EXPECT_EQ(out, "/c ro\n/s ro\n/d ro\n/p ro\none ro\nblue\na\nx\nend\n");
  // An unprivileged user works in its part of a volume.
  w->put(pod_json("user", volumes + R"("securityContext":{"runAsUser":1000},"containers":[)" +
                              container("a",
                                        "touch /mine/x && stat -c '%a %u %g' /mine; echo end; "
                                        "sleep 1000",
                                        mounts) +
                              "]"));
  out = co_await output_of(w, "user");
  EXPECT_EQ(out, "777 0 0\nend\n");
  w->put(pod_json(
      "group", volumes + R"("securityContext":{"runAsUser":1000,"fsGroup":2000},"containers":[)" +
                   container("a",
                             "touch /mine/x && stat -c '%a %u %g' /mine /whole; "
                             "stat -c %g /mine/x; cat /s/key; echo; echo end; sleep 1000",
                             mounts) +
                   "]"));
  out = co_await output_of(w, "group");
  EXPECT_EQ(out, "2777 0 2000\n2777 0 2000\n2000\nsecret\nend\n");
}
TEST(Containerd, Volumes) { World().run(volumes_test); }

// A container puts a link where the next one's subPath is.
Task<void> sub_path_test(World* w) {
  auto pod = [](const std::string& name, const std::string& link, const std::string& mount) {
    return pod_json(name, R"("volumes":[{"name":"e","emptyDir":{}}],"initContainers":[)" +
                              container("link", "ln -s " + link + " /e/link",
                                        R"(,"volumeMounts":[{"name":"e","mountPath":"/e"}])") +
                              R"(],"containers":[)" +
                              container("a", "ls /m; echo end; sleep 1000",
                                        R"(,"env":[{"name":"UP","value":".."},{"name":"ROOT",
        "value":"/tmp"},{"name":"NONE","value":""}],"volumeMounts":[{"name":"e","mountPath":"/m",)" +
                                            mount + "}]") +
                              "]");
  };
  struct Row {
    std::string name, link, mount, message;
  };
  std::vector<Row> rows;
  const std::string prepare = "failed to prepare subPath for volumeMount \"e\" of container \"a\"";
  rows.push_back({"relative", "../../../../..", R"("subPath":"link")", prepare});
  rows.push_back({"absolute", "/", R"("subPath":"link/etc")", prepare});
  rows.push_back({"missing", "/", R"("subPath":"link/made-by-test")", prepare});
  rows.push_back({"expr", "/", R"x("subPathExpr":"$(ROOT)")x",
                  "error SubPath `/tmp` must not be an absolute path"});
  rows.push_back({"up", "/", R"x("subPathExpr":"$(UP)/x")x",
                  "unable to provision SubPath `../x`: must not contain '..'"});
  rows.push_back(
      {"none", "/", R"x("subPathExpr":"$(NONE)/$(NOT)")x", "missing value for NONE, NOT"});
  for (const Row& r : rows) w->put(pod(r.name, r.link, r.mount));
  for (const Row& r : rows) {
    std::string got;
    bool ok = co_await w->until([w, &r, &got] {
      Ref<Pod> p = w->pod(r.name);
      for (auto s : p->status().container_statuses()) {
        got = s.state().waiting().message();
        return s.state().waiting().reason() == "CreateContainerConfigError";
      }
      return false;
    });
    EXPECT_TRUE(ok) << r.name << w->events();
    EXPECT_EQ(got, r.message) << r.name;
    EXPECT_EQ(w->pod(r.name)->status().phase(), "Pending");
  }
  EXPECT_FALSE(path_exists("/made-by-test"));
}
TEST(Containerd, SubPathsStayInTheirVolume) { World().run(sub_path_test); }

// What the node does not have is said, and is never something else in its place.
Task<void> refusals_test(World* w) {
  std::vector<std::pair<std::string, std::string>> rows = {
      {R"("ephemeral":{"volumeClaimTemplate":{"spec":{"accessModes":["ReadWriteOnce"],
          "resources":{"requests":{"storage":"1Gi"}}}}})",
       "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to "
       "process volumes=[v]: error processing PVC default/r0-v: failed to fetch PVC from API "
       "server: persistentvolumeclaims \"r0-v\" not found"},
      {R"("persistentVolumeClaim":{"claimName":"x"})",
       "error processing PVC default/x: failed to fetch PVC from API server: "
       "persistentvolumeclaims \"x\" not found"},
      {R"("nfs":{"server":"s","path":"/"})",
       "MountVolume.SetUp failed for volume \"v\" : mount failed: exit status 32\nMounting command: "
       "mount\nMounting arguments: -t nfs s:/ "},
      {R"("iscsi":{"targetPortal":"127.0.0.1","iqn":"iqn.2026-01.com.example:v","lun":0})",
       "no volume plugin matched: this node mounts no volumes of the type \"iscsi\""},
      {R"("csi":{"driver":"d.example.com"})",
       "MountVolume.SetUp failed for volume \"v\" : kubernetes.io/csi: mounter.SetUpAt failed to "
       "get CSI client: driver name d.example.com not found in the list of registered CSI drivers"},
      {R"("image":{"reference":"keles.dev/hello:1"})",
       "failed to mkdir \"\""},  // as containerd 1.6 says, which mounts no images
      {R"("emptyDir":{"medium":"HugePages"})",
       "MountVolume.SetUp failed for volume \"v\" : medium HugePages: hugePages storage requested, "
       "but there is no resource request for huge pages"},
      {R"("hostPath":{"path":"/etc/passwd","type":"Socket"})",
       "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /etc/passwd is not "
       "a socket file"},
      {R"("projected":{"sources":[{"configMap":{"name":"n1"}},{"configMap":{"name":"n2"}}]})",
       "MountVolume.SetUp failed for volume \"v\" : [configmap \"n1\" not found, configmap "
       "\"n2\" not found]"},
      {R"("projected":{"sources":[{"clusterTrustBundle":{"name":"b","path":"p"}}]})",
       "this node projects no sources of the type \"clusterTrustBundle\""}};
  for (size_t i = 0; i < rows.size(); ++i)
    w->put(pod_json(
        "r" + std::to_string(i),
        R"("volumes":[{"name":"v",)" + rows[i].first + R"(}],"containers":[)" +
            container("a", "sleep 1000", R"(,"volumeMounts":[{"name":"v","mountPath":"/v"}])") +
            "]"));
  for (size_t i = 0; i < rows.size(); ++i) {
    bool ok = co_await w->until([&] {
      return w->events().find("FailedMount: ") != std::string::npos &&
             w->events().find(rows[i].second) != std::string::npos;
    });
    EXPECT_TRUE(ok) << rows[i].second << "\n" << w->events();
    EXPECT_EQ(w->pod("r" + std::to_string(i))->status().phase(), "Pending");
  }
}
TEST(Containerd, VolumesThatTheNodeDoesNotHave) { World().run(refusals_test); }

// What writes more than it may ends as evicted, and what it wrote goes at once; its neighbour
// stays.
Task<void> storage_limits_test(World* w) {
  auto pod = [](const std::string& name, const std::string& megabytes) {
    return pod_json(name, R"("restartPolicy":"Always","terminationGracePeriodSeconds":1,
        "volumes":[{"name":"e","emptyDir":{"sizeLimit":"1Mi"}}],"containers":[)" +
                              container("a",
                                        "dd if=/dev/zero of=/e/file bs=1024 count=" + megabytes +
                                            " 2>/dev/null; echo end; sleep 1000",
                                        R"(,"volumeMounts":[{"name":"e","mountPath":"/e"}])") +
                              "]");
  };
  w->put(pod("modest", "512"));
  w->put(pod("greedy", "4096"));
  (void)co_await output_of(w, "modest");
  bool evicted = co_await w->until(
      [w] { return w->pod("greedy") && w->pod("greedy")->status().phase() == "Failed"; });
  EXPECT_TRUE(evicted) << w->events();
  auto status = w->pod("greedy")->status();
  EXPECT_EQ(status.reason(), "Evicted");
  EXPECT_EQ(status.message(), "Usage of EmptyDir volume \"e\" exceeds the limit \"1Mi\". ");
  EXPECT_FALSE(w->ready("greedy"));
  EXPECT_NE(w->events().find("Evicted: Usage of EmptyDir"), std::string::npos) << w->events();
  for (auto c : status.container_statuses()) EXPECT_TRUE(static_cast<bool>(c.state().terminated()));
  std::string left = g_directory + "/kubelet/pods/" +
                     std::string(w->pod("greedy")->metadata().uid()) +
                     "/volumes/kubernetes.io~empty-dir";
  bool gone = co_await w->until([&left] { return !path_exists(left); });
  EXPECT_TRUE(gone);
  // An agent that comes later leaves it at that.
  co_await w->stop_agent();
  w->start_agent();
  w->put(pod("later", "1"));
  (void)co_await output_of(w, "later");
  EXPECT_EQ(w->pod("greedy")->status().reason(), "Evicted");
  EXPECT_EQ(w->pod("modest")->status().phase(), "Running");
}
TEST(Containerd, StorageLimits) { World().run(storage_limits_test); }

}  // namespace
}  // namespace keles::node
