// ImagePolicyWebhook against a server of our own over TLS.
#include "server/images/image_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "client/kubeconfig.h"
#include "machinery/codec_json.h"
#include "net/http.h"
#include "net/pki.h"

namespace keles::images {
namespace {

using admission::Operation;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr const char* kYes =
    R"({"kind":"ImageReview","apiVersion":"imagepolicy.k8s.io/v1alpha1","status":{"allowed":true}})";

// What the other side does, and saw.
struct Other {
  std::string answer = kYes, last_body;
  int status = 200, reviews = 0;
};

Task<void> serve(net::Request* q, net::Responder* r, Other* o) {
  ++o->reviews;
  o->last_body = q->body;
  net::Headers headers;
  headers.add("Content-Type", "application/json");
  std::vector<net::SharedBytes> parts = net::as_body(std::string(o->answer));
  (void)co_await r->respond(o->status, std::move(headers), std::move(parts));
}

class ImagePolicyTest : public testing::Test {
 protected:
  ImagePolicyTest() : loop_(make_real_loop()) {
    const WallTime now = loop_->wall_now();
    ca_ = *net::make_ca({.common_name = "ca", .not_before = now - 1h, .not_after = now + 1h});
    net::ServerOptions options;
    options.tls = *net::issue_certificate(ca_, {.common_name = "other",
                                                .ip_addresses = {"127.0.0.1"},
                                                .server = true,
                                                .not_before = now - 1h,
                                                .not_after = now + 1h});
    auto started = net::Server::start(
        {loop_.get()}, options,
        [this](Context, net::Request* q, net::Responder* r) { return serve(q, r, &other_); });
    EXPECT_TRUE(started.ok());
    server_ = std::move(*started);
    KubeconfigEntry e;
    e.name = "images";
    e.server = "https://127.0.0.1:" + std::to_string(server_->port()) + "/review";
    e.ca_pem = ca_.certificate_pem;
    config_.kubeconfig = directory_.path() + "/images.kubeconfig";
    EXPECT_TRUE(write_file(config_.kubeconfig, kubeconfig_text(e)).ok());
    config_.allow_ttl = config_.deny_ttl = 1h;
    config_.backoff = 1ms;
  }
  ~ImagePolicyTest() override { run_task(*loop_, stop(server_.get(), Context::root(*loop_))); }
  static Task<void> stop(net::Server* server, Context ctx) { co_await server->stop(ctx); }

  std::string said(const std::string& pod, std::string_view subresource = "",
                   Operation operation = Operation::kCreate) {
    if (!policy_) policy_ = *ImagePolicy::make(config_);
    admission::Attributes a;
    a.operation = operation;
    a.kind = find_kind("v1", "Pod");
    a.namespace_ = "ns";
    a.name = "p";
    a.subresource = subresource;
    annotations_.clear();
    a.annotations = &annotations_;
    if (!policy_->concerns(a)) return "not concerned";
    const Document d = *parse_json(pod);
    Status s = run_task(
        *loop_, policy_->validate(Context::root(*loop_).with_timeout(10s), &a, &d.root, nullptr));
    return s.ok() ? "" : std::to_string(s.code()) + " " + s.message();
  }
  static std::string with_image(const std::string& image) {
    return R"({"spec":{"containers":[{"name":"c","image":")" + image + R"("}]}})";
  }
  static std::string review(const std::string& status) {
    return R"({"kind":"ImageReview","apiVersion":"imagepolicy.k8s.io/v1alpha1","status":{)" +
           status + "}}";
  }

  std::unique_ptr<RealLoop> loop_;
  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  net::TlsIdentity ca_;
  std::unique_ptr<net::Server> server_;
  Other other_;
  admission::ImagePolicyConfig config_;
  std::shared_ptr<ImagePolicy> policy_;
  admission::AuditAnnotations annotations_;
};

TEST_F(ImagePolicyTest, AsksAboutPodsAndEphemeralContainers) {
  const std::string pod =
      R"({"metadata":{"annotations":{"x.image-policy.k8s.io/ticket":"1","other":"2"}},"spec":{)"
      R"("containers":[{"name":"c","image":"a"}],"initContainers":[{"name":"i","image":"b"}],)"
      R"("ephemeralContainers":[{"name":"e","image":"z"}]}})";
  EXPECT_EQ(said(pod), "");
  EXPECT_EQ(other_.last_body,
            R"({"kind":"ImageReview","apiVersion":"imagepolicy.k8s.io/v1alpha1","metadata":{},)"
            R"("spec":{"containers":[{"image":"a"},{"image":"b"}],)"
            R"("annotations":{"x.image-policy.k8s.io/ticket":"1"},"namespace":"ns"},)"
            R"("status":{"allowed":false}})");
  EXPECT_EQ(said(pod, "ephemeralcontainers", Operation::kUpdate), "");
  EXPECT_THAT(other_.last_body, HasSubstr(R"("spec":{"containers":[{"image":"z"}],)"));
  EXPECT_EQ(other_.reviews, 2);
  EXPECT_EQ(said(pod, "", Operation::kUpdate), "");  // remembered
  EXPECT_EQ(other_.reviews, 2);
  EXPECT_EQ(said(pod, "status", Operation::kUpdate), "not concerned");
  EXPECT_EQ(said(pod, "binding"), "not concerned");
  EXPECT_EQ(said(pod, "", Operation::kDelete), "not concerned");
}

TEST_F(ImagePolicyTest, WhatIsSaidIsDone) {
  other_.answer = review(R"("allowed":false)");
  EXPECT_EQ(said(with_image("a")),
            "403 pods \"p\" is forbidden: one or more images rejected by webhook backend");
  other_.answer = review(R"("allowed":false,"reason":"old","auditAnnotations":{"who":"me"})");
  EXPECT_EQ(said(with_image("b")),
            "403 pods \"p\" is forbidden: image policy webhook backend denied one or more images: "
            "old");
  EXPECT_THAT(annotations_, ElementsAre(Pair("imagepolicywebhook.image-policy.k8s.io/who", "me")));
  other_.answer = kYes;
  // As long as it was said for, with what the audit is to hear.
  EXPECT_THAT(said(with_image("b")), HasSubstr("old"));
  EXPECT_EQ(annotations_.size(), 1u);
  EXPECT_EQ(said(with_image("c")), "");
}

TEST_F(ImagePolicyTest, NothingIsRememberedForNoTime) {
  config_.deny_ttl = Duration();
  other_.answer = review(R"("allowed":false)");
  (void)said(with_image("a"));
  other_.answer = kYes;
  EXPECT_EQ(said(with_image("a")), "");
  EXPECT_EQ(other_.reviews, 2);
}

TEST_F(ImagePolicyTest, WhoDoesNotAnswerLetsNobodyIn) {
  for (const char* answer :
       {"", "null", "[]", R"({"status":{"allowed":true}})",
        R"({"kind":"ImageReview","apiVersion":"v1","status":{"allowed":true}})"}) {
    other_.answer = answer;
    EXPECT_EQ(said(with_image("a")),
              "403 pods \"p\" is forbidden: the webhook's answer is no ImageReview of "
              "imagepolicy.k8s.io/v1alpha1")
        << answer;
  }
  other_.answer = kYes;
  other_.status = 500;
  other_.reviews = 0;
  EXPECT_THAT(said(with_image("a")), HasSubstr("403 pods \"p\" is forbidden: "));
  EXPECT_EQ(other_.reviews, 5);
}

TEST_F(ImagePolicyTest, UnlessItIsToldTo) {
  config_.default_allow = true;
  other_.status = 404;
  EXPECT_EQ(said(with_image("a")), "");
  EXPECT_THAT(annotations_,
              ElementsAre(Pair("imagepolicywebhook.image-policy.k8s.io/failed-open", "true")));
  other_.status = 200;  // which was not remembered
  other_.answer = review(R"("allowed":false)");
  EXPECT_THAT(said(with_image("a")), HasSubstr("rejected"));
}

TEST_F(ImagePolicyTest, ItsKubeconfigIsRead) {
  config_.kubeconfig = "/nowhere/k";
  EXPECT_EQ(ImagePolicy::make(config_).status().message(), "/nowhere/k: no such file or directory");
  EXPECT_EQ(ImagePolicy::make(std::nullopt).status().message(),
            "couldn't init admission plugin \"ImagePolicyWebhook\": no config specified");
}

}  // namespace
}  // namespace keles::images
