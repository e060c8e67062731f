#include "server/conversion/review.h"

#include "base/encoding.h"
#include "base/list_text.h"
#include "machinery/codec_json.h"
#include "machinery/go_type.h"
#include "machinery/validation.h"

namespace keles::conversion {
namespace {

constexpr std::string_view kGroup = "apiextensions.k8s.io/";

// "example.com/v1, Kind=Thing", as Go writes a GroupVersionKind.
std::string kind_text(const Value& object) {
  std::string_view api = object["apiVersion"].as_string();
  std::string out(api);
  if (api.find('/') == api.npos) out = "/" + out;
  if (api.empty()) out = "/";
  return out + ", Kind=" + std::string(object["kind"].as_string());
}

std::string start_of(const Review& r) {
  static const Value kNone = Value::map();
  return "conversion webhook for " + kind_text(r.objects.empty() ? kNone : r.objects[0]->root);
}

// Why the answer is none, or "".
std::string refusal(const Review& r, const Value& root) {
  const Value& response = root["response"];
  const bool v1 = r.version == "v1";
  if (v1) {
    const std::string wanted = std::string(kGroup) + "v1, Kind=ConversionReview";
    if (kind_text(root) != wanted) {
      return "expected webhook response of " + wanted + ", got " + kind_text(root);
    }
  }
  if (!response.is_map()) return "no response provided";
  if (v1 && response["uid"].as_string() != r.uid) {
    return "expected response.uid=" + quoted(r.uid) + ", got " +
           quoted(response["uid"].as_string());
  }
  const Value& result = response["result"];
  const std::string_view status = result["status"].as_string();
  if (status == "Success") return {};
  if (const std::string_view message = result["message"].as_string(); !message.empty()) {
    return std::string(message);
  }
  return "response.result.status was '" + std::string(status) + "', not 'Success'";
}

std::string must_be_same(const char* what, const Value& in, const Value& out) {
  if (in.as_string() == out.as_string()) return {};
  return std::string("must have the same ") + what + ": " + std::string(in.as_string()) +
         " != " + std::string(out.as_string());
}

std::string changed_identity(const Value& in, const Value& out) {
  const Value &a = in["metadata"], &b = out["metadata"];
  for (std::string why :
       {must_be_same("kind", in["kind"], out["kind"]), must_be_same("name", a["name"], b["name"]),
        must_be_same("namespace", a["namespace"], b["namespace"]),
        must_be_same("UID", a["uid"], b["uid"])}) {
    if (!why.empty()) return why;
  }
  return {};
}

// Puts the original's metadata into the converted object, with the labels and annotations that
// came. Returns why not.
std::string restore_metadata(const Value& original, Document& to) {
  const Value* came = to.root.find("metadata");
  if (came == nullptr) return "missing metadata in converted object";
  if (!came->is_map()) {
    return "invalid metadata of type " + std::string(go_type(*came)) + " in converted object";
  }
  const Value from = *came;
  const Value& had = original["metadata"];
  Value metadata = had.is_map() ? deep_copy(to.arena, had) : Value::map();
  for (std::string_view name : {"labels", "annotations"}) {
    const Value& fresh = from[name];
    if (fresh.is_null()) {
      metadata.erase(name);
      continue;
    }
    if (!fresh.is_map()) {
      return "invalid metadata." + std::string(name) + " of type " + std::string(go_type(fresh)) +
             " in converted object";
    }
    for (const Member& m : fresh.members()) {
      if (m.value.is_string()) continue;
      return "metadata." + std::string(name) + "[" + std::string(m.key()) +
             "] must be a string, but is " + std::string(go_type(m.value)) + " in converted object";
    }
    if (!fresh.equals(had[name])) {
      FieldErrors errors;
      if (name == "labels") {
        validate_labels(errors, FieldPath("metadata")["labels"], fresh);
      } else {
        validate_annotations(errors, FieldPath("metadata")["annotation"], fresh);
      }
      if (!errors.empty()) return aggregate(errors);
    }
    metadata.set(to.arena, name, fresh);
  }
  to.root.set(to.arena, "metadata", metadata);
  return {};
}

// What is wrong with object `i` of the answer, or ""; upstream has other words for one alone.
std::string take(const Review& r, size_t i, Document& object) {
  const bool alone = r.objects.size() == 1;
  const Value& in = r.objects[i]->root;
  const Value& out = object.root;
  const std::string index = std::to_string(i);
  const std::string where = std::string(" returned invalid ") +
                            (alone ? "object at index " : "converted object at index ") + index +
                            ": ";
  if (!out.is_map() || out["kind"].as_string().empty()) {
    return where + "Object 'Kind' is missing in '" + to_json(out) + "'";
  }
  if (out["apiVersion"].as_string() != r.desired) {
    return where + "invalid groupVersion (expected " + r.desired + ", received " +
           std::string(out["apiVersion"].as_string()) + ")";
  }
  if (out["kind"].as_string() != in["kind"].as_string()) {
    return where + "invalid kind (expected " + std::string(in["kind"].as_string()) + ", received " +
           std::string(out["kind"].as_string()) + ")";
  }
  if (std::string why = changed_identity(in, out); !why.empty()) {
    return (alone ? " returned invalid object: " : where) + why;
  }
  if (std::string why = restore_metadata(in, object); !why.empty()) {
    return (alone ? " returned invalid metadata: "
                  : " returned invalid metadata in object at index " + index + ": ") +
           why;
  }
  return {};
}

}  // namespace

std::string request_text(const Review& r) {
  std::string out = "{\"kind\":\"ConversionReview\",\"apiVersion\":\"" + std::string(kGroup) +
                    std::string(r.version) + "\",\"request\":{\"uid\":";
  write_json_string(out, r.uid);
  out += ",\"desiredAPIVersion\":";
  write_json_string(out, r.desired);
  out += ",\"objects\":[";
  bool first = true;
  for (const DocumentPtr& o : r.objects) {
    if (!first) out += ',';
    first = false;
    write_json(out, o->root, true);
  }
  out += "]},\"response\":{\"uid\":\"\",\"convertedObjects\":null,\"result\":{\"metadata\":{}}}}\n";
  return out;
}

Status call_failed(const Review& r, std::string_view why) {
  return Status(Reason::kUnknown, start_of(r) + " failed: " + std::string(why));
}

Result<std::vector<Document>> converted_objects(const Review& r, std::string_view answer,
                                                AnswerFault* fault) {
  AnswerFault unasked;
  AnswerFault& found = fault ? *fault : unasked;
  found = AnswerFault::kMalformed;
  auto parsed = parse_json(answer);
  if (!parsed.ok()) {
    return call_failed(r,
                       "couldn't get version/kind; json parse error: " + parsed.status().message());
  }
  if (std::string why = refusal(r, parsed->root); !why.empty()) return call_failed(r, why);
  const Value& objects = parsed->root["response"]["convertedObjects"];
  if (objects.size() != r.objects.size() || (objects.is_map() && !objects.empty())) {
    found = AnswerFault::kPartial;
    return Status(Reason::kUnknown, start_of(r) + " returned " + std::to_string(objects.size()) +
                                        " objects, expected " + std::to_string(r.objects.size()));
  }
  found = AnswerFault::kInvalidObject;
  std::vector<Document> out;
  out.reserve(objects.size());
  for (size_t i = 0; i < objects.size(); ++i) {
    Document one;
    one.root = deep_copy(one.arena, objects.at(i));
    if (std::string why = take(r, i, one); !why.empty())
      return Status(Reason::kUnknown, start_of(r) + why);
    out.push_back(std::move(one));
  }
  found = AnswerFault::kNone;
  return out;
}

}  // namespace keles::conversion
