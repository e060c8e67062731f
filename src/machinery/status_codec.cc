#include "machinery/status_codec.h"

#include "api/meta_v1.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/continue_cause.h"

namespace keles {

namespace meta = api::meta_v1;

Document status_to_document(const Status& s) {
  Draft<meta::StatusEdit> d;
  d->set_kind("Status");
  d->set_api_version("v1");
  d->edit_metadata();
  d->set_status(s.ok() ? "Success" : "Failure");
  if (s.ok()) return d.take();
  if (!s.message().empty()) d->set_message(s.message());
  if (auto reason = reason_name(s.reason()); !reason.empty()) d->set_reason(reason);
  const StatusDetails& from = s.details();
  bool has_causes = false;
  for (const StatusCause& cause : from.causes) {
    const bool token = cause.field == kContinueCause;
    if (token) d->edit_metadata().set_continue_(cause.message);
    has_causes |= !token;
  }
  // These reasons always come with details, even when there is nothing to say.
  const bool always = s.is(Reason::kNotFound) || s.is(Reason::kMethodNotAllowed) ||
                      s.is(Reason::kForbidden) || s.is(Reason::kInvalid);
  if (always || !from.name.empty() || !from.group.empty() || !from.kind.empty() ||
      !from.uid.empty() || has_causes || from.retry_after_seconds != 0) {
    auto to = d->edit_details();
    if (!from.name.empty()) to.set_name(from.name);
    if (!from.group.empty()) to.set_group(from.group);
    if (!from.kind.empty()) to.set_kind(from.kind);
    if (!from.uid.empty()) to.set_uid(from.uid);
    for (const StatusCause& cause : from.causes) {
      if (cause.field == kContinueCause) continue;
      auto c = to.edit_causes().add();
      c.set_reason(cause.type);
      c.set_message(cause.message);
      if (!cause.field.empty()) c.set_field(cause.field);
    }
    if (from.retry_after_seconds != 0) to.set_retry_after_seconds(from.retry_after_seconds);
  }
  d->set_code(s.code());
  return d.take();
}

std::string status_to_json(const Status& s) {
  std::string out;
  write_json(out, kind_of<meta::Status>(), status_to_document(s).root);
  return out;
}

Status status_from_value(const Value& v, int http_code) {
  meta::Status from(v);
  if (from.status() == "Success") return {};
  StatusDetails details;
  auto d = from.details();
  details.name = d.name();
  details.group = d.group();
  details.kind = d.kind();
  details.uid = d.uid();
  details.retry_after_seconds = static_cast<int>(d.retry_after_seconds());
  for (meta::StatusCause c : d.causes()) {
    details.causes.push_back(
        {std::string(c.reason()), std::string(c.message()), std::string(c.field())});
  }
  if (auto token = from.metadata().continue_(); !token.empty()) {
    details.causes.push_back({"", std::string(token), std::string(kContinueCause)});
  }
  const int code = from.code() != 0 ? static_cast<int>(from.code()) : http_code;
  return Status(reason_from(from.reason(), code), std::string(from.message()), std::move(details),
                code);
}

Status status_from_body(std::string_view body, int http_code) {
  const KindDesc& kind = kind_of<meta::Status>();
  if (body.starts_with(kProtobufMagic)) {
    auto envelope = open_protobuf(body);
    if (envelope.ok() && envelope->kind == "Status") {
      auto doc = decode_object_protobuf(kind, body);
      if (doc.ok()) return status_from_value(doc->root, http_code);
    }
  } else if (body.starts_with('{')) {
    auto doc = parse_json(body);
    if (doc.ok() && doc->root["kind"].as_string() == "Status") {
      return status_from_value(doc->root, http_code);
    }
  }
  std::string text(body.substr(0, 1024));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return Status(reason_from("", http_code), text.empty() ? "the server gave no reason" : text, {},
                http_code);
}

}  // namespace keles
