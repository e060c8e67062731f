#include "net/websocket.h"

#include <string.h>

#include "base/encoding.h"
#include "base/loop.h"
#include "base/sync.h"
#include "net/http.h"
#include "net/pki.h"

namespace keles::net {
namespace ws {

std::string accept_key(std::string_view key) {
  return base64_encode(sha1(std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
}

static void apply_mask(char* p, size_t n, const unsigned char key[4]) {
  for (size_t i = 0; i < n; ++i) p[i] = static_cast<char>(p[i] ^ static_cast<char>(key[i & 3]));
}

std::string encode_frame(bool fin, Opcode opcode, std::string_view payload,
                         std::optional<uint32_t> mask_key) {
  std::string out;
  out.reserve(payload.size() + 14);
  out += static_cast<char>((fin ? 0x80 : 0) | static_cast<int>(opcode));
  char mask_bit = mask_key ? static_cast<char>(0x80) : '\0';
  if (payload.size() < 126) {
    out += static_cast<char>(mask_bit | static_cast<char>(payload.size()));
  } else {
    int bytes = payload.size() < 65536 ? 2 : 8;
    out += static_cast<char>(mask_bit | (bytes == 2 ? 126 : 127));
    for (int i = bytes - 1; i >= 0; --i) {
      out += static_cast<char>(static_cast<uint64_t>(payload.size()) >> (8 * i));
    }
  }
  if (mask_key) {
    unsigned char key[4];
    memcpy(key, &*mask_key, 4);
    out.append(reinterpret_cast<char*>(key), 4);
    size_t at = out.size();
    out.append(payload);
    apply_mask(out.data() + at, payload.size(), key);
  } else {
    out.append(payload);
  }
  return out;
}

std::optional<Frame> FrameReader::next() {
  if (error_ != 0) return std::nullopt;
  std::string_view d = std::string_view(buffer_).substr(at_);
  auto byte = [&d](size_t i) { return static_cast<unsigned char>(d[i]); };
  if (d.size() < 2) return std::nullopt;
  Frame f;
  f.fin = (byte(0) & 0x80) != 0;
  int opcode = byte(0) & 0x0f;
  bool control = opcode >= 8;
  bool known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
  bool masked = (byte(1) & 0x80) != 0;
  uint64_t n = byte(1) & 0x7f;
  if ((byte(0) & 0x70) != 0 || !known || masked != masked_ || (control && (!f.fin || n > 125))) {
    error_ = 1002;
    return std::nullopt;
  }
  f.opcode = static_cast<Opcode>(opcode);
  size_t head = 2;
  if (n >= 126) {
    size_t bytes = n == 126 ? 2 : 8;
    if (d.size() < head + bytes) return std::nullopt;
    n = 0;
    for (size_t i = 0; i < bytes; ++i) n = n << 8 | byte(head + i);
    head += bytes;
  }
  if (n > max_payload_) {
    error_ = 1009;
    return std::nullopt;
  }
  unsigned char key[4] = {};
  if (masked) {
    if (d.size() < head + 4) return std::nullopt;
    memcpy(key, d.data() + head, 4);
    head += 4;
  }
  if (d.size() < head + n) return std::nullopt;
  f.payload.assign(d.substr(head, n));
  if (masked) apply_mask(f.payload.data(), f.payload.size(), key);
  at_ += head + n;
  if (at_ == buffer_.size() || at_ > 65536) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  return f;
}

}  // namespace ws

namespace {

// Close frames may be sent by receive() too (an answer), pongs likewise: one writer at a time.
class StreamWebSocket final : public WebSocket {
 public:
  StreamWebSocket(Loop& loop, std::unique_ptr<ByteStream> bytes, std::string subprotocol,
                  bool server, size_t max_message)
      : loop_(loop),
        bytes_(std::move(bytes)),
        subprotocol_(std::move(subprotocol)),
        server_(server),
        max_message_(max_message),
        reader_(server, max_message),
        writing_(1) {}
  ~StreamWebSocket() override {
    // Closing with unread bytes would reset the connection and might take our last frames with it.
    if (sent_close_ && !over_) spawn(loop_, await_end(&loop_, std::move(bytes_)));
  }
  const std::string& subprotocol() const override { return subprotocol_; }

  Task<Result<Message>> receive(Context ctx) override {
    for (;;) {
      while (auto f = reader_.next()) {
        if (f->opcode == ws::Opcode::kPing) {
          TRY_CO(write(ctx, true, ws::Opcode::kPong, std::move(f->payload)));
          continue;
        }
        if (f->opcode == ws::Opcode::kPong) continue;
        if (f->opcode == ws::Opcode::kClose) {
          std::string code = f->payload.substr(0, 2);
          if (!sent_close_) {
            sent_close_ = true;
            (void)co_await write(ctx, true, ws::Opcode::kClose, code);
          }
          over_ = true;
          bytes_->close();
          co_return Status::cancelled("websocket: closed by the peer");
        }
        bool continues = f->opcode == ws::Opcode::kContinuation;
        if (continues != in_message_) co_return co_await fail(ctx, 1002);
        if (!continues) {
          in_message_ = true;
          message_.binary = f->opcode == ws::Opcode::kBinary;
          message_.data = std::move(f->payload);
        } else {
          if (message_.data.size() + f->payload.size() > max_message_) {
            co_return co_await fail(ctx, 1009);
          }
          message_.data += f->payload;
        }
        if (f->fin) {
          in_message_ = false;
          Message whole = std::exchange(message_, Message());
          co_return whole;
        }
      }
      if (reader_.error() != 0) co_return co_await fail(ctx, reader_.error());
      auto piece = co_await bytes_->read(ctx);
      if (!piece.ok()) co_return piece.status();
      if (piece->empty()) {
        over_ = true;
        co_return Status::unavailable("websocket: connection lost");
      }
      reader_.append(*piece);
    }
  }

  Task<Status> send(Context ctx, Message m) override {
    if (sent_close_) co_return Status::unavailable("websocket: closed");
    ws::Opcode kind = m.binary ? ws::Opcode::kBinary : ws::Opcode::kText;
    co_return co_await write(ctx, true, kind, std::move(m.data));
  }

  Task<Status> close(Context ctx, uint16_t code, std::string reason) override {
    if (sent_close_) co_return Status();
    sent_close_ = true;
    std::string payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
    payload += reason.substr(0, 123);
    co_return co_await write(ctx, true, ws::Opcode::kClose, std::move(payload));
  }
  void abort() override {
    over_ = true;
    bytes_->close();
  }

 private:
  static Task<void> await_end(Loop* loop, std::unique_ptr<ByteStream> bytes) {
    Context limit = Context::root(*loop).with_timeout(2s);
    (void)co_await bytes->shutdown_write(limit);
    for (;;) {
      auto piece = co_await bytes->read(limit);
      if (!piece.ok() || piece->empty()) co_return;
    }
  }
  Task<Status> write(Context ctx, bool fin, ws::Opcode opcode, std::string payload) {
    TRY_CO(writing_.acquire(ctx));
    std::optional<uint32_t> key;
    if (!server_) key = static_cast<uint32_t>(loop_.random().next());
    std::string frame = ws::encode_frame(fin, opcode, payload, key);
    Status s = co_await bytes_->write(ctx, std::move(frame));
    writing_.release();
    co_return s;
  }
  Task<Result<Message>> fail(Context ctx, uint16_t code) {
    (void)co_await close(ctx, code, "");
    co_return Status::bad_request(code == 1009 ? "websocket: message too big"
                                               : "websocket: protocol error");
  }

  Loop& loop_;
  std::unique_ptr<ByteStream> bytes_;
  std::string subprotocol_;
  bool server_;
  size_t max_message_;
  ws::FrameReader reader_;
  Semaphore writing_;
  bool in_message_ = false;
  bool sent_close_ = false, over_ = false;
  Message message_;
};

class MessageStream final : public ByteStream {
 public:
  explicit MessageStream(std::unique_ptr<WebSocket> socket) : socket_(std::move(socket)) {}
  Task<Result<std::string>> read(Context ctx, size_t max) override {
    while (rest_.empty()) {
      auto m = co_await socket_->receive(ctx);
      if (!m.ok()) {
        // The peer's close is the end of the stream, a cancelled context is not.
        if (m.status().is(Reason::kCancelled) && !ctx.done()) co_return std::string();
        co_return m.status();
      }
      rest_ = std::move(m->data);
    }
    std::string out = rest_.size() <= max ? std::exchange(rest_, {}) : rest_.substr(0, max);
    if (!rest_.empty()) rest_.erase(0, out.size());
    co_return out;
  }
  Task<Status> write(Context ctx, std::string data) override {
    WebSocket::Message m(true, std::move(data));
    co_return co_await socket_->send(ctx, std::move(m));
  }
  Task<Status> shutdown_write(Context ctx) override {
    co_return co_await socket_->close(ctx, 1000, "");
  }
  void close() override { socket_->abort(); }

 private:
  std::unique_ptr<WebSocket> socket_;
  std::string rest_;
};

}  // namespace

std::unique_ptr<ByteStream> bytes_over_websocket(std::unique_ptr<WebSocket> socket) {
  return std::make_unique<MessageStream>(std::move(socket));
}

std::unique_ptr<WebSocket> websocket_over(Loop& loop, std::unique_ptr<ByteStream> bytes,
                                          std::string subprotocol, bool server,
                                          size_t max_message) {
  return std::make_unique<StreamWebSocket>(loop, std::move(bytes), std::move(subprotocol), server,
                                           max_message);
}

}  // namespace keles::net
