// Exec, attach and port-forward. The runtime's streaming server speaks SPDY/3.1 and the fourth
// websocket protocol; kubectl speaks SPDY, or websockets of the fifth, or SPDY inside a websocket.
// Where both ends speak the same, and nothing is lost by it, the bytes are passed on unread.
#include "node/server/streams.h"

#include <algorithm>
#include <utility>

#include "base/sync.h"

namespace keles::node {

using net::ByteStream;
using net::Headers;
using net::Request;
using net::Responder;

namespace {

// "http://127.0.0.1:4321/exec/token".
Result<Target> parse_target(const std::string& url) {
  Target t;
  std::string_view rest = url;
  size_t scheme = rest.find("://");
  if (scheme == std::string_view::npos || rest.substr(0, scheme) != "http")
    return Status::internal("the runtime's streaming address is not understood: " + url);
  rest.remove_prefix(scheme + 3);
  size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  rest.remove_prefix(slash);
  size_t colon = authority.rfind(':');
  t.endpoint.host = authority.substr(0, colon);
  if (t.endpoint.host.starts_with('['))
    t.endpoint.host = t.endpoint.host.substr(1, t.endpoint.host.size() - 2);
  t.endpoint.port = 80;
  if (colon != std::string_view::npos)
    t.endpoint.port =
        static_cast<uint16_t>(std::atoi(std::string(authority.substr(colon + 1)).c_str()));
  size_t mark = rest.find('?');
  t.path = rest.substr(0, mark);
  if (mark != std::string_view::npos) t.query = rest.substr(mark + 1);
  return t;
}

}  // namespace

Task<void> fail(Responder* responder, int code, std::string text) {
  Headers headers;
  headers.set("Content-Type", "text/plain; charset=utf-8");
  std::vector<net::SharedBytes> body = net::as_body(std::move(text));
  (void)co_await responder->respond(code, std::move(headers), std::move(body));
}

Task<Result<std::unique_ptr<ByteStream>>> open_spdy(Context ctx, Target target,
                                                    std::string protocol) {
  Request r("POST", target.path, target.query);
  r.headers.set("Host", target.endpoint.host + ":" + std::to_string(target.endpoint.port));
  r.headers.set("Connection", "Upgrade");
  r.headers.set("Upgrade", "SPDY/3.1");
  r.headers.set("X-Stream-Protocol-Version", std::move(protocol));
  auto client = net::HttpClient::create(ctx.loop(), target.endpoint);
  auto up = co_await client->upgrade(ctx, std::move(r));
  if (!up.ok()) co_return up.status();
  if (up->status != 101 || !up->stream)
    co_return Status::internal("the runtime refused the stream: " + up->body);
  co_return std::move(up->stream);
}

namespace {

// Byte for byte: the client's request goes on as it came.
Task<void> relay_raw(Context ctx, Request* request, Responder* responder, Target target) {
  Request r(request->method, target.path, target.query);
  for (const auto& [name, value] : request->headers) {
    Headers one;
    one.add(name, "");
    if (one.get("host") || one.get("authorization") || one.get("content-length")) continue;
    r.headers.add(name, value);
  }
  r.headers.set("Host", target.endpoint.host + ":" + std::to_string(target.endpoint.port));
  auto client = net::HttpClient::create(ctx.loop(), target.endpoint);
  auto up = co_await client->upgrade(ctx, std::move(r));
  if (!up.ok()) {
    co_await fail(responder, 500, up.status().message());
    co_return;
  }
  if (up->status != 101 || !up->stream) {
    co_await fail(responder, up->status, up->body);
    co_return;
  }
  Headers headers;
  for (const auto& [name, value] : up->headers) {
    Headers one;
    one.add(name, "");
    if (one.get("connection") || one.get("upgrade") || one.get("date")) continue;
    headers.add(name, value);
  }
  std::string protocol(request->headers.get("Upgrade").value_or("SPDY/3.1"));
  auto mine = co_await responder->accept_upgrade(protocol, std::move(headers));
  if (!mine.ok()) co_return;
  (void)co_await net::relay(ctx, mine->get(), up->stream.get());
}

// --- SPDY inside a websocket (port-forward) ---

Task<void> from_websocket(Context ctx, net::WebSocket* ws, ByteStream* bytes) {
  while (true) {
    auto m = co_await ws->receive(ctx);
    if (!m.ok()) break;
    Status s = co_await bytes->write(ctx, std::move(m->data));
    if (!s.ok()) break;
  }
  bytes->close();
  ctx.cancel();
}

Task<void> to_websocket(Context ctx, net::WebSocket* ws, ByteStream* bytes) {
  while (true) {
    auto data = co_await bytes->read(ctx);
    if (!data.ok() || data->empty()) break;
    net::WebSocket::Message m(true, std::move(*data));
    Status s = co_await ws->send(ctx, std::move(m));
    if (!s.ok()) break;
  }
  (void)co_await ws->close(ctx, 1000, "");
  ctx.cancel();
}

Task<void> tunnel(Context ctx, Responder* responder, Target target) {
  auto bytes = co_await open_spdy(ctx, target, "portforward.k8s.io");
  if (!bytes.ok()) {
    co_await fail(responder, 500, bytes.status().message());
    co_return;
  }
  std::vector<std::string> protocols{"SPDY/3.1+portforward.k8s.io"};
  auto ws = co_await responder->accept_websocket(std::move(protocols));
  if (!ws.ok()) co_return;
  Context inner = ctx.child();
  TaskGroup group(ctx.loop());
  group.spawn(from_websocket(inner, ws->get(), bytes->get()));
  group.spawn(to_websocket(inner, ws->get(), bytes->get()));
  co_await group.join();
}

}  // namespace

Task<void> relay_stream(Context ctx, Request* request, Responder* responder, std::string url,
                        cri::Runtime::StreamOptions streams, bool port_forward,
                        AttachedContainer attached) {
  auto target = parse_target(url);
  if (!target.ok()) {
    co_await fail(responder, 500, target.status().message());
    co_return;
  }
  Target t = *target;
  bool websocket = request->headers.has_token("Upgrade", "websocket");
  if (websocket &&
      request->headers.has_token("Sec-WebSocket-Protocol", "SPDY/3.1+portforward.k8s.io")) {
    co_await tunnel(ctx, responder, t);
  } else if (websocket && !port_forward &&
             (request->headers.has_token("Sec-WebSocket-Protocol", "v5.channel.k8s.io") ||
              request->headers.has_token("Sec-WebSocket-Protocol", "v4.channel.k8s.io"))) {
    co_await serve_channels(ctx, responder, t, streams, std::move(attached));
  } else if (attached.is_attach() && asks_for_spdy_channels(*request)) {
    co_await serve_spdy(ctx, responder, t, streams, std::move(attached));
  } else if (request->headers.get("Upgrade")) {
    co_await relay_raw(ctx, request, responder, t);
  } else {
    co_await fail(responder, 400, "Upgrade request required\n");
  }
}

}  // namespace keles::node
