#include "server/registry/machine.h"

#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/decode.h"
#include "machinery/decode_patched.h"
#include "machinery/equality.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"

namespace keles::registry {

Bytes encode_stored(const KindDesc& kind, Document& doc) {
  edit_metadata(doc).erase("resourceVersion");
  if (kind.owner) {
    auto json = std::make_shared<std::string>();
    write_json(*json, doc.root, true);
    json->shrink_to_fit();
    return json;
  }
  // They have no protobuf form: the tree that is kept warm says what the stored bytes will say
  // after a restart.
  drop_empty(*kind.type, doc.root);
  return std::make_shared<const std::string>(encode_object(kind, doc.root));
}

void set_defaults(const KindDesc& kind, Document& doc, Loop& loop) {
  hold_kind(doc.arena, kind);
  apply_defaults(kind, doc);
  const Strategy& strategy = strategy_of(kind);
  if (!strategy.set_defaults) return;
  HookContext hooks;
  hooks.kind = &kind;
  hooks.namespace_ = meta(doc.root, "namespace");
  hooks.now = loop.wall_now();
  hooks.random = &loop.random();
  strategy.set_defaults(hooks, doc);
}

Status check_name(std::string_view sent, std::string_view name) {
  if (sent == name) return {};
  if (sent.empty()) {
    return Status::bad_request("the name of the object (" + std::string(name) +
                               " based on URL) was undeterminable: name must be provided");
  }
  return Status::bad_request("the name of the object (" + std::string(sent) +
                             ") does not match the name on the URL (" + std::string(name) + ")");
}

namespace {

// The reason as a strategic patch gives it, which is decoded field by field and not as JSON.
std::string field_reason(std::string_view why) {
  constexpr std::string_view kStart = "json: cannot unmarshal ", kType = " of type ";
  const size_t at = why.rfind(kType);
  if (!why.starts_with(kStart) || at == std::string_view::npos) return std::string(why);
  std::string_view what = why.substr(kStart.size());
  what = what.substr(0, what.find(' '));
  std::string_view type = why.substr(at + kType.size());
  std::string_view have = what == "object"   ? "map"
                          : what == "array"  ? "slice"
                          : what == "number" ? "int64"
                                             : what;
  if (type.starts_with("[]")) return "cannot restore slice from " + std::string(have);
  if (type.starts_with("map[")) return "cannot restore map from " + std::string(have);
  if (type.find('.') != std::string_view::npos) {
    return "cannot restore struct from: " + std::string(have);
  }
  if (what == "number" && type == "string") return "cannot convert int64 to string";
  return "unrecognized type: " + std::string(type);
}

}  // namespace

Status check_patched(const KindDesc& kind, PatchType type, const Value& original,
                     const Value& patch, Document& patched, const WriteRequest& how) {
  Status s;
  if (type == PatchType::kJson || type == PatchType::kMerge) {
    s = check_body_kind(kind, "", patched);  // a strategic patch is typed: it cannot change these
  }
  const bool ignore = how.validation == FieldValidation::kIgnore;
  std::vector<std::string> problems = how.patch_problems;
  // What the patch does not name is as it is stored: normal. Not so where managed fields were
  // opened for it, or in another version's view of the object, or in what is no resource of its
  // own.
  const bool in_part = type != PatchType::kJson && !kind.owner && !kind.verbs.empty() &&
                       &storage_kind(kind) == &kind && patch["metadata"]["managedFields"].is_null();
  if (s.ok() && in_part) {
    s = decode_patched(kind, patched, patch, ignore ? nullptr : &problems);
  } else if (s.ok()) {
    s = decode_object(kind, patched, ignore ? FieldValidation::kIgnore : FieldValidation::kWarn, {},
                      &problems);
  }
  std::string why;
  if (!s.ok()) {
    constexpr std::string_view kBefore = " cannot be handled as a ";
    why = s.message();
    if (size_t at = why.find(kBefore); at != std::string::npos) {
      why.erase(0, at + kBefore.size());
      why.erase(0, why.find(": ") + 2);
    }
    if (type == PatchType::kStrategicMerge) why = field_reason(why);
  } else if (how.validation == FieldValidation::kStrict && !problems.empty()) {
    for (const std::string& p : problems) why += (why.empty() ? "" : ", ") + p;
    why.insert(0, "strict decoding error: ");
  } else {
    if (how.warnings) how.warnings->insert(how.warnings->end(), problems.begin(), problems.end());
    return {};
  }
  // `patched` was normalised on the way: what was asked for is made again.
  auto asked = apply_patch(type, *kind.type, original, patch);
  return refused_patch(type, patch, asked.ok() ? asked->root : patched.root, why);
}

namespace {
std::string store_error(std::string_view key, std::string_view what, std::string_view wanted,
                        std::string_view have) {
  std::string out = "StorageError: invalid object, Code: 4, Key: ";
  out.append(key).append(", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ");
  out.append(what).append(" in precondition: ").append(wanted);
  return out.append(", ").append(what).append(" in object meta: ").append(have);
}
}  // namespace

std::string unmet_uid(std::string_view key, std::string_view wanted, std::string_view uid) {
  return store_error(key, "UID", wanted, uid);
}
std::string unmet_version(std::string_view key, std::string_view wanted, std::string_view version) {
  return store_error(key, "ResourceVersion", wanted, version);
}

}  // namespace keles::registry
