// Exec, attach and port-forward. The runtime's streaming server speaks SPDY/3.1 and the fourth
// websocket protocol; kubectl speaks SPDY, or websockets of the fifth, or SPDY inside a websocket.
// Where both ends speak the same the bytes are passed on unread.
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/sync.h"
#include "machinery/codec_json.h"
#include "net/spdy.h"
#include "node/server/node_server.h"

namespace keles::node {

using net::ByteStream;
using net::Headers;
using net::Request;
using net::Responder;

namespace {

struct Target {
  net::Endpoint endpoint;
  std::string path, query;
};

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

Task<void> fail(Responder* responder, int code, std::string text) {
  Headers headers;
  headers.set("Content-Type", "text/plain; charset=utf-8");
  std::vector<net::SharedBytes> body = net::as_body(std::move(text));
  (void)co_await responder->respond(code, std::move(headers), std::move(body));
}

// An upgrade to SPDY of our own.
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

// --- channels over a websocket (exec, attach) to SPDY streams ---

constexpr char kStdin = 0, kStdout = 1, kStderr = 2, kError = 3, kResize = 4;
constexpr unsigned char kClose = 255;

struct Channels {
  std::shared_ptr<net::SpdyStream> in, out, err, error, resize;
};

// What has come from the runtime so far.
struct Heard {
  std::string status;  // of the error channel; sent on when all else has been
  bool output = false;
  TimePoint last{};  // of the output
  bool failed() const { return !status.empty() && status.find("\"Success\"") == std::string::npos; }
};
constexpr size_t kMaxStatus = 64u << 10;

// Sends one stream's bytes as messages of its channel until it ends.
Task<void> pump_out(Context ctx, net::WebSocket* ws, Semaphore* sending,
                    std::shared_ptr<net::SpdyStream> stream, char channel, Heard* heard) {
  while (true) {
    auto data = co_await stream->read(ctx);
    if (!data.ok() || data->empty()) break;
    if (channel == kError) {
      if (heard->status.size() < kMaxStatus) heard->status += *data;
      continue;
    }
    heard->output = true;
    heard->last = ctx.loop().now();
    std::string text(1, channel);
    text += *data;
    net::WebSocket::Message m(true, std::move(text));
    Status turn = co_await sending->acquire(ctx);
    if (!turn.ok()) break;
    Status s = co_await ws->send(ctx, std::move(m));
    sending->release();
    if (!s.ok()) break;
  }
}

// The end of input, told once the output has been still for a moment: what the container is about
// to answer would be lost otherwise.
Task<void> end_input_when_still(Context ctx, std::shared_ptr<net::SpdyStream> in,
                                const Heard* heard) {
  constexpr Duration kStill = 1s, kLongest = 10s;
  const TimePoint began = ctx.loop().now();
  for (;;) {
    const TimePoint now = ctx.loop().now();
    const TimePoint until = std::min(std::max(began, heard->last) + kStill, began + kLongest);
    if (now >= until) break;
    Status s = co_await ctx.sleep(until - now);
    if (!s.ok()) co_return;
  }
  (void)co_await in->shutdown_write(ctx);
}

// Takes the client's messages: input, terminal sizes, and the fifth protocol's end of input.
// `patient` null: that is told at once.
Task<void> pump_in(Context ctx, net::WebSocket* ws, Channels streams, const Heard* patient,
                   TaskGroup* group) {
  while (true) {
    auto m = co_await ws->receive(ctx);
    if (!m.ok()) break;
    if (m->data.empty()) continue;
    char channel = m->data[0];
    if (static_cast<unsigned char>(channel) == kClose) {
      if (m->data.size() < 2 || m->data[1] != kStdin || !streams.in) continue;
      if (patient) {
        group->spawn(end_input_when_still(ctx, std::exchange(streams.in, nullptr), patient));
      } else {
        (void)co_await streams.in->shutdown_write(ctx);
      }
      continue;
    }
    std::shared_ptr<net::SpdyStream> to = channel == kStdin    ? streams.in
                                          : channel == kResize ? streams.resize
                                                               : nullptr;
    if (!to || m->data.size() < 2) continue;
    std::string data = m->data.substr(1);
    Status s = co_await to->write(ctx, std::move(data));
    if (!s.ok() && channel == kStdin) streams.in = nullptr;  // the command closed its input
  }
  ctx.cancel();
}

Task<Result<std::shared_ptr<net::SpdyStream>>> open_stream(Context ctx, net::SpdySession* session,
                                                           std::string type) {
  Headers headers;
  headers.set("streamtype", std::move(type));
  auto s = co_await session->open(ctx, std::move(headers));
  co_return s;
}

Task<Status> open_streams(Context ctx, net::SpdySession* session, cri::Runtime::StreamOptions o,
                          Channels* c) {
  TRY_ASSIGN_CO(error, open_stream(ctx, session, "error"));
  c->error = error;
  if (o.in) {
    TRY_ASSIGN_CO(s, open_stream(ctx, session, "stdin"));
    c->in = s;
  }
  if (o.out) {
    TRY_ASSIGN_CO(s, open_stream(ctx, session, "stdout"));
    c->out = s;
  }
  if (o.err) {
    TRY_ASSIGN_CO(s, open_stream(ctx, session, "stderr"));
    c->err = s;
  }
  if (o.tty) {
    TRY_ASSIGN_CO(s, open_stream(ctx, session, "resize"));
    c->resize = s;
  }
  // What we never write is ended at once.
  std::vector<std::shared_ptr<net::SpdyStream>> ours{c->error, c->out, c->err};
  for (auto& s : ours)
    if (s) (void)co_await s->shutdown_write(ctx);
  co_return Status();
}

// Whether the container has ended. Its streams end a little before the runtime says so.
Task<bool> has_ended(Context ctx, const AttachedContainer* c) {
  for (int i = 0; i < 10; ++i) {
    auto status = co_await c->runtime->container_status(ctx.with_timeout(2s), c->id);
    if (!status.ok()) co_return status.status().is(Reason::kNotFound);
    if (status->state == cri::ContainerState::kExited) co_return true;
    Status s = co_await ctx.sleep(50ms);
    if (!s.ok()) co_return false;
  }
  co_return false;
}

// How it went, when the runtime knows of no failure. Of a container that had said everything before
// it was attached to, and has ended, the client must not believe that it said nothing: told of a
// failure, kubectl shows the log.
Task<std::string> outcome(Context ctx, const AttachedContainer* attached, const Heard* heard) {
  std::string ok = "{\"metadata\":{},\"status\":\"Success\"}";
  if (!attached->runtime || heard->output) co_return ok;
  struct stat log {};
  if (::stat(attached->log_path.c_str(), &log) != 0 || log.st_size == 0) co_return ok;
  bool ended = co_await has_ended(ctx, attached);
  if (!ended) co_return ok;
  std::string text =
      "{\"metadata\":{},\"status\":\"Failure\",\"reason\":\"InternalError\",\"message\":";
  write_json_string(
      text, "container \"" + attached->name + "\" has ended; what it wrote before is in its log");
  co_return text + ",\"code\":500}";
}

Task<void> translate(Context ctx, Responder* responder, Target target,
                     cri::Runtime::StreamOptions o, AttachedContainer attached) {
  auto bytes = co_await open_spdy(ctx, target, "v4.channel.k8s.io");
  if (!bytes.ok()) {
    co_await fail(responder, 500, bytes.status().message());
    co_return;
  }
  auto session = net::SpdySession::create(ctx.loop(), std::move(*bytes), false);
  Channels streams;
  Status opened = co_await open_streams(ctx, session.get(), o, &streams);
  if (!opened.ok()) {
    co_await fail(responder, 500, opened.message());
    co_return;
  }
  std::vector<std::string> protocols{"v5.channel.k8s.io", "v4.channel.k8s.io"};
  auto ws = co_await responder->accept_websocket(std::move(protocols));
  if (!ws.ok()) co_return;
  Context inner = ctx.child();
  Semaphore sending(1);
  Heard heard;
  const Heard* patient = attached.detaches_at_end_of_input ? &heard : nullptr;
  TaskGroup readers(ctx.loop()), writer(ctx.loop());
  writer.spawn(pump_in(inner, ws->get(), streams, patient, &writer));
  if (streams.out)
    readers.spawn(pump_out(inner, ws->get(), &sending, streams.out, kStdout, &heard));
  if (streams.err)
    readers.spawn(pump_out(inner, ws->get(), &sending, streams.err, kStderr, &heard));
  readers.spawn(pump_out(inner, ws->get(), &sending, streams.error, kError, &heard));
  co_await readers.join();
  if (!inner.done()) {
    std::string status(1, kError);
    if (heard.failed()) {
      status += heard.status;
    } else {
      std::string how = co_await outcome(inner, &attached, &heard);
      status += how;
    }
    net::WebSocket::Message m(true, std::move(status));
    (void)co_await (*ws)->send(inner, std::move(m));
  }
  (void)co_await (*ws)->close(inner, 1000, "");
  inner.cancel();
  co_await writer.join();
  session->close();
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
    co_await translate(ctx, responder, t, streams, std::move(attached));
  } else if (request->headers.get("Upgrade")) {
    co_await relay_raw(ctx, request, responder, t);
  } else {
    co_await fail(responder, 400, "Upgrade request required\n");
  }
}

}  // namespace keles::node
