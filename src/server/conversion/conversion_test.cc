// What is sent to a conversion webhook, what of its answer is taken, and a webhook over TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/metrics.h"
#include "base/run_task.h"
#include "machinery/codec_json.h"
#include "machinery/custom_kind.h"
#include "net/http.h"
#include "net/pki.h"
#include "server/conversion/review.h"
#include "server/conversion/webhook.h"

namespace keles::conversion {
namespace {

using testing::HasSubstr;

DocumentPtr json(std::string_view text) {
  auto d = parse_json(text);
  EXPECT_TRUE(d.ok()) << text;
  return std::make_shared<const Document>(std::move(*d));
}

std::vector<DocumentPtr> things(size_t n) {
  std::vector<DocumentPtr> out;
  for (size_t i = 0; i < n; ++i) {
    out.push_back(json(
        R"({"apiVersion":"e.com/v1","kind":"Thing","metadata":{"name":"t)" + std::to_string(i) +
        R"(","namespace":"ns","uid":"u","labels":{"was":"here"}},"spec":{"old":1}})"));
  }
  return out;
}

Review review_of(const std::vector<DocumentPtr>& objects) {
  Review r;
  r.version = "v1";
  r.uid = "id";
  r.desired = "e.com/v2";
  r.objects = objects;
  return r;
}

TEST(ConversionReview, IsWhatUpstreamSends) {
  auto objects = things(1);
  const Review r = review_of(objects);
  EXPECT_EQ(
      request_text(r),
      R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","request":{"uid":"id",)"
      R"("desiredAPIVersion":"e.com/v2","objects":[{"apiVersion":"e.com/v1","kind":"Thing",)"
      R"("metadata":{"labels":{"was":"here"},"name":"t0","namespace":"ns","uid":"u"},"spec":{"old")"
      R"(:1}}]},"response":{"uid":"","convertedObjects":null,"result":{"metadata":{}}}})"
      "\n");
}

struct Case {
  std::string_view answer;
  std::string_view error;  // after "conversion webhook for e.com/v1, Kind=Thing"
};

std::string answer(std::string_view objects, std::string_view uid = "id") {
  return R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":{"uid":")" +
         std::string(uid) + R"(","result":{"status":"Success"},"convertedObjects":[)" +
         std::string(objects) + "]}}";
}

constexpr std::string_view kStart =
    R"({"apiVersion":"e.com/v2","kind":"Thing","metadata":{"name":"t0","namespace":"ns","uid":"u")";

TEST(ConversionReview, RefusesInUpstreamsWords) {
  auto objects = things(1);
  const Review r = review_of(objects);
  const std::string start(kStart);
  const std::pair<std::string, std::string> cases[] = {
      {"{", " failed: couldn't get version/kind; json parse error: unexpected end of JSON input"},
      {"{}",
       " failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, "
       "got /, Kind="},
      {R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1"})",
       " failed: no response provided"},
      {answer("", "other"), " failed: expected response.uid=\"id\", got \"other\""},
      {R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":{"uid":"id",)"
       R"("result":{"status":"Failure"}}})",
       " failed: response.result.status was 'Failure', not 'Success'"},
      {R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":{"uid":"id",)"
       R"("result":{"status":"Failure","message":"not today"}}})",
       " failed: not today"},
      {answer(""), " returned 0 objects, expected 1"},
      {answer(R"({"apiVersion":"e.com/v3","kind":"Thing","metadata":{}})"),
       " returned invalid object at index 0: invalid groupVersion (expected e.com/v2, received "
       "e.com/v3)"},
      {answer(R"({"apiVersion":"e.com/v2","kind":"Other","metadata":{}})"),
       " returned invalid object at index 0: invalid kind (expected Thing, received Other)"},
      {answer(R"({"apiVersion":"e.com/v2","kind":"Thing","metadata":{"name":"x"}})"),
       " returned invalid object: must have the same name: t0 != x"},
      {answer(R"({"apiVersion":"e.com/v2","kind":"Thing"})"),
       " returned invalid object: must have the same name: t0 != "},
      {answer(start + R"(,"labels":{"a":1}}})"),
       " returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted "
       "object"},
      {answer(start + R"(,"annotations":[]}})"),
       " returned invalid metadata: invalid metadata.annotations of type []interface {} in "
       "converted "
       "object"},
  };
  for (const auto& [text, want] : cases) {
    auto got = converted_objects(r, text);
    ASSERT_FALSE(got.ok()) << text;
    EXPECT_EQ(got.status().message(), "conversion webhook for e.com/v1, Kind=Thing" + want) << text;
    EXPECT_EQ(got.status().code(), 500);
  }
  auto bad_label = converted_objects(r, answer(start + R"(,"labels":{"a b":"c"}}})"));
  ASSERT_FALSE(bad_label.ok());
  EXPECT_THAT(bad_label.status().message(),
              HasSubstr("returned invalid metadata: metadata.labels: Invalid value: \"a b\": "));
}

TEST(ConversionReview, TakesLabelsAndAnnotationsAndNothingElseOfTheMetadata) {
  auto objects = things(1);
  const Review r = review_of(objects);
  auto got = converted_objects(
      r, answer(std::string(kStart) +
                R"(,"labels":{"new":"one"},"finalizers":["f"],"generation":9},"spec":{"new":2}})"));
  ASSERT_TRUE(got.ok()) << got.status().message();
  EXPECT_EQ(
      to_json(got->at(0).root),
      R"({"apiVersion":"e.com/v2","kind":"Thing","metadata":{"name":"t0","namespace":"ns","uid":)"
      R"("u","labels":{"new":"one"}},"spec":{"new":2}})");
}

// --- over the wire ------------------------------------------------------------------------------

// A webhook that gives each object the version that is asked for, and a field.
Task<void> webhook(Context, net::Request* q, net::Responder* r, int* calls, std::string* path,
                   std::string* host) {
  ++*calls;
  *host = q->headers.get("host").value_or("");
  *path = q->path;
  auto doc = parse_json(q->body);
  std::string out;
  if (doc.ok()) {
    const Value& request = doc->root["request"];
    out = R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":{"uid":)";
    write_json(out, request["uid"]);
    out += R"(,"result":{"status":"Success"},"convertedObjects":[)";
    bool first = true;
    for (const Value& o : request["objects"].items()) {
      Document d;
      d.root = deep_copy(d.arena, o);
      d.root.set(d.arena, "apiVersion", request["desiredAPIVersion"]);
      d.root.set(d.arena, "converted", Value(true));
      if (!first) out += ',';
      first = false;
      write_json(out, d.root);
    }
    out += "]}}";
  }
  auto body = net::as_body(std::move(out));
  net::Headers headers;
  headers.add("Content-Type", "application/json");
  (void)co_await r->respond(200, std::move(headers), std::move(body));
}

class WebhookTest : public testing::Test {
 protected:
  WebhookTest() : loop_(make_real_loop()) {
    const WallTime now = loop_->wall_now();
    ca_ = *net::make_ca({.common_name = "ca", .not_before = now - 1h, .not_after = now + 1h});
    net::ServerOptions options;
    options.tls = *net::issue_certificate(ca_, {.common_name = "hook",
                                                .dns_names = {"hook.ns.svc"},
                                                .ip_addresses = {"127.0.0.1"},
                                                .server = true,
                                                .not_before = now - 1h,
                                                .not_after = now + 1h});
    auto started = net::Server::start({loop_.get()}, options,
                                      [this](Context ctx, net::Request* q, net::Responder* r) {
                                        return webhook(ctx, q, r, &calls_, &path_, &host_);
                                      });
    EXPECT_TRUE(started.ok());
    server_ = std::move(*started);
    kind_.group = "e.com";
    kind_.version = "v2";
    kind_.kind = "Thing";
    kind_.api_version_ = "e.com/v2";
  }
  ~WebhookTest() override { run_task(*loop_, stop(server_.get(), Context::root(*loop_))); }
  static Task<void> stop(net::Server* server, Context ctx) { co_await server->stop(ctx); }

  std::string bundle(const net::TlsIdentity& ca) { return base64_encode(ca.certificate_pem); }

  std::shared_ptr<Converter> converter(std::string client, WebhookOptions options = {}) {
    auto doc = parse_json(
        R"({"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":)"
        R"("things.e.com"},"spec":{"conversion":{"strategy":"Webhook","webhook":{"clientConfig":)" +
        client + R"(,"conversionReviewVersions":["v9","v1"]}}}})");
    const KindDesc* crd = find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    options.callout.may_dial_service = [](const IpAddress&) { return true; };
    options.callout.find_service = [this](const std::string& ns, const std::string& name,
                                          int64_t port, Random&) -> Result<callout::ServicePlace> {
      if (ns != "ns" || name != "hook" || port != 444) {
        return Status::not_found("", "services", name);
      }
      callout::ServicePlace place;
      place.host = "127.0.0.1";
      place.port = server_->port();
      return place;
    };
    return make_webhook_converter(Object::from_document(*crd, std::move(*doc)), options);
  }
  Result<std::vector<Document>> convert(Converter& c, size_t n) {
    return run_task(*loop_, c.convert(Context::root(*loop_), &kind_, things(n)));
  }

  std::unique_ptr<RealLoop> loop_;
  net::TlsIdentity ca_;
  std::unique_ptr<net::Server> server_;
  KindDesc kind_{};
  int calls_ = 0;
  std::string path_, host_;
};

TEST_F(WebhookTest, ConvertsByServiceAndByUrlInBoundedReviews) {
  auto by_service =
      converter(R"({"service":{"namespace":"ns","name":"hook","port":444,"path":"/c"},)"
                R"("caBundle":")" +
                bundle(ca_) + "\"}");
  auto got = convert(*by_service, 3);
  ASSERT_TRUE(got.ok()) << got.status().message();
  ASSERT_EQ(got->size(), 3u);
  EXPECT_EQ((*got)[2].root["metadata"]["name"].as_string(), "t2");
  EXPECT_TRUE((*got)[2].root["converted"].as_bool());
  EXPECT_EQ(path_, "/c");
  EXPECT_EQ(host_, "hook.ns.svc:444");  // whatever its endpoint's address
  EXPECT_EQ(calls_, 1);
  WebhookOptions small;
  small.objects = 2;
  auto by_url = converter("{\"url\":\"https://127.0.0.1:" + std::to_string(server_->port()) +
                              "/u\",\"caBundle\":\"" + bundle(ca_) + "\"}",
                          small);
  got = convert(*by_url, 5);
  ASSERT_TRUE(got.ok()) << got.status().message();
  EXPECT_EQ(got->size(), 5u);
  EXPECT_EQ((*got)[4].root["metadata"]["name"].as_string(), "t4");
  EXPECT_EQ(calls_, 4);
}

TEST_F(WebhookTest, TellsWhyItCannotBeCalled) {
  auto nowhere = converter(R"({"service":{"namespace":"ns","name":"gone","port":444}})");
  auto got = convert(*nowhere, 1);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.status().message(),
            "conversion webhook for e.com/v1, Kind=Thing failed: Post "
            "\"https://gone.ns.svc:444/?timeout=30s\": services \"gone\" not found");
  const WallTime now = loop_->wall_now();
  auto other =
      *net::make_ca({.common_name = "other", .not_before = now - 1h, .not_after = now + 1h});
  auto distrusted =
      converter(R"({"service":{"namespace":"ns","name":"hook","port":444},"caBundle":")" +
                bundle(other) + "\"}");
  got = convert(*distrusted, 1);
  ASSERT_FALSE(got.ok());
  EXPECT_THAT(got.status().message(),
              HasSubstr("failed: Post \"https://hook.ns.svc:444/?timeout=30s\": "));
  EXPECT_EQ(calls_, 0);
}

TEST_F(WebhookTest, IsMeasuredUnderUpstreamsNames) {
  auto good = converter(R"({"service":{"namespace":"ns","name":"hook","port":444},"caBundle":")" +
                        bundle(ca_) + "\"}");
  auto gone = converter(R"({"service":{"namespace":"ns","name":"gone","port":444}})");
  EXPECT_TRUE(convert(*good, 1).ok());
  EXPECT_FALSE(convert(*gone, 1).ok());
  const std::string all = metrics::expose();
  EXPECT_THAT(all, HasSubstr("apiserver_conversion_webhook_request_total{result=\"success\","
                             "failure_type=\"\"} "));
  EXPECT_THAT(all,
              HasSubstr("apiserver_conversion_webhook_duration_seconds_count{result=\"failure\","
                        "failure_type=\"conversion_webhook_call_failure\"} "));
  EXPECT_THAT(all, HasSubstr("apiserver_crd_conversion_webhook_duration_seconds_count{crd_name="
                             "\"things.e.com\",from_version=\"v1\",to_version=\"v2\","
                             "succeeded=\"true\"} "));
}

TEST(ConversionReview, AFaultIsOfAKind) {
  auto objects = things(1);
  const Review r = review_of(objects);
  const std::string good = std::string(kStart) + "}}";
  const std::pair<std::string, AnswerFault> cases[] = {
      {"{", AnswerFault::kMalformed},
      {answer("", "other"), AnswerFault::kMalformed},
      {answer(""), AnswerFault::kPartial},
      {answer("{}"), AnswerFault::kInvalidObject},
      {answer(good), AnswerFault::kNone}};
  for (const auto& [text, expected] : cases) {
    AnswerFault fault = AnswerFault::kNone;
    EXPECT_EQ(converted_objects(r, text, &fault).ok(), expected == AnswerFault::kNone) << text;
    EXPECT_EQ(fault, expected) << text;
  }
}

TEST(WebhookConverter, IsMadeForTheStrategyWebhookAlone) {
  auto doc = parse_json(R"({"metadata":{"name":"a"},"spec":{"conversion":{"strategy":"None"}}})");
  const KindDesc* crd = find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
  EXPECT_EQ(make_webhook_converter(Object::from_document(*crd, std::move(*doc)), {}), nullptr);
}

}  // namespace
}  // namespace keles::conversion
