// The answer of an admission webhook. Whatever it says, what is taken of it keeps its rules, and an
// object that it patched is one of its kind: what is written of it reads as the same again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/sim_loop.h"
#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "machinery/equality.h"
#include "seeds.h"
#include "server/webhooks/patching.h"
#include "server/webhooks/review.h"

namespace {

using namespace keles;

void patch(std::string_view text) {
  static SimLoop loop(1);
  static const KindDesc* const kind = find_kind("", "v1", "Pod");
  static const std::string sent =
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}})";
  static const Document before = *decode_body(*kind, sent);
  auto patched = webhooks::apply_answer(*kind, sent, before.root, text, loop);
  if (!patched.ok() || !patched->applied) return;
  const Value& now = patched->object.root;
  if (now["kind"].as_string() != "Pod" || now["apiVersion"].as_string() != "v1") std::abort();
  const std::string written = webhooks::object_text(*kind, &now);
  auto again = decode_body(*kind, written);
  if (!again.ok() || !same_meaning(*kind->type, now, again->root)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  patch(text);
  for (std::string_view version : {"v1", "v1beta1"}) {
    for (bool mutating : {true, false}) {
      auto answer = webhooks::read_answer(text, version, "id", mutating);
      if (!answer.ok()) continue;
      if (!mutating && !answer->patch.empty()) std::abort();
      if (version == "v1" && answer->patch.empty() != answer->patch_type.empty()) std::abort();
      const Status s = webhooks::rejection("h", answer->result.root);
      if (s.ok() || s.code() < 400) std::abort();
      if (!answer->patch.empty()) patch(answer->patch);
    }
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"id","allowed":true,"patchType":"JSONPatch","patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL21ldGFkYXRhL2xhYmVscy94IiwidmFsdWUiOiJ5In1d"}})",
      R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"id","allowed":false,"status":{"code":403,"message":"no","reason":"Forbidden","details":{"causes":[{"reason":"a","message":"b","field":"c"}],"retryAfterSeconds":3}},"warnings":["w"],"auditAnnotations":{"k":"v"}}})",
      R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","response":{"allowed":true,"patch":"W10="}})",
      R"([{"op":"add","path":"/spec/initContainers","value":[{"name":"i","image":"i","resources":{"limits":{"cpu":"1"}}}]},{"op":"test","path":"/metadata/name","value":"p"},{"op":"move","from":"/metadata/labels/a","path":"/metadata/labels/z"}])",
      R"([{"op":"replace","path":"/kind","value":"Node"}])",
      R"([{"op":"remove","path":"/spec/containers/0"},{"op":"copy","from":"/metadata","path":"/spec"}])"};
}
