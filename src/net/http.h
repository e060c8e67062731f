// HTTP: what servers and clients above net/ see. HTTP/1.1 and HTTP/2 (by ALPN) look alike here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "net/stream.h"

namespace keles::net {

// Field names compare without case; order is kept; HTTP/2 sends them in lower case.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> init) : fields_(init) {}
  void reserve(size_t fields) { fields_.reserve(fields); }
  void add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  void set(std::string name, std::string value);
  void erase(std::string_view name);
  std::optional<std::string_view> get(std::string_view name) const;  // the first
  std::vector<std::string_view> get_all(std::string_view name) const;
  // Whether a comma-separated field holds `token`, without case.
  bool has_token(std::string_view name, std::string_view token) const;
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// The verified client certificate of a connection.
struct PeerCertificate {
  std::string common_name;
  std::vector<std::string> organizations;
  std::string fingerprint_sha256;  // hex, lower case
  int64_t not_after_unix = 0;      // 0: not told
};

struct Request {
  // Not an aggregate on purpose: GCC 12 destroys an aggregate's members twice when it is written
  // out (Request{.method = ...}) inside an awaited expression. The same holds for every struct.
  Request() = default;
  Request(std::string method, std::string path, std::string query = "", std::string body = "")
      : method(std::move(method)),
        path(std::move(path)),
        query(std::move(query)),
        body(std::move(body)) {}

  std::string method;  // "GET"
  std::string path;    // still percent-encoded, without the query
  std::string query;   // without '?'
  Headers headers;
  // Whole, bounded by ServerOptions::max_body_bytes; with bodies_on_demand empty until the handler
  // has asked for it (Responder::receive_body).
  std::string body;
  bool body_too_large = false;                  // body then holds nothing: answer 413
  std::string remote_address;                   // "10.0.0.1:34567"
  std::shared_ptr<const PeerCertificate> peer;  // null: none was sent, or it did not verify
  std::string
      tls_error;  // why a client certificate that was sent did not verify ("" = none sent or fine)
  bool http2 = false;
  // Where the handler may keep what it has worked out for this connection, to find it again at the
  // connection's next request: null at first. There is no such place for a request that came over
  // none.
  std::shared_ptr<const void>* connection_memo = nullptr;
};

// One part. (GCC 12 refuses a braced list inside an expression that is awaited: name it first.)
inline std::vector<SharedBytes> as_body(std::string text) {
  std::vector<SharedBytes> parts;
  parts.push_back(std::make_shared<const std::string>(std::move(text)));
  return parts;
}

// A bidirectional message stream: a websocket, or another upgraded connection.
class WebSocket {
 public:
  struct Message {
    Message() = default;
    Message(bool binary, std::string data) : binary(binary), data(std::move(data)) {}
    bool binary = true;
    std::string data;
  };
  virtual ~WebSocket() = default;
  virtual const std::string& subprotocol() const = 0;
  // kCancelled when the peer closed in good order.
  virtual Task<Result<Message>> receive(Context ctx) = 0;
  virtual Task<Status> send(Context ctx, Message m) = 0;  // waits for room: back pressure
  virtual Task<Status> close(Context ctx, uint16_t code, std::string reason) = 0;
  // Ends the connection at once: a waiting receive() or send() fails.
  virtual void abort() = 0;
};

// Answers one request. Exactly one of respond / begin / accept_websocket / accept_upgrade is called
// first. A WebSocket or ByteStream that was accepted is used and destroyed before the handler ends.
//
// What is held for a peer counts against the server's budgets (ServerOptions): respond(), write()
// and receive_body() wait for room, and a peer that takes nothing for stall_timeout is cut off.
class Responder {
 public:
  virtual ~Responder() = default;
  // With ServerOptions::bodies_on_demand: reads the request's body into Request::body. kTimeout or
  // kCancelled when ctx ends first, kRequestEntityTooLarge when it is too long (body_too_large is
  // then set), kBadRequest when its framing is broken. A body that nobody asked for is not kept.
  virtual Task<Status> receive_body(Context ctx) = 0;
  // The other way to a body on demand, piece by piece, also while the answer is being written: what
  // has come since the last call, "" at its end. The peer may send a window more than was taken.
  // HTTP/2 only.
  virtual Task<Result<std::string>> receive_some(Context ctx);
  // Waits until `bytes` more may be held for this answer; to be asked before they are made.
  virtual Task<Status> reserve(Context ctx, size_t bytes) = 0;
  // Whole answer; the parts are written without being joined or copied. Content-Length is set.
  virtual Task<Status> respond(int status, Headers headers, std::vector<SharedBytes> body) = 0;
  // Streamed answer (chunked, or HTTP/2 data frames). write() waits for room (back pressure) and
  // fails once the client has gone.
  virtual Task<Status> begin(int status, Headers headers) = 0;
  virtual Task<Status> write(std::vector<SharedBytes> parts) = 0;
  virtual Task<Status> finish() = 0;
  // As finish(), with fields after the body. HTTP/2 only.
  virtual Task<Status> finish_with(Headers trailers);
  // Negotiates (HTTP/1.1 Upgrade) the first of `subprotocols` that the client offers.
  virtual Task<Result<std::unique_ptr<WebSocket>>> accept_websocket(
      std::vector<std::string> subprotocols) = 0;
  // Answers 101 with "Upgrade: protocol" and `headers`; from then on the connection is the
  // caller's, byte for byte. HTTP/1.1 only.
  virtual Task<Result<std::unique_ptr<ByteStream>>> accept_upgrade(std::string protocol,
                                                                   Headers headers) = 0;
};

// `ctx` ends when the client goes away or the server stops. The request outlives the call.
using Handler = std::function<Task<void>(Context ctx, Request* request, Responder* responder)>;

struct TlsIdentity {
  std::string certificate_pem;  // chain, leaf first
  std::string key_pem;
};

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;               // 0: any free one
  std::optional<TlsIdentity> tls;  // none: plain HTTP/1.1
  bool http2_cleartext = false;    // without TLS: HTTP/2, too, of clients that begin with it
  // Takes heads of HTTP/2 that RFC 9113, 8.2 and 8.3 forbid: some gRPC clients send a whole URL as
  // :authority. Only for who passes no request on.
  bool lenient_heads = false;
  std::string client_ca_pem;  // when set, client certificates are asked for (never required)
  size_t max_body_bytes = 3 * 1024 * 1024;
  size_t max_header_bytes = 1024 * 1024;
  size_t max_connections = 10'000;
  Duration header_timeout = 32s;
  Duration idle_timeout = 180s;
  Duration stall_timeout = 60s;  // how long a peer may leave what waits for it untouched
  // Handlers start when the head is there, and read the body themselves.
  bool bodies_on_demand = false;
  uint32_t max_streams = 100;  // at once on an HTTP/2 connection
  // Bytes of answers and bodies that are held at once. A single piece may exceed them alone.
  size_t connection_budget = 16u << 20;
  size_t total_budget = 256u << 20;
};

// Listens at once; serves each connection on one of `loops`, round robin. Stops when stop() is
// awaited.
class Server {
 public:
  static Result<std::unique_ptr<Server>> start(std::vector<Loop*> loops, ServerOptions options,
                                               Handler handler);
  virtual ~Server() = default;
  virtual uint16_t port() const = 0;
  // No new connections or requests; running handlers see their context end; waits for them.
  virtual Task<void> stop(Context ctx) = 0;
  virtual void set_identity(TlsIdentity identity) = 0;  // for certificate rotation
  virtual size_t bytes_in_flight() const = 0;           // of total_budget. Any thread
};

// --- client ---

struct ClientTls {
  std::string ca_pem;  // "" with insecure = true skips verification
  bool insecure = false;
  std::optional<TlsIdentity> identity;
  std::string server_name;  // "" = the host of the endpoint
  // When set, the peer's certificate must name this subject (its common name) besides: which of
  // the cluster's servers it is, not only that it is one of them.
  std::string common_name;
};

struct TlsConnection;  // transport.h

struct Endpoint {
  std::string host;  // name or address; or "unix:/path"
  uint16_t port = 0;
  std::optional<ClientTls> tls;
  // When set, connections come from here, with what was agreed on them, and `tls` is not looked at:
  // the simulator's network.
  std::function<Task<Result<TlsConnection>>(Context)> dial;
};

struct Response {
  int status = 0;
  Headers headers;
  std::string body;
};

class ResponseStream {
 public:
  virtual ~ResponseStream() = default;  // gives up the rest
  virtual int status() const = 0;
  virtual const Headers& headers() const = 0;
  // The next piece of the body; empty string at its end.
  virtual Task<Result<std::string>> read(Context ctx) = 0;
};

// The answer to a request that asked for an upgrade: `stream` when status is 101, else `body`.
struct Upgraded {
  int status = 0;
  Headers headers;
  std::string body;  // at most 1 MiB
  std::unique_ptr<ByteStream> stream;
};

// Puts what may not stand in a request's target (blanks, control characters, bytes beyond ASCII)
// into percent-encoding and leaves the rest as it is: for paths that come from users' objects.
std::string encode_target(std::string_view target);

// A pool of connections to one endpoint, on one loop; HTTP/2 when the peer agrees, else HTTP/1.1.
//
// A request whose method, target or fields could be read as more than one request, or as another
// one (CR, LF, NUL, blanks, a '?' inside the path), is never sent: kBadRequest.
class HttpClient {
 public:
  static std::unique_ptr<HttpClient> create(Loop& loop, Endpoint endpoint);
  virtual ~HttpClient() = default;
  // Sends and reads the whole answer (at most max_body bytes). kUnavailable: nothing was sent;
  // kOutcomeUnknown: it was sent and the connection was lost before the answer.
  virtual Task<Result<Response>> send(Context ctx, Request request,
                                      size_t max_body = 256u << 20) = 0;
  // Returns once the headers are there.
  virtual Task<Result<std::unique_ptr<ResponseStream>>> open(Context ctx, Request request) = 0;
  virtual Task<Result<std::unique_ptr<WebSocket>>> websocket(
      Context ctx, Request request, std::vector<std::string> subprotocols) = 0;
  // Sends `request` (which carries its own Connection, Upgrade and other fields) over a connection
  // of its own.
  virtual Task<Result<Upgraded>> upgrade(Context ctx, Request request) = 0;
  virtual void close() = 0;
};

// The WebSocket over an already upgraded connection, for those who do the handshake themselves.
std::unique_ptr<WebSocket> websocket_over(Loop& loop, std::unique_ptr<ByteStream> bytes,
                                          std::string subprotocol, bool server,
                                          size_t max_message = 32u << 20);
// A byte stream whose pieces travel as binary messages (port-forward's SPDY inside a websocket).
std::unique_ptr<ByteStream> bytes_over_websocket(std::unique_ptr<WebSocket> socket);

}  // namespace keles::net
