// Exec and attach, read and passed on channel by channel: where the client speaks websockets, which
// the runtime's do not match, and where the runtime would lose output that is on its way.
#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/sync.h"
#include "machinery/codec_json.h"
#include "net/spdy.h"
#include "node/server/streams.h"

namespace keles::node {

using net::ByteStream;
using net::Headers;
using net::Request;
using net::Responder;

namespace {

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

// What the client says, on its way to the runtime.
class Input {
 public:
  // `patient` null: the end is told at once. `group`: what is told later.
  Input(Channels streams, const Heard* patient, TaskGroup* group)
      : streams_(std::move(streams)), patient_(patient), group_(group) {}

  Task<void> take(Context ctx, char channel, std::string data) {
    std::shared_ptr<net::SpdyStream> to = channel == kStdin    ? streams_.in
                                          : channel == kResize ? streams_.resize
                                                               : nullptr;
    if (!to || data.empty()) co_return;
    Status s = co_await to->write(ctx, std::move(data));
    if (!s.ok() && channel == kStdin) streams_.in = nullptr;  // the command closed its input
  }
  Task<void> end(Context ctx) {
    auto in = std::exchange(streams_.in, nullptr);
    if (!in) co_return;
    if (patient_) {
      group_->spawn(end_input_when_still(ctx, std::move(in), patient_));
    } else {
      (void)co_await in->shutdown_write(ctx);
    }
  }

 private:
  Channels streams_;
  const Heard* patient_;
  TaskGroup* group_;
};

// How the client hears and is heard.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual Task<Status> send(Context ctx, char channel, std::string data) = 0;
  // Gives what the client says to `input` until it is gone.
  virtual Task<void> listen(Context ctx, Input* input) = 0;
  virtual Task<void> close(Context ctx) = 0;  // in good order
};

// Sends one stream's bytes to its channel until it ends.
Task<void> pump_out(Context ctx, Peer* peer, std::shared_ptr<net::SpdyStream> stream, char channel,
                    Heard* heard) {
  while (true) {
    auto data = co_await stream->read(ctx);
    if (!data.ok() || data->empty()) break;
    if (channel == kError) {
      if (heard->status.size() < kMaxStatus) heard->status += *data;
      continue;
    }
    heard->output = true;
    heard->last = ctx.loop().now();
    Status s = co_await peer->send(ctx, channel, std::move(*data));
    if (!s.ok()) break;
  }
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
  struct Wanted {
    bool yes;
    const char* type;
    std::shared_ptr<net::SpdyStream>* stream;
  };
  const Wanted all[] = {{true, "error", &c->error},
                        {o.in, "stdin", &c->in},
                        {o.out, "stdout", &c->out},
                        {o.err, "stderr", &c->err},
                        {o.tty, "resize", &c->resize}};
  for (const Wanted& w : all) {
    if (!w.yes) continue;
    TRY_ASSIGN_CO(opened, open_stream(ctx, session, w.type));
    *w.stream = std::move(opened);
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

// A websocket: the first byte of a message names the channel.
class WebSocketPeer final : public Peer {
 public:
  explicit WebSocketPeer(std::unique_ptr<net::WebSocket> ws) : sending_(1), ws_(std::move(ws)) {}
  Task<Status> send(Context ctx, char channel, std::string data) override {
    net::WebSocket::Message m(true, channel + std::move(data));
    TRY_CO(sending_.acquire(ctx));
    Status s = co_await ws_->send(ctx, std::move(m));
    sending_.release();
    co_return s;
  }
  Task<void> listen(Context ctx, Input* input) override {
    while (true) {
      auto m = co_await ws_->receive(ctx);
      if (!m.ok()) break;
      if (m->data.empty()) continue;
      const char channel = m->data[0];
      std::string data = m->data.substr(1);
      if (static_cast<unsigned char>(channel) != kClose) {
        co_await input->take(ctx, channel, std::move(data));
      } else if (!data.empty() && data[0] == kStdin) {
        co_await input->end(ctx);
      }
    }
  }
  Task<void> close(Context ctx) override { (void)co_await ws_->close(ctx, 1000, ""); }

 private:
  Semaphore sending_;
  std::unique_ptr<net::WebSocket> ws_;
};

// Says when nobody uses the connection any more: a session may outlive its handle, and what was
// upgraded must not outlive its handler.
class Watched final : public ByteStream {
 public:
  Watched(std::unique_ptr<ByteStream> bytes, std::shared_ptr<Event> gone)
      : bytes_(std::move(bytes)), gone_(std::move(gone)) {}
  ~Watched() override {
    bytes_.reset();
    gone_->set();
  }
  Task<Result<std::string>> read(Context ctx, size_t max) override {
    return bytes_->read(std::move(ctx), max);
  }
  Task<Status> write(Context ctx, std::string data) override {
    return bytes_->write(std::move(ctx), std::move(data));
  }
  Task<Status> shutdown_write(Context ctx) override {
    return bytes_->shutdown_write(std::move(ctx));
  }
  void close() override { bytes_->close(); }

 private:
  std::unique_ptr<ByteStream> bytes_;
  std::shared_ptr<Event> gone_;
};

// A SPDY session: a stream for each channel.
class SpdyPeer final : public Peer {
 public:
  SpdyPeer(Loop& loop, std::unique_ptr<ByteStream> bytes)
      : session_(net::SpdySession::create(loop, std::make_unique<Watched>(std::move(bytes), gone_),
                                          true)) {}

  // The streams that the client opens; they come in any order.
  Task<Status> accept(Context ctx, cri::Runtime::StreamOptions o) {
    const size_t wanted = 1 + o.in + o.out + o.err + o.tty;
    for (size_t i = 0; i < wanted; ++i) {
      TRY_ASSIGN_CO(stream, session_->accept(ctx));
      const std::string type(stream->headers().get("streamtype").value_or(""));
      auto* to = type == "error"    ? &streams_.error
                 : type == "stdin"  ? &streams_.in
                 : type == "stdout" ? &streams_.out
                 : type == "stderr" ? &streams_.err
                 : type == "resize" ? &streams_.resize
                                    : nullptr;
      if (!to || *to) co_return Status::bad_request("invalid stream type \"" + type + "\"");
      *to = std::move(stream);
    }
    co_return Status();
  }
  Task<Status> send(Context ctx, char channel, std::string data) override {
    auto to = channel == kStdout   ? streams_.out
              : channel == kStderr ? streams_.err
              : channel == kError  ? streams_.error
                                   : nullptr;
    if (!to) co_return Status();
    co_return co_await to->write(ctx, std::move(data));
  }
  Task<void> listen(Context ctx, Input* input) override {
    TaskGroup readers(ctx.loop());
    if (streams_.in) readers.spawn(follow(ctx, streams_.in, kStdin, input));
    if (streams_.resize) readers.spawn(follow(ctx, streams_.resize, kResize, input));
    // It has no more to open: this ends with the session.
    (void)co_await session_->accept(ctx);
    co_await readers.join();
  }
  Task<void> close(Context ctx) override {
    std::vector<std::shared_ptr<net::SpdyStream>> ours{streams_.out, streams_.err, streams_.error};
    for (auto& s : ours) {
      if (s) (void)co_await s->shutdown_write(ctx);
    }
    session_->close();
  }
  // Lets the connection go; to be awaited before the peer is destroyed.
  Task<void> leave(Context ctx) {
    session_.reset();
    streams_ = Channels();
    (void)co_await gone_->wait(ctx);
  }

 private:
  static Task<void> follow(Context ctx, std::shared_ptr<net::SpdyStream> from, char channel,
                           Input* input) {
    while (true) {
      auto data = co_await from->read(ctx);
      if (!data.ok()) co_return;
      if (data->empty()) break;
      co_await input->take(ctx, channel, std::move(*data));
    }
    if (channel == kStdin) co_await input->end(ctx);
  }

  Channels streams_;
  std::shared_ptr<Event> gone_ = std::make_shared<Event>();
  std::unique_ptr<net::SpdySession> session_;
};

// The runtime's side: its session and streams.
struct RuntimeSide {
  std::unique_ptr<net::SpdySession> session;
  Channels streams;
};

Task<Status> open_runtime(Context ctx, Target target, cri::Runtime::StreamOptions o,
                          RuntimeSide* side) {
  auto bytes = co_await open_spdy(ctx, std::move(target), "v4.channel.k8s.io");
  if (!bytes.ok()) co_return bytes.status();
  side->session = net::SpdySession::create(ctx.loop(), std::move(*bytes), false);
  co_return co_await open_streams(ctx, side->session.get(), o, &side->streams);
}

Task<void> listen(Context ctx, Peer* peer, Input* input) {
  co_await peer->listen(ctx, input);
  ctx.cancel();
}

// Carries both ways until the runtime's output has ended or the client is gone. How it went is told
// when all else has been.
Task<void> carry(Context ctx, Peer* peer, Channels streams, AttachedContainer attached) {
  Context inner = ctx.child();
  Heard heard;
  const Heard* patient = attached.detaches_at_end_of_input ? &heard : nullptr;
  TaskGroup readers(ctx.loop()), writer(ctx.loop());
  Input input(streams, patient, &writer);
  writer.spawn(listen(inner, peer, &input));
  if (streams.out) readers.spawn(pump_out(inner, peer, streams.out, kStdout, &heard));
  if (streams.err) readers.spawn(pump_out(inner, peer, streams.err, kStderr, &heard));
  readers.spawn(pump_out(inner, peer, streams.error, kError, &heard));
  co_await readers.join();
  if (!inner.done()) {
    std::string status = heard.status;
    if (!heard.failed()) {
      std::string how = co_await outcome(inner, &attached, &heard);
      status = std::move(how);
    }
    (void)co_await peer->send(inner, kError, std::move(status));
  }
  co_await peer->close(inner);
  inner.cancel();
  co_await writer.join();
}

constexpr std::string_view kFourth = "v4.channel.k8s.io";

}  // namespace

Task<void> serve_channels(Context ctx, Responder* responder, Target target,
                          cri::Runtime::StreamOptions o, AttachedContainer attached) {
  RuntimeSide runtime;
  Status opened = co_await open_runtime(ctx, std::move(target), o, &runtime);
  if (!opened.ok()) {
    co_await fail(responder, 500, opened.message());
    co_return;
  }
  std::vector<std::string> protocols{"v5.channel.k8s.io", std::string(kFourth)};
  auto ws = co_await responder->accept_websocket(std::move(protocols));
  if (!ws.ok()) co_return;
  WebSocketPeer peer(std::move(*ws));
  co_await carry(ctx, &peer, runtime.streams, std::move(attached));
  runtime.session->close();
}

bool asks_for_spdy_channels(const Request& request) {
  if (!request.headers.has_token("Upgrade", "SPDY/3.1")) return false;
  auto offered = request.headers.get_all("X-Stream-Protocol-Version");
  return std::find(offered.begin(), offered.end(), kFourth) != offered.end();
}

Task<void> serve_spdy(Context ctx, Responder* responder, Target target,
                      cri::Runtime::StreamOptions o, AttachedContainer attached) {
  RuntimeSide runtime;
  Status opened = co_await open_runtime(ctx, std::move(target), o, &runtime);
  if (!opened.ok()) {
    co_await fail(responder, 500, opened.message());
    co_return;
  }
  Headers headers;
  headers.set("X-Stream-Protocol-Version", std::string(kFourth));
  auto bytes = co_await responder->accept_upgrade("SPDY/3.1", std::move(headers));
  if (!bytes.ok()) co_return;
  SpdyPeer peer(ctx.loop(), std::move(*bytes));
  Status ready = co_await peer.accept(ctx.with_timeout(30s), o);
  if (ready.ok()) {
    co_await carry(ctx, &peer, runtime.streams, std::move(attached));
  } else {
    log::info("A client that attaches opened other streams than it asked for", {{"why", ready}});
  }
  runtime.session->close();
  co_await peer.leave(Context::root(ctx.loop()).with_timeout(30s));
}

}  // namespace keles::node
