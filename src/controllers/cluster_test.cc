// All controllers together against FakeClient, on virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "api/apps_v1.h"
#include "api/batch_v1.h"
#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "base/log.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/manager.h"
#include "controllers/ownership.h"
#include "machinery/codec_yaml.h"
#include "machinery/time.h"

namespace keles::controllers {
namespace {

using namespace api::apps_v1;
using namespace api::core_v1;
using api::discovery_v1::EndpointSlice;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kDeployment = R"(
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  replicas: 3
  revisionHistoryLimit: 2
  progressDeadlineSeconds: 600
  selector: {matchLabels: {app: web}}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: c, image: "image:1", ports: [{name: http, containerPort: 8000, protocol: TCP}]}]
)";

class Cluster : public testing::Test {
 protected:
  Cluster() : loop(7), client(loop), ctx(Context::root(loop)) {
    log::set_output(-1);
    options.pod_gc_period = 10h;  // these pods run on nodes that nobody registers
    client.put_yaml(
        "{apiVersion: v1, kind: Namespace, metadata: {name: default}, "
        "spec: {finalizers: [kubernetes]}, status: {phase: Active}}");
  }
  ~Cluster() override {
    ctx.cancel();
    loop.advance(5min);
  }
  void start() {
    options.root_ca_pem = "CA";
    manager = std::make_unique<Manager>(client, options);
    spawn(loop,
          [](Context c, Manager* m) -> Task<void> { co_await m->run(c); }(ctx, manager.get()));
    loop.advance(1s);
  }
  void edit(const KindDesc& kind, std::string_view ns, std::string_view name,
            const std::function<void(Document&)>& fn) {
    Document d = client.now(kind, ns, name)->tree()->clone();
    fn(d);
    client.put(kind, std::move(d));
  }
  // What scheduler and kubelet would do: every pod bound, running and ready, marked ones gone.
  void run_pods() {
    for (const auto& o : client.all(kind_of<Pod>())) {
      Ref<Pod> pod = read<Pod>(o);
      if (!pod->metadata().deletion_timestamp().empty()) {
        client.drop(kind_of<Pod>(), o->namespace_(), o->name());
        continue;
      }
      if (pod->status().phase() == "Running" || broken.contains(image(pod))) continue;
      Draft<PodEdit> d(*pod);
      if (d->spec().node_name().empty()) d->edit_spec().set_node_name("n1");
      auto s = d->edit_status();
      s.set_phase("Running");
      s.set_pod_ip("10.0.0." + std::to_string(++last_ip));
      auto c = s.edit_conditions().add();
      c.set_type("Ready");
      c.set_status("True");
      c.set_last_transition_time(format_time(loop.wall_now()));
      client.put(kind_of<Pod>(), d.take());
    }
  }
  void settle(int rounds = 20) {
    for (int i = 0; i < rounds; ++i) {
      run_pods();
      loop.advance(1s);
    }
  }
  static std::string image(const Ref<Pod>& p) {
    return std::string(p->spec().containers()[0].image());
  }
  std::map<std::string, int> images() {
    std::map<std::string, int> out;
    for (const auto& p : client.all<Pod>()) ++out[image(p)];
    return out;
  }
  Ref<Deployment> web() { return client.now<Deployment>("default", "web"); }
  std::string condition(std::string_view type) {
    for (auto c : web()->status().conditions()) {
      if (c.type() == type) {
        return std::string(c.status()) + " " + std::string(c.reason()) + ": " +
               std::string(c.message());
      }
    }
    return "";
  }
  std::set<std::string> messages() {
    std::set<std::string> out;
    for (const auto& e : client.all<api::core_v1::Event>()) {
      out.insert(std::string(e->reason()) + ": " + std::string(e->message()));
    }
    return out;
  }
  void set_image(std::string_view to) {
    edit(kind_of<Deployment>(), "default", "web", [&](Document& d) {
      Value* t = d.root.find("spec")->find("template")->find("spec")->find("containers");
      t->items()[0].set(d.arena, "image", Value::string(d.arena.copy(to)));
    });
  }
  void scale(int to) {
    edit(kind_of<Deployment>(), "default", "web",
         [&](Document& d) { d.root.find("spec")->set(d.arena, "replicas", Value(to)); });
  }

  SimLoop loop;
  FakeClient client;
  Context ctx;
  Options options;
  std::unique_ptr<Manager> manager;
  std::set<std::string> broken;
  int last_ip = 0;
};

TEST_F(Cluster, RollsADeploymentOutAndFallsQuiet) {
  start();
  client.put_yaml(kDeployment);
  settle();
  EXPECT_THAT(images(), ElementsAre(std::pair("image:1", 3)));
  EXPECT_EQ(web()->status().available_replicas(), 3);
  EXPECT_EQ(web()->metadata().annotations().get("deployment.kubernetes.io/revision"), "1");
  auto sets = client.all<ReplicaSet>();
  ASSERT_EQ(sets.size(), 1u);
  std::string rs(sets[0]->metadata().name());
  EXPECT_TRUE(rs.starts_with("web-")) << rs;
  EXPECT_EQ(condition("Available"),
            "True MinimumReplicasAvailable: Deployment has minimum availability.");
  EXPECT_EQ(condition("Progressing"),
            "True NewReplicaSetAvailable: ReplicaSet \"" + rs + "\" has successfully progressed.");
  EXPECT_THAT(messages(),
              testing::Contains("ScalingReplicaSet: Scaled up replica set " + rs + " from 0 to 3"));
  client.clear_calls();
  loop.advance(10min);
  EXPECT_THAT(client.writes(), ElementsAre());
}

TEST_F(Cluster, NeverGoesBelowOrAboveItsBoundsInARollingUpdate) {
  start();
  client.put_yaml(kDeployment);
  settle();
  set_image("image:2");
  for (int i = 0; i < 60; ++i) {
    int ready = 0, total = 0;
    for (const auto& p : client.all<Pod>()) {
      if (!p->metadata().deletion_timestamp().empty()) continue;
      ++total;
      ready += p->status().phase() == "Running" ? 1 : 0;
    }
    EXPECT_GE(ready, 3);  // 25 % of 3, rounded down, may be missing: none
    EXPECT_LE(total, 4);
    if (i % 2) run_pods();
    loop.advance(1s);
  }
  EXPECT_THAT(images(), ElementsAre(std::pair("image:2", 3)));
  EXPECT_EQ(web()->metadata().annotations().get("deployment.kubernetes.io/revision"), "2");
  EXPECT_EQ(client.all<ReplicaSet>().size(), 2u);
}

TEST_F(Cluster, KeepsOldPodsWhenTheNewImageIsBrokenAndGoesBack) {
  start();
  client.put_yaml(kDeployment);
  settle();
  broken.insert("image:no");
  set_image("image:no");
  settle();
  EXPECT_THAT(images(), ElementsAre(std::pair("image:1", 3), std::pair("image:no", 1)));
  settle(700);
  EXPECT_THAT(condition("Progressing"), HasSubstr("False ProgressDeadlineExceeded"));
  set_image("image:1");  // rollout undo
  settle();
  EXPECT_THAT(images(), ElementsAre(std::pair("image:1", 3)));
  EXPECT_EQ(web()->metadata().annotations().get("deployment.kubernetes.io/revision"), "3");
  EXPECT_THAT(condition("Progressing"), HasSubstr("True NewReplicaSetAvailable"));
  for (int i = 2; i < 7; ++i) {
    set_image("image:" + std::to_string(i));
    settle(30);
  }
  EXPECT_EQ(client.all<ReplicaSet>().size(), 3u);  // the current one and its history of two
}

TEST_F(Cluster, ScalesUpAndDown) {
  start();
  client.put_yaml(kDeployment);
  settle();
  scale(10);
  settle();
  EXPECT_THAT(images(), ElementsAre(std::pair("image:1", 10)));
  scale(1);
  settle();
  EXPECT_THAT(images(), ElementsAre(std::pair("image:1", 1)));
  EXPECT_EQ(web()->status().replicas(), 1);
  client.drop(kind_of<Pod>(), "default", client.all<Pod>()[0]->metadata().name());
  settle();
  EXPECT_THAT(images(), ElementsAre(std::pair("image:1", 1)));
}

TEST_F(Cluster, MakesAThousandPodsExactlyOnceOverABadNetwork) {
  start();
  client.set_latency(20ms);  // every informer is behind
  client.put_yaml(kDeployment);
  scale(1000);
  client.fail("create", "pods", Status::unavailable("connection reset"), 7);
  client.lose_reply("create", "pods", 5);
  loop.advance(3min);
  EXPECT_EQ(client.all<Pod>().size(), 1000u);
  client.break_watches(Status::unavailable("reset"));
  client.compact();
  loop.advance(10min);
  EXPECT_EQ(client.all<Pod>().size(), 1000u);
}

TEST_F(Cluster, RecreateStopsTheOldBeforeTheNew) {
  start();
  client.put_yaml(kDeployment);
  edit(kind_of<Deployment>(), "default", "web", [](Document& d) {
    Value& s = d.root.find("spec")->set(d.arena, "strategy", Value::map());
    s.set(d.arena, "type", Value::string("Recreate"));
  });
  settle();
  set_image("image:2");
  for (int i = 0; i < 30; ++i) {
    EXPECT_LE(images().size(), 1u);
    if (i % 3 == 0) run_pods();
    loop.advance(1s);
  }
  EXPECT_THAT(images(), ElementsAre(std::pair("image:2", 3)));
}

// Two sets are live when a rollout that stands still is made a Recreate and resized at once.
TEST_F(Cluster, RecreateComesToAnEndWhateverElseIsScaled) {
  start();
  client.put_yaml(kDeployment);
  settle();
  broken.insert("image:2");
  set_image("image:2");
  settle();
  ASSERT_EQ(images().size(), 2u);
  edit(kind_of<Deployment>(), "default", "web", [](Document& d) {
    Value* spec = d.root.find("spec");
    Value& strategy = spec->set(d.arena, "strategy", Value::map());
    strategy.set(d.arena, "type", Value::string("Recreate"));
    spec->set(d.arena, "replicas", Value(5));
  });
  settle();
  EXPECT_THAT(images(), ElementsAre(std::pair("image:2", 5)));
}

TEST_F(Cluster, DeletesDependentsInTheBackgroundAndForegroundAndOrphansThem) {
  start();
  client.put_yaml(kDeployment);
  settle();
  client.drop(kind_of<Deployment>(), "default", "web");
  settle();
  EXPECT_EQ(client.all<ReplicaSet>().size(), 0u);
  EXPECT_EQ(client.all<Pod>().size(), 0u);

  client.put_yaml(kDeployment);
  settle();
  auto remove = [this](std::string_view policy) {
    spawn(loop, [](Context c, FakeClient* f, std::string p) -> Task<void> {
      DeleteOptions o;
      o.propagation_policy = p;
      (void)co_await f->remove<Deployment>(c, "default", "web", o);
    }(ctx, &client, std::string(policy)));
    loop.advance(2s);
  };
  remove("Foreground");
  EXPECT_TRUE(web());  // waits for its pods, which wait for their kubelet
  settle();
  EXPECT_FALSE(web());
  EXPECT_EQ(client.all<Pod>().size(), 0u);

  // A dependent that lets go of its waiting owner frees it, as one that goes does.
  client.put_yaml(kDeployment);
  settle();
  std::string uid(web()->metadata().uid());
  client.put_yaml(
      "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, namespace: default, "
      "finalizers: [example.com/hold], ownerReferences: [{apiVersion: apps/v1, kind: Deployment, "
      "name: web, uid: " +
      uid + ", blockOwnerDeletion: true}]}}");
  loop.advance(1s);
  remove("Foreground");
  settle();
  EXPECT_TRUE(web());  // held by the map, which is held
  client.clear_calls();
  loop.advance(10min);
  EXPECT_THAT(client.writes(), ElementsAre());
  edit(kind_of<ConfigMap>(), "default", "kept",
       [](Document& d) { d.root.find("metadata")->erase("ownerReferences"); });
  settle();
  EXPECT_FALSE(web());
  client.drop(kind_of<ConfigMap>(), "default", "kept");

  client.put_yaml(kDeployment);
  settle();
  remove("Orphan");
  settle();
  EXPECT_FALSE(web());
  ASSERT_EQ(client.all<ReplicaSet>().size(), 1u);
  EXPECT_TRUE(client.all<ReplicaSet>()[0]->metadata().owner_references().empty());
  EXPECT_EQ(client.all<Pod>().size(), 3u);
  client.put_yaml(kDeployment);  // adopts what it finds
  settle();
  EXPECT_EQ(client.all<ReplicaSet>().size(), 1u);
  EXPECT_EQ(client.all<Pod>().size(), 3u);
}

TEST_F(Cluster, FurnishesAndEmptiesNamespaces) {
  start();
  client.put_yaml(
      "{apiVersion: v1, kind: Namespace, metadata: {name: team}, "
      "spec: {finalizers: [kubernetes]}, status: {phase: Active}}");
  loop.advance(2s);
  EXPECT_TRUE(client.now<ServiceAccount>("team", "default"));
  EXPECT_EQ(client.now<ConfigMap>("team", "kube-root-ca.crt")->data().get("ca.crt"), "CA");
  client.put_yaml("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: team}}");
  client.put_yaml(
      "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: team}, "
      "spec: {nodeName: n1, containers: [{name: c, image: i}]}}");
  client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: n1}}");
  spawn(loop, [](Context c, FakeClient* f) -> Task<void> {
    (void)co_await f->remove<Namespace>(c, "", "team");
  }(ctx, &client));
  loop.advance(5s);
  ASSERT_TRUE(client.now<Namespace>("", "team"));  // its pod has 30 seconds
  bool told = false;
  for (auto c : client.now<Namespace>("", "team")->status().conditions()) {
    told = told || (c.type() == "NamespaceContentRemaining" &&
                    c.message() == "Some resources are remaining: pods. has 1 resource instances");
  }
  EXPECT_TRUE(told);
  client.drop(kind_of<Pod>(), "team", "p");
  loop.advance(20s);
  EXPECT_FALSE(client.now<Namespace>("", "team"));
  EXPECT_EQ(client.all<Secret>("team").size(), 0u);
  EXPECT_EQ(client.all<ServiceAccount>("team").size(), 0u);
}

TEST_F(Cluster, ServicesHaveEndpoints) {
  start();
  client.put_yaml(kDeployment);
  client.put_yaml(
      "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {"
      "selector: {app: web}, clusterIP: 10.96.0.5, ipFamilies: [IPv4], "
      "ports: [{port: 80, protocol: TCP, targetPort: http}]}}");
  loop.advance(1s);
  auto slices = client.all<EndpointSlice>();
  ASSERT_EQ(slices.size(), 1u);
  EXPECT_EQ(slices[0]->endpoints().size(), 0u);
  settle();
  slices = client.all<EndpointSlice>();
  ASSERT_EQ(slices.size(), 1u);
  EXPECT_EQ(slices[0]->endpoints().size(), 3u);
  EXPECT_EQ(slices[0]->ports()[0].port(), 8000);
  EXPECT_EQ(slices[0]->metadata().labels().get("kubernetes.io/service-name"), "web");
  auto endpoints = client.now<Endpoints>("default", "web");
  ASSERT_TRUE(endpoints);
  EXPECT_EQ(endpoints->subsets()[0].addresses().size(), 3u);
  // A pod that stops being ready stays listed, not ready.
  edit(kind_of<Pod>(), "default", client.all<Pod>()[0]->metadata().name(), [](Document& d) {
    Value* c = d.root.find("status")->find("conditions");
    c->items()[0].set(d.arena, "status", Value::string("False"));
  });
  loop.advance(1s);
  int ready = 0;
  for (auto e : client.all<EndpointSlice>()[0]->endpoints()) ready += e.conditions().ready();
  EXPECT_EQ(ready, 2);
  scale(250);
  settle();
  std::set<std::string> addresses;
  for (const auto& s : client.all<EndpointSlice>()) {
    EXPECT_LE(s->endpoints().size(), 100u);
    for (auto e : s->endpoints()) addresses.insert(std::string(e.addresses()[0]));
  }
  EXPECT_EQ(addresses.size(), 250u);
  client.drop(kind_of<Service>(), "default", "web");
  settle();
  EXPECT_EQ(client.all<EndpointSlice>().size(), 0u);
  EXPECT_FALSE(client.now<Endpoints>("default", "web"));
}

class Nodes : public Cluster {
 protected:
  Nodes() { options.pod_gc_period = 20s; }
  void add_node(const std::string& name) {
    client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: " + name +
                    "}, status: {conditions: [{type: Ready, status: 'True', lastHeartbeatTime: "
                    "'2023-11-14T22:13:20Z'}]}}");
  }
  void renew(const std::string& name) {
    client.put_yaml("{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: " + name +
                    ", namespace: kube-node-lease}, spec: {renewTime: '" +
                    format_micro_time(loop.wall_now()) + "'}}");
  }
  std::string taints(std::string_view name) {
    std::string out;
    for (auto t : client.now<Node>("", name)->spec().taints()) {
      out += std::string(t.key()) + ":" + std::string(t.effect()) + " ";
    }
    return out;
  }
};

TEST_F(Nodes, GetRangesOfPodAddresses) {
  start();
  for (const char* n : {"a", "b", "c"}) add_node(n);
  loop.advance(1s);
  std::set<std::string> got;
  for (const auto& n : client.all<Node>()) got.insert(std::string(n->spec().pod_cidr()));
  EXPECT_THAT(got, ElementsAre("10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"));
}

TEST_F(Nodes, ASilentNodeLosesItsPods) {
  start();
  add_node("n1");
  add_node("n2");
  client.put_yaml(kDeployment);
  settle();
  for (const auto& p : client.all<Pod>()) {
    edit(kind_of<Pod>(), "default", p->metadata().name(), [](Document& d) {
      Value& list = d.root.find("spec")->set(d.arena, "tolerations", Value::list());
      Value& t = list.append(d.arena, Value::map());
      t.set(d.arena, "key", Value::string("node.kubernetes.io/unreachable"));
      t.set(d.arena, "operator", Value::string("Exists"));
      t.set(d.arena, "effect", Value::string("NoExecute"));
      t.set(d.arena, "tolerationSeconds", Value(60));
    });
  }
  auto beat = [&](std::initializer_list<const char*> who, int seconds) {
    for (int i = 0; i < seconds / 10; ++i) {
      for (const char* n : who) renew(n);
      loop.advance(10s);
    }
  };
  beat({"n1", "n2"}, 100);
  EXPECT_EQ(taints("n1"), "");
  beat({"n2"}, 60);
  EXPECT_EQ(taints("n1"),
            "node.kubernetes.io/unreachable:NoExecute node.kubernetes.io/unreachable:NoSchedule ");
  Ref<Node> n1 = client.now<Node>("", "n1");
  EXPECT_EQ(n1->status().conditions()[0].status(), "Unknown");
  EXPECT_EQ(n1->status().conditions()[0].message(), "Kubelet stopped posting node status.");
  for (const auto& p : client.all<Pod>()) {
    EXPECT_EQ(p->status().conditions()[0].status(), "False");
    EXPECT_TRUE(p->metadata().deletion_timestamp().empty());
  }
  beat({"n2"}, 70);
  int dying = 0, fresh = 0;
  for (const auto& p : client.all<Pod>()) {
    if (p->metadata().deletion_timestamp().empty()) {
      ++fresh;
    } else {
      ++dying;
    }
  }
  EXPECT_EQ(dying, 3);  // nobody there to end them
  EXPECT_EQ(fresh, 3);
  client.clear_calls();
  beat({"n2"}, 600);
  EXPECT_THAT(client.writes(), ElementsAre());
  // It comes back.
  renew("n1");
  add_node("n1");
  loop.advance(5s);
  EXPECT_EQ(taints("n1"), "");
  // It is deleted: its pods go for good.
  client.drop(kind_of<Node>(), "", "n1");
  beat({"n2"}, 120);
  for (const auto& p : client.all<Pod>()) EXPECT_NE(p->spec().node_name(), "n1");
}

TEST_F(Nodes, NobodyIsEvictedWhenEveryNodeIsSilent) {
  start();
  add_node("n1");
  add_node("n2");
  loop.advance(5min);
  EXPECT_EQ(taints("n1"), "node.kubernetes.io/unreachable:NoSchedule ");
  EXPECT_EQ(taints("n2"), "node.kubernetes.io/unreachable:NoSchedule ");
}

// --- workloads of other kinds ---

class Workloads : public Nodes {
 protected:
  Workloads() { options.pod_gc_period = 10h; }
  void keep_nodes_alive(std::initializer_list<const char*> who) {
    for (const char* n : who) renew(n);
  }
  void set_phase(const Ref<Pod>& pod, std::string_view phase) {
    Draft<PodEdit> d(*pod);
    if (d->spec().node_name().empty()) d->edit_spec().set_node_name("n1");
    d->edit_status().set_phase(phase);
    client.put(kind_of<Pod>(), d.take());
  }
  template <class T>
  std::vector<std::string> names_of() {
    std::vector<std::string> out;
    for (const auto& o : client.all<T>()) out.emplace_back(o->metadata().name());
    return out;
  }
};

TEST_F(Workloads, AJobRunsUntilEnoughHaveSucceeded) {
  start();
  client.put_yaml(
      "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: default}, spec: "
      "{completions: 5, parallelism: 2, backoffLimit: 3, template: {spec: {restartPolicy: Never, "
      "containers: [{name: c, image: i}]}}}}");
  loop.advance(1s);
  EXPECT_EQ(client.all<Pod>().size(), 2u);
  set_phase(client.all<Pod>()[0], "Failed");
  loop.advance(5s);
  EXPECT_EQ(client.all<Pod>().size(), 2u);  // the next attempt waits ten seconds
  for (int i = 0; i < 40; ++i) {
    for (const auto& p : client.all<Pod>()) {
      if (p->status().phase() == "Pending") set_phase(p, "Succeeded");
      if (i % 2 && p->status().phase() == "Succeeded" && p->metadata().finalizers().empty()) {
        client.drop(kind_of<Pod>(), "default", p->metadata().name());  // counted all the same
      }
    }
    loop.advance(2s);
  }
  auto job = client.now<api::batch_v1::Job>("default", "j");
  EXPECT_EQ(job->status().succeeded(), 5);
  EXPECT_EQ(job->status().failed(), 1);
  EXPECT_EQ(job->status().active(), 0);
  std::string last(job->status().conditions()[job->status().conditions().size() - 1].type());
  EXPECT_EQ(last, "Complete");
  EXPECT_FALSE(job->status().completion_time().empty());
  for (const auto& p : client.all<Pod>()) EXPECT_TRUE(p->metadata().finalizers().empty());
  client.clear_calls();
  loop.advance(1h);
  EXPECT_THAT(client.writes(), ElementsAre());
}

TEST_F(Workloads, AStatefulSetWaitsForAStrangerWhoHasItsPodsName) {
  start();
  client.put_yaml("{apiVersion: v1, kind: Pod, metadata: {name: s-0, namespace: default}}");
  client.put_yaml(
      "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s, namespace: default}, spec: "
      "{replicas: 1, selector: {matchLabels: {app: s}}, template: {metadata: {labels: {app: s}}, "
      "spec: {containers: [{name: c, image: i}]}}}}");
  loop.advance(1min);
  EXPECT_TRUE(client.now<Pod>("default", "s-0")->metadata().labels().get("app").empty());
  client.drop(kind_of<Pod>(), "default", "s-0");
  loop.advance(1s);
  auto pod = client.now<Pod>("default", "s-0");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->metadata().labels().get("app"), "s");
}

// What a create finds there, and what refuses it for now, may be gone before any cache sees it:
// nothing brings a controller back then but itself.
TEST_F(Workloads, ARefusedCreateIsTriedAgain) {
  const std::string set =
      "{apiVersion: apps/v1, metadata: {name: s, namespace: default}, spec: {replicas: 1, "
      "selector: {matchLabels: {app: s}}, template: {metadata: {labels: {app: s}}, spec: "
      "{containers: [{name: c, image: i}]}}";
  const std::string claims = ", volumeClaimTemplates: [{metadata: {name: d}}]}, kind: StatefulSet}";
  const std::string service =
      "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: default}, spec: {selector: "
      "{app: s}, ipFamilies: [IPv4], ports: [{port: 80}]}}";
  const std::string space =
      "{apiVersion: v1, kind: Namespace, metadata: {name: other}, status: {phase: Active}}";
  struct Case {
    const KindDesc& kind;
    std::string asks, ns;
  };
  const Case cases[] = {
      {kind_of<ServiceAccount>(), space, "other"},
      {kind_of<ConfigMap>(), space, "other"},
      {kind_of<ReplicaSet>(), std::string(kDeployment), "default"},
      {kind_of<Pod>(), set + "}, kind: ReplicaSet}", "default"},
      {kind_of<Pod>(), set + "}, kind: StatefulSet}", "default"},
      {kind_of<PersistentVolumeClaim>(), set + claims, "default"},
      {kind_of<ControllerRevision>(), set + "}, kind: StatefulSet}", "default"},
      {kind_of<ControllerRevision>(), set + "}, kind: DaemonSet}", "default"},
      {kind_of<Endpoints>(), service, "default"},
      {kind_of<EndpointSlice>(), service, "default"},
  };
  start();
  for (Reason reason : {Reason::kAlreadyExists, Reason::kForbidden, Reason::kNotFound}) {
    for (const Case& c : cases) {
      const std::string resource(c.kind.group_resource());
      // The namespace has gone, which its own two take for the end.
      if (reason == Reason::kNotFound && c.ns == "other") continue;
      ObjectPtr owner = client.put_yaml(c.asks);
      client.fail("create", resource, Status(reason, "not now"), 2);
      loop.advance(3min);
      EXPECT_EQ(client.all(c.kind, c.ns).size(), 1u) << resource << " for " << owner->kind().kind;
      client.drop(owner->kind(), owner->namespace_(), owner->name());
      for (const Case& made : cases) {
        for (const auto& o : client.all(made.kind, c.ns)) {
          client.drop(made.kind, o->namespace_(), o->name());
        }
      }
      loop.advance(10s);
    }
  }
}

// What was made may go again while nobody listens: the list that closes the gap shows no
// difference.
TEST_F(Workloads, WhatGoesUnseenIsMadeAnew) {
  start();
  client.fail("watch", "serviceaccounts", Status::unavailable("cut off"), 3);
  client.break_watches(Status::unavailable("cut off"));
  loop.advance(2s);  // the others listen again
  client.put_yaml(
      "{apiVersion: v1, kind: Namespace, metadata: {name: other}, status: {phase: Active}}");
  loop.advance(200ms);
  ASSERT_TRUE(client.now<ServiceAccount>("other", "default"));
  client.drop(kind_of<ServiceAccount>(), "other", "default");
  client.compact();
  loop.advance(1min);
  EXPECT_TRUE(client.now<ServiceAccount>("other", "default"));
}

// An owner that comes and goes while the collector does not listen takes its dependents along.
TEST_F(Workloads, DependentsOfAnOwnerThatNobodySawGoToo) {
  start();
  client.fail("watch", "configmaps", Status::unavailable("cut off"), 3);
  client.break_watches(Status::unavailable("cut off"));
  loop.advance(2s);
  ObjectPtr owner =
      client.put_yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: o, namespace: default}}");
  client.put_yaml(
      "{apiVersion: v1, kind: Secret, metadata: {name: d, namespace: default, ownerReferences: "
      "[{apiVersion: v1, kind: ConfigMap, name: o, uid: " +
      std::string(owner->uid()) + "}]}}");
  loop.advance(200ms);
  EXPECT_TRUE(client.now<Secret>("default", "d"));
  client.drop(kind_of<ConfigMap>(), "default", "o");
  client.compact();
  loop.advance(5min);
  EXPECT_FALSE(client.now<Secret>("default", "d"));
}

// The name of a new revision is a stranger's: the next one that the hash gives is taken.
TEST_F(Workloads, ARevisionWhoseNameIsTakenGetsAnother) {
  start();
  for (const char* kind : {"StatefulSet", "DaemonSet"}) {
    std::string name = kind == std::string("DaemonSet") ? "d" : "s";
    client.fail("create", "controllerrevisions.apps", Status(Reason::kUnavailable, "not yet"), 1);
    ObjectPtr set = client.put_yaml(
        "{apiVersion: apps/v1, kind: " + std::string(kind) + ", metadata: {name: " + name +
        ", namespace: default}, spec: {selector: {matchLabels: {app: " + name +
        "}}, template: {metadata: {labels: {app: " + name +
        "}}, spec: {containers: [{name: c, image: i}]}}}}");
    std::string taken;
    for (int i = 0; i < 1000 && taken.empty(); ++i) {
      loop.advance(1ms);
      for (const FakeCall& call : client.calls()) {
        if (call.verb == "create" && call.resource == "controllerrevisions.apps")
          taken = (*call.body).root["metadata"]["name"].as_string();
      }
    }
    ASSERT_TRUE(taken.starts_with(name + "-")) << taken;
    client.put_yaml(
        "{apiVersion: apps/v1, kind: ControllerRevision, revision: 1, metadata: {name: " + taken +
        ", namespace: default}}");
    loop.advance(1min);
    std::vector<std::string> names = names_of<ControllerRevision>();
    ASSERT_EQ(names.size(), 2u);
    std::string other = names[names[0] == taken ? 1 : 0];
    EXPECT_TRUE(other.starts_with(name + "-"));
    client.drop(set->kind(), "default", name);
    for (const auto& r : client.all<ControllerRevision>()) {
      EXPECT_EQ(controller_of(r->metadata()).kind(), r->metadata().name() == taken ? "" : kind);
      client.drop(kind_of<ControllerRevision>(), "default", r->metadata().name());
    }
    client.clear_calls();
  }
}

TEST_F(Workloads, AFinishedJobThatIsHeldIsLeftAlone) {
  client.put_yaml(
      "{apiVersion: batch/v1, kind: Job, metadata: {name: held, namespace: default, "
      "finalizers: [example.com/hold]}, spec: {completions: 1, parallelism: 1, "
      "ttlSecondsAfterFinished: 5, template: {metadata: {labels: {job: held}}, "
      "spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}, "
      "status: {succeeded: 1, startTime: '2020-01-01T00:00:00Z', "
      "completionTime: '2020-01-01T00:00:00Z', conditions: [{type: Complete, status: 'True', "
      "lastTransitionTime: '2020-01-01T00:00:00Z'}]}}");
  start();
  loop.advance(1min);
  auto job = client.now<api::batch_v1::Job>("default", "held");
  ASSERT_TRUE(job);
  EXPECT_FALSE(job->metadata().deletion_timestamp().empty());
  EXPECT_EQ(job->metadata().finalizers().size(), 1u);
  client.clear_calls();
  loop.advance(1h);
  EXPECT_THAT(client.writes(), ElementsAre());
}

TEST_F(Workloads, AJobThatKeepsFailingFails) {
  start();
  client.put_yaml(
      "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: default}, spec: "
      "{completions: 1, parallelism: 1, backoffLimit: 2, ttlSecondsAfterFinished: 100, template: "
      "{spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}");
  for (int i = 0; i < 40; ++i) {
    for (const auto& p : client.all<Pod>()) {
      if (p->status().phase() == "Pending") set_phase(p, "Failed");
    }
    loop.advance(2s);
  }
  auto job = client.now<api::batch_v1::Job>("default", "j");
  ASSERT_TRUE(job);
  EXPECT_EQ(job->status().failed(), 3);
  EXPECT_THAT(messages(), testing::Contains(
                              "BackoffLimitExceeded: Job has reached the specified backoff limit"));
  loop.advance(100s);
  EXPECT_FALSE(client.now<api::batch_v1::Job>("default", "j"));  // its time to live is over
  loop.advance(10s);
  EXPECT_EQ(client.all<Pod>().size(), 0u);
}

TEST_F(Workloads, AnIndexedJobRunsEveryNumberOnce) {
  start();
  client.put_yaml(
      "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: default}, spec: "
      "{completions: 4, parallelism: 3, completionMode: Indexed, template: {spec: {restartPolicy: "
      "Never, containers: [{name: c, image: i}]}}}}");
  for (int i = 0; i < 20; ++i) {
    for (const auto& p : client.all<Pod>()) {
      if (p->status().phase() == "Pending") set_phase(p, "Succeeded");
    }
    loop.advance(1s);
  }
  EXPECT_EQ(client.now<api::batch_v1::Job>("default", "j")->status().completed_indexes(), "0-3");
  EXPECT_EQ(client.all<Pod>().size(), 4u);
}

TEST_F(Workloads, ADaemonSetHasOnePodOnEveryNodeThatFits) {
  start();
  for (const char* n : {"n1", "n2", "n3"}) add_node(n);
  edit(kind_of<Node>(), "", "n3", [](Document& d) {
    Value& t = d.root.get_or_add(d.arena, "spec").set(d.arena, "taints", Value::list());
    Value& taint = t.append(d.arena, Value::map());
    taint.set(d.arena, "key", Value::string("private"));
    taint.set(d.arena, "effect", Value::string("NoSchedule"));
  });
  client.put_yaml(
      "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent, namespace: default}, spec: "
      "{selector: {matchLabels: {app: agent}}, updateStrategy: {type: RollingUpdate, "
      "rollingUpdate: {maxUnavailable: 1}}, template: {metadata: {labels: {app: agent}}, spec: "
      "{containers: [{name: c, image: 'image:1'}]}}}}");
  auto run = [this] {
    for (int i = 0; i < 15; ++i) {
      keep_nodes_alive({"n1", "n2", "n3", "n4"});
      for (const auto& p : client.all<Pod>()) {  // what the scheduler does
        if (!p->spec().node_name().empty()) continue;
        auto terms = p->spec()
                         .affinity()
                         .node_affinity()
                         .required_during_scheduling_ignored_during_execution()
                         .node_selector_terms();
        Draft<PodEdit> d(*p);
        d->edit_spec().set_node_name(terms[0].match_fields()[0].values()[0]);
        client.put(kind_of<Pod>(), d.take());
      }
      run_pods();
      loop.advance(1s);
    }
  };
  run();
  auto on = [this] {
    std::multiset<std::string> out;
    for (const auto& p : client.all<Pod>()) {
      out.insert(std::string(p->spec().node_name()) + " " + image(p));
    }
    return out;
  };
  EXPECT_THAT(on(), ElementsAre("n1 image:1", "n2 image:1"));
  add_node("n4");
  run();
  EXPECT_EQ(on().size(), 3u);
  edit(kind_of<DaemonSet>(), "default", "agent", [](Document& d) {
    Value* c = d.root.find("spec")->find("template")->find("spec")->find("containers");
    c->items()[0].set(d.arena, "image", Value::string("image:2"));
  });
  run();
  run();
  EXPECT_THAT(on(), ElementsAre("n1 image:2", "n2 image:2", "n4 image:2"));
  auto set = client.now<DaemonSet>("default", "agent");
  EXPECT_EQ(set->status().desired_number_scheduled(), 3);
  EXPECT_EQ(set->status().updated_number_scheduled(), 3);
  EXPECT_EQ(set->status().number_available(), 3);
  EXPECT_EQ(client.all<ControllerRevision>().size(), 2u);
  client.clear_calls();
  run();
  EXPECT_THAT(client.writes(), ElementsAre());
}

// KEP 1847: the claims of a number that is given up go with its pod, and a pod that comes back
// waits until the old ones have.
TEST_F(Workloads, AStatefulSetsClaimsGoWithItsPods) {
  client.put_yaml(
      "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: default}, spec: "
      "{replicas: 2, persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: "
      "Delete}, selector: {matchLabels: {app: db}}, volumeClaimTemplates: [{metadata: {name: d}}], "
      "template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: i}]}}}}");
  start();
  settle();
  auto owner = [&](const char* name) {
    auto claim = client.now<PersistentVolumeClaim>("default", name);
    return claim ? std::string(controller_of(claim->metadata()).kind()) : "gone";
  };
  EXPECT_EQ(owner("d-db-0"), "StatefulSet");
  EXPECT_EQ(owner("d-db-1"), "StatefulSet");
  std::string old_claim(client.now<PersistentVolumeClaim>("default", "d-db-1")->metadata().uid());
  auto resize = [&](int64_t n) {
    edit(kind_of<StatefulSet>(), "default", "db",
         [n](Document& d) { d.root.find("spec")->set(d.arena, "replicas", Value(n)); });
  };
  resize(1);
  settle(2);
  EXPECT_NE(owner("d-db-1"), "StatefulSet");
  resize(2);
  settle(60);
  EXPECT_EQ(owner("d-db-1"), "StatefulSet");
  EXPECT_NE(client.now<PersistentVolumeClaim>("default", "d-db-1")->metadata().uid(), old_claim);
  EXPECT_EQ(client.all<Pod>("default").size(), 2U);
  client.drop(kind_of<StatefulSet>(), "default", "db");
  settle(60);
  EXPECT_EQ(owner("d-db-0"), "gone");
  EXPECT_EQ(owner("d-db-1"), "gone");
}

TEST_F(Workloads, AStatefulSetGoesInOrder) {
  start();
  client.put_yaml(
      "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: default}, spec: "
      "{replicas: 3, serviceName: db, selector: {matchLabels: {app: db}}, updateStrategy: {type: "
      "RollingUpdate}, volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: "
      "[ReadWriteOnce]}}], template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, "
      "image: 'image:1'}]}}}}");
  loop.advance(3s);
  EXPECT_THAT(names_of<Pod>(), ElementsAre("db-0"));
  run_pods();
  loop.advance(3s);
  EXPECT_THAT(names_of<Pod>(), ElementsAre("db-0", "db-1"));
  settle();
  EXPECT_THAT(names_of<Pod>(), ElementsAre("db-0", "db-1", "db-2"));
  EXPECT_THAT(names_of<PersistentVolumeClaim>(),
              ElementsAre("data-db-0", "data-db-1", "data-db-2"));
  EXPECT_EQ(client.now<Pod>("default", "db-1")->spec().hostname(), "db-1");
  edit(kind_of<StatefulSet>(), "default", "db", [](Document& d) {
    Value* c = d.root.find("spec")->find("template")->find("spec")->find("containers");
    c->items()[0].set(d.arena, "image", Value::string("image:2"));
  });
  loop.advance(2s);
  EXPECT_FALSE(client.now<Pod>("default", "db-2")->metadata().deletion_timestamp().empty());
  EXPECT_TRUE(client.now<Pod>("default", "db-1")->metadata().deletion_timestamp().empty());
  settle(40);
  EXPECT_THAT(images(), ElementsAre(std::pair("image:2", 3)));
  auto set = client.now<StatefulSet>("default", "db");
  EXPECT_EQ(set->status().updated_replicas(), 3);
  EXPECT_EQ(set->status().current_revision(), set->status().update_revision());
  edit(kind_of<StatefulSet>(), "default", "db",
       [](Document& d) { d.root.find("spec")->set(d.arena, "replicas", Value(1)); });
  settle();
  EXPECT_THAT(names_of<Pod>(), ElementsAre("db-0"));
  client.clear_calls();
  loop.advance(10min);
  EXPECT_THAT(client.writes(), ElementsAre());
}

}  // namespace
}  // namespace keles::controllers
