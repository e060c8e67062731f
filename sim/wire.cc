#include "sim/wire.h"

#include <sys/uio.h>

#include <algorithm>
#include <deque>

#include "sim/network.h"

namespace keles::sim {
namespace {

constexpr Duration kRetry = 200ms;  // how often a cut line is tried again

struct Direction;

// One end: what has arrived and was not read, and who waits. The descriptor that it stands for does
// not exist.
class WireEnd final : public net::Fd {
 public:
  WireEnd(Loop& loop, const WireOptions* options) : Fd(loop), options_(options) {}

  int get() const override { return -1; }
  bool closed() const override { return closed_; }
  void close(Status why) override;
  void on_readable(std::function<void()> fn) override {
    callback_ = std::move(fn);
    if (callback_ && can_read()) fire_soon();
  }

  ssize_t read(char* to, size_t n, std::string* error);
  ssize_t write(const iovec* parts, int count, std::string* error);
  void shutdown_write();

  // By the directions.
  void arrived(std::string bytes) {
    in_ += bytes;
    readable();
  }
  void ended() {
    eof_ = true;
    readable();
  }
  void reset() {
    reset_ = eof_ = true;
    in_.clear();
    at_ = 0;
    readable();
    writers_.wake_all();
  }
  void was_read(size_t n) {
    outstanding_ -= std::min(outstanding_, n);
    writers_.wake_all();
  }
  void attach(std::shared_ptr<Direction> out, std::weak_ptr<WireEnd> peer) {
    out_ = std::move(out);
    peer_ = std::move(peer);
  }

 protected:
  Task<Status> wait(bool write, const Context* ctx) override {
    auto self = shared_from_this();
    Context until = ctx ? *ctx : Context::root(loop_);
    while (!closed_ && !(write ? can_write() : can_read())) {
      WaitList& waiters = write ? writers_ : readers_;
      Status s = co_await waiters.wait(until);
      if (!s.ok()) co_return s;
    }
    co_return closed_ ? why_ : Status();
  }

 private:
  bool can_read() const { return closed_ || at_ < in_.size() || eof_; }
  bool can_write() const { return closed_ || reset_ || outstanding_ < options_->window; }
  void readable() {
    readers_.wake_all();
    if (callback_) fire_soon();
  }
  void fire_soon() {
    auto self = std::static_pointer_cast<WireEnd>(shared_from_this());
    loop_.post([self] {
      if (!self->callback_ || !self->can_read()) return;
      auto fn = std::exchange(self->callback_, nullptr);
      fn();
    });
  }

  const WireOptions* options_;
  std::shared_ptr<Direction> out_;
  std::weak_ptr<WireEnd> peer_;
  std::string in_;
  size_t at_ = 0;           // into in_
  size_t outstanding_ = 0;  // bytes sent that the peer has not read
  bool eof_ = false, reset_ = false, closed_ = false;
  Status why_;
  WaitList readers_, writers_;
  std::function<void()> callback_;
};

// What is under way from one end to the other.
struct Direction : std::enable_shared_from_this<Direction> {
  enum class Kind : uint8_t { kBytes, kEnd, kReset };
  struct Piece {
    TimePoint when;
    Kind kind;
    std::string bytes;
  };
  Loop* loop = nullptr;
  const WireOptions* options = nullptr;
  std::shared_ptr<Line> line;
  std::weak_ptr<WireEnd> from, to;
  std::deque<Piece> pieces;
  TimePoint last;
  TimePoint held_since = TimePoint::max();
  bool armed = false, over = false;

  void send(Kind kind, std::string bytes) {
    if (over) return;
    Random& random = loop->random();
    Duration d(random.between(options->delay_min.count(), options->delay_max.count()));
    if (options->slow > 0 && random.chance(options->slow))
      d += Duration(random.between(0, options->slow_max.count()));
    if (options->reset > 0 && random.chance(options->reset)) kind = Kind::kReset;
    last = std::max(last, loop->now() + d);
    pieces.push_back({last, kind, std::move(bytes)});
    if (kind == Kind::kReset) over = true;
    arm(last);
  }

  void arm(TimePoint when) {
    if (armed) return;
    armed = true;
    auto self = shared_from_this();
    loop->schedule(std::max(when, loop->now()), [self] {
      self->armed = false;
      self->deliver();
    });
  }

  // Cut: the line brings nothing to either side.
  bool held() {
    if (!line->cut) {
      held_since = TimePoint::max();
      return false;
    }
    if (held_since == TimePoint::max()) held_since = loop->now();
    return loop->now() - held_since < options->patience;
  }

  void deliver() {
    if (line->dead && !options->deliver_of_dead) return both_reset();
    if (held()) return arm(loop->now() + kRetry);
    if (line->cut) return both_reset();
    while (!pieces.empty() && pieces.front().when <= loop->now()) {
      Piece p = std::move(pieces.front());
      pieces.pop_front();
      if (p.kind == Kind::kReset) return both_reset();
      auto end = to.lock();
      if (!end || end->closed()) continue;
      if (p.kind == Kind::kBytes) end->arrived(std::move(p.bytes));
      if (p.kind == Kind::kEnd) end->ended();
    }
    if (!pieces.empty()) arm(pieces.front().when);
  }

  void both_reset() {
    over = true;
    pieces.clear();
    if (auto end = to.lock()) end->reset();
    if (auto end = from.lock()) end->reset();
  }
};

void WireEnd::close(Status why) {
  if (closed_) return;
  closed_ = true;
  why_ = std::move(why);
  readers_.wake_all();
  writers_.wake_all();
  if (callback_) fire_soon();
  if (out_ && !reset_) out_->send(Direction::Kind::kEnd, "");
}

ssize_t WireEnd::read(char* to, size_t n, std::string* error) {
  if (closed_) return net::kFailed;
  if (at_ == in_.size()) {
    if (reset_) *error = "connection reset by peer";
    return reset_ ? net::kFailed : eof_ ? net::kEndOfStream : net::kWouldBlock;
  }
  n = std::min(n, in_.size() - at_);
  Random& random = loop_.random();
  if (options_->short_read > 0 && n > 1 && random.chance(options_->short_read))
    n = 1 + random.below(n - 1);
  in_.copy(to, n, at_);
  at_ += n;
  if (at_ == in_.size()) {
    in_.clear();
    at_ = 0;
  }
  if (auto peer = peer_.lock()) peer->was_read(n);
  return static_cast<ssize_t>(n);
}

ssize_t WireEnd::write(const iovec* parts, int count, std::string* error) {
  if (closed_) return net::kFailed;
  auto peer = peer_.lock();
  if (reset_ || !peer || (peer->closed() && eof_)) {
    *error = reset_ ? "connection reset by peer" : "broken pipe";
    return net::kFailed;
  }
  if (outstanding_ >= options_->window) return net::kWouldBlock;
  size_t room = options_->window - outstanding_, taken = 0;
  std::string piece;
  for (int i = 0; i < count && taken < room; ++i) {
    std::string_view rest(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    while (!rest.empty() && taken < room) {
      size_t n = std::min({rest.size(), room - taken, options_->piece_max - piece.size()});
      piece.append(rest, 0, n);
      rest.remove_prefix(n);
      taken += n;
      if (piece.size() == options_->piece_max)
        out_->send(Direction::Kind::kBytes, std::exchange(piece, {}));
    }
  }
  if (!piece.empty()) out_->send(Direction::Kind::kBytes, std::move(piece));
  outstanding_ += taken;
  return static_cast<ssize_t>(taken);
}

void WireEnd::shutdown_write() {
  if (!closed_ && !reset_) out_->send(Direction::Kind::kEnd, "");
}

class WireTransport final : public net::Transport {
 public:
  explicit WireTransport(std::shared_ptr<WireEnd> end) : Transport(end), end_(std::move(end)) {}
  ssize_t try_read(char* to, size_t n) override { return end_->read(to, n, &error_); }
  ssize_t try_write(const iovec* parts, int count) override {
    return end_->write(parts, count, &error_);
  }
  void shutdown_write() override { end_->shutdown_write(); }

 private:
  std::shared_ptr<WireEnd> end_;
};

std::shared_ptr<Direction> direction(Loop& loop, const WireOptions* options,
                                     const std::shared_ptr<Line>& line,
                                     const std::shared_ptr<WireEnd>& from,
                                     const std::shared_ptr<WireEnd>& to) {
  auto d = std::make_shared<Direction>();
  d->loop = &loop;
  d->options = options;
  d->line = line;
  d->from = from;
  d->to = to;
  return d;
}

}  // namespace

WirePair connect_wire(Loop& loop, const WireOptions* options, std::shared_ptr<Line> line) {
  auto client = std::make_shared<WireEnd>(loop, options);
  auto server = std::make_shared<WireEnd>(loop, options);
  client->attach(direction(loop, options, line, client, server), server);
  server->attach(direction(loop, options, line, server, client), client);
  return {std::make_shared<WireTransport>(client), std::make_shared<WireTransport>(server)};
}

WireServer::WireServer(Loop& loop, net::ServerOptions options, net::Handler handler)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      budget_(std::make_shared<net::ByteBudget>(options_.total_budget)),
      ctx_(Context::root(loop).child()),
      tasks_(loop) {}

void WireServer::serve(net::TransportPtr transport, std::string remote, net::PeerCertificate peer,
                       bool http2) {
  net::ServedConnection c{
      std::move(transport), {}, std::move(remote), ctx_.child(), &options_, &handler_, budget_};
  c.info.http2 = http2;
  c.info.peer = std::make_shared<const net::PeerCertificate>(std::move(peer));
  tasks_.spawn(http2 ? net::serve_http2(std::move(c)) : net::serve_http1(std::move(c)));
}

Task<void> WireServer::stop() {
  ctx_.cancel(Status::cancelled("server stopped"));
  co_await tasks_.join();
}

}  // namespace keles::sim
