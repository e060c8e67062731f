// HttpClient: a pool of connections to one endpoint.
#include <algorithm>
#include <list>

#include "base/buggify.h"
#include "base/encoding.h"
#include "base/host_port.h"
#include "base/sync.h"
#include "net/http1.h"
#include "net/http2.h"
#include "net/pki.h"
#include "net/transport.h"
#include "net/websocket.h"

namespace keles::net {
namespace {

constexpr size_t kReadBytes = 32768;
constexpr size_t kMaxHeadBytes = 1 << 20;
constexpr size_t kMaxIdle = 32;         // HTTP/1.1 connections kept for later
constexpr size_t kMaxConnections = 64;  // HTTP/2

bool is_target(std::string_view s, bool path) {
  return std::all_of(s.begin(), s.end(), [path](char c) {
    auto u = static_cast<unsigned char>(c);
    return u > 0x20 && u < 0x7f && c != '#' && !(path && c == '?');
  });
}

// Nothing in a request may end its line, its head or itself.
Status check(const Request& r) {
  if (!http1::valid_field(r.method, "")) {
    return Status::bad_request("net/http: invalid method");
  }
  const bool rooted = r.path.empty() || r.path.front() == '/' || r.path == "*";
  if (!rooted || !is_target(r.path, true) || !is_target(r.query, false)) {
    return Status::bad_request("net/http: invalid request target");
  }
  for (const auto& [name, value] : r.headers) {
    if (!http1::valid_field(name, "")) {
      return Status::bad_request("net/http: invalid header field name");
    }
    if (!http1::valid_field(name, value)) {
      return Status::bad_request("net/http: invalid header field value for \"" + name + "\"");
    }
  }
  return Status();
}

// What the Host header says.
std::string host_of(const Endpoint& e) {
  if (e.host.starts_with("unix:")) return "localhost";
  if (e.host.starts_with("[")) return e.host + ":" + std::to_string(e.port);
  return host_port(e.host, e.port);
}

std::string request_head(const Request& r, const Endpoint& e) {
  std::string out;
  out.reserve(512);
  out.append(r.method).append(" ").append(r.path.empty() ? "/" : r.path);
  if (!r.query.empty()) out.append("?").append(r.query);
  out.append(" HTTP/1.1\r\n");
  if (!r.headers.get("host")) {
    http1::append_field(&out, "Host", host_of(e));
  }
  for (const auto& [name, value] : r.headers) http1::append_field(&out, name, value);
  if (!r.headers.get("content-length") &&
      (!r.body.empty() || r.method == "POST" || r.method == "PUT" || r.method == "PATCH")) {
    http1::append_field(&out, "Content-Length", std::to_string(r.body.size()));
  }
  out += "\r\n";
  return out;
}

// One HTTP/1.1 connection, used by one request at a time.
struct Http1Client {
  explicit Http1Client(TransportPtr transport) : t(std::move(transport)) {}
  TransportPtr t;
  std::string buffer;
  bool used = false;

  Task<Status> fill(const Context* ctx) {
    size_t had = buffer.size();
    for (;;) {
      buffer.resize(had + kReadBytes);
      ssize_t n = t->try_read(buffer.data() + had, kReadBytes);
      buffer.resize(had + static_cast<size_t>(n > 0 ? n : 0));
      if (n > 0) co_return Status();
      if (n == kEndOfStream) co_return Status::unavailable("unexpected EOF");
      if (n == kFailed) co_return Status::unavailable("read: " + t->error());
      TRY_CO(t->wait_readable(ctx));
    }
  }

  // Sends the request and reads the head of the answer (interim answers but 101 are skipped).
  Task<Status> exchange(Context ctx, const Request* r, std::string head, http1::Head* out) {
    std::vector<iovec> parts = {{head.data(), head.size()}};
    if (!r->body.empty()) parts.push_back({const_cast<char*>(r->body.data()), r->body.size()});
    Status written = co_await write_all(t.get(), &ctx, std::move(parts));
    // A server that refuses a large body answers before it has read it all.
    for (;;) {
      size_t n = 0;
      *out = http1::Head{};
      http1::Parse p =
          buffer.empty() ? http1::Parse::kMore : http1::parse_head(buffer, false, out, &n);
      if (p == http1::Parse::kBad || buffer.size() > kMaxHeadBytes) {
        co_return Status(Reason::kOutcomeUnknown, "malformed HTTP response");
      }
      if (p == http1::Parse::kDone) {
        buffer.erase(0, n);
        if (out->status >= 200 || out->status == 101) co_return Status();
        continue;
      }
      Status s = co_await fill(&ctx);
      if (s.ok()) continue;
      if (!written.ok()) co_return written;
      if (s.is(Reason::kUnavailable)) co_return Status(Reason::kOutcomeUnknown, s.message());
      co_return s;
    }
  }
};

struct Pool;

class Http1Stream final : public ResponseStream {
 public:
  Http1Stream(std::shared_ptr<Pool> pool, std::unique_ptr<Http1Client> c, http1::Head head,
              http1::Framing framing)
      : pool_(std::move(pool)), c_(std::move(c)), head_(std::move(head)), body_(framing) {
    release_when_done();
  }
  int status() const override { return head_.status; }
  const Headers& headers() const override { return head_.headers; }
  Task<Result<std::string>> read(Context ctx) override {
    std::string piece;
    while (piece.empty() && !body_.done()) {
      c_->buffer.erase(0, body_.feed(c_->buffer, &piece, SIZE_MAX));
      if (body_.bad()) co_return Status::unavailable("malformed chunked body");
      if (!piece.empty() || body_.done()) break;
      Status s = co_await c_->fill(&ctx);
      if (!s.ok()) {
        if (body_.to_end() && s.message() == "unexpected EOF") co_return piece;
        co_return s;
      }
    }
    release_when_done();
    co_return piece;
  }

 private:
  void release_when_done();
  std::shared_ptr<Pool> pool_;
  std::unique_ptr<Http1Client> c_;
  http1::Head head_;
  http1::BodyReader body_;
};

class Http2Stream final : public ResponseStream {
 public:
  Http2Stream(std::shared_ptr<Http2Client> c, std::shared_ptr<Http2ClientStream> s)
      : client_(std::move(c)), stream_(std::move(s)) {}
  int status() const override { return stream_->status(); }
  const Headers& headers() const override { return stream_->headers(); }
  Task<Result<std::string>> read(Context ctx) override {
    auto s = stream_;
    co_return co_await s->read(ctx);
  }

 private:
  std::shared_ptr<Http2Client> client_;  // before stream_: the stream goes first
  std::shared_ptr<Http2ClientStream> stream_;
};

struct Pool : std::enable_shared_from_this<Pool> {
  Pool(Loop& l, Endpoint e) : loop(l), endpoint(std::move(e)), dialing(1) {}
  Loop& loop;
  Endpoint endpoint;
  bool closed = false;
  bool http1_only = false;  // learned from the first handshake
  std::shared_ptr<TlsContext> tls, tls_http1;
  std::list<std::unique_ptr<Http1Client>> idle;
  std::vector<std::shared_ptr<Http2Client>> http2;
  Semaphore dialing;  // one HTTP/2 dial at a time: the others then share its connection

  void release(std::unique_ptr<Http1Client> c) {
    if (closed || c->t->closed() || idle.size() >= kMaxIdle) return;
    c->used = true;
    c->buffer.shrink_to_fit();
    idle.push_back(std::move(c));
  }

  std::unique_ptr<Http1Client> take_idle() {
    while (!idle.empty()) {
      std::unique_ptr<Http1Client> c = std::move(idle.back());
      idle.pop_back();
      char probe;
      // Anything but silence means that the server has given the connection up.
      if (c->t->try_read(&probe, 1) == kWouldBlock) return c;
    }
    return nullptr;
  }

  std::shared_ptr<Http2Client> take_http2() {
    std::erase_if(http2, [](const auto& c) { return !c->usable() && c->open_streams() == 0; });
    for (const auto& c : http2) {
      if (c->usable()) return c;
    }
    return nullptr;
  }

  Task<Result<TlsConnection>> connect(Context ctx, bool want_http2) {
    auto self = shared_from_this();
    if (closed) co_return Status::unavailable("client closed");
    Context limit = ctx.with_timeout(30s);
    if (endpoint.dial) co_return co_await endpoint.dial(limit);
    auto fd = co_await connect_socket(limit, endpoint.host, endpoint.port, -1);
    if (!fd.ok()) co_return fd.status();
    if (!endpoint.tls) {
      TlsConnection plain;
      plain.transport = plain_transport(std::move(*fd));
      co_return plain;
    }
    std::shared_ptr<TlsContext>& slot = want_http2 ? tls : tls_http1;
    if (!slot) {
      auto made = client_tls(*endpoint.tls, want_http2);
      if (!made.ok()) co_return made.status();
      slot = std::move(*made);
    }
    std::string name =
        endpoint.tls->server_name.empty() ? endpoint.host : endpoint.tls->server_name;
    co_return co_await tls_handshake(std::move(*fd), slot, false, name, &limit);
  }

  // A connection for one request: HTTP/2 (shared) or HTTP/1.1 (its own). `fresh`: not a used one.
  struct Taken {
    std::shared_ptr<Http2Client> http2;
    std::unique_ptr<Http1Client> http1;
  };
  Task<Result<Taken>> take(Context ctx, bool fresh) {
    auto self = shared_from_this();
    Taken out;
    if (!fresh && !buggify(loop, "http.new_connection", 0.02)) {
      out.http2 = take_http2();
      if (out.http2) co_return std::move(out);
      out.http1 = take_idle();
      if (out.http1) co_return std::move(out);
    }
    const bool negotiates = endpoint.tls.has_value() || endpoint.dial != nullptr;
    bool maybe_http2 = negotiates && !http1_only;
    if (maybe_http2) {
      TRY_CO(dialing.acquire(ctx));
      out.http2 = take_http2();
      if (out.http2 || http1_only) dialing.release();
      if (out.http2) co_return std::move(out);
      maybe_http2 = !http1_only;
    }
    auto up = co_await connect(ctx, true);
    if (up.ok() && up->info.http2 && http2.size() < kMaxConnections) {
      out.http2 = Http2Client::create(loop, std::move(up->transport));
      out.http2->keep_alive(30s, 15s);
      http2.push_back(out.http2);
    } else if (up.ok()) {
      http1_only = negotiates;
      out.http1 = std::make_unique<Http1Client>(std::move(up->transport));
    }
    if (maybe_http2) dialing.release();
    if (!up.ok()) co_return up.status();
    co_return std::move(out);
  }
};

void Http1Stream::release_when_done() {
  if (!body_.done() || !c_ || !head_.keep_alive()) return;
  if (c_->buffer.empty()) pool_->release(std::move(c_));
  c_.reset();
}

class ClientImpl final : public HttpClient {
 public:
  ClientImpl(Loop& loop, Endpoint endpoint)
      : pool_(std::make_shared<Pool>(loop, std::move(endpoint))) {}
  ~ClientImpl() override { close(); }

  Task<Result<std::unique_ptr<ResponseStream>>> open(Context ctx, Request request) override {
    if (Status bad = check(request); !bad.ok()) co_return bad;
    std::shared_ptr<Pool> pool = pool_;
    auto r = std::make_unique<Request>(std::move(request));
    if (!r->headers.get("host")) r->headers.add("Host", host_of(pool->endpoint));
    Status last;
    for (int attempt = 0; attempt < 3; ++attempt) {
      auto taken = co_await pool->take(ctx, attempt > 1);
      if (!taken.ok()) co_return taken.status();
      bool reused =
          taken->http2 ? taken->http2->open_streams() > 0 || attempt == 0 : taken->http1->used;
      std::unique_ptr<ResponseStream> out;
      if (taken->http2) {
        last = co_await over_http2(ctx, pool.get(), taken->http2, r.get(), &out);
      } else {
        last = co_await over_http1(ctx, pool, std::move(taken->http1), r.get(), &out);
      }
      if (last.ok()) co_return std::move(out);
      // A connection that was kept may have been closed by the peer just as we used it.
      bool safe = r->method == "GET" || r->method == "HEAD";
      bool again = last.is(Reason::kUnavailable) || (safe && last.is(Reason::kOutcomeUnknown));
      if (!reused || !again || ctx.done()) break;
    }
    co_return last;
  }

  Task<Result<Response>> send(Context ctx, Request request, size_t max_body) override {
    auto opened = co_await open(ctx, std::move(request));
    if (!opened.ok()) co_return opened.status();
    std::unique_ptr<ResponseStream> stream = std::move(*opened);
    Response out;
    out.status = stream->status();
    out.headers = stream->headers();
    for (;;) {
      auto piece = co_await stream->read(ctx);
      if (!piece.ok()) {
        if (piece.status().is(Reason::kUnavailable)) {
          co_return Status(Reason::kOutcomeUnknown, piece.status().message());
        }
        co_return piece.status();
      }
      if (piece->empty()) co_return std::move(out);
      if (out.body.size() + piece->size() > max_body) {
        co_return Status(Reason::kOutcomeUnknown,
                         "the response is larger than " + std::to_string(max_body) + " bytes");
      }
      if (out.body.empty()) {
        out.body = std::move(*piece);
      } else {
        out.body += *piece;
      }
    }
  }

  Task<Result<Upgraded>> upgrade(Context ctx, Request request) override {
    if (Status bad = check(request); !bad.ok()) co_return bad;
    std::shared_ptr<Pool> pool = pool_;
    auto r = std::make_unique<Request>(std::move(request));
    auto up = co_await pool->connect(ctx, false);
    if (!up.ok()) co_return up.status();
    Http1Client c(std::move(up->transport));
    http1::Head head;
    TRY_CO(c.exchange(ctx, r.get(), request_head(*r, pool->endpoint), &head));
    Upgraded out;
    out.status = head.status;
    http1::Framing framing;
    bool framed = http1::response_framing(head, r->method, &framing);
    out.headers = std::move(head.headers);
    if (out.status == 101) {
      out.stream = byte_stream_over(std::move(c.t), std::move(c.buffer));
      co_return std::move(out);
    }
    http1::BodyReader body(framing);
    constexpr size_t kMax = 1 << 20;
    while (framed && !body.done() && !body.bad() && out.body.size() < kMax) {
      c.buffer.erase(0, body.feed(c.buffer, &out.body, kMax - out.body.size()));
      if (body.done() || body.bad()) break;
      Status s = co_await c.fill(&ctx);
      if (!s.ok()) break;
    }
    co_return std::move(out);
  }

  Task<Result<std::unique_ptr<WebSocket>>> websocket(
      Context ctx, Request request, std::vector<std::string> subprotocols) override {
    Loop& loop = pool_->loop;
    std::string key = base64_encode(random_bytes(16));
    request.method = "GET";
    request.headers.set("Connection", "Upgrade");
    request.headers.set("Upgrade", "websocket");
    request.headers.set("Sec-WebSocket-Version", "13");
    request.headers.set("Sec-WebSocket-Key", key);
    std::string offer;
    for (const std::string& p : subprotocols) offer += (offer.empty() ? "" : ", ") + p;
    if (!offer.empty()) request.headers.set("Sec-WebSocket-Protocol", offer);
    auto up = co_await upgrade(ctx, std::move(request));
    if (!up.ok()) co_return up.status();
    if (up->status != 101) {
      co_return Status(reason_from("", up->status),
                       "websocket: bad handshake: " + std::to_string(up->status) + " " + up->body,
                       {}, up->status);
    }
    if (up->headers.get("sec-websocket-accept").value_or("") != ws::accept_key(key)) {
      co_return Status::unavailable("websocket: bad handshake: wrong Sec-WebSocket-Accept");
    }
    std::string chosen(up->headers.get("sec-websocket-protocol").value_or(""));
    co_return websocket_over(loop, std::move(up->stream), std::move(chosen), false);
  }

  void close() override {
    pool_->closed = true;
    pool_->idle.clear();
    auto all = std::move(pool_->http2);
    pool_->http2.clear();
    for (auto& c : all) c->close(Status::cancelled("client closed"));
  }

 private:
  static Task<Status> over_http2(Context ctx, Pool* pool, std::shared_ptr<Http2Client> c,
                                 const Request* r, std::unique_ptr<ResponseStream>* out) {
    auto opened = c->open(*r, pool->endpoint.tls.has_value());
    if (!opened.ok()) co_return opened.status();
    std::shared_ptr<Http2ClientStream> s = std::move(*opened);
    Status head = co_await s->wait_head(ctx);
    if (head.ok()) *out = std::make_unique<Http2Stream>(std::move(c), std::move(s));
    co_return head;
  }

  static Task<Status> over_http1(Context ctx, std::shared_ptr<Pool> pool,
                                 std::unique_ptr<Http1Client> c, const Request* r,
                                 std::unique_ptr<ResponseStream>* out) {
    http1::Head head;
    TRY_CO(c->exchange(ctx, r, request_head(*r, pool->endpoint), &head));
    http1::Framing framing;
    if (!http1::response_framing(head, r->method, &framing)) {
      co_return Status(Reason::kOutcomeUnknown, "malformed HTTP response");
    }
    *out = std::make_unique<Http1Stream>(pool, std::move(c), std::move(head), framing);
    co_return Status();
  }

  std::shared_ptr<Pool> pool_;
};

}  // namespace

std::string encode_target(std::string_view target) {
  return percent_encode(target, "!\"$%&'()*+,/:;<=>?@[\\]^`{|}");  // all that can be seen, but '#'
}

std::unique_ptr<HttpClient> HttpClient::create(Loop& loop, Endpoint endpoint) {
  return std::make_unique<ClientImpl>(loop, std::move(endpoint));
}

}  // namespace keles::net
