#include "net/grpc_server.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/sync.h"
#include "net/grpc_calls.h"

namespace keles::net {
namespace {

constexpr size_t kMostOut = 256 * 1024;  // pulled from nghttp2 before the socket takes it
constexpr size_t kMostHeaders = 16 * 1024;
constexpr size_t kMostPath = 1024;
constexpr size_t kMostQueued = 8192;  // frames that the caller does not take
constexpr int kInvalidArgument = 3, kResourceExhausted = 8;

nghttp2_nv field(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

struct Call {
  std::string path, body, answer, message;
  size_t headers = 0, sent = 0;
  std::optional<Duration> timeout;
  std::optional<Context> ctx;  // of its handler, once that runs
  int code = 0;
  bool too_large = false, started = false;
  bool streams = false;  // more of the answer may come
};

class Connection {
 public:
  Connection(Context ctx, std::unique_ptr<ByteStream> stream, const GrpcServerOptions& options,
             const GrpcServer::Handler& handler)
      : ctx_(ctx.child()),
        stream_(std::move(stream)),
        options_(options),
        handler_(handler),
        tasks_(ctx.loop()) {
    nghttp2_session_callbacks* calls = nullptr;
    nghttp2_session_callbacks_new(&calls);
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    nghttp2_session_server_new(&session_, calls, this);
    nghttp2_session_callbacks_del(calls);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.max_calls},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(kMostHeaders)}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 2);
  }
  ~Connection() { nghttp2_session_del(session_); }
  Connection(const Connection&) = delete;

  static Task<void> run(std::unique_ptr<Connection> self) {
    self->tasks_.spawn(write_loop(self.get()));
    for (;;) {
      auto piece = co_await self->stream_->read(self->ctx_);
      if (!piece.ok() || piece->empty()) break;
      const ssize_t used = nghttp2_session_mem_recv(
          self->session_, reinterpret_cast<const uint8_t*>(piece->data()), piece->size());
      self->to_write_.set();
      if (used < 0 || nghttp2_session_get_outbound_queue_size(self->session_) > kMostQueued) break;
    }
    self->over_ = true;
    self->ctx_.cancel();
    self->stream_->close();
    self->to_write_.set();
    co_await self->tasks_.join();
  }

 private:
  static Connection& of(void* user) { return *static_cast<Connection*>(user); }

  static Task<void> write_loop(Connection* self) {
    while (!self->over_) {
      std::string out;
      const uint8_t* data = nullptr;
      ssize_t n = 0;
      while (out.size() < kMostOut && (n = nghttp2_session_mem_send(self->session_, &data)) > 0)
        out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
      Status s;
      if (!out.empty()) {
        s = co_await self->stream_->write(self->ctx_, std::move(out));
      } else if (n < 0 || (!nghttp2_session_want_read(self->session_) &&
                           !nghttp2_session_want_write(self->session_))) {
        s = Status::unavailable("session ended");
      } else {
        self->to_write_.reset();
        s = co_await self->to_write_.wait(self->ctx_);
      }
      if (!s.ok()) break;
    }
    self->stream_->close();
  }

  static int on_begin(nghttp2_session*, const nghttp2_frame* f, void* user) {
    if (f->hd.type == NGHTTP2_HEADERS) of(user).calls_[f->hd.stream_id];
    return 0;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* f, const uint8_t* name, size_t n,
                       const uint8_t* value, size_t m, uint8_t, void* user) {
    auto it = of(user).calls_.find(f->hd.stream_id);
    if (it == of(user).calls_.end()) return 0;
    Call& call = it->second;
    const std::string_view key(reinterpret_cast<const char*>(name), n);
    const std::string_view text(reinterpret_cast<const char*>(value), m);
    call.headers += n + m;
    if (call.headers > kMostHeaders) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (key == ":path") call.path = text.substr(0, kMostPath);
    if (key == "grpc-timeout") call.timeout = parse_grpc_timeout(text);
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t n,
                     void* user) {
    auto it = of(user).calls_.find(id);
    if (it == of(user).calls_.end() || it->second.too_large) return 0;
    Call& call = it->second;
    if (call.body.size() + n > of(user).options_.max_message + 5) {
      call.too_large = true;
      call.body = std::string();
    } else {
      call.body.append(reinterpret_cast<const char*>(data), n);
    }
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* f, void* user) {
    if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA) return 0;
    if ((f->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    auto it = of(user).calls_.find(f->hd.stream_id);
    if (it == of(user).calls_.end() || it->second.started) return 0;
    it->second.started = true;
    Connection& self = of(user);
    if (self.running_ >= self.options_.max_calls) {  // with those whose streams were reset
      nghttp2_submit_rst_stream(self.session_, NGHTTP2_FLAG_NONE, f->hd.stream_id,
                                NGHTTP2_REFUSED_STREAM);
      return 0;
    }
    ++self.running_;
    it->second.ctx = self.ctx_.child();
    self.tasks_.spawn(serve(&self, f->hd.stream_id, *it->second.ctx));
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t id, uint32_t, void* user) {
    auto it = of(user).calls_.find(id);
    if (it == of(user).calls_.end()) return 0;
    const std::optional<Context> ctx = std::move(it->second.ctx);
    of(user).calls_.erase(it);
    if (ctx) ctx->cancel();
    return 0;
  }

  static Task<void> serve(Connection* self, int32_t id, Context ctx) {
    // The frame's own callback ends first: nghttp2 is not entered again from inside it.
    (void)co_await ctx.sleep(Duration(0));
    co_await answer_call(self, id, ctx);
    --self->running_;
  }

  static Task<void> answer_call(Connection* self, int32_t id, Context ctx) {
    auto it = self->calls_.find(id);
    if (self->over_ || it == self->calls_.end()) co_return;
    Result<std::string> answer = Status(Reason::kBadRequest, "the request is no gRPC message");
    int code = kInvalidArgument;
    const std::string& body = it->second.body;
    size_t length = 0;
    for (size_t i = 1; i < 5 && body.size() >= 5; ++i)
      length = length << 8 | static_cast<unsigned char>(body[i]);
    if (it->second.too_large) {
      answer = Status(Reason::kTooManyRequests, "the message is larger than the limit");
      code = kResourceExhausted;
    } else if (body.size() >= 5 && body[0] == 0 && length == body.size() - 5) {
      const std::optional<Duration> timeout = it->second.timeout;
      Context limit = timeout ? ctx.with_timeout(*timeout) : ctx;
      std::string path = it->second.path, message = body.substr(5);
      auto stream = self->options_.streams.find(path);
      if (stream != self->options_.streams.end()) {
        co_await serve_stream(self, id, limit, &stream->second, std::move(message));
        co_return;
      }
      answer = co_await self->handler_(limit, std::move(path), std::move(message));
      code = grpc_code(answer.status());
    }
    if (!self->over_) self->respond(id, code, answer);
  }

  static Task<void> serve_stream(Connection* self, int32_t id, Context ctx,
                                 const GrpcStreamHandler* handler, std::string message) {
    auto it = self->calls_.find(id);
    if (it == self->calls_.end()) co_return;
    it->second.streams = true;
    self->submit(id, it->second);
    GrpcSend send = [self, id](std::string one) { return self->send(id, one); };
    std::string path = it->second.path;
    Status s = co_await (*handler)(ctx, std::move(path), std::move(message), std::move(send));
    it = self->calls_.find(id);
    if (self->over_ || it == self->calls_.end()) co_return;
    it->second.streams = false;
    it->second.code = grpc_code(s);
    it->second.message = grpc_message_field(s.message());
    self->resume(id);
  }
  bool send(int32_t id, const std::string& message) {
    auto it = calls_.find(id);
    if (over_ || it == calls_.end()) return false;
    Call& call = it->second;
    call.answer.erase(0, call.sent);
    call.sent = 0;
    if (call.answer.size() + message.size() > options_.max_message) return false;
    append_framed(call.answer, message);
    resume(id);
    return true;
  }
  void resume(int32_t id) {
    (void)nghttp2_session_resume_data(session_, id);
    to_write_.set();
  }
  static void append_framed(std::string& to, const std::string& message) {
    const auto n = static_cast<uint32_t>(message.size());
    to += {0, static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
           static_cast<char>(n)};
    to += message;
  }
  void submit(int32_t id, Call& call) {
    nghttp2_nv head[] = {field(":status", "200"), field("content-type", "application/grpc")};
    nghttp2_data_provider from{};
    from.source.ptr = &call;
    from.read_callback = on_read;
    nghttp2_submit_response(session_, id, head, 2, &from);
    to_write_.set();
  }

  void respond(int32_t id, int code, const Result<std::string>& answer) {
    auto it = calls_.find(id);  // none: the caller has given up
    if (it == calls_.end()) return;
    Call& call = it->second;
    call.code = code;
    call.message = grpc_message_field(answer.status().message());
    if (code == 0) append_framed(call.answer, *answer);
    submit(id, call);
  }
  static ssize_t on_read(nghttp2_session* session, int32_t id, uint8_t* to, size_t most,
                         uint32_t* flags, nghttp2_data_source* source, void*) {
    Call& call = *static_cast<Call*>(source->ptr);
    const size_t n = std::min(most, call.answer.size() - call.sent);
    std::copy_n(call.answer.data() + call.sent, n, to);
    call.sent += n;
    if (call.streams && n == 0) return NGHTTP2_ERR_DEFERRED;
    if (call.sent == call.answer.size() && !call.streams) {
      *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const std::string code = std::to_string(call.code);
      nghttp2_nv trailers[] = {field("grpc-status", code), field("grpc-message", call.message)};
      nghttp2_submit_trailer(session, id, trailers, call.code == 0 ? 1 : 2);
    }
    return static_cast<ssize_t>(n);
  }

  Context ctx_;
  std::unique_ptr<ByteStream> stream_;
  const GrpcServerOptions& options_;
  const GrpcServer::Handler& handler_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Call> calls_;
  Event to_write_;
  bool over_ = false;
  uint32_t running_ = 0;  // handlers
  TaskGroup tasks_;
};

class UnaryServer final : public GrpcServer {
 public:
  UnaryServer(Loop& loop, std::unique_ptr<StreamListener> listener, GrpcServerOptions options,
              Handler handler)
      : ctx_(Context::root(loop).child()),
        listener_(std::move(listener)),
        options_(options),
        handler_(std::move(handler)),
        tasks_(loop) {
    tasks_.spawn(accept_loop(this));
  }
  Task<void> stop() override {
    ctx_.cancel();
    listener_->close();
    co_await tasks_.join();
  }

 private:
  static Task<void> accept_loop(UnaryServer* self) {
    while (!self->ctx_.done()) {
      auto stream = co_await self->listener_->accept(self->ctx_);
      if (!stream.ok()) {
        // Out of descriptors, say: what ends it comes by the context.
        (void)co_await self->ctx_.sleep(100ms);
        continue;
      }
      if (self->open_ >= self->options_.max_connections) continue;  // closed again
      ++self->open_;
      auto one = std::make_unique<Connection>(self->ctx_, std::move(*stream), self->options_,
                                              self->handler_);
      self->tasks_.spawn(serve(self, std::move(one)));
    }
  }
  static Task<void> serve(UnaryServer* self, std::unique_ptr<Connection> one) {
    co_await Connection::run(std::move(one));
    --self->open_;
  }

  Context ctx_;
  std::unique_ptr<StreamListener> listener_;
  GrpcServerOptions options_;
  Handler handler_;
  size_t open_ = 0;
  TaskGroup tasks_;
};

}  // namespace

Task<void> serve_grpc(Context ctx, std::unique_ptr<ByteStream> stream,
                      const GrpcServerOptions& options, const GrpcServer::Handler& handler) {
  return Connection::run(std::make_unique<Connection>(ctx, std::move(stream), options, handler));
}

int grpc_code(const Status& s) {
  if (s.ok()) return 0;
  switch (s.reason()) {
    case Reason::kCancelled:
      return 1;
    case Reason::kBadRequest:
    case Reason::kInvalid:
      return 3;
    case Reason::kTimeout:
      return 4;
    case Reason::kNotFound:
      return 5;
    case Reason::kAlreadyExists:
      return 6;
    case Reason::kForbidden:
      return 7;
    case Reason::kTooManyRequests:
      return 8;
    case Reason::kConflict:
      return 9;
    case Reason::kExpired:
      return 11;
    case Reason::kMethodNotAllowed:
      return 12;
    case Reason::kInternalError:
      return 13;
    case Reason::kUnavailable:
      return 14;
    case Reason::kUnauthorized:
      return 16;
    default:
      return 2;
  }
}

Result<std::unique_ptr<GrpcServer>> GrpcServer::start(Loop& loop, std::string address,
                                                      GrpcServerOptions options, Handler handler) {
  TRY_ASSIGN(listener, StreamListener::listen(loop, std::move(address), 0));
  std::unique_ptr<GrpcServer> made =
      std::make_unique<UnaryServer>(loop, std::move(listener), options, std::move(handler));
  return made;
}

}  // namespace keles::net
