#include "kubectl/stream.h"

#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "base/sync.h"
#include "kubectl/errors.h"
#include "kubectl/terminal.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

enum Channel8 : uint8_t {
  kStdin = 0,
  kStdout = 1,
  kStderr = 2,
  kError = 3,
  kResize = 4,
  kClose = 255
};

bool write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

net::WebSocket::Message framed(uint8_t channel, std::string_view data) {
  std::string text(1, static_cast<char>(channel));
  text += data;
  return {true, std::move(text)};
}

// The Status on the error channel.
Status outcome_of(const std::string& text) {
  Result<Document> d = parse_json(text);
  if (!d.ok()) return text.empty() ? Status() : failure(text);
  const Value& s = d->root;
  if (s["status"].as_string() == "Success") return Status();
  if (s["reason"].as_string() == "NonZeroExitCode") {
    for (const Value& c : s["details"]["causes"].items()) {
      if (c["reason"].as_string() != "ExitCode") continue;
      int code = std::atoi(std::string(c["message"].as_string()).c_str());
      if (code > 0 && code < 256) {
        return plain_failure("command terminated with exit code " + std::to_string(code), code);
      }
    }
  }
  return failure(std::string(s["message"].as_string()));
}

struct Streams {
  Streams(Session& session, StreamOptions options)
      : session(session), options(options), pieces(1), sending(1) {}
  Session& session;
  StreamOptions options;
  std::unique_ptr<net::WebSocket> socket;
  Channel<std::string> pieces;  // of standard input
  Semaphore sending;            // frames of several senders stay whole
  std::optional<StdinReader> reader;
  Event resized;
  Status input_error;  // of options.ends->read
};

Task<Status> send(Context ctx, Streams* s, uint8_t channel, std::string data) {
  Status turn = co_await s->sending.acquire(ctx);
  if (!turn.ok()) co_return turn;
  net::WebSocket::Message m = framed(channel, data);
  Status sent = co_await s->socket->send(ctx, std::move(m));
  s->sending.release();
  co_return sent;
}

Task<void> pump_input(Context ctx, Streams* s) {
  for (;;) {
    Result<std::string> piece = co_await s->pieces.pop(ctx);
    if (!piece.ok()) co_return;
    if (piece->empty()) {
      // Only v5 can say that input has ended.
      if (s->socket->subprotocol() == "v5.channel.k8s.io") {
        std::string which(1, static_cast<char>(kStdin));
        (void)co_await send(ctx, s, kClose, which);
      }
      co_return;
    }
    std::string data = std::move(*piece);
    Status sent = co_await send(ctx, s, kStdin, std::move(data));
    if (!sent.ok()) co_return;
    s->reader->taken();
  }
}

// Input that is made here. Its failure is the command's.
Task<void> pump_made_input(Context ctx, Streams* s) {
  for (;;) {
    Result<std::string> piece = s->options.ends->read();
    if (!piece.ok()) {
      s->input_error = piece.status();
      s->socket->abort();
      co_return;
    }
    bool last = piece->empty();
    uint8_t channel = kStdin;
    std::string data = std::move(*piece);
    if (last) {
      if (s->socket->subprotocol() != "v5.channel.k8s.io") co_return;
      channel = kClose;
      data.assign(1, static_cast<char>(kStdin));
    }
    Status sent = co_await send(ctx, s, channel, std::move(data));
    if (last || !sent.ok()) co_return;
  }
}

Task<void> pump_size(Context ctx, Streams* s) {
  for (;;) {
    WindowSize w = window_size();
    if (w.width > 0 && w.height > 0) {
      std::string text =
          "{\"Width\":" + std::to_string(w.width) + ",\"Height\":" + std::to_string(w.height) + "}";
      Status sent = co_await send(ctx, s, kResize, std::move(text));
      if (!sent.ok()) co_return;
    }
    s->resized.reset();
    Status woken = co_await s->resized.wait(ctx);
    if (!woken.ok()) co_return;
  }
}

Status write_out(const StreamOptions& options, bool out, std::string_view data) {
  if (options.ends) {
    const auto& to = out ? options.ends->out : options.ends->err;
    if (to) return to(data);
  }
  return write_all(out ? STDOUT_FILENO : STDERR_FILENO, data) ? Status() : silent(1);
}

Task<Status> receive_all(Context ctx, Streams* s) {
  std::string error_text;
  bool ended = false;
  for (;;) {
    Result<net::WebSocket::Message> m = co_await s->socket->receive(ctx);
    if (!m.ok()) {
      if (!s->input_error.ok()) co_return s->input_error;
      if (ctx.done() && ctx.status().is(Reason::kTimeout)) {
        co_return Status(Reason::kTimeout, "context deadline exceeded");
      }
      if (!ended && !m.status().is(Reason::kCancelled)) {
        co_return failure("error reading from the stream: " + m.status().message());
      }
      co_return outcome_of(error_text);
    }
    if (m->data.empty()) continue;
    auto channel = static_cast<uint8_t>(m->data[0]);
    std::string_view data = std::string_view(m->data).substr(1);
    if (channel == kError) {
      error_text += data;
      ended = true;
    } else if (channel == kStdout || channel == kStderr) {
      Status written = write_out(s->options, channel == kStdout, data);
      if (!written.ok()) co_return written;
    }
  }
}

Task<Status> run_all(Context root, Streams* s, std::string path, std::string query) {
  std::vector<std::string> protocols = {"v5.channel.k8s.io", "v4.channel.k8s.io"};
  Result<std::unique_ptr<net::WebSocket>> socket =
      co_await s->session.open_websocket(root, path, query, protocols);
  if (!socket.ok()) co_return socket.status();
  s->socket = std::move(*socket);
  Context ctx = root.child();
  TaskGroup group(root.loop());
  if (s->options.in && s->options.ends && s->options.ends->read) {
    group.spawn(pump_made_input(ctx, s));
  } else if (s->options.in) {
    s->reader.emplace(root.loop(),
                      [s](std::string piece) { (void)s->pieces.try_push(std::move(piece)); });
    group.spawn(pump_input(ctx, s));
  }
  if (s->options.tty) {
    on_resize(root.loop(), [s] { s->resized.set(); });
    group.spawn(pump_size(ctx, s));
  }
  Status outcome = co_await receive_all(root, s);
  ctx.cancel();
  s->socket->abort();
  co_await group.join();
  co_return outcome;
}

}  // namespace

std::string stream_query(const std::string& container, const StreamOptions& o) {
  std::string q;
  add_query(q, "container", container);
  if (o.in) add_query(q, "stdin", "true");
  add_query(q, "stdout", "true");
  add_query(q, o.tty ? "tty" : "stderr", "true");
  return q;
}

Status run_streams(Session& session, std::string path, std::string query, StreamOptions options) {
  // Threads that read input and wait for signals may outlive the call: what they touch is kept.
  auto* streams = new Streams(session, options);
  std::optional<RawTerminal> raw;
  if (options.tty && options.in) raw.emplace(STDIN_FILENO);
  Context ctx = session.context();
  if (options.limit.count() > 0) ctx = ctx.with_timeout(options.limit);
  return session.await(run_all(ctx, streams, std::move(path), std::move(query)));
}

}  // namespace keles::kubectl
