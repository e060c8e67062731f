#include "server/http/exchange.h"

#include "base/sync.h"
#include "machinery/codec_json.h"
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

// One long answer at a time is made on a loop, a piece each turn: many of them cost others no more
// than one.
Semaphore& turn() {
  thread_local Semaphore one(1);
  return one;
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
  h.reserve(2 + warnings.size());
  h.add("Cache-Control", "no-cache, private");
  if (!content_type.empty()) h.add("Content-Type", std::string(content_type));
  if (warnings.empty()) return h;
  for (std::string& w : warning_values(warnings)) h.add("Warning", std::move(w));
  return h;
}

void Exchange::leave_gate() {
  if (slot) slot->fetch_sub(1);
  slot = nullptr;
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
  // What has to be made for this answer alone needs room first: the text, and what it is made from.
  bool mine = false;
  if (!is_shared_form(rendering)) {
    Bytes json = object->json();
    Status s = co_await responder->reserve(ctx, 2 * json->size());
    if (s.ok() && json->size() > kQuickBytes) {
      s = co_await turn().acquire(ctx);
      mine = s.ok();
    }
    if (!s.ok()) {
      co_await fail(s);
      co_return;
    }
  }
  Parts parts = render_object(object, rendering);
  if (mine) {
    co_await yield_to(ctx.loop());
    turn().release();
  }
  co_await answer(status, std::move(parts));
}

Task<void> Exchange::answer_list(Context ctx, registry::ListPage page) {
  const bool quick = page.stretches.empty() && page.items.size() <= kQuickItems;
  ListPieces pieces(*kind, std::move(page), rendering);
  Parts parts;
  Status s;
  if (quick) {
    parts = pieces.next();
  } else {
    s = co_await next_piece(ctx, &pieces, &parts);
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
  s = co_await responder->begin(200, std::move(h));
  while (s.ok()) {
    s = co_await responder->write(std::move(parts));
    if (!s.ok() || pieces.done()) break;
    s = co_await next_piece(ctx, &pieces, &parts);
  }
  if (s.ok()) s = co_await responder->finish();
}

// Room for it first, then its turn; everything else that is ready on the loop runs before the next.
Task<Status> Exchange::next_piece(Context ctx, ListPieces* pieces, Parts* out) {
  TRY_CO(responder->reserve(ctx, ListPieces::kBytes));
  TRY_CO(turn().acquire(ctx));
  *out = pieces->next();
  co_await yield_to(ctx.loop());
  turn().release();
  co_return Status();
}

Task<void> Exchange::answer(int status, Parts parts) {
  code = status;
  leave_gate();
  net::Headers h = headers(rendering.accepted.content_type());
  Status s = co_await responder->respond(status, std::move(h), std::move(parts));
  (void)s;  // the client has gone
}

Task<void> Exchange::answer_text(int status, std::string text, std::string content_type) {
  code = status;
  leave_gate();
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
  } else if (why.is(Reason::kTimeout) && why.message() == "context deadline exceeded") {
    why = Status::timeout(kTooSlow);
  }
  leave_gate();
  code = why.code();
  if (code < 400 || code > 599) code = 500;
  Format format = rendering.accepted.format;
  Accepted plain;
  plain.format = format;
  net::Headers h = headers(plain.content_type());
  if (int n = why.details().retry_after_seconds; n > 0) h.add("Retry-After", std::to_string(n));
  Parts parts = render_status(why, format, rendering.pretty);
  Status s = co_await responder->respond(code, std::move(h), std::move(parts));
  (void)s;
}

Task<void> Exchange::turn_away() {
  code = 429;
  net::Headers h = headers("text/plain; charset=utf-8");
  h.add("Retry-After", "1");
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
  Parts parts;
  parts.push_back(render_tree(status_kind(), d.root, rendering.accepted.format, rendering.pretty));
  rendering.accepted.shape = Shape::kWhole;
  co_await answer(status, std::move(parts));
}

}  // namespace keles::server
