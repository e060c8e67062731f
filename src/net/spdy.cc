#include "net/spdy.h"

#include <algorithm>
#include <map>

#include "base/sync.h"
#include "net/spdy_frames.h"

namespace keles::net {
namespace {

constexpr size_t kDataFrame = 32768;
constexpr size_t kStreamBuffer = 1 << 20;  // received and not read: the session stops reading above
constexpr size_t kMaxStreams = 1000;
constexpr int64_t kDefaultWindow = 65536;

class Session;

class StreamImpl final : public SpdyStream {
 public:
  StreamImpl(std::shared_ptr<Session> s, uint32_t id) : session_(std::move(s)), id_(id) {}
  ~StreamImpl() override = default;
  uint32_t id() const override { return id_; }
  const Headers& headers() const override { return headers_; }
  Task<Result<std::string>> read(Context ctx, size_t max) override;
  Task<Status> write(Context ctx, std::string data) override;
  Task<Status> shutdown_write(Context ctx) override;
  void close() override;

  std::shared_ptr<Session> session_;
  uint32_t id_;
  Headers headers_;
  std::string received_;
  bool replied_ = false, remote_ended_ = false, local_ended_ = false, dropped_ = false;
  Status why_;  // of a reset, or of the session's end
  int64_t window_ = 0;
  WaitList changed_;
};

class Session final : public std::enable_shared_from_this<Session> {
 public:
  Session(Loop& loop, std::unique_ptr<ByteStream> bytes, bool server)
      : loop_(loop),
        bytes_(std::move(bytes)),
        server_(server),
        ctx_(Context::root(loop)),
        next_id_(server ? 2 : 1),
        writing_(1),
        accepted_(kMaxStreams) {}

  static Task<void> run(std::shared_ptr<Session> self) {
    Status s = co_await self->read_frames();
    self->end(s);
  }

  Task<Status> send(Context ctx, std::string frame) {
    if (over_) co_return why_;
    TRY_CO(writing_.acquire(ctx));
    Status s = co_await bytes_->write(ctx, std::move(frame));
    writing_.release();
    co_return s;
  }
  // Header blocks share one compressor: coded only when it is their turn to leave.
  Task<Status> send_headers(Context ctx, spdy::Type type, uint8_t flags, uint32_t id,
                            Headers headers) {
    if (over_) co_return why_;
    TRY_CO(writing_.acquire(ctx));
    std::string payload;
    spdy::put32(&payload, id);
    if (type == spdy::Type::kSynStream) payload.append(6, '\0');
    payload += encoder_.encode(headers);
    Status s = co_await bytes_->write(ctx, spdy::encode_control(type, flags, payload));
    writing_.release();
    co_return s;
  }
  Task<Status> send_control(Context ctx, spdy::Type type, uint32_t a, std::optional<uint32_t> b) {
    std::string payload;
    spdy::put32(&payload, a);
    if (b) spdy::put32(&payload, *b);
    co_return co_await send(ctx, spdy::encode_control(type, 0, payload));
  }

  Task<Result<std::shared_ptr<SpdyStream>>> open(Context ctx, Headers headers) {
    if (over_) co_return why_;
    if (streams_.size() >= kMaxStreams) co_return Status::unavailable("spdy: too many streams");
    auto s = std::make_shared<StreamImpl>(shared_from_this(), next_id_);
    s->window_ = initial_window_;
    s->headers_ = headers;
    next_id_ += 2;
    streams_.emplace(s->id_, s);
    TRY_CO(send_headers(ctx, spdy::Type::kSynStream, 0, s->id_, std::move(headers)));
    while (!s->replied_ && s->why_.ok()) TRY_CO(s->changed_.wait(ctx));
    if (!s->why_.ok()) co_return s->why_;
    co_return std::shared_ptr<SpdyStream>(s);
  }

  Task<Status> ping(Context ctx) {
    uint32_t id = next_ping_ | (server_ ? 0u : 1u);
    next_ping_ += 2;
    TRY_CO(send_control(ctx, spdy::Type::kPing, id, std::nullopt));
    while (!over_ && pongs_ < id) TRY_CO(ponged_.wait(ctx));
    co_return over_ ? why_ : Status();
  }

  void end(Status why) {
    if (over_) return;
    over_ = true;
    why_ = std::move(why);
    ctx_.cancel(why_);
    bytes_->close();
    accepted_.close(why_);
    ponged_.wake_all();
    auto all = std::move(streams_);
    streams_.clear();
    for (auto& [id, s] : all) {
      if (!s->remote_ended_) s->why_ = why_;
      s->changed_.wake_all();
    }
  }
  // Says goodbye, as far as the peer takes it within a second.
  static Task<void> leave(std::shared_ptr<Session> self) {
    Context limit = Context::root(self->loop_).with_timeout(1s);
    (void)co_await self->send_control(limit, spdy::Type::kGoAway, self->last_peer_id_, 0);
    self->end(Status::cancelled("spdy: session closed"));
    while (self->accepted_.try_pop()) {  // streams that nobody took hold the session
    }
  }

  void forget_if_over(StreamImpl* s) {
    if (s->remote_ended_ && s->local_ended_) streams_.erase(s->id_);
  }

  Loop& loop_;
  std::unique_ptr<ByteStream> bytes_;
  bool server_;
  Context ctx_;
  uint32_t next_id_, next_ping_ = 2, pongs_ = 0, last_peer_id_ = 0;
  bool over_ = false, peer_controls_flow_ = false;
  Status why_;
  int64_t session_window_ = kDefaultWindow, initial_window_ = kDefaultWindow;
  Semaphore writing_;
  Channel<std::shared_ptr<SpdyStream>> accepted_;
  std::map<uint32_t, std::shared_ptr<StreamImpl>> streams_;
  WaitList ponged_, window_opened_;

 private:
  Task<Status> read_frames() {
    for (;;) {
      while (auto f = reader_.next()) {
        Status s = co_await handle(std::move(*f));
        if (!s.ok()) co_return s;
      }
      if (reader_.bad()) co_return Status::bad_request("spdy: malformed frame");
      auto piece = co_await bytes_->read(ctx_);
      if (!piece.ok()) co_return piece.status();
      if (piece->empty()) co_return Status::cancelled("spdy: the peer closed the session");
      reader_.append(*piece);
    }
  }

  Task<Status> handle(spdy::Frame f) {
    auto it = streams_.find(f.stream);
    std::shared_ptr<StreamImpl> s = it == streams_.end() ? nullptr : it->second;
    switch (f.type) {
      case spdy::Type::kSynStream:
        co_return co_await opened_by_peer(std::move(f));
      case spdy::Type::kSynReply:
      case spdy::Type::kHeaders: {
        Headers headers;  // read even when nobody wants it: the decompressor goes on
        if (!decoder_.decode(f.payload, &headers)) co_return Status::bad_request("spdy: headers");
        if (!s) break;
        if (f.type == spdy::Type::kSynReply) s->replied_ = true;
        break;
      }
      case spdy::Type::kData:
        if (!s) break;
        if (!s->dropped_ && !s->remote_ended_) s->received_ += f.payload;
        break;
      case spdy::Type::kRstStream:
        if (!s) break;
        s->why_ = Status::unavailable("spdy: stream reset");
        s->remote_ended_ = s->local_ended_ = true;
        break;
      case spdy::Type::kPing:
        if ((f.stream & 1) == (server_ ? 1u : 0u)) {
          co_return co_await send_control(ctx_, spdy::Type::kPing, f.stream, std::nullopt);
        }
        pongs_ = std::max(pongs_, f.stream);
        ponged_.wake_all();
        co_return Status();
      case spdy::Type::kGoAway:
        if (streams_.empty()) co_return Status::cancelled("spdy: the peer closed the session");
        co_return Status();
      case spdy::Type::kWindowUpdate:
        peer_controls_flow_ = true;
        if (f.stream == 0) {
          session_window_ += f.value & 0x7fffffff;
        } else if (s) {
          s->window_ += f.value & 0x7fffffff;
        }
        window_opened_.wake_all();
        co_return Status();
      case spdy::Type::kSettings:
        if (f.initial_window) {
          peer_controls_flow_ = true;
          int64_t change = int64_t{*f.initial_window & 0x7fffffff} - initial_window_;
          initial_window_ += change;
          for (auto& [id, each] : streams_) each->window_ += change;
          window_opened_.wake_all();
        }
        co_return Status();
    }
    if (!s) co_return Status();
    if (f.flags & spdy::kFin) s->remote_ended_ = true;
    s->changed_.wake_all();
    forget_if_over(s.get());
    while (s->received_.size() > kStreamBuffer && !s->dropped_ && !over_) {
      TRY_CO(s->changed_.wait(ctx_));
    }
    co_return Status();
  }

  Task<Status> opened_by_peer(spdy::Frame f) {
    Headers headers;
    if (!decoder_.decode(f.payload, &headers)) co_return Status::bad_request("spdy: headers");
    bool theirs = (f.stream & 1) == (server_ ? 1u : 0u);
    if (!theirs || f.stream <= last_peer_id_) co_return Status::bad_request("spdy: stream id");
    last_peer_id_ = f.stream;
    if (streams_.size() >= kMaxStreams) {
      co_return co_await send_control(ctx_, spdy::Type::kRstStream, f.stream, 3);  // refused
    }
    auto s = std::make_shared<StreamImpl>(shared_from_this(), f.stream);
    s->headers_ = std::move(headers);
    s->window_ = initial_window_;
    s->replied_ = true;
    s->remote_ended_ = (f.flags & spdy::kFin) != 0;
    s->local_ended_ = (f.flags & spdy::kUnidirectional) != 0;
    streams_.emplace(s->id_, s);
    Headers none;
    TRY_CO(send_headers(ctx_, spdy::Type::kSynReply, 0, s->id_, none));
    co_return co_await accepted_.push(ctx_, s);
  }

  spdy::FrameReader reader_;
  spdy::HeaderEncoder encoder_;
  spdy::HeaderDecoder decoder_;
};

Task<Result<std::string>> StreamImpl::read(Context ctx, size_t max) {
  auto session = session_;
  while (received_.empty()) {
    if (!why_.ok()) co_return why_;
    if (remote_ended_) co_return std::string();
    TRY_CO(changed_.wait(ctx));
  }
  std::string out =
      received_.size() <= max ? std::exchange(received_, {}) : received_.substr(0, max);
  received_.erase(0, std::min(received_.size(), out.size()));
  changed_.wake_all();  // the session may be waiting for room
  if (session->peer_controls_flow_ && !session->over_) {
    auto n = static_cast<uint32_t>(out.size());
    (void)co_await session->send_control(ctx, spdy::Type::kWindowUpdate, id_, n);
    (void)co_await session->send_control(ctx, spdy::Type::kWindowUpdate, 0, n);
  }
  co_return out;
}

Task<Status> StreamImpl::write(Context ctx, std::string data) {
  auto session = session_;
  size_t at = 0;
  while (at < data.size()) {
    if (!why_.ok()) co_return why_;
    if (local_ended_) co_return Status::unavailable("spdy: stream closed for writing");
    size_t n = std::min(data.size() - at, kDataFrame);
    if (session->peer_controls_flow_) {
      int64_t room = std::min(window_, session->session_window_);
      if (room <= 0) {
        TRY_CO(session->window_opened_.wait(ctx));
        continue;
      }
      n = std::min(n, static_cast<size_t>(room));
    }
    window_ -= static_cast<int64_t>(n);
    session->session_window_ -= static_cast<int64_t>(n);
    TRY_CO(session->send(ctx, spdy::encode_data(id_, 0, std::string_view(data).substr(at, n))));
    at += n;
  }
  co_return Status();
}

Task<Status> StreamImpl::shutdown_write(Context ctx) {
  if (local_ended_ || session_->over_) co_return Status();
  auto session = session_;
  local_ended_ = true;
  Status s = co_await session->send(ctx, spdy::encode_data(id_, spdy::kFin, ""));
  session->forget_if_over(this);
  co_return s;
}

Task<void> end_stream(std::shared_ptr<StreamImpl> s) {
  Context limit = Context::root(s->session_->loop_).with_timeout(30s);
  (void)co_await s->shutdown_write(limit);
}

void StreamImpl::close() {
  dropped_ = true;
  received_.clear();
  if (why_.ok()) why_ = Status::unavailable("spdy: stream closed");
  changed_.wake_all();
  if (local_ended_ || session_->over_) return;
  auto it = session_->streams_.find(id_);
  if (it != session_->streams_.end()) spawn(session_->loop_, end_stream(it->second));
}

// What accept() hands out: dropping it closes the stream.
std::shared_ptr<SpdyStream> guarded(std::shared_ptr<SpdyStream> s) {
  SpdyStream* raw = s.get();
  return std::shared_ptr<SpdyStream>(raw, [s](SpdyStream* p) { p->close(); });
}

class SessionHandle final : public SpdySession {
 public:
  explicit SessionHandle(std::shared_ptr<Session> s) : s_(std::move(s)) {}
  ~SessionHandle() override { close(); }
  Task<Result<std::shared_ptr<SpdyStream>>> accept(Context ctx) override {
    auto session = s_;
    auto s = co_await session->accepted_.pop(ctx);
    if (!s.ok()) co_return s.status();
    co_return guarded(std::move(*s));
  }
  Task<Result<std::shared_ptr<SpdyStream>>> open(Context ctx, Headers headers) override {
    auto session = s_;
    auto s = co_await session->open(ctx, std::move(headers));
    if (!s.ok()) co_return s.status();
    co_return guarded(std::move(*s));
  }
  Task<Status> ping(Context ctx) override {
    auto session = s_;
    co_return co_await session->ping(ctx);
  }
  void close() override {
    if (closed_ || s_->over_) return;
    closed_ = true;
    spawn(s_->loop_, Session::leave(s_));
  }

 private:
  std::shared_ptr<Session> s_;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<SpdySession> SpdySession::create(Loop& loop, std::unique_ptr<ByteStream> bytes,
                                                 bool server) {
  auto s = std::make_shared<Session>(loop, std::move(bytes), server);
  spawn(loop, Session::run(s));
  return std::make_unique<SessionHandle>(s);
}

}  // namespace keles::net
