#include "server/http/exchange.h"

#include <optional>

#include "base/encoding.h"
#include "base/sync.h"
#include "machinery/codec_json.h"
#include "machinery/internal_names.h"
#include "net/gzip.h"
#include "server/http/auditing.h"
#include "server/http/pieces.h"
#include "server/http/warning.h"
#include "server/objects/meta.h"

namespace keles::server {
namespace {

// For a whole body; requests as such have 60 s.
constexpr Duration kBodyTimeout = 30s;
// Answers up to here are made at once; longer ones take turns.
constexpr size_t kQuickBytes = 64 * 1024, kQuickItems = 8;
constexpr const char* kTooSlow = "Timeout: request did not complete within the allotted timeout";

size_t size_of(const Parts& parts) {
  size_t n = 0;
  for (const Part& p : parts) n += p->size();
  return n;
}

void say_gzip(net::Headers& h) {
  h.add("Content-Encoding", "gzip");
  h.add("Vary", "Accept-Encoding");
}

Parts compressed(net::GzipWriter& gzip, const Parts& parts, bool last) {
  std::string out;
  for (const Part& p : parts) gzip.append(*p, out);
  if (last) gzip.finish(out);
  if (out.empty()) return {};
  return {text_part(std::move(out))};
}

const KindDesc& status_kind() {
  static const KindDesc* const k = find_kind("", "v1", "Status");
  return *k;
}

}  // namespace

const Caller& Exchange::caller() const {
  static const Caller kNobody;
  return who ? *who : kNobody;
}

std::string_view Exchange::header(std::string_view name) const {
  return request->headers.get(name).value_or(std::string_view());
}

net::Headers Exchange::headers(std::string_view content_type) const {
  net::Headers h;
  h.reserve(5 + warnings.size());
  if (!audit_id.empty()) h.add("Audit-Id", audit_id);
  h.add("Cache-Control", "no-cache, private");
  if (!content_type.empty()) h.add("Content-Type", std::string(content_type));
  say_flow(h);
  if (warnings.empty()) return h;
  for (std::string& w : warning_values(warnings)) h.add("Warning", std::move(w));
  return h;
}

Status Exchange::check_table() const {
  if (rendering.accepted.shape != Shape::kTable) return {};
  const std::string v = query.get("includeObject");
  if (v.empty() || v == "None" || v == "Object" || v == "Metadata") return {};
  return Status::bad_request(
      "Unable to convert to Table as requested: includeObject: Invalid value: " + quoted(v) +
      ": must be 'Metadata', 'Object', 'None', or empty");
}

Status Exchange::check_shape(const KindDesc& of, bool list) const {
  TRY(check_table());
  const Shape wrong = list ? Shape::kPartial : Shape::kPartialList;
  if (rendering.accepted.shape != wrong) return {};
  std::string message =
      list ? "you requested PartialObjectMetadata, but the requested object is a list (*"
           : "you requested PartialObjectMetadataList, but the requested object is not "
             "a list (*";
  message += internal_type_name(of, list) + ")";
  return Status(Reason::kNotAcceptable, std::move(message));
}

void Exchange::compress(net::Headers& headers, Parts& parts, size_t threshold) const {
  if (size_of(parts) <= threshold || !net::accepts_gzip(header("Accept-Encoding"))) return;
  net::GzipWriter gzip;
  parts = compressed(gzip, parts, true);
  say_gzip(headers);
}

void Exchange::write_request(registry::WriteRequest* out) {
  registry::WriteRequest& how = *out;
  const Caller& who = caller();
  how.user = who.name;
  how.groups = who.groups;
  how.uid = who.uid;
  how.extra = who.extra;
  how.warnings = &warnings;
  if (audit) how.annotations = &audit->annotations;
  how.dry_run = query.find("dryRun") != nullptr;
}

void Exchange::leave_gate() {
  if (slot) slot->fetch_sub(1);
  slot = nullptr;
  if (flow) flow->end(*loop, &passage);
}

void Exchange::say_flow(net::Headers& h) const {
  if (!passage.classified()) return;
  h.add("X-Kubernetes-Pf-Flowschema-Uid", passage.schema_uid());
  h.add("X-Kubernetes-Pf-Prioritylevel-Uid", passage.level_uid());
}

Task<bool> Exchange::receive(Context ctx) {
  Context limit = ctx.with_timeout(kBodyTimeout);
  Status s = co_await responder->receive_body(limit);
  if (s.ok()) co_return true;
  if (s.is(Reason::kTimeout)) s = Status::timeout(kTooSlow);
  co_await fail(s);
  co_return false;
}

Task<void> Exchange::answer_object(Context ctx, int status, ObjectPtr object) {
  Status fit = check_shape(object->kind(), false);
  if (!fit.ok()) {
    co_await fail(fit);
    co_return;
  }
  // What has to be made for this answer alone needs room first: the text, and what it is made from.
  if (!is_shared_form(rendering)) {
    Bytes json = object->json();
    Status s = co_await responder->reserve(ctx, 2 * json->size());
    if (s.ok() && json->size() > kQuickBytes) {
      co_await turn.next();
      s = ctx.done() ? ctx.status() : Status();
    }
    if (!s.ok()) {
      co_await fail(s);
      co_return;
    }
  }
  audit_answer(this, object);
  Parts parts = render_object(object, rendering);
  co_await answer(status, std::move(parts));
}

Task<void> Exchange::answer_list(Context ctx, registry::ListPage page) {
  Status fit = check_shape(*kind, true);
  if (!fit.ok()) {
    co_await fail(fit);
    co_return;
  }
  if (audits_response(*this)) co_await audit_list(ctx, this, page);
  const bool quick = page.stretches.empty() && page.items.size() <= kQuickItems;
  ListPieces pieces(*kind, std::move(page), rendering);
  Parts parts;
  Status s;
  if (quick) {
    parts = pieces.next();
  } else {
    s = co_await next_piece(ctx, &pieces, &parts);
  }
  // Whether it is compressed is known once it is large, or done.
  const bool may_compress = net::accepts_gzip(header("Accept-Encoding"));
  while (s.ok() && may_compress && !pieces.done() && size_of(parts) <= kGzipBytes) {
    Parts more;
    s = co_await next_piece(ctx, &pieces, &more);
    parts.insert(parts.end(), more.begin(), more.end());
  }
  if (!s.ok()) {
    co_await fail(s);
    co_return;
  }
  if (pieces.done()) {
    co_await answer(200, std::move(parts));
    co_return;
  }
  code = 200;
  leave_gate();
  net::Headers h = headers(rendering.accepted.content_type());
  std::optional<net::GzipWriter> gzip;
  if (may_compress) {
    gzip.emplace();
    say_gzip(h);
  }
  s = co_await responder->begin(200, std::move(h));
  while (s.ok()) {
    if (gzip) parts = compressed(*gzip, parts, pieces.done());
    sent += size_of(parts);
    if (!parts.empty()) s = co_await responder->write(std::move(parts));
    if (!s.ok() || pieces.done()) break;
    s = co_await next_piece(ctx, &pieces, &parts);
  }
  if (s.ok()) s = co_await responder->finish();
}

// Room for it first, then its turn: between two pieces of long answers, however many of them there
// are, everything else that is ready on the loop runs.
Task<Status> Exchange::next_piece(Context ctx, ListPieces* pieces, Parts* out) {
  TRY_CO(responder->reserve(ctx, ListPieces::kBytes));
  bool ready = false;
  while (!ready) {
    co_await turn.next();
    if (ctx.done()) co_return ctx.status();
    ready = pieces->prepare();
  }
  *out = pieces->next();
  co_return Status();
}

Task<void> Exchange::answer(int status, Parts parts) {
  code = status;
  leave_gate();
  net::Headers h = headers(rendering.accepted.content_type());
  compress(h, parts);
  sent = size_of(parts);
  Status s = co_await responder->respond(status, std::move(h), std::move(parts));
  (void)s;  // the client has gone
}

Task<void> Exchange::answer_text(int status, std::string text, std::string content_type) {
  code = status;
  leave_gate();
  net::Headers h = headers(content_type);
  h.add("X-Content-Type-Options", "nosniff");
  Parts parts = net::as_body(std::move(text));
  sent = size_of(parts);
  Status s = co_await responder->respond(status, std::move(h), std::move(parts));
  (void)s;
}

Task<void> Exchange::fail(Status why) {
  // Reasons that are ours alone go out as upstream's.
  if (why.is(Reason::kOutcomeUnknown) || why.is(Reason::kCancelled)) {
    why = Status(Reason::kTimeout, why.message(), why.details());
  } else if (why.is(Reason::kUnavailable)) {
    why = Status(Reason::kServiceUnavailable, why.message(), why.details());
  } else if (why.is(Reason::kTimeout) && why.message() == "context deadline exceeded") {
    why = Status::timeout(kTooSlow);
  }
  leave_gate();
  audit_status(this, why);
  code = why.code();
  if (code < 400 || code > 599) code = 500;
  // An error has no other shape: who takes only such is shown it as JSON, indented.
  Offer whole;
  whole.transforms = false;
  auto form = negotiate(header("Accept"), whole);
  const bool raw = !form.ok();
  const Accepted plain = raw ? Accepted() : *form;
  net::Headers h = headers(plain.content_type());
  if (why.is(Reason::kForbidden)) h.add("X-Content-Type-Options", "nosniff");
  if (int n = why.details().retry_after_seconds; n > 0) h.add("Retry-After", std::to_string(n));
  Parts parts = render_status(why, plain.format, raw || rendering.pretty);
  sent = size_of(parts);
  Status s = co_await responder->respond(code, std::move(h), std::move(parts));
  (void)s;
}

Task<void> Exchange::turn_away(int64_t retry_after) {
  code = 429;
  net::Headers h = headers("text/plain; charset=utf-8");
  h.add("Retry-After", std::to_string(retry_after));
  h.add("X-Content-Type-Options", "nosniff");
  Parts parts = net::as_body("Too many requests, please try again later.\n");
  Status s = co_await responder->respond(429, std::move(h), std::move(parts));
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
  audit_success(this, status_kind(), d.root);
  Parts parts;
  parts.push_back(render_tree(status_kind(), d.root, rendering.accepted.format, rendering.pretty));
  rendering.accepted.shape = Shape::kWhole;
  co_await answer(status, std::move(parts));
}

}  // namespace keles::server
