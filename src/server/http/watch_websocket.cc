#include "server/http/watch_websocket.h"

#include <algorithm>

#include "base/sync.h"
#include "server/http/auditing.h"

namespace keles::server {
namespace {

constexpr size_t kFrameHead = 4;  // a protobuf event's length, which a message has already

// The client has nothing to say; that it closes is heard here.
Task<void> hear_close(Context ctx, net::WebSocket* ws) {
  for (;;) {
    auto m = co_await ws->receive(ctx);
    if (!m.ok()) break;
  }
  ctx.cancel();
}

net::WebSocket::Message message_of(const Exchange& x, const registry::WatchItem& item, bool first) {
  const bool binary = x.rendering.accepted.format == Format::kProtobuf;
  net::WebSocket::Message out(binary, "");
  for (const Part& p : render_event(*x.kind, item, x.rendering, first)) out.data += *p;
  if (binary) out.data.erase(0, std::min(kFrameHead, out.data.size()));
  if (!binary && out.data.ends_with('\n')) out.data.pop_back();
  return out;
}

Task<void> send_events(Context ctx, Exchange* x, net::WebSocket* ws,
                       registry::WatchStream* stream) {
  bool first = true, over = false;
  while (!over) {
    auto items = co_await stream->next(ctx, 256);
    if (!items.ok()) break;
    x->rendering.now = ctx.loop().wall_now();
    for (const registry::WatchItem& item : *items) {
      net::WebSocket::Message m = message_of(*x, item, first);
      first = false;
      over |= item.type == registry::WatchItem::Type::kError;
      Status s = co_await ws->send(ctx, std::move(m));
      over |= !s.ok();
      if (!s.ok()) break;
    }
  }
  Context last = Context::root(ctx.loop()).with_timeout(5s);
  (void)co_await ws->close(last, 1000, "");
  ctx.cancel();
}

}  // namespace

bool is_websocket(const Exchange& x) {
  return x.request->headers.has_token("Connection", "upgrade") &&
         x.request->headers.has_token("Upgrade", "websocket");
}

Task<void> watch_over_websocket(Context until, Exchange* x, registry::WatchStream* stream) {
  std::vector<std::string> none;
  auto ws = co_await x->responder->accept_websocket(std::move(none));
  if (!ws.ok()) {
    co_await x->fail(ws.status());
    co_return;
  }
  x->code = 101;
  co_await audit_started(until, x);
  Context inner = until.child();
  TaskGroup group(until.loop());
  group.spawn(hear_close(inner, ws->get()));
  group.spawn(send_events(inner, x, ws->get(), stream));
  co_await group.join();
}

}  // namespace keles::server
