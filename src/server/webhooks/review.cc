#include "server/webhooks/review.h"

#include <algorithm>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/decode.h"

namespace keles::webhooks {
namespace {

constexpr std::string_view kGroup = "admission.k8s.io/", kKind = "AdmissionReview",
                           kCalling = "failed to call webhook: ",
                           kInvalid = "received invalid webhook response: ";

Status failed(std::string_view why) {
  return Status(Reason::kServiceUnavailable, std::string(kCalling) + std::string(why));
}
Status invalid(std::string_view why) {
  return Status(Reason::kServiceUnavailable, std::string(kInvalid) + std::string(why));
}

// "admission.k8s.io/v1, Kind=AdmissionReview", as Go writes a GroupVersionKind.
std::string kind_text(std::string_view api, std::string_view kind) {
  std::string out(api.find('/') == api.npos ? "/" + std::string(api) : std::string(api));
  return out + ", Kind=" + std::string(kind);
}

// What is not an AdmissionReview of the version, or "". One that does not say what it is passes for
// one here.
std::string wrong_kind(const Value& root, std::string_view version) {
  const std::string_view kind = root["kind"].as_string(), api = root["apiVersion"].as_string();
  const std::string wanted = std::string(kGroup) + std::string(version);
  if (!kind.empty() && kind != kKind) {
    return "no kind " + quoted(kind) + " is registered for version " +
           quoted(api.empty() ? std::string_view(wanted) : api);
  }
  if (api.empty() || api == wanted) return {};
  if (api == "admission.k8s.io/v1" || api == "admission.k8s.io/v1beta1") {
    return "converting (" + std::string(api.substr(kGroup.size())) + ".AdmissionReview) to (" +
           std::string(version) + ".AdmissionReview): unknown conversion";
  }
  return "no kind " + quoted(kKind) + " is registered for version " + quoted(api);
}

// Why a v1 answer is none, or "".
std::string wrong_v1(const Value& root, const Value& response, std::string_view uid,
                     bool mutating) {
  if (response["uid"].as_string() != uid) {
    return "expected response.uid=" + quoted(uid) + ", got " + quoted(response["uid"].as_string());
  }
  const std::string wanted = kind_text("admission.k8s.io/v1", kKind),
                    got = kind_text(root["apiVersion"].as_string(), root["kind"].as_string());
  if (got != wanted) return "expected webhook response of " + wanted + ", got " + got;
  const bool patch = !response["patch"].as_string().empty(),
             type = response["patchType"].is_string();
  if (!mutating) {
    if (patch) return "validating webhook may not return response.patch";
    if (type) return "validating webhook may not return response.patchType";
    return {};
  }
  if (patch && !type) return "webhook returned response.patch but not response.patchType";
  if (!patch && type) return "webhook returned response.patchType but not response.patch";
  if (type && response["patchType"].as_string().empty()) {
    return "webhook returned invalid response.patchType of \"\"";
  }
  return {};
}

StatusDetails details_of(const Value& v) {
  StatusDetails out;
  out.name = v["name"].as_string();
  out.group = v["group"].as_string();
  out.kind = v["kind"].as_string();
  out.uid = v["uid"].as_string();
  for (const Value& c : v["causes"].items()) {
    out.causes.push_back({std::string(c["reason"].as_string()),
                          std::string(c["message"].as_string()),
                          std::string(c["field"].as_string())});
  }
  const int64_t again = v["retryAfterSeconds"].as_int();
  out.retry_after_seconds = static_cast<int>(std::clamp<int64_t>(again, 0, 86'400));
  return out;
}

}  // namespace

std::string object_text(const KindDesc& kind, const Value* object) {
  if (!object || object->is_null()) return "null";
  std::string out;
  if (kind.owner) {
    write_json(out, *object, true);
  } else {
    write_json(out, kind, *object);
  }
  return out;
}

std::string request_text(std::string_view version, std::string_view uid, const Value& request,
                         std::string_view object, std::string_view old_object) {
  std::string out;
  out.reserve(1024 + object.size() + old_object.size());
  out.append(R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/)").append(version);
  out += R"(","request":{"uid":)";
  write_json_string(out, uid);
  for (const Member& m : request.members()) {
    if (m.key() == "dryRun") {  // where Go's struct has them
      out.append(R"(,"object":)").append(object);
      out.append(R"(,"oldObject":)").append(old_object);
    }
    out += ',';
    write_json_string(out, m.key());
    out += ':';
    write_json(out, m.value);
  }
  return out + "}}\n";
}

Result<Answer> read_answer(std::string_view body, std::string_view version, std::string_view uid,
                           bool mutating) {
  static const TypeDesc* const type = find_kind("admission.k8s.io", "v1", "AdmissionReview")->type;
  if (body.empty()) return failed("0-length response");
  auto doc = parse_json(body);
  if (!doc.ok()) {
    return failed("couldn't get version/kind; json parse error: " + doc.status().message());
  }
  if (!doc->root.is_map()) {
    return failed("couldn't get version/kind; json parse error: the answer is no JSON object");
  }
  if (std::string why = wrong_kind(doc->root, version); !why.empty()) return failed(why);
  Value response = doc->root["response"];
  if (Status s = normalize(*type, *doc); !s.ok()) return failed(s.message());
  const Value& root = doc->root;
  if (!root["response"].is_map()) {
    if (!response.is_map()) return invalid("webhook response was absent");
    response = Value::map();  // an empty one is one
  } else {
    response = root["response"];
  }
  if (version == "v1") {
    if (std::string why = wrong_v1(root, response, uid, mutating); !why.empty()) {
      return invalid(why);
    }
  }
  Answer out;
  out.allowed = response["allowed"].as_bool();
  if (mutating) {
    auto patch = base64_decode(response["patch"].as_string());
    if (!patch.ok()) return failed(patch.status().message());
    out.patch = std::move(*patch);
    // A v1beta1 answer need not say the type: there is but one.
    out.patch_type = version == "v1" ? response["patchType"].as_string() : "JSONPatch";
  }
  for (const Member& m : response["auditAnnotations"].members()) {
    out.annotations.emplace_back(m.key(), m.value.as_string());
  }
  for (const Value& w : response["warnings"].items()) out.warnings.emplace_back(w.as_string());
  if (response["status"].is_map()) {
    out.result.root = deep_copy(out.result.arena, response["status"]);
  }
  return out;
}

Status rejection(std::string_view webhook, const Value& result) {
  int code = 400;
  if (const int64_t said = result["code"].as_int(); said >= 400) {
    code = static_cast<int>(std::min<int64_t>(said, 999));
  }
  const std::string_view said = result["reason"].as_string(), why = result["message"].as_string();
  std::string message = "admission webhook " + quoted(webhook) + " denied the request";
  if (!why.empty()) {
    message.append(": ").append(why);
  } else if (!said.empty()) {
    message.append(": ").append(said);
  } else {
    message += " without explanation";
  }
  const Reason reason = said.empty() ? Reason::kUnknown : reason_from(said, code);
  return Status(reason, std::move(message), details_of(result["details"]), code);
}

}  // namespace keles::webhooks
