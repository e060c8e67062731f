// Static pods: what a manifest becomes, and how they and their mirrors come and go.
#include "node/static_pods/static_pods.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "client/testing/fake_client.h"
#include "node/testing.h"

namespace keles::node {
namespace {

using api::core_v1::Pod;

const std::string kPod =
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n"
    "  - name: a\n    image: i:1\n";

TEST(ParseStaticPods, WhatTheNodeMakesOfIt) {
  auto pods = parse_static_pods(kPod, "/m/web.yaml", true, "Node-1");
  ASSERT_TRUE(pods.ok()) << pods.status().message();
  const Pod& p = *(*pods)[0];
  EXPECT_EQ(p.metadata().name(), "web-node-1");
  EXPECT_EQ(p.metadata().namespace_(), "default");
  EXPECT_EQ(p.metadata().uid().size(), 32u);
  EXPECT_EQ(p.metadata().annotations().get(kConfigHash), p.metadata().uid());
  EXPECT_EQ(p.metadata().annotations().get(kConfigSource), "file");
  EXPECT_EQ(p.spec().node_name(), "Node-1");
  EXPECT_EQ(p.spec().restart_policy(), "Always");  // defaults as the API's
  ASSERT_EQ(p.spec().tolerations().size(), 1u);
  EXPECT_EQ(p.spec().tolerations()[0].effect(), "NoExecute");
  EXPECT_TRUE(is_static(p));
  EXPECT_FALSE(is_mirror(p));
  // Another place, another text, another node: another pod.
  auto uid = [](const std::string& text, const std::string& source, const std::string& node) {
    return std::string((*parse_static_pods(text, source, true, node))[0]->metadata().uid());
  };
  EXPECT_EQ(uid(kPod, "/m/web.yaml", "Node-1"), p.metadata().uid());
  EXPECT_NE(uid(kPod, "/m/other.yaml", "Node-1"), p.metadata().uid());
  EXPECT_NE(uid(kPod + "    tty: true\n", "/m/web.yaml", "Node-1"), p.metadata().uid());
  EXPECT_NE(uid(kPod, "/m/web.yaml", "Node-2"), p.metadata().uid());
}

TEST(ParseStaticPods, ListsAndWhatIsNone) {
  const std::string item =
      R"({"metadata":{"name":"x"},"spec":{"containers":[{"name":"a","image":"i"}]}})";
  auto list = parse_static_pods(R"({"apiVersion":"v1","kind":"PodList","items":[)" + item + "]}",
                                "http://m", false, "n");
  ASSERT_TRUE(list.ok()) << list.status().message();
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ((*list)[0]->metadata().annotations().get(kConfigSource), "http");
  EXPECT_TRUE((*list)[0]->spec().tolerations().empty());
  struct Row {
    std::string text, error;
  };
  const Row rows[] = {
      {"kind: Service\n", "invalid pod: its kind is \"Service\""},
      {"kind: Pod\nmetadata: {name: a}\nspec: {}\n", "spec.containers: Required value"},
      {kPod + "  - name: a\n    image: j\n", "spec.containers.name: Duplicate value: \"a\""},
      {kPod + "  resourceClaims: [{name: c, resourceClaimName: r}]\n",
       "static pods may not use ResourceClaims"},
  };
  for (const Row& r : rows)
    EXPECT_EQ(parse_static_pods(r.text, "f", true, "n").status().message(), r.error);
  EXPECT_FALSE(parse_static_pods("kind: Pod\nspec: [", "f", true, "n").ok());
}

class Host final : public StaticPodHost {
 public:
  explicit Host(FakeClient& client) : client_(client) {}
  void static_pod_added(Ref<Pod> pod) override {
    said += "+" + std::string(pod->spec().containers()[0].image()) + " ";
    pods.push_back(pod);
  }
  void static_pod_removed(const std::string& uid) override {
    said += "- ";
    if (slow) return;
    std::erase_if(pods, [&](const Ref<Pod>& p) { return p->metadata().uid() == uid; });
  }
  bool has_pod(std::string_view ns, std::string_view name) const override {
    return std::any_of(pods.begin(), pods.end(), [&](const Ref<Pod>& p) {
      return p->metadata().namespace_() == ns && p->metadata().name() == name;
    });
  }
  Ref<Pod> mirror(std::string_view ns, std::string_view name) const override {
    return client_.now<Pod>(std::string(ns), std::string(name));
  }
  std::vector<Ref<Pod>> mirrors() const override { return client_.all<Pod>(); }
  std::string node_uid() const override { return "node-uid"; }
  FakeClient& client_;
  std::vector<Ref<Pod>> pods;
  std::string said;
  bool slow = false;  // pods take their time to end
};

class StaticPodsTest : public ::testing::Test {
 protected:
  StaticPodsTest()
      : loop_(make_real_loop()),
        client_(*loop_),
        host_(client_),
        ctx_(Context::root(*loop_).with_timeout(60s)) {
    options_.path = directory_.path();
    options_.file_period = 1ms;
    options_.node_name = "n1";
  }
  void write(const std::string& text) {
    ASSERT_TRUE(write_file(directory_.path() + "/web.yaml", text).ok());
  }
  void run(std::function<Task<void>(StaticPodsTest*)> test) {
    StaticPods pods(options_, client_, host_);
    pods_ = &pods;
    run_task(*loop_, beside(this, std::move(test)));
  }
  static Task<void> beside(StaticPodsTest* self, std::function<Task<void>(StaticPodsTest*)> test) {
    Context inner = self->ctx_.child();
    TaskGroup group(*self->loop_);
    group.spawn(self->pods_->run(inner));
    co_await test(self);
    inner.cancel();
    co_await group.join();
  }
  Task<void> until(std::function<bool()> check) {
    bool held = check();
    while (!held && !ctx_.done()) {
      (void)co_await ctx_.sleep(1ms);
      held = check();
    }
    EXPECT_TRUE(held) << host_.said;
  }
  // What the API shows: the image of the one pod there, or "".
  std::string shown() {
    auto all = client_.all<Pod>();
    return all.size() == 1 ? std::string(all[0]->spec().containers()[0].image()) : "";
  }
  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  std::unique_ptr<RealLoop> loop_;
  FakeClient client_;
  Host host_;
  Context ctx_;
  StaticPodOptions options_;
  StaticPods* pods_ = nullptr;
};

TEST_F(StaticPodsTest, ComeAndGoWithTheirMirrors) {
  struct Steps {
    static Task<void> run(StaticPodsTest* base) {
      auto* t = static_cast<StaticPodsTest_ComeAndGoWithTheirMirrors_Test*>(base);
      t->write(kPod);
      std::function<bool()> check = [t] { return t->shown() == "i:1"; };
      co_await t->until(check);
      Ref<Pod> mirror = t->client_.now<Pod>("default", "web-n1");
      EXPECT_TRUE(is_mirror(*mirror));
      EXPECT_EQ(mirror->metadata().owner_references()[0].uid(), "node-uid");
      // Who deletes the mirror gets it again.
      DeleteOptions now;
      now.grace_period_seconds = 0;
      (void)co_await t->client_.remove(t->ctx_, &kind_of<Pod>(), "default", "web-n1", now);
      check = [t, &mirror] {
        return t->shown() == "i:1" &&
               t->client_.all<Pod>()[0]->metadata().uid() != mirror->metadata().uid();
      };
      co_await t->until(check);
      // Changed: the new pod waits for the old one's end.
      t->host_.slow = true;
      std::string changed = kPod;
      changed.replace(changed.find("i:1"), 3, "i:2");
      t->write(changed);
      check = [t] { return t->host_.said == "+i:1 - "; };
      co_await t->until(check);
      (void)co_await t->ctx_.sleep(20ms);
      EXPECT_EQ(t->host_.said, "+i:1 - ");
      t->host_.pods.clear();
      t->pods_->poke();
      check = [t] { return t->host_.said == "+i:1 - +i:2 " && t->shown() == "i:2"; };
      co_await t->until(check);
      t->host_.slow = false;
      EXPECT_TRUE(remove_tree(t->directory_.path() + "/web.yaml").ok());
      check = [t] { return t->client_.all<Pod>().empty(); };
      co_await t->until(check);
      EXPECT_EQ(t->host_.said, "+i:1 - +i:2 - ");
    }
  };
  run(Steps::run);
}

}  // namespace
}  // namespace keles::node
