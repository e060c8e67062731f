#include "server/http/exchange.h"

#include "machinery/codec_json.h"
#include "server/registry/meta.h"

namespace keles::server {
namespace {

// As RFC 7234's warn-text: a quoted string.
std::string warning_field(std::string_view text) {
  std::string out = "299 - \"";
  for (char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c == '\n' || c == '\r' ? ' ' : c);
  }
  return out + "\"";
}

const KindDesc& status_kind() {
  static const KindDesc* const k = find_kind("", "v1", "Status");
  return *k;
}

}  // namespace

std::string Exchange::header(std::string_view name) const {
  auto v = request->headers.get(name);
  return v ? std::string(*v) : std::string();
}

net::Headers Exchange::headers(std::string_view content_type) const {
  net::Headers h;
  h.add("Cache-Control", "no-cache, private");
  if (!content_type.empty()) h.add("Content-Type", std::string(content_type));
  for (const std::string& w : warnings) h.add("Warning", warning_field(w));
  return h;
}

Task<void> Exchange::answer(int status, Parts parts) {
  code = status;
  net::Headers h = headers(rendering.accepted.content_type());
  Status s = co_await responder->respond(status, std::move(h), std::move(parts));
  (void)s;  // the client has gone
}

Task<void> Exchange::answer_text(int status, std::string text, std::string content_type) {
  code = status;
  net::Headers h = headers(content_type);
  h.add("X-Content-Type-Options", "nosniff");
  Parts parts = net::as_body(std::move(text));
  Status s = co_await responder->respond(status, std::move(h), std::move(parts));
  (void)s;
}

Task<void> Exchange::fail(Status why) {
  // Reasons that are ours alone go out as upstream's.
  if (why.is(Reason::kOutcomeUnknown) || why.is(Reason::kCancelled)) {
    why = Status(Reason::kTimeout, why.message(), why.details());
  } else if (why.is(Reason::kUnavailable)) {
    why = Status(Reason::kServiceUnavailable, why.message(), why.details());
  }
  code = why.code();
  if (code < 400 || code > 599) code = 500;
  Format format = rendering.accepted.format;
  Accepted plain;
  plain.format = format;
  net::Headers h = headers(plain.content_type());
  if (int n = why.details().retry_after_seconds; n > 0) h.add("Retry-After", std::to_string(n));
  Parts parts = render_status(why, format);
  Status s = co_await responder->respond(code, std::move(h), std::move(parts));
  (void)s;
}

Task<void> Exchange::succeed(int status, StatusDetails details) {
  Document d;
  d.root = Value::map();
  d.root.set(d.arena, "kind", Value::string("Status"));
  d.root.set(d.arena, "apiVersion", Value::string("v1"));
  registry::edit_map(d, d.root, "metadata");
  d.root.set(d.arena, "status", Value::string("Success"));
  if (!details.name.empty()) {
    Value& into = registry::edit_map(d, d.root, "details");
    registry::set_text(d, into, "name", details.name);
    if (!details.group.empty()) registry::set_text(d, into, "group", details.group);
    registry::set_text(d, into, "kind", details.kind);
    if (!details.uid.empty()) registry::set_text(d, into, "uid", details.uid);
  }
  if (status != 200) d.root.set(d.arena, "code", Value(static_cast<int64_t>(status)));
  Parts parts;
  parts.push_back(render_tree(status_kind(), d.root, rendering.accepted.format, rendering.pretty));
  rendering.accepted.shape = Shape::kWhole;
  co_await answer(status, std::move(parts));
}

}  // namespace keles::server
