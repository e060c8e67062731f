// Images: credentials, who may have what is here already, what goes when the disk is full, and
// pulls in turn.
#include "node/images/images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/encoding.h"
#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "net/pki.h"
#include "node/cri/stub_runtime.h"

namespace keles::node {
namespace {

using ::testing::ElementsAre;

TEST(Keyring, NamesOfRepositories) {
  const std::pair<const char*, const char*> rows[] = {
      {"busybox", "docker.io/library/busybox"},
      {"busybox:1.35@sha256:abc", "docker.io/library/busybox"},
      {"a/b:1", "docker.io/a/b"},
      {"docker.io/b", "docker.io/library/b"},
      {"localhost/b:1", "localhost/b"},
      {"r.example.com:5000/a/b", "r.example.com:5000/a/b"},
      {"r.example.com:5000/a/b:2", "r.example.com:5000/a/b"},
  };
  for (const auto& [image, name] : rows) EXPECT_EQ(repository_of(image), name);
}

TEST(Keyring, EntriesMatchHostsPortsAndPaths) {
  struct Row {
    const char *entry, *repository;
    bool match;
  };
  const Row rows[] = {
      {"*.docker.io", "blah.docker.io/x", true},
      {"*.docker.io", "not.right.io/x", false},
      {"*.io", "a.b.io/x", false},
      {"r.io", "r.io:5000/x", false},
      {"r.io:5000", "r.io:5000/x", true},
      {"r.io/team", "r.io/team/x", true},
      {"r.io/team", "r.io/other/x", false},
      {"r-?.io", "r-1.io/x", true},
      {"prefix*.r.io/a", "prefix-1.r.io/a/b", true},
  };
  for (const Row& r : rows)
    EXPECT_EQ(registry_matches(r.entry, r.repository), r.match) << r.entry << " " << r.repository;
}

std::string users(const Keyring& k, const std::string& image) {
  std::string out;
  for (const RegistryCredential& c : k.lookup(image))
    out += c.auth.username + ":" + c.auth.password + " ";
  return out;
}

TEST(Keyring, TheMostParticularEntryFirst) {
  Keyring k;
  k.add(R"({"auths":{"https://r.io/v1/":{"auth":")" + base64_encode("host:p:q") +
            R"("},"r.io/team":{"username":"team","password":"x"},
            "https://index.docker.io/v1/":{"auth":")" +
            base64_encode("hub:h") + R"("},"bad.io":{"auth":"AAAA"}}})",
        {});
  EXPECT_EQ(users(k, "r.io/team/image:1"), "team:x host:p:q ");
  EXPECT_EQ(users(k, "r.io/image"), "host:p:q ");
  EXPECT_EQ(users(k, "busybox"), "hub:h ");
  EXPECT_EQ(users(k, "bad.io/x"), "");
  EXPECT_EQ(users(k, "other.io/x"), "");
  Keyring old;
  old.add(R"({"r.io":{"auth":")" + base64_encode("a:b") + R"("}})", {"u", "n", "s"});
  ASSERT_EQ(old.lookup("r.io/x").size(), 1u);
  EXPECT_EQ(old.lookup("r.io/x")[0].source.name, "s");
  EXPECT_EQ(old.lookup("r.io/x")[0].hash,
            k.lookup("r.io/x").size() ? old.lookup("r.io/x")[0].hash : "");
}

RegistryCredential secret(const std::string& name, const std::string& hash) {
  RegistryCredential c;
  c.source = {"uid-" + name, "ns", name};
  c.hash = hash;
  return c;
}

class Records : public ::testing::Test {
 protected:
  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  PullRecords records_{directory_.path(), {}};
  const WallTime now_{1'700'000'000'000'000'000};
};

TEST_F(Records, WhoHasNotShownCredentialsMustPull) {
  const std::string image = "r.io/private:1", ref = "sha256:1";
  EXPECT_FALSE(records_.must_pull(image, ref, {}));  // it came with the node
  ASSERT_TRUE(records_.begin(image)().ok());
  EXPECT_TRUE(records_.must_pull(image, ref, {}));  // under way
  ASSERT_TRUE(records_.pulled(image, ref, secret("a", "h1"), now_)().ok());
  EXPECT_FALSE(records_.must_pull(image, ref, {secret("a", "h1")}));
  EXPECT_FALSE(records_.must_pull(image, ref, {secret("b", "h1")}));  // the same credential
  EXPECT_TRUE(records_.must_pull(image, ref, {secret("b", "h2")}));
  EXPECT_TRUE(records_.must_pull(image, ref, {}));
  EXPECT_TRUE(records_.must_pull("r.io/other:1", ref, {secret("a", "h1")}));  // another name of it
  // An agent that comes later knows it still.
  PullRecords later(directory_.path(), {});
  std::vector<cri::Image> none;
  later.load(&none, now_);
  EXPECT_FALSE(later.must_pull(image, ref, {secret("a", "h1")}));
  EXPECT_TRUE(later.must_pull(image, ref, {}));
  // Whoever pulls it without credentials has shown that anybody may.
  ASSERT_TRUE(later.pulled(image, ref, std::nullopt, now_)().ok());
  EXPECT_FALSE(later.must_pull(image, ref, {}));
  EXPECT_EQ(later.prune(none, now_ + 1s).size(), 1u);
  EXPECT_FALSE(later.must_pull(image, ref, {}));
}

// As upstream's kubelet keeps them: each secret once, accounts apart.
TEST_F(Records, SecretsAndAccountsInUpstreamsForm) {
  const std::string image = "r.io/private:1", ref = "sha256:1";
  RegistryCredential account = secret("robot", "h9");
  account.source.account = true;
  ASSERT_TRUE(records_.pulled(image, ref, secret("b", "h1"), now_)().ok());
  ASSERT_TRUE(records_.pulled(image, ref, secret("a", "h1"), now_)().ok());
  ASSERT_TRUE(records_.pulled(image, ref, secret("b", "h2"), now_)().ok());
  ASSERT_TRUE(records_.pulled(image, ref, account, now_)().ok());
  const std::string path =
      directory_.path() + "/image_manager/pulled/sha256-" + net::hex(net::sha256(ref));
  EXPECT_NE(
      read_file(path)->find(R"("credentialMapping":{"r.io/private":{"kubernetesSecrets":[)"
                            R"({"uid":"uid-a","namespace":"ns","name":"a","credentialHash":"h1"},)"
                            R"({"uid":"uid-b","namespace":"ns","name":"b","credentialHash":"h2"}],)"
                            R"("kubernetesServiceAccounts":[)"
                            R"({"uid":"uid-robot","namespace":"ns","name":"robot"}]}})"),
      std::string::npos)
      << *read_file(path);
  PullRecords later(directory_.path(), {});
  std::vector<cri::Image> none;
  later.load(&none, now_);
  account.hash = "another token";
  EXPECT_FALSE(later.must_pull(image, ref, {account}));
  account.source.uid = "made anew";
  EXPECT_TRUE(later.must_pull(image, ref, {account}));
  // A secret is not an account of its name, and is trusted with another credential.
  EXPECT_TRUE(later.must_pull(image, ref, {secret("robot", "h")}));
  EXPECT_FALSE(later.must_pull(image, ref, {secret("a", "h3")}));
  ASSERT_TRUE(later.learn(image, ref, {secret("a", "h3"), secret("c", "h5")}, now_)().ok());
  EXPECT_FALSE(later.must_pull(image, ref, {secret("d", "h3")}));
  EXPECT_TRUE(later.must_pull(image, ref, {secret("d", "h1")}));
  EXPECT_TRUE(later.must_pull(image, ref, {secret("c", "h5")}));
}

TEST_F(Records, APullThatWasBrokenOffLeavesNoFreeImage) {
  ASSERT_TRUE(records_.begin("r.io/private:1")().ok());
  cri::Image here;
  here.id = "sha256:1";
  here.tags = {"r.io/private:1"};
  std::vector<cri::Image> images{here};
  PullRecords later(directory_.path(), {});
  later.load(&images, now_);
  EXPECT_TRUE(later.must_pull("r.io/private:1", "sha256:1", {secret("a", "h")}));
}

TEST_F(Records, Policies) {
  using P = PullVerification::Policy;
  auto must = [&](P policy, const char* image) {
    PullRecords r(directory_.path(), {policy, {"r.io/free", "r.io/team/*"}});
    return r.must_pull(image, "sha256:2", {});
  };
  EXPECT_FALSE(must(P::kNever, "r.io/x"));
  EXPECT_TRUE(must(P::kAlways, "r.io/free:1"));
  EXPECT_FALSE(must(P::kNeverAllowlisted, "r.io/free:1"));
  EXPECT_FALSE(must(P::kNeverAllowlisted, "r.io/team/a:1"));
  EXPECT_TRUE(must(P::kNeverAllowlisted, "r.io/x:1"));
  EXPECT_FALSE(verification_policy("Sometimes").ok());
}

TEST(ImageGc, OrderAgesAndAmounts) {
  ImageGarbage garbage;
  auto image = [](const std::string& id, bool pinned = false) {
    cri::Image i;
    i.id = id;
    i.tags = {id + ":tag"};
    i.pinned = pinned;
    return i;
  };
  const WallTime t0{1'000'000'000'000};
  std::vector<cri::Image> all = {image("new"), image("a"), image("pinned", true), image("b")};
  std::erase_if(all, [](const cri::Image& i) { return i.id == "new"; });
  (void)garbage.look(all, {"a:tag"}, t0);
  (void)garbage.look(all, {"b"}, t0 + 1h);
  all.push_back(image("new"));
  auto ids = [](const std::vector<ImageGarbage::Unused>& list) {
    std::vector<std::string> out;
    for (const auto& i : list) out.push_back(i.id);
    return out;
  };
  auto unused = garbage.look(all, {}, t0 + 2h);
  EXPECT_THAT(ids(unused), ElementsAre("new", "a", "b"));  // never used, then the longest ago
  EXPECT_THAT(ids(garbage.look(all, {"a"}, t0 + 3h)), ElementsAre("new", "b"));
  ImageGcPolicy p;
  p.max_age = 90min;
  EXPECT_FALSE(is_too_old(unused[1], p, t0 + 1h, t0 + 2h));  // the agent is too young to say
  EXPECT_TRUE(is_too_old(unused[1], p, t0, t0 + 2h));
  EXPECT_FALSE(is_too_old(unused[2], p, t0, t0 + 2h));
  EXPECT_EQ(bytes_to_free(1000, 160, {}), 0);
  EXPECT_EQ(bytes_to_free(1000, 150, {}), 50);
  EXPECT_EQ(bytes_to_free(1000, 0, {}), 200);
  EXPECT_EQ(size_text(1023), "1023 B");
  EXPECT_EQ(size_text(3 << 20), "3.0 MiB");
  EXPECT_EQ(check({80, 85}).message(),
            "LowThresholdPercent 85 can not be higher than HighThresholdPercent 80");
}

// A registry with one private image, and a count of how many pull at once.
class Registry final : public cri::StubRuntime {
 public:
  Task<Result<std::vector<cri::Image>>> list_images(Context) override {
    co_return std::vector<cri::Image>();
  }
  Task<Result<std::optional<cri::Image>>> image_status(Context, std::string image) override {
    std::optional<cri::Image> out;
    if (std::exchange(silent, false)) co_return Status(Reason::kUnknown, "not now");
    if (here.contains(image)) {
      out.emplace();
      out->id = "id-" + image;
    }
    co_return out;
  }
  Task<Result<std::string>> pull_image(Context ctx, std::string image,
                                       std::optional<cri::ImageAuth> auth) override {
    most = std::max(most, ++now);
    if (now >= gate) open.set();
    (void)co_await open.wait(ctx);  // nobody ends before so many are at it
    --now;
    ++pulls;
    bool locked = image.starts_with("private.io/");
    if (locked && (!auth || auth->password != "open"))
      co_return Status(Reason::kUnknown, "unauthorized");
    if (image.starts_with("down.io/"))
      co_return Status(Reason::kUnknown, "RegistryUnavailable: it is down");
    here.insert(image);
    if (image.ends_with(":late")) co_return Status(Reason::kTimeout, "late");
    silent = std::exchange(silent_after_pull, false);
    co_return "id-" + image;
  }
  std::set<std::string> here;
  int now = 0, most = 0, pulls = 0, gate = 1;
  bool silent = false, silent_after_pull = false;  // once
  Event open;
};

class ImagesTest : public ::testing::Test {
 protected:
  ImagesTest() : loop_(make_real_loop()), ctx_(Context::root(*loop_).with_timeout(60s)) {
    options_.root = directory_.path();
  }
  Images::Request ask(const std::string& image, const std::string& password = "") {
    Images::Request r;
    r.key = "pod-" + password;
    r.image = image;
    r.policy = "IfNotPresent";
    if (!password.empty())
      r.secrets.add(R"({"private.io":{"username":"u","password":")" + password + R"("}})",
                    {"uid-" + password, "ns", "s"});
    return r;
  }
  // The reason why not, or "".
  std::string ensure(Images& images, Images::Request r) {
    auto outcome =
        run_task(*loop_, images.ensure(ctx_, std::move(r),
                                       [this](auto, auto, auto text) { events_ += text + "\n"; }));
    return outcome.image ? "" : outcome.waiting.reason + ": " + outcome.waiting.message;
  }
  static Task<void> one(Images* images, Context ctx, Images::Request r) {
    Images::Report silent = [](auto, auto, auto) {};
    auto outcome = co_await images->ensure(ctx, std::move(r), std::move(silent));
    EXPECT_TRUE(outcome.image.has_value());
  }
  static Task<void> many(Images* images, Context ctx, std::vector<Images::Request> all) {
    TaskGroup group(ctx.loop());
    for (Images::Request& r : all) group.spawn(one(images, ctx, std::move(r)));
    co_await group.join();
  }
  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  std::unique_ptr<RealLoop> loop_;
  Context ctx_;
  ImageOptions options_;
  Registry registry_;
  std::string events_;
};

TEST_F(ImagesTest, APrivateImageIsNotLentToOthers) {
  Images images(options_, registry_, [](auto, auto, auto) {});
  run_task(*loop_, images.start(ctx_));
  EXPECT_EQ(ensure(images, ask("private.io/a:1", "wrong")), "ErrImagePull: unauthorized");
  EXPECT_EQ(ensure(images, ask("private.io/a:1", "open")), "");
  EXPECT_EQ(ensure(images, ask("private.io/a:1", "open")), "");
  EXPECT_TRUE(
      events_.ends_with("Container image \"private.io/a:1\" already present on machine and "
                        "can be accessed by the pod\n"));
  EXPECT_EQ(registry_.pulls, 2);
  EXPECT_EQ(ensure(images, ask("private.io/a:1")), "ErrImagePull: unauthorized");
  Images::Request never = ask("private.io/a:1", "other");
  never.policy = "Never";
  EXPECT_EQ(ensure(images, never),
            "ErrImageNeverPull: Container image \"private.io/a:1\" is not present with pull policy "
            "of Never");
  EXPECT_EQ(ensure(images, ask("down.io/a:1")),
            "RegistryUnavailable: image pull failed for down.io/a:1 because the registry is "
            "unavailable: it is down");
}

// What came though nobody heard so is as private as what was heard of.
TEST_F(ImagesTest, APullOfUnknownEndLendsNothing) {
  Images images(options_, registry_, [](auto, auto, auto) {});
  run_task(*loop_, images.start(ctx_));
  EXPECT_EQ(ensure(images, ask("private.io/a:late", "open")), "ErrImagePull: late");
  EXPECT_EQ(ensure(images, ask("private.io/a:late")), "ErrImagePull: unauthorized");
  registry_.silent_after_pull = true;
  EXPECT_EQ(ensure(images, ask("private.io/b:1", "open")).substr(0, 17), "ImageInspectError");
  const int pulls = registry_.pulls;
  EXPECT_EQ(ensure(images, ask("private.io/b:1", "open")), "");
  EXPECT_EQ(registry_.pulls, pulls);
  EXPECT_EQ(ensure(images, ask("private.io/b:1")), "ErrImagePull: unauthorized");
}

Task<Result<std::string>> say_nothing(int* asked) {
  ++*asked;
  co_return Status(Reason::kUnknown, "it ended with exit code 1");
}

// Of credential providers.
TEST_F(ImagesTest, ProgramsAreAskedOnceAndOnlyWhenItDependsOnThem) {
  int asked = 0;
  auto parsed = parse_credential_providers(
      "kind: CredentialProviderConfig\napiVersion: kubelet.config.k8s.io/v1\nproviders:\n- {name: "
      "p, matchImages: ['*.io'], defaultCacheDuration: 0s, apiVersion: "
      "credentialprovider.kubelet.k8s.io/v1}\n");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  options_.providers = std::make_shared<CredentialProviders>(
      *parsed, "/bin/dir", [&asked](Context, ProviderCall) { return say_nothing(&asked); });
  Images images(options_, registry_, [](auto, auto, auto) {});
  run_task(*loop_, images.start(ctx_));
  EXPECT_EQ(ensure(images, ask("private.io/a:1", "open")), "");
  EXPECT_EQ(asked, 1) << "before a pull";
  EXPECT_EQ(ensure(images, ask("private.io/a:1", "open")), "");
  EXPECT_EQ(asked, 1) << "the record says that this secret may";
  Images::Request never = ask("private.io/a:1");
  never.policy = "Never";
  EXPECT_EQ(ensure(images, never).substr(0, 17), "ErrImageNeverPull");
  EXPECT_EQ(asked, 2) << "what a program shows may be in the record";
  EXPECT_EQ(ensure(images, ask("private.io/a:1")), "ErrImagePull: unauthorized");
  EXPECT_EQ(asked, 3) << "once, and not before the pull again";
  Images::Request absent = ask("private.io/b:1");
  absent.policy = "Never";
  EXPECT_EQ(ensure(images, absent).substr(0, 17), "ErrImageNeverPull");
  EXPECT_EQ(asked, 3) << "nothing that they say brings it here";
  EXPECT_EQ(ensure(images, ask("private.io/b:1", "wrong")), "ErrImagePull: unauthorized");
  EXPECT_EQ(asked, 4);
  EXPECT_EQ(ensure(images, ask("private.io/b:1", "wrong")).substr(0, 16), "ImagePullBackOff");
  EXPECT_EQ(asked, 4) << "nothing is pulled yet";
}

TEST_F(ImagesTest, SoManyAtOnceAsAllowed) {
  for (auto [allowed, most] : {std::pair(1, 1), std::pair(2, 2), std::pair(0, 5)}) {
    options_.parallel_pulls = allowed;
    Registry registry;
    registry.gate = most;
    Images images(options_, registry, [](auto, auto, auto) {});
    std::vector<Images::Request> all;
    for (int i = 0; i < 5; ++i) all.push_back(ask("open.io/" + std::to_string(i) + ":1"));
    run_task(*loop_, many(&images, ctx_, std::move(all)));
    EXPECT_EQ(registry.most, most);
    EXPECT_EQ(registry.pulls, 5);
  }
}

}  // namespace
}  // namespace keles::node
