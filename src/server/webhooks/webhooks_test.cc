// Admission webhooks whole: a registry, configurations in its store, and a webhook over TLS that
// does as its path says.
#include "server/webhooks/webhooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/encoding.h"
#include "base/file.h"
#include "base/metrics.h"
#include "base/run_task.h"
#include "base/sync.h"
#include "base/temporary_directory.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "net/http.h"
#include "net/pki.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/registry.h"
#include "server/webhooks/credentials.h"
#include "store/sim/sim_store.h"

namespace keles::webhooks {
namespace {

using registry::WriteRequest;
using testing::ElementsAre;
using testing::HasSubstr;

// A webhook. Paths: /allow, /deny, /warn, /patch/BASE64 of a JSON Patch, and those that are ill.
struct Fake {
  std::unique_ptr<net::Server> server;
  std::vector<std::string> paths;
  std::vector<std::shared_ptr<Document>> requests;  // `request` of each review
  std::set<const void*> connections;
  std::vector<std::shared_ptr<int>> marks;
  Event met;
  int waiting = 0;
  std::string query, authorization, certificate;

  static std::string answer(const Value& root, std::string_view rest) {
    std::string out = R"({"kind":"AdmissionReview","apiVersion":)";
    write_json(out, root["apiVersion"]);
    out += R"(,"response":{"uid":)";
    write_json(out, root["request"]["uid"]);
    return out.append(",").append(rest) + "}}";
  }

  Task<void> serve(Context ctx, net::Request* q, net::Responder* r) {
    if (q->connection_memo && !*q->connection_memo) {
      marks.push_back(std::make_shared<int>(0));
      *q->connection_memo = marks.back();
    }
    if (q->connection_memo) connections.insert(q->connection_memo->get());
    paths.push_back(q->path);
    query = q->query;
    authorization = q->headers.get("authorization").value_or("");
    certificate = q->peer ? q->peer->common_name : "";
    auto review = parse_json(q->body);
    auto request = std::make_shared<Document>();
    if (review.ok()) {
      request->root = deep_copy(request->arena, review->root["request"]);
      requests.push_back(request);
    }
    const Value& root = review.ok() ? review->root : Value::null();
    const std::string path = q->path;
    int status = 200;
    std::string body = answer(root, R"("allowed":true)");
    if (path.starts_with("/deny")) {
      body = answer(
          root,
          R"("allowed":false,"status":{"message":"not here","reason":"Forbidden","code":403})");
    } else if (path == "/warn") {
      body =
          answer(root, R"("allowed":true,"warnings":["careful"],"auditAnnotations":{"why":"so"})");
    } else if (path.starts_with("/patch/")) {
      body = answer(root,
                    R"("allowed":true,"patchType":"JSONPatch","patch":")" + path.substr(7) + "\"");
    } else if (path == "/slow") {
      (void)co_await ctx.sleep(1h);
      co_return;
    } else if (path == "/endless") {
      Status s = co_await r->begin(200, net::Headers());
      while (s.ok()) {
        auto parts = net::as_body(std::string(1 << 20, ' '));
        s = co_await r->write(std::move(parts));
      }
      co_return;
    } else if (path == "/garbage") {
      body = "no JSON";
    } else if (path == "/other-uid") {
      body =
          R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"x","allowed":true}})";
    } else if (path == "/broken") {
      status = 500;
      body = "I am ill";
    } else if (path.starts_with("/meet")) {  // answers once two have come
      if (++waiting == 2) met.set();
      (void)co_await met.wait(ctx);
    }
    auto parts = net::as_body(std::move(body));
    net::Headers headers;
    if (status == 200) headers.add("Content-Type", "application/json");
    (void)co_await r->respond(status, std::move(headers), std::move(parts));
  }
};

std::string patch_path(std::string_view patch) { return "/patch/" + base64_encode(patch); }

class WebhooksTest : public testing::Test {
 protected:
  WebhooksTest() {
    const WallTime now = loop_->wall_now();
    ca_ = *net::make_ca({.common_name = "ca", .not_before = now - 1h, .not_after = now + 1h});
    net::ServerOptions options;
    options.tls = *net::issue_certificate(ca_, {.common_name = "hook",
                                                .dns_names = {"hook.ns.svc"},
                                                .ip_addresses = {"127.0.0.1"},
                                                .server = true,
                                                .not_before = now - 1h,
                                                .not_after = now + 1h});
    options.stall_timeout = 1s;
    options.client_ca_pem = ca_.certificate_pem;
    fake_.server = *net::Server::start(
        {loop_.get()}, options,
        [this](Context ctx, net::Request* q, net::Responder* r) { return fake_.serve(ctx, q, r); });
    admission::Config config;
    config.off = {"NamespaceLifecycle", "ServiceAccount"};
    config.dynamic = {webhooks_.mutating(), webhooks_.validating()};
    registry_.set_admission(std::move(config));
  }
  ~WebhooksTest() override { run_task(*loop_, stop(fake_.server.get(), ctx_.with_timeout(2s))); }
  static Task<void> stop(net::Server* server, Context ctx) { co_await server->stop(ctx); }

  template <class T>
  T run(Task<T> t) {
    return run_task(*loop_, std::move(t));
  }
  static Document body(std::string_view yaml) {
    auto d = parse_yaml(yaml);
    EXPECT_TRUE(d.ok()) << yaml;
    const KindDesc* k = find_kind(d->root["apiVersion"].as_string(), d->root["kind"].as_string());
    EXPECT_NE(k, nullptr) << yaml;
    Status s = decode_object(*k, *d, FieldValidation::kStrict);
    EXPECT_TRUE(s.ok()) << s.message();
    return std::move(*d);
  }
  static const KindDesc* kind_of(const Document& d) {
    return find_kind(d.root["apiVersion"].as_string(), d.root["kind"].as_string());
  }
  Result<ObjectPtr> create(std::string_view yaml, WriteRequest how = {}) {
    Document d = body(yaml);
    const KindDesc* k = kind_of(d);
    if (how.user.empty()) how.user = "amy";
    std::string ns = k->namespaced ? "ns" : "";
    return run(registry_.create(ctx_, k, ns, std::move(d), std::move(how)));
  }
  Result<ObjectPtr> config_map(std::string name, WriteRequest how = {}) {
    return create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {a: b}\n",
                  std::move(how));
  }

  // A webhook of its own configuration, about CREATE of ConfigMaps unless `more` says otherwise.
  void hook(std::string_view type, std::string name, std::string path, std::string more = "",
            std::string rule =
                "operations: [CREATE], apiGroups: [''], apiVersions: [v1], "
                "resources: [configmaps]") {
    hooks(type, std::move(name),
          {entry("h1.example.com", std::move(path), std::move(more), std::move(rule))});
  }
  std::string entry(std::string name, std::string path, std::string more = "",
                    std::string rule =
                        "operations: [CREATE], apiGroups: [''], apiVersions: [v1], "
                        "resources: [configmaps]") {
    return "- {name: " + name + ", admissionReviewVersions: [v1], sideEffects: None" + more +
           ", rules: [{" + rule +
           "}], clientConfig: {url: 'https://127.0.0.1:" + std::to_string(fake_.server->port()) +
           path + "', caBundle: " + base64_encode(ca_.certificate_pem) + "}}\n";
  }
  void hooks(std::string_view type, std::string name, std::vector<std::string> entries) {
    std::string yaml = "apiVersion: admissionregistration.k8s.io/v1\nkind: " + std::string(type) +
                       "WebhookConfiguration\nmetadata: {name: " + name + "}\nwebhooks:\n";
    for (const std::string& e : entries) yaml += e;
    auto made = create(yaml);
    ASSERT_TRUE(made.ok()) << made.status().message();
    webhooks_.refresh();
  }
  std::string url(std::string path) {
    return "https://127.0.0.1:" + std::to_string(fake_.server->port()) + path;
  }

  std::unique_ptr<RealLoop> loop_ = make_real_loop();
  Context ctx_ = Context::root(*loop_);
  SimDisk disk_{*loop_};
  std::unique_ptr<Store> store_ = *open_sim_store(disk_);
  registry::Registry registry_{store_.get(), "10.96.0.0/16", "30000-32767"};
  Webhooks webhooks_{store_.get(), nullptr, options_for(store_.get())};
  net::TlsIdentity ca_;
  Fake fake_;
};

// Which user of the kubeconfig is shown to whom.
TEST(Credentials, GoByTheLongestNameOfWhomTheyAreFor) {
  const TemporaryDirectory files = *TemporaryDirectory::make();
  const std::string file = files.path() + "/webhook-users.yaml";
  ASSERT_TRUE(write_file(file, R"(apiVersion: v1
kind: Config
users:
- {name: 'a.example.com:8443', user: {token: port}}
- {name: a.example.com, user: {token: host}}
- {name: '*.example.com', user: {username: u, password: p}}
- {name: hook.ns.svc, user: {token: service}}
- {name: '*.svc', user: {token: services}}
- {name: '*', user: {token: others}}
)")
                  .ok());
  auto shown = credentials_of(file);
  ASSERT_TRUE(shown.ok()) << shown.status().message();
  struct Case {
    const char *authority, *authorization;
  };
  for (const Case& c : {Case{"a.example.com:8443", "Bearer port"},
                        {"a.example.com:443", "Bearer host"},
                        {"b.example.com:443", "Basic dTpw"},
                        {"b.c.example.com:443", "Basic dTpw"},
                        {"b.example.com:8443", "Bearer others"},
                        {"hook.ns.svc:443", "Bearer service"},
                        {"hook.ns.svc:8443", "Bearer others"},
                        {"other.ns.svc:443", "Bearer services"},
                        {"127.0.0.1:443", "Bearer others"}}) {
    EXPECT_EQ((*shown)(c.authority).authorization, c.authorization) << c.authority;
  }
  EXPECT_FALSE(credentials_of(file + "-is-not-there").ok());
  ASSERT_TRUE(write_file(file, "users: [{name: a, user: {client-certificate: /nowhere}}]").ok());
  EXPECT_THAT(credentials_of(file).status().message(), HasSubstr("user \"a\""));
  ASSERT_TRUE(write_file(file,
                         "current-context: c\ncontexts: [{name: c, context: {user: me}}]\n"
                         "users: [{name: me, user: {token: mine}}]\n")
                  .ok());
  EXPECT_EQ((*credentials_of(file))("x:443").authorization, "Bearer mine");
}

TEST_F(WebhooksTest, TheServerShowsWhoItIs) {
  const WallTime now = loop_->wall_now();
  const net::TlsIdentity us = *net::issue_certificate(
      ca_,
      {.common_name = "apiserver", .client = true, .not_before = now - 1h, .not_after = now + 1h});
  const TemporaryDirectory files = *TemporaryDirectory::make();
  const std::string token = files.path() + "/webhook-token";
  ASSERT_TRUE(write_file(token, "first\n").ok());
  callout::Options options = options_for(store_.get()).callout;
  std::string asked;
  options.credentials = [&](const std::string& authority) {
    asked = authority;
    callout::Credentials shown;
    shown.identity = us;
    shown.token_file = token;
    return shown;
  };
  auto target = callout::Target::read(parse_yaml("{url: '" + url("/allow") + "', caBundle: " +
                                                 base64_encode(ca_.certificate_pem) + "}")
                                          ->root);
  auto callee = std::make_shared<callout::Callee>(*target, options);
  EXPECT_EQ(asked, "127.0.0.1:" + std::to_string(fake_.server->port()));
  EXPECT_TRUE(run(callee->post(ctx_.with_timeout(5s), 5s, "{}")).ok());
  EXPECT_EQ(fake_.authorization, "Bearer first");
  EXPECT_EQ(fake_.certificate, "apiserver");
  ASSERT_TRUE(write_file(token, "second").ok());
  EXPECT_TRUE(run(callee->post(ctx_.with_timeout(5s), 5s, "{}")).ok());
  EXPECT_EQ(fake_.authorization, "Bearer second");
}

TEST_F(WebhooksTest, DeniesInTheWebhooksWords) {
  hook("Validating", "a", "/deny");
  auto made = config_map("x");
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().message(),
            "admission webhook \"h1.example.com\" denied the request: not here");
  EXPECT_EQ(made.status().code(), 403);
  EXPECT_EQ(fake_.query, "timeout=10s");
  ASSERT_EQ(fake_.requests.size(), 1u);
  const Value& r = fake_.requests[0]->root;
  EXPECT_EQ(r["operation"].as_string(), "CREATE");
  EXPECT_EQ(r["kind"]["kind"].as_string(), "ConfigMap");
  EXPECT_EQ(r["resource"]["resource"].as_string(), "configmaps");
  EXPECT_EQ(r["namespace"].as_string(), "ns");
  EXPECT_EQ(r["name"].as_string(), "x");
  EXPECT_EQ(r["userInfo"]["username"].as_string(), "amy");
  EXPECT_EQ(r["object"]["data"]["a"].as_string(), "b");
  EXPECT_TRUE(r["oldObject"].is_null());
  EXPECT_FALSE(r["dryRun"].as_bool());
  EXPECT_EQ(r["options"]["kind"].as_string(), "CreateOptions");
  // What it is not about does not come to it.
  EXPECT_TRUE(create("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n").ok());
  EXPECT_EQ(fake_.requests.size(), 1u);
  EXPECT_THAT(metrics::expose(),
              HasSubstr("apiserver_admission_webhook_rejection_count{name=\"h1.example.com\",type="
                        "\"validating\",operation=\"CREATE\",error_type=\"no_error\","
                        "rejection_code=\"403\"}"));
}

TEST_F(WebhooksTest, SeesDeletionsAndUpdatesWithTheOldObject) {
  ASSERT_TRUE(config_map("x").ok());
  hook("Validating", "a", "/allow", "",
       "operations: [UPDATE, DELETE], apiGroups: [''], apiVersions: ['*'], resources: ['*']");
  Document d = body("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: c}\n");
  const KindDesc* kind = kind_of(d);
  auto updated = run(registry_.update(ctx_, kind, "ns", "x", "", std::move(d), {}));
  ASSERT_TRUE(updated.ok()) << updated.status().message();
  registry::DeleteRequest request;
  request.propagation_policy = "Background";
  auto gone = run(registry_.remove(ctx_, kind, "ns", "x", request, {}));
  ASSERT_TRUE(gone.ok()) << gone.status().message();
  ASSERT_EQ(fake_.requests.size(), 2u);
  const Value &update = fake_.requests[0]->root, &removal = fake_.requests[1]->root;
  EXPECT_EQ(update["operation"].as_string(), "UPDATE");
  EXPECT_EQ(update["object"]["data"]["a"].as_string(), "c");
  EXPECT_EQ(update["oldObject"]["data"]["a"].as_string(), "b");
  EXPECT_EQ(update["options"]["kind"].as_string(), "UpdateOptions");
  EXPECT_EQ(removal["operation"].as_string(), "DELETE");
  EXPECT_TRUE(removal["object"].is_null());
  EXPECT_EQ(removal["oldObject"]["data"]["a"].as_string(), "c");
  EXPECT_EQ(removal["options"]["propagationPolicy"].as_string(), "Background");
}

TEST_F(WebhooksTest, MutatesInOrderAndEachSeesWhatTheOneBeforeMade) {
  hook("Mutating", "b", patch_path(R"([{"op":"add","path":"/data/second","value":"2"}])"));
  hook("Mutating", "a", patch_path(R"([{"op":"add","path":"/data/first","value":"1"}])"));
  auto made = config_map("x");
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_EQ(to_json((*made)->tree()->root["data"]), R"({"a":"b","first":"1","second":"2"})");
  ASSERT_EQ(fake_.requests.size(), 2u);
  EXPECT_EQ(fake_.requests[1]->root["object"]["data"]["first"].as_string(), "1");
  ASSERT_TRUE(config_map("z").ok());
  EXPECT_EQ(fake_.requests.size(), 4u);
  EXPECT_EQ(fake_.connections.size(), 2u);  // one for each, which are kept
}

TEST_F(WebhooksTest, WhatAWebhookAddsGetsItsDefaults) {
  hook("Mutating", "a",
       patch_path(
           R"([{"op":"add","path":"/spec/initContainers","value":[{"name":"i","image":"i:1"}]},
                     {"op":"add","path":"/spec/nothing","value":1}])"),
       "", "operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]");
  auto made = create(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: "
      "i}]}\n");
  ASSERT_TRUE(made.ok()) << made.status().message();
  const DocumentPtr tree = (*made)->tree();
  const Value& init = tree->root["spec"]["initContainers"].at(0);
  EXPECT_EQ(init["terminationMessagePath"].as_string(), "/dev/termination-log");
  EXPECT_EQ(init["imagePullPolicy"].as_string(), "IfNotPresent");
  EXPECT_TRUE(tree->root["spec"]["nothing"].is_null());
}

TEST_F(WebhooksTest, AsksAgainOnceWhatWasChangedAfterwards) {
  hooks("Mutating", "a",
        {entry("first.example.com", "/first", ", reinvocationPolicy: IfNeeded"),
         entry("never.example.com", "/never"),
         entry("last.example.com", patch_path(R"([{"op":"add","path":"/data/x","value":"1"}])"))});
  ASSERT_TRUE(config_map("x").ok());
  ASSERT_EQ(fake_.paths.size(), 4u);
  EXPECT_EQ(fake_.paths[0], "/first");
  EXPECT_EQ(fake_.paths[1], "/never");
  EXPECT_EQ(fake_.paths[3], "/first");
  EXPECT_EQ(fake_.requests[3]->root["object"]["data"]["x"].as_string(), "1");
}

TEST_F(WebhooksTest, WhatChangesNothingIsNoReasonToAskAgain) {
  hooks("Mutating", "a",
        {entry("first.example.com", "/first", ", reinvocationPolicy: IfNeeded"),
         entry("last.example.com", patch_path(R"([{"op":"add","path":"/data/a","value":"b"}])"))});
  ASSERT_TRUE(config_map("x").ok());
  EXPECT_EQ(fake_.paths.size(), 2u);
}

struct Ill {
  const char* path;
  const char* why;  // after "failed calling webhook "h1.example.com": "; URL is the webhook's
};

TEST_F(WebhooksTest, FailuresCloseOrOpenAsTheyAreTold) {
  const Ill ills[] = {
      {"/slow", "failed to call webhook: Post \"URL?timeout=1s\": context deadline exceeded"},
      {"/endless", "failed to call webhook: Post \"URL?timeout=1s\": "},
      {"/garbage", "failed to call webhook: couldn't get version/kind; json parse error: "},
      {"/broken",
       "failed to call webhook: an error on the server (\"I am ill\") has prevented the request "
       "from succeeding"},
      {"/other-uid", "received invalid webhook response: expected response.uid="},
  };
  int n = 0;
  for (const Ill& ill : ills) {
    SCOPED_TRACE(ill.path);
    const std::string name = "c" + std::to_string(n++);
    const KindDesc* kind =
        find_kind("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
    hook("Validating", name, ill.path, ", timeoutSeconds: 1");
    auto closed = config_map(name);
    ASSERT_FALSE(closed.ok());
    std::string why = ill.why;
    if (const size_t at = why.find("URL"); at != why.npos) why.replace(at, 3, url(ill.path));
    EXPECT_THAT(closed.status().message(),
                testing::StartsWith("Internal error occurred: failed calling webhook "
                                    "\"h1.example.com\": " +
                                    why));
    EXPECT_EQ(closed.status().code(), 500);
    EXPECT_TRUE(run(registry_.remove(ctx_, kind, "", name, {}, {})).ok());
    hook("Validating", name, ill.path, ", timeoutSeconds: 1, failurePolicy: Ignore");
    admission::AuditAnnotations told;
    WriteRequest how;
    how.annotations = &told;
    auto open = config_map(name, how);
    EXPECT_TRUE(open.ok()) << open.status().message();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].first, "failed-open.validating.webhook.admission.k8s.io/round_0_index_0");
    EXPECT_EQ(told[0].second, "h1.example.com");
    EXPECT_TRUE(run(registry_.remove(ctx_, kind, "", name, {}, {})).ok());
    webhooks_.refresh();
  }
}

TEST_F(WebhooksTest, OneThatIsDownIsToldOf) {
  const std::string where = "{service: {namespace: ns, name: gone, path: /p}}";
  auto made = create(
      "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\n"
      "metadata: {name: a}\nwebhooks:\n- {name: h1.example.com, admissionReviewVersions: [v1], "
      "sideEffects: None, rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], "
      "resources: [configmaps]}], clientConfig: " +
      where + "}\n");
  ASSERT_TRUE(made.ok()) << made.status().message();
  webhooks_.refresh();
  auto refused = config_map("x");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().message(),
            "Internal error occurred: failed calling webhook \"h1.example.com\": failed to call "
            "webhook: Post \"https://gone.ns.svc:443/p?timeout=10s\": service \"gone\" not found");
}

// Those that judge are asked at the same time: each waits here for the other.
TEST_F(WebhooksTest, ValidatingOnesAreAskedTogether) {
  hook("Validating", "a", "/meet1");
  hook("Validating", "b", "/meet2");
  auto made = config_map("x");
  EXPECT_TRUE(made.ok()) << made.status().message();
}

TEST_F(WebhooksTest, OneThatHangsHoldsUpNobodyWhoIsNotConcerned) {
  hook("Validating", "a", "/slow");
  struct Both {
    static Task<void> first(Context ctx, registry::Registry* r, Document d, bool* ended) {
      const KindDesc* kind = find_kind("", "v1", "ConfigMap");
      std::string ns = "ns";
      WriteRequest how;
      auto made = co_await r->create(ctx, kind, std::move(ns), std::move(d), std::move(how));
      EXPECT_FALSE(made.ok());
      *ended = true;
    }
  };
  bool ended = false;
  TaskGroup group(*loop_);
  Context hanging = ctx_.child();
  group.spawn(Both::first(hanging, &registry_,
                          body("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"), &ended));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(
        create("apiVersion: v1\nkind: Secret\nmetadata: {name: s" + std::to_string(i) + "}\n")
            .ok());
  }
  EXPECT_FALSE(ended);
  hanging.cancel();
  run(group.join());
  EXPECT_TRUE(ended);
}

TEST_F(WebhooksTest, WarnsAndAnnotates) {
  hook("Mutating", "a", "/warn");
  std::vector<std::string> warnings;
  admission::AuditAnnotations annotations;
  WriteRequest how;
  how.warnings = &warnings;
  how.annotations = &annotations;
  ASSERT_TRUE(config_map("x", how).ok());
  EXPECT_THAT(warnings, ElementsAre("careful"));
  ASSERT_EQ(annotations.size(), 2u);
  EXPECT_EQ(annotations[0].first, "h1.example.com/why");
  EXPECT_EQ(annotations[1].first, "mutation.webhook.admission.k8s.io/round_0_index_0");
  EXPECT_EQ(annotations[1].second,
            R"({"configuration":"a","webhook":"h1.example.com","mutated":false})");
}

TEST_F(WebhooksTest, PatchesThatCannotBeApplied) {
  hook("Mutating", "a", patch_path(R"([{"op":"test","path":"/data/a","value":"z"}])"));
  auto made = config_map("x");
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().code(), 500);
  EXPECT_THAT(made.status().message(), HasSubstr("test failed"));
  ASSERT_TRUE(
      run(registry_.remove(
              ctx_, find_kind("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"),
              "", "a", {}, {}))
          .ok());
  // No object is there on a delete.
  webhooks_.refresh();
  ASSERT_TRUE(config_map("x").ok());
  hook("Mutating", "b", patch_path(R"([{"op":"add","path":"/data/a","value":"z"}])"), "",
       "operations: [DELETE], apiGroups: [''], apiVersions: [v1], resources: [configmaps]");
  auto gone = run(registry_.remove(ctx_, find_kind("", "v1", "ConfigMap"), "ns", "x", {}, {}));
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.status().message(),
            "Internal error occurred: admission webhook \"h1.example.com\" attempted to modify the "
            "object, which is not supported for this operation");
}

TEST_F(WebhooksTest, APatchCannotMakeAnObjectOfAnotherTypeOrPlace) {
  hook("Mutating", "a",
       patch_path(R"([{"op":"replace","path":"/metadata/namespace","value":"other"}])"));
  auto moved = config_map("x");
  ASSERT_FALSE(moved.ok());
  EXPECT_EQ(
      moved.status().message(),
      "the namespace of the provided object does not match the namespace sent on the request");
  const KindDesc* kind =
      find_kind("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration");
  ASSERT_TRUE(run(registry_.remove(ctx_, kind, "", "a", {}, {})).ok());
  hook("Mutating", "b", patch_path(R"([{"op":"replace","path":"/data","value":[1]}])"));
  auto broken = config_map("x");
  ASSERT_FALSE(broken.ok());
  EXPECT_THAT(broken.status().message(),
              HasSubstr("json: cannot unmarshal array into Go struct field "));
  EXPECT_EQ(broken.status().code(), 500);
  ASSERT_TRUE(run(registry_.remove(ctx_, kind, "", "b", {}, {})).ok());
  // Under the name that it has in the end.
  hook("Mutating", "c", patch_path(R"([{"op":"replace","path":"/metadata/name","value":"y"},
                                      {"op":"replace","path":"/metadata/uid","value":"mine"}])"));
  auto renamed = config_map("x");
  ASSERT_TRUE(renamed.ok()) << renamed.status().message();
  EXPECT_EQ((*renamed)->name(), "y");
  EXPECT_NE((*renamed)->uid(), "mine");
  const KindDesc* maps = find_kind("", "v1", "ConfigMap");
  EXPECT_NE(store_->snapshot()->get(registry::object_key(*maps, "ns", "y")), nullptr);
  EXPECT_EQ(store_->snapshot()->get(registry::object_key(*maps, "ns", "x")), nullptr);
}

TEST_F(WebhooksTest, EquivalentResourcesAreShownInTheVersionAskedFor) {
  hook("Mutating", "a", patch_path(R"([{"op":"add","path":"/message","value":"changed"}])"),
       ", matchPolicy: Equivalent");
  hooks("Validating", "b",
        {entry("exact.example.com", "/exact", ", matchPolicy: Exact",
               "operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [events]")});
  hooks("Mutating", "c",
        {entry("events.example.com",
               patch_path(R"([{"op":"add","path":"/message","value":"changed"}])"),
               ", matchPolicy: Equivalent",
               "operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [events]")});
  auto made = create(
      "apiVersion: events.k8s.io/v1\nkind: Event\nmetadata: {name: e, namespace: ns}\n"
      "eventTime: '2026-01-01T00:00:00.000000Z'\nreportingController: a.b/c\n"
      "reportingInstance: i\naction: A\nreason: R\ntype: Normal\nnote: before\n"
      "regarding: {kind: Pod, namespace: ns, name: p}\n");
  ASSERT_TRUE(made.ok()) << made.status().message();
  ASSERT_EQ(fake_.requests.size(), 1u);
  const Value& r = fake_.requests[0]->root;
  EXPECT_EQ(r["kind"]["group"].as_string(), "");
  EXPECT_EQ(r["requestKind"]["group"].as_string(), "events.k8s.io");
  EXPECT_EQ(r["object"]["apiVersion"].as_string(), "v1");
  EXPECT_EQ(r["object"]["message"].as_string(), "before");
  EXPECT_EQ((*made)->tree()->root["note"].as_string(), "changed");
}

TEST_F(WebhooksTest, ConditionsDecideWhoIsAsked) {
  hook("Validating", "a", "/deny",
       ", matchConditions: [{name: skip, expression: \"object.metadata.name != 'skip-me'\"}]");
  EXPECT_FALSE(config_map("x").ok());
  EXPECT_TRUE(config_map("skip-me").ok());
  EXPECT_EQ(fake_.requests.size(), 1u);
  hook("Validating", "b", "/allow",
       ", matchConditions: [{name: ill, expression: \"object.nothing == 'x'\"}]");
  auto failed = config_map("skip-me-not");
  ASSERT_FALSE(failed.ok());
  auto b = config_map("skip-me");
  ASSERT_FALSE(b.ok());
  EXPECT_EQ(b.status().message(),
            "configmaps \"skip-me\" is forbidden: expression 'object.nothing == 'x'' resulted in "
            "error: no such key: nothing");
}

TEST_F(WebhooksTest, ConfigurationsThemselvesAreNeverSent) {
  hook("Validating", "a", "/deny", "",
       "operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*']");
  hook("Mutating", "b", patch_path(R"([{"op":"add","path":"/metadata/labels","value":{"a":"b"}}])"),
       "", "operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*']");
  const KindDesc* kind =
      find_kind("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
  EXPECT_TRUE(run(registry_.remove(ctx_, kind, "", "a", {}, {})).ok());
  EXPECT_TRUE(fake_.requests.empty());
}

TEST_F(WebhooksTest, ConnectionsAndScalesAreJudged) {
  hook("Validating", "a", "/deny", "",
       "operations: [CONNECT], apiGroups: [''], apiVersions: [v1], resources: [pods/attach]");
  registry::Registry::Call call;
  call.kind = find_kind("", "v1", "Pod");
  call.ns = "ns";
  call.name = "p";
  call.subresource = "attach";
  call.sent_kind = find_kind("", "v1", "PodAttachOptions");
  Document options = body("apiVersion: v1\nkind: PodAttachOptions\nstdin: true\ncontainer: c\n");
  WriteRequest how;
  how.user = "amy";
  Status s = run(registry_.admit_connect(ctx_, &call, &options, &how));
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(s.message(), "admission webhook \"h1.example.com\" denied the request: not here");
  const Value& r = fake_.requests[0]->root;
  EXPECT_EQ(r["operation"].as_string(), "CONNECT");
  EXPECT_EQ(r["kind"]["kind"].as_string(), "PodAttachOptions");
  EXPECT_EQ(r["subResource"].as_string(), "attach");
  EXPECT_EQ(r["object"]["container"].as_string(), "c");

  auto made = create(
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: 1, selector: "
      "{matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, "
      "image: i}]}}}\n");
  ASSERT_TRUE(made.ok()) << made.status().message();
  hook(
      "Mutating", "b", patch_path(R"([{"op":"replace","path":"/spec/replicas","value":3}])"), "",
      "operations: [UPDATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments/scale]");
  Document scale = body(
      "apiVersion: autoscaling/v1\nkind: Scale\nmetadata: {name: d, namespace: ns}\nspec: "
      "{replicas: 5}\n");
  auto scaled = run(registry_.update_scale(ctx_, find_kind("apps/v1", "Deployment"), "ns", "d",
                                           std::move(scale), how));
  ASSERT_TRUE(scaled.ok()) << scaled.status().message();
  const Value& asked = fake_.requests.back()->root;
  EXPECT_EQ(asked["kind"]["kind"].as_string(), "Scale");
  EXPECT_EQ(asked["object"]["spec"]["replicas"].as_int(), 5);
  EXPECT_EQ(asked["oldObject"]["spec"]["replicas"].as_int(), 1);
  EXPECT_EQ((*scaled)->tree()->root["spec"]["replicas"].as_int(), 3);
}

TEST_F(WebhooksTest, DryRunsAreToldAndNeverSentWhereTheyWouldHaveEffects) {
  hook("Validating", "a", "/allow");
  WriteRequest how;
  how.dry_run = true;
  ASSERT_TRUE(config_map("x", how).ok());
  EXPECT_TRUE(fake_.requests[0]->root["dryRun"].as_bool());
  EXPECT_EQ(fake_.requests[0]->root["options"]["dryRun"].at(0).as_string(), "All");
}

// One that cannot be read may have been the one that refuses: nothing passes until it is gone.
TEST(UnreadableWebhooks, NothingPassesThemButConfigurations) {
  SimLoop loop(1);
  Context ctx = Context::root(loop);
  SimDisk disk(loop);
  const KindDesc* kind =
      find_kind("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
  const std::string key = registry::object_key(*kind, "", "a");
  {
    auto store = *open_sim_store(disk);
    registry::Registry registry(store.get(), "10.96.0.0/16", "30000-32767");
    auto d = parse_yaml(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\n"
        "metadata: {name: a}\n");
    auto made = run_task(loop, registry.create(ctx, kind, "", std::move(*d), {}));
    ASSERT_TRUE(made.ok()) << made.status().message();
  }
  disk.damage(key);
  auto store = *open_sim_store(disk);
  Webhooks webhooks(store.get(), nullptr, options_for(store.get()));
  auto plugin = webhooks.validating();
  admission::Attributes a;
  a.kind = find_kind("", "v1", "ConfigMap");
  ASSERT_TRUE(plugin->concerns(a));
  Status s = run_task(loop, plugin->validate(ctx, &a, nullptr, nullptr));
  EXPECT_EQ(s.code(), 500);
  EXPECT_THAT(s.message(), HasSubstr(key));
  a.kind = kind;
  EXPECT_FALSE(plugin->concerns(a));
  ASSERT_TRUE(run_task(loop, store->remove_unreadable(ctx, key)).ok());
  webhooks.refresh();
  a.kind = find_kind("", "v1", "ConfigMap");
  EXPECT_FALSE(plugin->concerns(a));
}

// --- following ----------------------------------------------------------------------------------

TEST_F(WebhooksTest, FollowsConfigurations) {
  Context following = ctx_.child();
  TaskGroup group(*loop_);
  group.spawn(webhooks_.run(following));
  auto concerned = [this] {
    admission::Attributes a;
    a.kind = find_kind("", "v1", "ConfigMap");
    a.namespace_ = "ns";
    return webhooks_.validating()->concerns(a);
  };
  EXPECT_FALSE(concerned());
  const std::string yaml =
      "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\n"
      "metadata: {name: a}\nwebhooks:\n" +
      entry("h1.example.com", "/deny");
  ASSERT_TRUE(create(yaml).ok());
  struct Wait {
    static Task<void> until(Context ctx, std::function<bool()> is) {
      while (!is() && !ctx.done()) (void)co_await ctx.sleep(1ms);
    }
  };
  run(Wait::until(ctx_.with_timeout(30s), concerned));
  EXPECT_TRUE(concerned());
  const KindDesc* kind =
      find_kind("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
  ASSERT_TRUE(run(registry_.remove(ctx_, kind, "", "a", {}, {})).ok());
  run(Wait::until(ctx_.with_timeout(30s), [&] { return !concerned(); }));
  EXPECT_FALSE(concerned());
  following.cancel();
  run(group.join());
}

}  // namespace
}  // namespace keles::webhooks
