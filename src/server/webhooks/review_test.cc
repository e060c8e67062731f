// What is sent to an admission webhook, and what is taken of what it says.
#include "server/webhooks/review.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"

namespace keles::webhooks {
namespace {

Document json(std::string_view text) {
  auto d = parse_json(text);
  EXPECT_TRUE(d.ok()) << text;
  return d.ok() ? std::move(*d) : Document();
}

TEST(AdmissionReview, IsWhatUpstreamSends) {
  const Document request = json(
      R"({"kind":{"group":"","version":"v1","kind":"ConfigMap"},"operation":"CREATE","userInfo":{"username":"amy"},"dryRun":false,"options":null})");
  const Document object =
      json(R"({"apiVersion":"v1","kind":"ConfigMap","data":{"a":"b"},"metadata":{"name":"c"}})");
  const KindDesc* kind = find_kind("", "v1", "ConfigMap");
  EXPECT_EQ(
      request_text("v1beta1", "id", request.root, object_text(*kind, &object.root),
                   object_text(*kind, nullptr)),
      R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"id",)"
      R"("kind":{"group":"","version":"v1","kind":"ConfigMap"},"operation":"CREATE",)"
      R"("userInfo":{"username":"amy"},"object":{"kind":"ConfigMap","apiVersion":"v1",)"
      R"("metadata":{"name":"c"},"data":{"a":"b"}},"oldObject":null,"dryRun":false,)"
      R"("options":null}})"
      "\n");
}

struct Case {
  std::string_view answer;
  std::string_view error;
  bool mutating = true;
  std::string_view version = "v1";
};

std::string v1(std::string_view response) {
  return R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":)" +
         std::string(response) + "}";
}

TEST(AdmissionReview, RefusesInUpstreamsWords) {
  const std::string patch = v1(R"({"uid":"id","allowed":true,"patch":"W10="})"),
                    type = v1(R"({"uid":"id","allowed":true,"patchType":"JSONPatch"})"),
                    empty_type = v1(R"({"uid":"id","allowed":true,"patch":"W10=","patchType":""})"),
                    other = v1(R"({"uid":"other","allowed":true})"),
                    text = v1(R"({"uid":"id","allowed":"yes"})"), none = v1("null");
  const Case cases[] = {
      {"", "failed to call webhook: 0-length response"},
      {"{",
       "failed to call webhook: couldn't get version/kind; json parse error: unexpected end of "
       "JSON input"},
      {"[]",
       "failed to call webhook: couldn't get version/kind; json parse error: the answer is no "
       "JSON object"},
      {"{}", "received invalid webhook response: webhook response was absent"},
      {none, "received invalid webhook response: webhook response was absent"},
      {R"({"kind":"Pod","apiVersion":"v1"})",
       "failed to call webhook: no kind \"Pod\" is registered for version \"v1\""},
      {R"({"response":{"uid":"id","allowed":true}})",
       "received invalid webhook response: expected webhook response of admission.k8s.io/v1, "
       "Kind=AdmissionReview, got /, Kind="},
      {R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","response":{"allowed":true}})",
       "failed to call webhook: converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): "
       "unknown conversion"},
      {other, "received invalid webhook response: expected response.uid=\"id\", got \"other\""},
      {text,
       "failed to call webhook: json: cannot unmarshal string into Go struct field "
       "AdmissionResponse.response.allowed of type bool"},
      {patch,
       "received invalid webhook response: webhook returned response.patch but not "
       "response.patchType"},
      {type,
       "received invalid webhook response: webhook returned response.patchType but not "
       "response.patch"},
      {empty_type,
       "received invalid webhook response: webhook returned invalid response.patchType of \"\""},
      {patch, "received invalid webhook response: validating webhook may not return response.patch",
       false},
      {type,
       "received invalid webhook response: validating webhook may not return response.patchType",
       false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.answer);
    auto got = read_answer(c.answer, c.version, "id", c.mutating);
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.status().message(), c.error);
    EXPECT_EQ(got.status().code(), 503);
  }
}

TEST(AdmissionReview, TakesWhatTheVersionAllows) {
  // v1beta1 verified neither uid nor type, and knew one type of patch.
  auto old = read_answer(
      R"({"response":{"allowed":true,"patch":"W10=","auditAnnotations":{"k":"v"},"warnings":["w"]}})",
      "v1beta1", "id", true);
  ASSERT_TRUE(old.ok()) << old.status().message();
  EXPECT_TRUE(old->allowed);
  EXPECT_EQ(old->patch, "[]");
  EXPECT_EQ(old->patch_type, "JSONPatch");
  ASSERT_EQ(old->annotations.size(), 1u);
  EXPECT_EQ(old->annotations[0].first, "k");
  EXPECT_EQ(old->warnings, std::vector<std::string>{"w"});
  // One that judges changes nothing, whatever it sends.
  auto judge =
      read_answer(R"({"response":{"allowed":true,"patch":"W10="}})", "v1beta1", "id", false);
  ASSERT_TRUE(judge.ok());
  EXPECT_EQ(judge->patch, "");
  // What the type does not know is dropped.
  auto more =
      read_answer(v1(R"({"uid":"id","allowed":false,"more":{"a":1},"status":{"code":418}})"), "v1",
                  "id", false);
  ASSERT_TRUE(more.ok()) << more.status().message();
  EXPECT_EQ(more->result.root["code"].as_int(), 418);
}

TEST(AdmissionReview, RejectionsAreToldAsTheyCame) {
  struct Row {
    std::string_view result;
    int code;
    std::string_view reason, message;
  };
  const Row rows[] = {
      {"null", 400, "", "admission webhook \"h\" denied the request without explanation"},
      {R"({"message":"no"})", 400, "", "admission webhook \"h\" denied the request: no"},
      {R"({"reason":"Forbidden","code":403})", 403, "Forbidden",
       "admission webhook \"h\" denied the request: Forbidden"},
      {R"({"status":"Success","code":200,"message":"lied"})", 400, "",
       "admission webhook \"h\" denied the request: lied"},
      {R"({"code":422,"reason":"Invalid","message":"m"})", 422, "Invalid",
       "admission webhook \"h\" denied the request: m"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.result);
    const Document result = json(row.result);
    const Status s = rejection("h", result.root);
    EXPECT_EQ(s.code(), row.code);
    EXPECT_EQ(reason_name(s.reason()), row.reason);
    EXPECT_EQ(s.message(), row.message);
  }
  const Document causes = json(
      R"({"details":{"name":"n","causes":[{"reason":"FieldValueInvalid","message":"m","field":"spec"}],"retryAfterSeconds":7}})");
  const Status s = rejection("h", causes.root);
  ASSERT_EQ(s.details().causes.size(), 1u);
  EXPECT_EQ(s.details().causes[0].field, "spec");
  EXPECT_EQ(s.details().retry_after_seconds, 7);
}

}  // namespace
}  // namespace keles::webhooks
