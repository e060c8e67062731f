// What plugins with a state of their own are asked, and what they may do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/run_task.h"
#include "keles/local_client.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "net/pki.h"
#include "server/objects/meta.h"
#include "store/sim/sim_store.h"

namespace keles {
namespace {

using admission::Operation;
using testing::ElementsAre;
using testing::HasSubstr;

// Notes what it is asked, gives what it is shown a label, and refuses what says so.
class Scribe : public admission::Dynamic {
 public:
  explicit Scribe(std::string name, int rounds = 1) : name_(std::move(name)), rounds_(rounds) {}

  std::string_view name() const override { return name_; }
  bool concerns(const admission::Attributes& a) const override { return a.namespace_ == "watched"; }
  Task<Status> admit(Context, const admission::Attributes* a, Document* object,
                     const Value*) override {
    note("admit", *a, object ? &object->root : nullptr);
    if (!object || a->operation == Operation::kConnect) co_return Status();
    Value& labels = registry::edit_map(*object, registry::edit_metadata(*object), "labels");
    registry::set_text(*object, labels, "seen", a->reinvocation->second ? "twice" : "once");
    if (rounds_ > 1) a->reinvocation->wanted = true;
    co_return Status();
  }
  Task<Status> validate(Context, const admission::Attributes* a, const Value* object,
                        const Value* before) override {
    note("validate", *a, object);
    const Value& judged = object ? *object : *before;
    const bool bad = !registry::metadata(judged)["annotations"]["bad"].is_null();
    co_return bad ? Status::bad_request("it says so") : Status();
  }

  std::vector<std::string> notes;

 private:
  void note(std::string_view what, const admission::Attributes& a, const Value* object) {
    static constexpr std::string_view kNames[] = {"create", "update", "delete", "connect"};
    std::string text(what);
    text += ' ';
    text += kNames[static_cast<size_t>(a.operation)];
    text += ' ' + std::string(a.kind->plural);
    if (!a.subresource.empty()) text += '/' + std::string(a.subresource);
    text += object ? ' ' + std::string((*object)["kind"].as_string()) : " -";
    if (a.options) text += ' ' + std::string((*a.options)().root["kind"].as_string());
    notes.push_back(std::move(text));
  }

  std::string name_;
  int rounds_;
};

class DynamicAdmission : public testing::Test {
 protected:
  SimLoop loop{7};
  SimDisk disk{loop};
  std::unique_ptr<Store> store = std::move(*open_sim_store(disk));
  std::unique_ptr<ApiServer> server;
  std::unique_ptr<Client> admin;
  Context ctx = Context::root(loop);

  void serve(std::vector<std::shared_ptr<admission::Dynamic>> plugins) {
    ApiServerOptions options;
    options.auth.keys = {*net::SigningKey::generate(net::SigningKey::Algorithm::kEs256)};
    options.admission.dynamic = std::move(plugins);
    options.admission.off.insert("Off");
    server = std::make_unique<ApiServer>(store.get(), std::move(options));
    EXPECT_TRUE(run(server->start(ctx)).ok());
    admin = make_local_client(*server, loop, "admin");
    EXPECT_EQ(create("v1", "Namespace", "", "metadata: {name: watched}"), "");
  }
  template <class T>
  T run(Task<T> t) {
    return run_task(loop, std::move(t));
  }
  std::string create(std::string_view version, std::string_view name, std::string ns,
                     std::string_view yaml) {
    const KindDesc& k = *find_kind(version, name);
    WriteOptions o;
    return run(admin->create(ctx, &k, ns, "", *decode_body(k, to_json(parse_yaml(yaml)->root)), o))
        .status()
        .message();
  }
  std::string label(std::string_view name) {
    auto got = run(admin->get(ctx, find_kind("v1", "ConfigMap"), "watched", std::string(name)));
    if (!got.ok()) return got.status().message();
    return std::string(registry::metadata((*got)->tree()->root)["labels"]["seen"].as_string());
  }
};

TEST_F(DynamicAdmission, IsAskedOfEveryWriteThatConcernsIt) {
  auto scribe = std::make_shared<Scribe>("Scribe");
  serve({scribe, std::make_shared<Scribe>("Off")});
  EXPECT_TRUE(scribe->notes.empty());
  const KindDesc* maps = find_kind("v1", "ConfigMap");
  EXPECT_EQ(create("v1", "ConfigMap", "watched", "metadata: {name: a}"), "");
  EXPECT_EQ(create("v1", "ConfigMap", "default", "metadata: {name: a}"), "");
  EXPECT_THAT(std::exchange(scribe->notes, {}),
              ElementsAre("admit create configmaps ConfigMap CreateOptions",
                          "validate create configmaps ConfigMap CreateOptions"));
  EXPECT_EQ(label("a"), "once");
  WriteOptions o;
  auto patched = run(admin->patch(ctx, maps, "watched", "a", PatchType::kMerge,
                                  *parse_yaml("metadata: {annotations: {bad: 'yes'}}"), o));
  EXPECT_EQ(patched.status().message(), "it says so");
  EXPECT_THAT(std::exchange(scribe->notes, {}),
              ElementsAre("admit update configmaps ConfigMap UpdateOptions",
                          "validate update configmaps ConfigMap UpdateOptions"));
  EXPECT_TRUE(run(admin->remove(ctx, maps, "watched", "a", DeleteOptions())).ok());
  EXPECT_THAT(scribe->notes, ElementsAre("admit delete configmaps - DeleteOptions",
                                         "validate delete configmaps - DeleteOptions"));
}

TEST_F(DynamicAdmission, AScaleIsJudgedAsSuchAndItsObjectByBuiltInPluginsOnly) {
  auto scribe = std::make_shared<Scribe>("Scribe");
  serve({scribe});
  EXPECT_EQ(create("apps/v1", "Deployment", "watched",
                   "metadata: {name: d}\nspec: {selector: {matchLabels: {a: b}}, template: "
                   "{metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}"),
            "");
  scribe->notes.clear();
  WriteOptions o;
  o.subresource = "scale";
  const KindDesc* deployments = find_kind("apps/v1", "Deployment");
  auto scaled = run(admin->patch(ctx, deployments, "watched", "d", PatchType::kMerge,
                                 *parse_yaml("spec: {replicas: 3}"), o));
  EXPECT_TRUE(scaled.ok()) << scaled.status().message();
  EXPECT_THAT(scribe->notes, ElementsAre("admit update deployments/scale Scale UpdateOptions",
                                         "validate update deployments/scale Scale UpdateOptions"));
  auto now = run(admin->get(ctx, deployments, "watched", "d"));
  EXPECT_EQ((*now)->tree()->root["spec"]["replicas"].as_int(), 3);
}

// Notes every request, and what it is shown.
class Witness : public admission::Dynamic {
 public:
  std::string_view name() const override { return "Witness"; }
  bool concerns(const admission::Attributes& a) const override {
    return a.kind->group.starts_with("auth") || a.subresource == "token";
  }
  Task<Status> admit(Context, const admission::Attributes* a, Document* object,
                     const Value*) override {
    note("admit", *a, object->root);
    co_return Status();
  }
  Task<Status> validate(Context, const admission::Attributes* a, const Value* object,
                        const Value*) override {
    note("validate", *a, *object);
    co_return refuses ? Status::bad_request("no") : Status();
  }
  bool refuses = false;
  std::vector<std::string> notes;

 private:
  void note(std::string_view what, const admission::Attributes& a, const Value& object) {
    notes.push_back(std::string(what) + " " + std::string(a.object_kind->kind) + " " +
                    to_json(object["spec"]));
  }
};

TEST_F(DynamicAdmission, IsShownReviewsBeforeTheyAreAnswered) {
  auto witness = std::make_shared<Witness>();
  serve({witness});
  constexpr std::string_view kSpec = "spec: {nonResourceAttributes: {path: /x, verb: get}}";
  EXPECT_EQ(create("authorization.k8s.io/v1", "SelfSubjectAccessReview", "", kSpec), "");
  const std::string spec = R"({"nonResourceAttributes":{"path":"/x","verb":"get"}})";
  EXPECT_THAT(std::exchange(witness->notes, {}),
              ElementsAre("admit SelfSubjectAccessReview " + spec,
                          "validate SelfSubjectAccessReview " + spec));
  // What is no question is not shown to those who only refuse.
  EXPECT_THAT(create("authorization.k8s.io/v1", "SelfSubjectAccessReview", "", "spec: {}"),
              HasSubstr("exactly one of nonResourceAttributes or resourceAttributes must be"));
  EXPECT_EQ(std::exchange(witness->notes, {}).size(), 1U);
  witness->refuses = true;
  EXPECT_EQ(create("authentication.k8s.io/v1", "TokenReview", "", "spec: {token: t}"), "no");
  EXPECT_THAT(
      std::exchange(witness->notes, {}),
      ElementsAre(R"(admit TokenReview {"token":"t"})", R"(validate TokenReview {"token":"t"})"));
}

TEST_F(DynamicAdmission, IsShownRequestsForTokensAsTheyWillBeIssued) {
  auto witness = std::make_shared<Witness>();
  serve({witness});
  EXPECT_EQ(create("v1", "ServiceAccount", "default", "metadata: {name: robot}"), "");
  WriteOptions o;
  o.subresource = "token";
  auto made = run(admin->create(ctx, find_kind("v1", "ServiceAccount"), "default", "robot",
                                *parse_yaml("spec: {expirationSeconds: 900}"), o));
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_FALSE((*made)->tree()->root["status"]["token"].as_string().empty());
  EXPECT_THAT(witness->notes,
              ElementsAre(R"(admit TokenRequest {"expirationSeconds":900})",
                          R"(validate TokenRequest {"expirationSeconds":900,"audiences":)"
                          R"(["https://kubernetes.default.svc.cluster.local"]})"));
  // What the kind itself fills in is there from the beginning.
  witness->notes.clear();
  made = run(admin->create(ctx, find_kind("v1", "ServiceAccount"), "default", "robot",
                           *parse_yaml("{}"), o));
  ASSERT_TRUE(made.ok()) << made.status().message();
  ASSERT_EQ(witness->notes.size(), 2U);
  EXPECT_EQ(witness->notes[0], R"(admit TokenRequest {"expirationSeconds":3600})");
}

// Refuses whatever it is asked.
class Wall : public admission::Dynamic {
 public:
  std::string_view name() const override { return "Wall"; }
  bool concerns(const admission::Attributes&) const override { return true; }
  Task<Status> validate(Context, const admission::Attributes*, const Value*,
                        const Value*) override {
    co_return Status::bad_request("no");
  }
};

TEST_F(DynamicAdmission, KeepsNoServerFromStarting) {
  serve({});
  ApiServerOptions options;
  options.auth.keys = {*net::SigningKey::generate(net::SigningKey::Algorithm::kEs256)};
  options.admission.dynamic = {std::make_shared<Wall>()};
  server = std::make_unique<ApiServer>(store.get(), std::move(options));
  Status again = run(server->start(ctx));
  EXPECT_TRUE(again.ok()) << again.message();
  admin = make_local_client(*server, loop, "admin");
  EXPECT_EQ(create("v1", "ConfigMap", "default", "metadata: {name: a}"), "no");
}

TEST_F(DynamicAdmission, OneMoreRoundAndNoThird) {
  auto first = std::make_shared<Scribe>("First"), second = std::make_shared<Scribe>("Second", 2);
  serve({first, second});
  EXPECT_EQ(create("v1", "ConfigMap", "watched", "metadata: {name: a}"), "");
  EXPECT_EQ(first->notes.size(), 3U);  // twice asked to change it, once to judge it
  EXPECT_EQ(label("a"), "twice");
}

TEST_F(DynamicAdmission, AConnectionIsJudgedByItsOptions) {
  auto scribe = std::make_shared<Scribe>("Scribe");
  serve({scribe});
  const Caller caller;
  const registry::Registry::Call call{find_kind("v1", "Pod"), "watched", "p", "exec",
                                      find_kind("v1", "PodExecOptions")};
  registry::WriteRequest how;
  Status s = run(server->connect(ctx, &caller, &call, *parse_yaml("kind: PodExecOptions"), how));
  EXPECT_TRUE(s.ok());
  EXPECT_THAT(scribe->notes, ElementsAre("admit connect pods/exec PodExecOptions",
                                         "validate connect pods/exec PodExecOptions"));
}

}  // namespace
}  // namespace keles
