// Pods, containers, probes, accidents and the kubelet's API against a real containerd (see
// node_containerd_world.cc).
#include "node/node_containerd_world.h"

namespace keles::node {
namespace {

Task<void> run_to_ready(World* w) {
  TimePoint began = w->loop().now();
  bool ok = co_await w->until([w] {
    auto n = w->client().now<api::core_v1::Node>("", "n1");
    if (!n) return false;
    for (auto c : n->status().conditions())
      if (c.type() == "Ready") return c.status() == "True";
    return false;
  });
  EXPECT_TRUE(ok);
  std::printf("node ready after %.0f ms\n",
              static_cast<double>((w->loop().now() - began).count()) / 1e6);
  w->put(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cm",
    "namespace":"default"},"data":{"color":"blue"}})");
  for (int i = 0; i < 3; ++i) {
    std::string name = "p" + std::to_string(i);
    began = w->loop().now();
    w->put(pod_json(name, R"("volumes":[{"name":"v","configMap":{"name":"cm"}},
      {"name":"e","emptyDir":{}}],"containers":[)" +
                              container("a", "cat /v/color; echo; echo $POD > /e/x; sleep 1000",
                                        R"(,"env":[{"name":"POD","valueFrom":{"fieldRef":
        {"fieldPath":"metadata.name"}}}],"volumeMounts":[{"name":"v","mountPath":"/v"},
        {"name":"e","mountPath":"/e"}],"resources":{"limits":{"memory":"64Mi","cpu":"500m"}})") +
                              "]"));
    ok = co_await w->until([w, &name] { return w->ready(name); });
    EXPECT_TRUE(ok);
    std::printf("pod ready after %.0f ms\n",
                static_cast<double>((w->loop().now() - began).count()) / 1e6);
  }
  Ref<Pod> p = w->pod("p0");
  EXPECT_EQ(p->status().phase(), "Running");
  EXPECT_TRUE(p->status().pod_ip().starts_with("10.88.7."));
  EXPECT_EQ(p->status().qos_class(), "Guaranteed");
  std::string log =
      g_directory + "/pods/default_p0_" + std::string(p->metadata().uid()) + "/a/0.log";
  ok = co_await w->until([&log] {
    auto text = read_file(log);
    return text.ok() && text->find("stdout F blue") != std::string::npos;
  });
  EXPECT_TRUE(ok);
  std::string uid(p->metadata().uid());
  EXPECT_EQ(*read_file("/sys/fs/cgroup/memory" + test_cgroup() + "/kubepods/pod" + uid +
                       "/memory.limit_in_bytes"),
            "67108864\n");
  std::string emptydir =
      g_directory + "/kubelet/pods/" + uid + "/volumes/kubernetes.io~empty-dir/e/x";
  EXPECT_EQ(read_file(emptydir).value_or("none"), "p0\n");
  // A changed configmap reaches the volume.
  w->put(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cm",
    "namespace":"default"},"data":{"color":"red"}})");
  std::string color =
      g_directory + "/kubelet/pods/" + uid + "/volumes/kubernetes.io~configmap/v/color";
  ok = co_await w->until([&color] { return read_file(color).value_or("") == "red"; });
  EXPECT_TRUE(ok);
  std::string health = co_await w->get("/healthz");
  EXPECT_EQ(health, "ok");
  std::string pods = co_await w->get("/pods");
  EXPECT_NE(pods.find("\"name\":\"p1\""), std::string::npos);
  std::string stats = co_await w->get("/stats/summary");
  EXPECT_NE(stats.find("\"usageCoreNanoSeconds\""), std::string::npos);
  ok = co_await w->until(
      [w] { return w->events().find("Started container a") != std::string::npos; });
  EXPECT_TRUE(ok) << w->events();
  EXPECT_NE(
      w->events().find("Container image \"keles.dev/busybox:1.35\" already present on machine"),
      std::string::npos);
}

TEST(Containerd, PodsRun) { World().run(run_to_ready); }

Task<void> restart_test(World* w) {
  w->put(pod_json("crash", R"("restartPolicy":"Always","containers":[)" +
                               container("a", "echo bye > /dev/termination-log; exit 3") + "]"));
  bool ok = co_await w->until([w] {
    Ref<Pod> p = w->pod("crash");
    for (auto c : p->status().container_statuses())
      return c.state().waiting().reason() == "CrashLoopBackOff";
    return false;
  });
  EXPECT_TRUE(ok);
  Ref<Pod> crash = w->pod("crash");
  auto c = crash->status().container_statuses()[0];
  EXPECT_EQ(c.last_state().terminated().exit_code(), 3);
  EXPECT_EQ(c.last_state().terminated().message(), "bye\n");
  EXPECT_EQ(c.restart_count(), 1);
  w->put(pod_json("once", R"("restartPolicy":"Never","initContainers":[)" +
                              container("i", "exit 0") + R"(],"containers":[)" +
                              container("a", "exit 0") + "]"));
  ok = co_await w->until([w] { return w->pod("once")->status().phase() == "Succeeded"; });
  EXPECT_TRUE(ok);
  // containerd hears of the exit and of the lack of memory apart: where the exit comes first, there
  // is no word of the other, and another pod is tried.
  std::string reason;
  for (int i = 0; i < 5 && reason != "OOMKilled"; ++i) {
    const std::string name = "big-" + std::to_string(i);
    w->put(pod_json(name, R"("restartPolicy":"Never","containers":[)" +
                              container("a", "x=a; while true; do x=$x$x; done",
                                        R"(,"resources":{"limits":{"memory":"16Mi"}})") +
                              "]"));
    ok = co_await w->until([w, &name] { return w->pod(name)->status().phase() == "Failed"; });
    EXPECT_TRUE(ok);
    Ref<Pod> big = w->pod(name);
    auto t = big->status().container_statuses()[0].state().terminated();
    EXPECT_EQ(t.exit_code(), 137);
    reason = t.reason();
  }
  EXPECT_EQ(reason, "OOMKilled");
  w->put(pod_json("noimage", R"("containers":[{"name":"a","image":"keles.invalid/none:1"}])"));
  ok = co_await w->until([w] {
    Ref<Pod> p = w->pod("noimage");
    for (auto s : p->status().container_statuses())
      return s.state().waiting().reason() == "ImagePullBackOff";
    return false;
  });
  EXPECT_TRUE(ok) << w->events();
}

TEST(Containerd, RestartsAndEnds) { World().run(restart_test); }

Task<void> probe_test(World* w) {
  w->put(pod_json("probed",
                  R"("restartPolicy":"Always","terminationGracePeriodSeconds":1,"containers":[)" +
                      container("a", "sleep 1000",
                                R"(,"readinessProbe":{"exec":{"command":["test","-f","/tmp/ready"]},
          "periodSeconds":1,"failureThreshold":1},"livenessProbe":{"tcpSocket":{"port":9},
          "periodSeconds":1,"failureThreshold":2,"initialDelaySeconds":2},
          "startupProbe":{"exec":{"command":["true"]},"periodSeconds":1})") +
                      "]"));
  bool ok = co_await w->until([w] {
    Ref<Pod> p = w->pod("probed");
    for (auto s : p->status().container_statuses()) return s.started() && !s.ready();
    return false;
  });
  EXPECT_TRUE(ok);
  ok = co_await w->until([w] {
    Ref<Pod> p = w->pod("probed");
    for (auto s : p->status().container_statuses()) return s.restart_count() >= 1;
    return false;
  });
  EXPECT_TRUE(ok);
  EXPECT_NE(w->events().find("Container a failed liveness probe, will be restarted"),
            std::string::npos)
      << w->events();
  EXPECT_NE(w->events().find("Liveness probe failed: dial tcp 10.88.7."), std::string::npos)
      << w->events();
}

TEST(Containerd, Probes) { World().run(probe_test); }

Task<void> adopt_test(World* w) {
  w->put(pod_json("stays", R"("containers":[)" + container("a", "sleep 1000") + "]"));
  w->put(pod_json("orphan", R"("containers":[)" + container("a", "sleep 1000") + "]"));
  bool ok = co_await w->until([w] { return w->ready("stays") && w->ready("orphan"); });
  EXPECT_TRUE(ok);
  std::string before(w->pod("stays")->status().container_statuses()[0].container_id());
  std::string orphan(w->pod("orphan")->metadata().uid());
  co_await w->stop_agent();
  w->client().drop(kind_of<Pod>(), "default", "orphan");
  w->start_agent();
  ok = co_await w->until(
      [&orphan] { return !path_exists(g_directory + "/kubelet/pods/" + orphan); });
  EXPECT_TRUE(ok);
  // The agent is at work again by the time that it has made a new pod.
  w->put(pod_json("later", R"("containers":[)" + container("a", "sleep 1000") + "]"));
  ok = co_await w->until([w] { return w->ready("later"); });
  EXPECT_TRUE(ok) << w->events();
  Ref<Pod> stays = w->pod("stays");
  auto c = stays->status().container_statuses()[0];
  EXPECT_EQ(c.container_id(), before);
  EXPECT_EQ(c.restart_count(), 0);
  EXPECT_TRUE(w->ready("stays"));
}

TEST(Containerd, ARestartedAgentAdoptsPods) { World().run(adopt_test); }

// --- what the node refuses ---

Task<void> expect_refused(World* w, std::string name, std::string spec, std::string reason) {
  w->put(pod_json(name, spec));
  bool ok = co_await w->until([w, &name] { return w->pod(name)->status().phase() == "Failed"; });
  EXPECT_TRUE(ok) << name;
  auto status = w->pod(name)->status();
  EXPECT_EQ(status.reason(), reason);
  EXPECT_TRUE(status.message().starts_with("Pod was rejected: ")) << status.message();
  EXPECT_TRUE(status.container_statuses().empty()) << name;
  std::string event = reason + ": " + std::string(status.message().substr(18));
  ok = co_await w->until([w, &event] { return w->events().find(event) != std::string::npos; });
  EXPECT_TRUE(ok) << event;
}

Task<void> admission_test(World* w) {
  std::string rest = R"(,"ports":[{"containerPort":80,"hostPort":8123,"protocol":"TCP"}])";
  std::string ports = "\"containers\":[" + container("a", "sleep 1000", rest) + "]";
  w->put(pod_json("first", ports));
  bool ok = co_await w->until([w] { return w->ready("first"); });
  EXPECT_TRUE(ok);
  co_await expect_refused(w, "ports", ports, "NodePorts");
  std::string plain = "\"containers\":[" + container("a", "sleep 1000") + "]";
  co_await expect_refused(w, "os", "\"os\":{\"name\":\"windows\"}," + plain, "PodOSNotSupported");
  std::string unsafe =
      R"("securityContext":{"sysctls":[{"name":"kernel.msgmax","value":"1"}]},)" + plain;
  co_await expect_refused(w, "sysctl", unsafe, "SysctlForbidden");
  co_await expect_refused(w, "label", R"("nodeSelector":{"none":"such"},)" + plain, "NodeAffinity");
  rest = R"(,"resources":{"requests":{"cpu":"100000"}})";
  std::string cpu = "\"containers\":[" + container("a", "sleep 1000", rest) + "]";
  co_await expect_refused(w, "cpu", cpu, "OutOfcpu");
  // Whoever puts a resource into the node's capacity can have it asked for.
  auto patch = parse_json(R"({"status":{"capacity":{"example.com/foo":"2"}}})");
  WriteOptions status;
  status.subresource = "status";
  (void)co_await w->client().patch(w->ctx(), &kind_of<api::core_v1::Node>(), "", "n1",
                                   PatchType::kMerge, std::move(*patch), status);
  auto allocatable = [w] {
    return w->client().now<api::core_v1::Node>("", "n1")->status().allocatable();
  };
  ok = co_await w->until([&] { return allocatable().get("example.com/foo") == "2"; });
  EXPECT_TRUE(ok);
  rest = R"(,"resources":{"requests":{"example.com/foo":"3"},"limits":{"example.com/foo":"3"}})";
  std::string foo = "\"containers\":[" + container("a", "sleep 1000", rest) + "]";
  co_await expect_refused(w, "foo", foo, "OutOfexample.com/foo");
  // The room of a pod whose object is gone is free, though its processes are still ending.
  rest = R"(,"resources":{"requests":{"example.com/foo":"2"},"limits":{"example.com/foo":"2"}})";
  w->put(pod_json("holder", "\"terminationGracePeriodSeconds\":30,\"containers\":[" +
                                container("a", "trap : TERM; while :; do sleep 1; done", rest) +
                                "]"));
  ok = co_await w->until([w] { return w->ready("holder"); });
  EXPECT_TRUE(ok);
  w->client().drop(kind_of<api::core_v1::Pod>(), "default", "holder");
  w->put(pod_json("heir", "\"containers\":[" + container("a", "sleep 1000", rest) + "]"));
  ok = co_await w->until([w] { return w->ready("heir"); });
  EXPECT_TRUE(ok) << w->pod("heir")->status().message();
  // A new agent sees it the same way, and what runs goes on whatever the node has become.
  co_await w->stop_agent();
  w->client().clear_calls();
  w->put(pod_json("second", plain));
  w->start_agent();
  ok = co_await w->until([w] { return w->ready("second"); });
  EXPECT_TRUE(ok);
  EXPECT_TRUE(w->ready("first"));
  EXPECT_EQ(allocatable().get("example.com/foo"), "2");
  EXPECT_EQ(w->pod("cpu")->status().reason(), "OutOfcpu");
  EXPECT_TRUE(w->pod("cpu")->status().container_statuses().empty());
  for (const std::string& line : w->client().writes())
    EXPECT_EQ(line.find("pods/status default/cpu"), std::string::npos) << line;
}

TEST(Containerd, RefusesWhatItCannotRun) { World().run(admission_test); }

// Isolation that was asked for is given, or the pod does not run.
Task<void> isolation_test(World* w) {
  w->put(R"({"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass","metadata":{"name":"strong"},
    "handler":"vault"})");
  w->put(R"({"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass","metadata":{"name":"plain"},
    "handler":"runc"})");
  std::string plain = "\"containers\":[" + container("a", "sleep 1000") + "]";
  struct Case {
    const char *name, *spec, *event;
  };
  const Case cases[] = {
      {"strong", R"("runtimeClassName":"strong",)", "no runtime for \"vault\" is configured"},
      {"gone", R"("runtimeClassName":"gone",)",
       "FailedCreatePodSandBox: Failed to create pod sandbox: runtimeclass.node.k8s.io \"gone\" "
       "not "
       "found"},
      {"userns", R"("hostUsers":false,)",
       "FailedCreatePodSandBox: Failed to create pod sandbox: can't set `spec.hostUsers: false`, "
       "runtime does not support user namespaces"},
  };
  for (const Case& c : cases) w->put(pod_json(c.name, c.spec + plain));
  w->put(pod_json("plain", R"("runtimeClassName":"plain",)" + plain));
  bool ok = co_await w->until([w] { return w->ready("plain"); });
  EXPECT_TRUE(ok);
  for (const Case& c : cases) {
    ok = co_await w->until([&] { return w->events().find(c.event) != std::string::npos; });
    EXPECT_TRUE(ok) << c.event << "\n" << w->events();
    EXPECT_EQ(w->pod(c.name)->status().phase(), "Pending") << c.name;
  }
}

TEST(Containerd, NeverFallsBackToAnotherRuntime) { World().run(isolation_test); }

// --- the end of a pod ---

Task<void> ending_test(World* w) {
  std::string rest = R"(,"readinessProbe":{"exec":{"command":["test","-f","/tmp/ready"]},
      "periodSeconds":1,"failureThreshold":1},
      "livenessProbe":{"exec":{"command":["test","-f","/tmp/ready"]},"periodSeconds":1,
      "failureThreshold":1},
      "lifecycle":{"preStop":{"exec":{"command":["sh","-c","rm /tmp/ready; sleep 4; exit 0"]}}})";
  w->put(pod_json("ends", R"("terminationGracePeriodSeconds":20,"containers":[)" +
                              container("a",
                                        "touch /tmp/ready; trap 'exit 7' TERM; "
                                        "while true; do sleep 0.1; done",
                                        rest) +
                              "]"));
  bool ok = co_await w->until([w] { return w->ready("ends"); });
  EXPECT_TRUE(ok);
  w->client().clear_calls();
  DeleteOptions o;
  o.grace_period_seconds = 20;
  (void)co_await w->client().remove(w->ctx(), &kind_of<Pod>(), "default", "ends", o);
  // Readiness is probed while its containers run on; liveness is not.
  bool unready = co_await w->until(
      [w] {
        Ref<Pod> p = w->pod("ends");
        return p && !w->ready("ends") && p->status().container_statuses()[0].state().running();
      },
      10s);
  EXPECT_TRUE(unready);
  ok = co_await w->until([w] { return !w->pod("ends"); });
  EXPECT_TRUE(ok);
  EXPECT_EQ(w->events().find("failed liveness probe"), std::string::npos) << w->events();
  // The last that is said before the pod goes is how it ended.
  std::string last;
  for (const FakeCall& call : w->client().calls()) {
    if (call.name != "ends") continue;
    if (call.verb == "patch") last = to_json(call.body->root);
    if (call.verb == "delete" && !last.empty()) last += " deleted";
  }
  EXPECT_TRUE(last.ends_with(" deleted")) << last;
  EXPECT_NE(last.find("\"phase\":\"Failed\""), std::string::npos) << last;
  EXPECT_NE(last.find("\"exitCode\":7"), std::string::npos) << last;
}

TEST(Containerd, HowAPodEndedIsToldBeforeItGoes) { World().run(ending_test); }

// --- containers that are added to a running pod ---

Task<void> ephemeral_test(World* w) {
  w->put(pod_json("debugged", R"("restartPolicy":"Always","containers":[)" +
                                  container("a", "exec sleep 4711") + "]"));
  bool ok = co_await w->until([w] { return w->ready("debugged"); });
  EXPECT_TRUE(ok);
  auto patch = parse_json(R"({"spec":{"ephemeralContainers":[)" +
                          container("look", "tr '\\0' ' ' < /proc/1/cmdline; sleep 1; exit 5",
                                    R"(,"targetContainerName":"a")") +
                          "]}}");
  WriteOptions options;
  (void)co_await w->client().patch(w->ctx(), &kind_of<Pod>(), "default", "debugged",
                                   PatchType::kMerge, std::move(*patch), options);
  ok = co_await w->until([w] {
    for (auto s : w->pod("debugged")->status().ephemeral_container_statuses())
      return s.state().terminated() && s.state().terminated().exit_code() == 5;
    return false;
  });
  EXPECT_TRUE(ok) << w->events();
  // It has seen the processes of its target, and it is not started again.
  std::string log = g_directory + "/pods/default_debugged_" +
                    std::string(w->pod("debugged")->metadata().uid()) + "/look/0.log";
  EXPECT_NE(read_file(log).value_or("").find("sleep 4711"), std::string::npos);
  // When the pod has been worked on again:
  auto id = std::string(w->pod("debugged")->status().container_statuses()[0].container_id());
  EXPECT_EQ(std::system(("ctr -n k8s.io task kill -s KILL " + id.substr(13)).c_str()), 0);
  ok = co_await w->until([w] {
    return w->pod("debugged")->status().container_statuses()[0].restart_count() == 1 &&
           w->ready("debugged");
  });
  EXPECT_TRUE(ok) << w->events();
  EXPECT_EQ(w->pod("debugged")->status().ephemeral_container_statuses()[0].restart_count(), 0);
}

TEST(Containerd, EphemeralContainers) { World().run(ephemeral_test); }

Task<void> features_test(World* w) {
  w->put(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cm2","namespace":"default"},
    "data":{"a":"A","dir.b":"B"}})");
  w->put(R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"default"},
    "data":{"key":"c2VjcmV0"}})");
  w->put(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"my-svc","namespace":"default"},
    "spec":{"clusterIP":"10.96.3.4","ports":[{"name":"web","port":80,"protocol":"TCP"}]}})");
  w->put(pod_json(
      "full",
      R"("hostname":"ship","shareProcessNamespace":true,"terminationGracePeriodSeconds":5,
      "securityContext":{"runAsUser":1000,"runAsGroup":3000,"fsGroup":2000},
      "hostAliases":[{"ip":"1.2.3.4","hostnames":["far"]}],
      "volumes":[{"name":"p","projected":{"sources":[
          {"configMap":{"name":"cm2","items":[{"key":"dir.b","path":"sub/b"}]}},
          {"downwardAPI":{"items":[{"path":"labels","fieldRef":{"fieldPath":"metadata.labels"}}]}}]}},
        {"name":"s","secret":{"secretName":"s","defaultMode":256}},
        {"name":"m","emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}},
        {"name":"e","emptyDir":{}}],
      "initContainers":[)" +
          container("side", "while true; do sleep 0.1; done", R"(,"restartPolicy":"Always")") +
          "," +
          container("first", "echo init > /e/init",
                    R"(,"volumeMounts":[{"name":"e","mountPath":"/e"}])") +
          R"(],"containers":[)" +
          container(
              "a",
              "id -u; id -g; id -G; hostname; cat /p/sub/b; echo; cat /p/labels; echo; cat /s/key; "
              "echo; cat /e/init; echo $MY_SVC_SERVICE_HOST:$MY_SVC_SERVICE_PORT_WEB; "
              "echo $SECRET; df -P /m | tail -1 | awk '{print $1, $2}'; stat -c %a /m; grep far "
              "/etc/hosts; "
              "ls /proc 2>/dev/null | grep -c '^[0-9]*$' >/dev/null && cat /proc/1/cmdline | tr "
              "'\\0' ' '; "
              "echo; "
              "trap 'exit 0' TERM; while true; do sleep 0.1; done",
              R"(,"env":[{"name":"SECRET","valueFrom":{"secretKeyRef":{"name":"s","key":"key"}}}],
        "ports":[{"containerPort":8000,"hostPort":8000}],
        "lifecycle":{"postStart":{"exec":{"command":["sh","-c","echo started > /e/hook"]}},
          "preStop":{"exec":{"command":["sh","-c","sleep 1"]}}},
        "volumeMounts":[{"name":"p","mountPath":"/p"},{"name":"s","mountPath":"/s"},
          {"name":"m","mountPath":"/m"},{"name":"e","mountPath":"/e"}])") +
          "]",
      R"(,"labels":{"x":"y"})"));
  bool ok = co_await w->until([w] { return w->ready("full"); });
  EXPECT_TRUE(ok) << w->events();
  std::string uid(w->pod("full")->metadata().uid());
  std::string log = g_directory + "/pods/default_full_" + uid + "/a/0.log", out;
  ok = co_await w->until([&log, &out] {
    out.clear();
    LogFilter filter{LogOptions()};
    std::string text = read_file(log).value_or("");
    for (size_t at = 0, nl; (nl = text.find('\n', at)) != std::string::npos; at = nl + 1)
      filter.line(std::string_view(text).substr(at, nl - at), out);
    return out.find("/pause") != std::string::npos;
  });
  EXPECT_TRUE(ok);
  EXPECT_EQ(out,
            "1000\n3000\n3000 2000\nship\nB\nx=\"y\"\nsecret\ninit\n10.96.3.4:80\nsecret\n"
            "tmpfs 1024\n3777\n1.2.3.4\tfar\n/pause \n");
  std::string hook =
      g_directory + "/kubelet/pods/" + uid + "/volumes/kubernetes.io~empty-dir/e/hook";
  EXPECT_EQ(read_file(hook).value_or(""), "started\n");
  TimePoint began = w->loop().now();
  DeleteOptions o;
  (void)co_await w->client().remove(w->ctx(), &kind_of<Pod>(), "default", "full", o);
  ok = co_await w->until([w] { return !w->pod("full"); });
  EXPECT_TRUE(ok);
  Duration took = w->loop().now() - began;
  EXPECT_GT(took, 1s);  // preStop
  EXPECT_LT(took, 5s);
  // Made without an error beside it.
  EXPECT_EQ(w->events().find("Failed"), std::string::npos) << w->events();
  w->put(pod_json("waits", R"("containers":[)" +
                               container("a", "sleep 9", R"(,"env":[{"name":"X","valueFrom":
      {"configMapKeyRef":{"name":"later","key":"k"}}}])") +
                               "]"));
  ok = co_await w->until([w] {
    Ref<Pod> p = w->pod("waits");
    for (auto s : p->status().container_statuses())
      return s.state().waiting().reason() == "CreateContainerConfigError";
    return false;
  });
  EXPECT_TRUE(ok);
  EXPECT_EQ(w->pod("waits")->status().container_statuses()[0].state().waiting().message(),
            "configmap \"later\" not found");
  w->put(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"later","namespace":"default"},
    "data":{"k":"v"}})");
  ok = co_await w->until([w] { return w->ready("waits"); });
  EXPECT_TRUE(ok);
}

TEST(Containerd, Features) { World().run(features_test); }

Task<void> accidents_test(World* w) {
  w->put(pod_json("v", R"("restartPolicy":"Always","containers":[)" +
                           container("a", "trap 'exit 0' TERM; while true; do sleep 0.1; done") +
                           "]"));
  bool ok = co_await w->until([w] { return w->ready("v"); });
  EXPECT_TRUE(ok);
  // Killed under the runtime's feet.
  std::string id(w->pod("v")->status().container_statuses()[0].container_id().substr(13));
  EXPECT_EQ(std::system(("ctr -n k8s.io task kill -s KILL " + id).c_str()), 0);
  TimePoint began = w->loop().now();
  ok = co_await w->until([w] {
    Ref<Pod> p = w->pod("v");
    auto s = p->status().container_statuses()[0];
    return s.restart_count() == 1 && s.ready();
  });
  EXPECT_TRUE(ok);
  std::printf("restarted after %.0f ms\n",
              static_cast<double>((w->loop().now() - began).count()) / 1e6);
  // The sandbox killed: all is made anew.
  std::string sandbox;
  std::string listed = g_directory + "/tasks";
  EXPECT_EQ(
      std::system(
          ("ctr -n k8s.io containers ls | grep pause | awk '{print $1}' > " + listed).c_str()),
      0);
  sandbox = read_file(listed).value_or("");
  std::erase(sandbox, '\n');
  EXPECT_EQ(std::system(("ctr -n k8s.io task kill -s KILL " + sandbox).c_str()), 0);
  ok = co_await w->until([w] {
    Ref<Pod> p = w->pod("v");
    auto s = p->status().container_statuses()[0];
    return s.restart_count() == 2 && s.ready();
  });
  EXPECT_TRUE(ok) << w->events();
  EXPECT_NE(w->events().find("Pod sandbox changed, it will be killed and re-created."),
            std::string::npos);
  // The runtime itself dies and comes back; the pod goes on, and one that came meanwhile is made.
  kill(g_containerd, SIGKILL);
  waitpid(g_containerd, nullptr, 0);
  w->put(pod_json("after", R"("containers":[)" + container("a", "sleep 1000") + "]"));
  ok = co_await w->until([w] { return w->events().find("NodeNotReady") != std::string::npos; });
  EXPECT_TRUE(ok) << w->events();
  g_containerd = start_containerd();
  EXPECT_GT(g_containerd, 0);
  ok = co_await w->until([w] { return w->ready("after"); });
  EXPECT_TRUE(ok) << w->events();
  EXPECT_EQ(w->pod("v")->status().container_statuses()[0].restart_count(), 2);
  ok = co_await w->until([w] { return w->ready("v"); });
  EXPECT_TRUE(ok);
  id = std::string(w->pod("v")->status().container_statuses()[0].container_id().substr(13));
  EXPECT_EQ(std::system(("ctr -n k8s.io task kill -s KILL " + id).c_str()), 0);
  ok = co_await w->until([w] {
    return w->pod("v")->status().container_statuses()[0].state().waiting().reason() ==
           "CrashLoopBackOff";
  });
  EXPECT_TRUE(ok);
}

TEST(Containerd, Accidents) { World().run(accidents_test); }

// A figure, not a test: --gtest_also_run_disabled_tests.
Task<void> fifty_pods(World* w) {
  TimePoint began = w->loop().now();
  for (int i = 0; i < 50; ++i)
    w->put(pod_json("m" + std::to_string(i),
                    R"("containers":[{"name":"a","image":"keles.dev/hello:1"}])"));
  bool ok = co_await w->until(
      [w] {
        for (int i = 0; i < 50; ++i)
          if (!w->ready("m" + std::to_string(i))) return false;
        return true;
      },
      60s);
  EXPECT_TRUE(ok);
  std::printf("50 pods ready after %.0f ms\n",
              static_cast<double>((w->loop().now() - began).count()) / 1e6);
  auto status = read_file("/proc/self/status");
  size_t at = status.ok() ? status->find("VmRSS") : std::string::npos;
  if (at != std::string::npos) std::printf("%s\n", status->substr(at, 24).c_str());
}

TEST(Containerd, DISABLED_FiftyPods) { World().run(fifty_pods); }

// --- the kubelet's API ---

Task<int> status_of(World* w, std::string user, std::string group, std::string path) {
  auto c = w->secure(user, group);
  net::Request r("GET", path);
  auto answer = co_await c->send(w->ctx().with_timeout(10s), std::move(r));
  co_return answer.ok() ? answer->status : -1;
}

// Runs `command` through a websocket, feeding it `input`; channel by channel what it said.
Task<std::map<int, std::string>> exec_websocket(World* w, std::string query, std::string input) {
  auto c = w->secure("kube-apiserver-kubelet-client", "");
  net::Request r("GET", "/exec/default/s/a", std::move(query));
  std::vector<std::string> protocols{"v5.channel.k8s.io"};
  Context ctx = w->ctx().with_timeout(10s);
  std::map<int, std::string> out;
  auto ws = co_await c->websocket(ctx, std::move(r), std::move(protocols));
  EXPECT_TRUE(ws.ok()) << ws.status().to_string();
  if (!ws.ok()) co_return out;
  if (!input.empty()) {
    net::WebSocket::Message data(true, std::string(1, 0) + input);
    (void)co_await (*ws)->send(ctx, std::move(data));
    net::WebSocket::Message end(true, std::string("\xff\x00", 2));
    (void)co_await (*ws)->send(ctx, std::move(end));
  }
  while (true) {
    auto m = co_await (*ws)->receive(ctx);
    if (!m.ok()) break;
    if (!m->data.empty()) out[m->data[0]] += m->data.substr(1);
  }
  co_return out;
}

Task<std::string> read_all(Context ctx, std::shared_ptr<net::SpdyStream> s) {
  std::string out;
  while (true) {
    auto data = co_await s->read(ctx);
    if (!data.ok() || data->empty()) break;
    out += *data;
  }
  co_return out;
}

Task<std::string> exec_spdy(World* w, std::string query) {
  auto c = w->secure("kube-apiserver-kubelet-client", "");
  net::Request r("POST", "/exec/default/s/a", std::move(query));
  r.headers.set("Host", "127.0.0.1:10250");
  r.headers.set("Connection", "Upgrade");
  r.headers.set("Upgrade", "SPDY/3.1");
  r.headers.set("X-Stream-Protocol-Version", "v4.channel.k8s.io");
  Context ctx = w->ctx().with_timeout(10s);
  auto up = co_await c->upgrade(ctx, std::move(r));
  if (!up.ok() || !up->stream) co_return up.ok() ? up->body : up.status().to_string();
  auto session = net::SpdySession::create(w->loop(), std::move(up->stream), false);
  std::map<std::string, std::shared_ptr<net::SpdyStream>> streams;
  std::vector<std::string> types{"error", "stdout"};
  for (const std::string& type : types) {
    net::Headers h;
    h.set("streamtype", type);
    auto s = co_await session->open(ctx, std::move(h));
    if (!s.ok()) co_return s.status().to_string();
    streams[type] = *s;
  }
  std::string out = co_await read_all(ctx, streams["stdout"]);
  std::string error = co_await read_all(ctx, streams["error"]);
  co_return out + error;
}

Task<std::string> port_forward(World* w) {
  auto c = w->secure("kube-apiserver-kubelet-client", "");
  net::Request r("POST", "/portForward/default/s", "");
  r.headers.set("Host", "127.0.0.1:10250");
  r.headers.set("Connection", "Upgrade");
  r.headers.set("Upgrade", "SPDY/3.1");
  r.headers.set("X-Stream-Protocol-Version", "portforward.k8s.io");
  Context ctx = w->ctx().with_timeout(10s);
  auto up = co_await c->upgrade(ctx, std::move(r));
  if (!up.ok() || !up->stream) co_return up.ok() ? up->body : up.status().to_string();
  auto session = net::SpdySession::create(w->loop(), std::move(up->stream), false);
  std::map<std::string, std::shared_ptr<net::SpdyStream>> streams;
  std::vector<std::string> types{"error", "data"};
  for (const std::string& type : types) {
    net::Headers h;
    h.set("streamtype", type);
    h.set("port", "8000");
    h.set("requestid", "0");
    auto s = co_await session->open(ctx, std::move(h));
    if (!s.ok()) co_return s.status().to_string();
    streams[type] = *s;
  }
  (void)co_await streams["error"]->shutdown_write(ctx);
  (void)co_await streams["data"]->write(ctx, "GET / HTTP/1.0\r\n\r\n");
  std::string out = co_await read_all(ctx, streams["data"]);
  co_return out;
}

// What the runtime says of a checkpoint, or where it lies.
Task<void> checkpoint_test(World* w) {
  auto c = w->secure("kube-apiserver-kubelet-client", "");
  auto ask = [&](const char* path, const char* query) {
    net::Request r("POST", path, query);
    return c->send(w->ctx().with_timeout(130s), std::move(r));
  };
  auto got = co_await ask("/checkpoint/default/s/none", "");
  EXPECT_EQ(got.ok() ? got->body : "", "container none does not exist");
  got = co_await ask("/checkpoint/default/s/a", "timeout=1&timeout=x");
  EXPECT_EQ(got.ok() ? got->body : "", "cannot parse value of timeout parameter");
  got = co_await ask("/checkpoint/default/s/a", "timeout=-1");
  EXPECT_EQ(got.ok() ? got->body : "",
            "checkpointing of default/s/a failed (CheckpointContainer requires the timeout value "
            "to be > 0)");
  got = co_await ask("/checkpoint/default/s/a", "");
  if (!got.ok()) {
    ADD_FAILURE() << got.status().to_string();
    co_return;
  }
  // containerd has it since 2.0, and needs criu.
  const std::string said = got->body;
  if (got->status == 500) {
    EXPECT_TRUE(said.starts_with("checkpointing of default/s/a failed (rpc error: code = "))
        << said;
    co_return;
  }
  EXPECT_EQ(got->status, 200);
  const std::string begin = "{\"items\":[\"";
  EXPECT_TRUE(said.starts_with(begin)) << said;
  const std::string file = said.substr(begin.size(), said.size() - begin.size() - 3);
  EXPECT_EQ(::access(file.c_str(), R_OK), 0) << file;
}

Task<void> api_test(World* w) {
  w->put(pod_json("s", R"("containers":[)" +
                           container("a", "echo one; echo two; echo three; sleep 1000") +
                           R"(,{"name":"web","image":"keles.dev/hello:1"}])"));
  bool ok = co_await w->until([w] { return w->ready("s"); });
  EXPECT_TRUE(ok);
  int code = co_await status_of(w, "", "", "/pods");
  EXPECT_EQ(code, 401);
  code = co_await status_of(w, "somebody", "", "/pods");
  EXPECT_EQ(code, 403);
  code = co_await status_of(w, "admin", "system:masters", "/pods");
  EXPECT_EQ(code, 200);
  auto c = w->secure("kube-apiserver-kubelet-client", "");
  std::string last;
  for (int i = 0; i < 500 && last != "two\nthree\n";
       ++i) {  // the runtime writes when it gets to it
    net::Request logs("GET", "/containerLogs/default/s/a", "tailLines=2");
    auto answer = co_await c->send(w->ctx().with_timeout(10s), std::move(logs));
    last = answer.ok() ? answer->body : answer.status().to_string();
    (void)co_await w->ctx().sleep(10ms);
  }
  EXPECT_EQ(last, "two\nthree\n");
  auto out = co_await exec_websocket(
      w, "command=sh&command=-c&command=echo+hi%3B+echo+no+%3E%262%3B+exit+7&output=1&error=1", "");
  EXPECT_EQ(out[1], "hi\n");
  EXPECT_EQ(out[2], "no\n");
  EXPECT_NE(out[3].find("\"NonZeroExitCode\""), std::string::npos) << out[3];
  out = co_await exec_websocket(w, "command=cat&input=1&output=1&error=1", "typed");
  EXPECT_EQ(out[1], "typed");
  EXPECT_NE(out[3].find("\"Success\""), std::string::npos) << out[3];
  std::string spdy = co_await exec_spdy(w, "command=echo&command=spdy&output=1");
  EXPECT_TRUE(spdy.starts_with("spdy\n")) << spdy;
  std::string forwarded = co_await port_forward(w);
  EXPECT_NE(forwarded.find("200 OK"), std::string::npos) << forwarded;
  co_await checkpoint_test(w);
}

TEST(Containerd, LogsExecAndPortForward) { World().run(api_test); }

}  // namespace
}  // namespace keles::node
