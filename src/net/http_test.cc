// Servers and clients over real sockets, on real loops.
#include "net/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/process.h"
#include "base/sync.h"
#include "net/pki.h"
#include "net/server_on.h"

namespace keles::net {
namespace {

SharedBytes bytes(std::string s) { return std::make_shared<const std::string>(std::move(s)); }

struct Seen {
  int cancelled = 0;
};

Task<void> streaming(Context ctx, Responder* r, Seen* seen) {
  Headers headers{{"Content-Type", "text/plain"}};
  (void)co_await r->begin(200, headers);
  for (int i = 0;; ++i) {
    Status s = co_await r->write(as_body("tick " + std::to_string(i) + "\n"));
    if (!s.ok()) break;
    s = co_await ctx.sleep(5ms);
    if (!s.ok()) break;
  }
  ++seen->cancelled;
}

Task<void> websocket_echo(Context ctx, Responder* r) {
  std::vector<std::string> mine = {"v5.channel.k8s.io", "v4.channel.k8s.io"};
  auto ws = co_await r->accept_websocket(mine);
  if (!ws.ok()) {
    (void)co_await r->respond(400, Headers(), as_body(ws.status().message()));
    co_return;
  }
  for (;;) {
    auto m = co_await (*ws)->receive(ctx);
    if (!m.ok()) break;
    Status s = co_await (*ws)->send(ctx, std::move(*m));
    if (!s.ok()) break;
  }
}

Task<void> raw_echo(Context ctx, Responder* r) {
  Headers extra{{"X-Stream-Protocol-Version", "v4"}};
  auto stream = co_await r->accept_upgrade("SPDY/3.1", extra);
  if (!stream.ok()) {
    (void)co_await r->respond(400, Headers(), as_body(stream.status().message()));
    co_return;
  }
  for (;;) {
    auto piece = co_await (*stream)->read(ctx);
    if (!piece.ok() || piece->empty()) break;
    Status s = co_await (*stream)->write(ctx, "echo:" + *piece);
    if (!s.ok()) break;
  }
}

Task<void> handle(Context ctx, Request* q, Responder* r, Seen* seen) {
  Status received = co_await r->receive_body(ctx);  // there already, unless on demand
  if (!received.ok() && !q->body_too_large) co_return;
  if (q->path == "/stream") {
    co_await streaming(ctx, r, seen);
  } else if (q->path == "/ws") {
    co_await websocket_echo(ctx, r);
  } else if (q->path == "/raw") {
    co_await raw_echo(ctx, r);
  } else if (q->path == "/big") {
    (void)co_await r->begin(200, Headers());
    SharedBytes part = bytes(std::string(100'000, 'x'));
    std::vector<SharedBytes> twice = {part, part};
    for (int i = 0; i < 100; ++i) {
      Status s = co_await r->write(twice);
      if (!s.ok()) co_return;
    }
    (void)co_await r->finish();
  } else if (q->path == "/slow") {
    (void)co_await ctx.sleep(50ms);
    (void)co_await r->respond(200, Headers(), as_body("slow"));
  } else if (q->path == "/half") {
    (void)co_await r->begin(200, Headers());
    (void)co_await r->write(as_body("half"));
  } else if (q->body_too_large) {
    (void)co_await r->respond(413, Headers(), as_body("too large"));
  } else {
    std::string who = q->peer ? q->peer->common_name : "-";
    Headers headers{{"X-Method", q->method}, {"X-Peer", who}, {"X-Tls-Error", q->tls_error}};
    std::vector<SharedBytes> body = {bytes(q->path), bytes("?"), bytes(q->query), bytes("|"),
                                     bytes(q->body)};
    (void)co_await r->respond(200, headers, body);
  }
}

struct Net : testing::Test {
  Net() : loop_(make_real_loop()) {
    WallTime now = loop_->wall_now();
    CertificateSpec ca{.common_name = "ca", .not_before = now - 1h, .not_after = now + 24h};
    ca_ = *make_ca(ca);
    CertificateSpec leaf{.common_name = "server",
                         .dns_names = {"localhost"},
                         .ip_addresses = {"127.0.0.1"},
                         .server = true,
                         .not_before = now - 1h,
                         .not_after = now + 24h};
    server_id_ = *issue_certificate(ca_, leaf);
    CertificateSpec jane{.common_name = "jane",
                         .organizations = {"dev", "ops"},
                         .client = true,
                         .not_before = now - 1h,
                         .not_after = now + 1h};
    client_id_ = *issue_certificate(ca_, jane);
    jane.not_after = now - 1min;
    expired_id_ = *issue_certificate(ca_, jane);
  }

  // Runs `test` on the loop to its end, then stops the server.
  void run(bool tls, Task<void> (*test)(Net* net, Context ctx), ServerOptions options = {}) {
    if (tls) {
      options.tls = server_id_;
      options.client_ca_pem = ca_.certificate_pem;
    }
    auto server = Server::start({loop_.get()}, options,
                                [this](Context ctx, Request* q, Responder* r) -> Task<void> {
                                  return handle(ctx, q, r, &seen_);
                                });
    ASSERT_TRUE(server.ok()) << server.status().to_string();
    server_ = std::move(*server);
    tls_ = tls;
    spawn(*loop_, body(this, test));
    loop_->run();
    server_.reset();
  }
  static Task<void> body(Net* net, Task<void> (*test)(Net* net, Context ctx)) {
    Context root = Context::root(*net->loop_);
    co_await test(net, root.with_timeout(20s));
    co_await net->server_->stop(root);
    net->loop_->stop();
  }

  std::unique_ptr<HttpClient> client(std::optional<TlsIdentity> id = std::nullopt) {
    Endpoint e{.host = "127.0.0.1", .port = server_->port()};
    if (tls_) e.tls = ClientTls{.ca_pem = ca_.certificate_pem, .identity = id};
    return HttpClient::create(*loop_, e);
  }

  std::unique_ptr<RealLoop> loop_;
  TlsIdentity ca_, server_id_, client_id_, expired_id_;
  std::unique_ptr<Server> server_;
  bool tls_ = false;
  Seen seen_;

  static Task<void> basics(Net* net, Context ctx);
  static Task<void> streams(Net* net, Context ctx);
  static Task<void> many(Net* net, Context ctx);
  static Task<void> certificates(Net* net, Context ctx);
  static Task<void> exchanged(Net* net, Context ctx);
  static Task<void> websockets(Net* net, Context ctx);
  static Task<void> upgrades(Net* net, Context ctx);
  static Task<void> one_request(Net* net, Context ctx);
  static Task<void> too_large(Net* net, Context ctx);
  static Task<void> curl(Net* net, Context ctx);
  static Task<void> curl_too_large(Net* net, Context ctx);
  static Task<void> raw(Net* net, Context ctx);
  static Task<void> one(Net* net, HttpClient* c, Context ctx, int i, int* good);
};

Task<void> Net::basics(Net* net, Context ctx) {
  auto c = net->client();
  for (int i = 0; i < 5; ++i) {
    auto r = co_await c->send(ctx, Request("POST", "/a/b", "x=1", "hello"));
    EXPECT_TRUE(r.ok()) << r.status().to_string();
    if (!r.ok()) co_return;
    EXPECT_EQ(r->status, 200);
    EXPECT_EQ(r->body, "/a/b?x=1|hello");
    EXPECT_EQ(r->headers.get("x-method"), "POST");
    EXPECT_EQ(r->headers.get("Content-Length"), "14");
  }
  auto head = co_await c->send(ctx, Request("HEAD", "/h"));
  EXPECT_TRUE(head.ok());
  EXPECT_EQ(head->body, "");
  EXPECT_EQ(head->headers.get("content-length"), "4");
  auto again = co_await c->send(ctx, Request("GET", "/g"));
  EXPECT_EQ(again->body, "/g?|");
  auto big = co_await c->send(ctx, Request("GET", "/big"));
  EXPECT_TRUE(big.ok()) << big.status().to_string();
  EXPECT_EQ(big->body.size(), 20'000'000u);
  auto half = co_await c->send(ctx, Request("GET", "/half"));
  EXPECT_FALSE(half.ok());
  auto slow = co_await c->send(ctx.with_timeout(10ms), Request("GET", "/slow"));
  EXPECT_TRUE(slow.status().is(Reason::kTimeout)) << slow.status().to_string();
}
TEST_F(Net, BasicsPlain) { run(false, basics); }
TEST_F(Net, BasicsTls) { run(true, basics); }

Task<void> Net::streams(Net* net, Context ctx) {
  auto c = net->client();
  {
    auto s = co_await c->open(ctx, Request("GET", "/stream"));
    EXPECT_TRUE(s.ok());
    std::string text;
    while (text.find("tick 3\n") == text.npos) {
      auto piece = co_await (*s)->read(ctx);
      EXPECT_TRUE(piece.ok() && !piece->empty());
      if (!piece.ok() || piece->empty()) co_return;
      text += *piece;
    }
    EXPECT_EQ(text.rfind("tick 0\ntick 1\n", 0), 0u);
  }
  // Dropped: the handler's context ends.
  for (int i = 0; i < 200 && net->seen_.cancelled == 0; ++i) (void)co_await ctx.sleep(5ms);
  EXPECT_EQ(net->seen_.cancelled, 1);
}
TEST_F(Net, StreamsPlain) { run(false, streams); }
TEST_F(Net, StreamsTls) { run(true, streams); }

Task<void> Net::one(Net*, HttpClient* c, Context ctx, int i, int* good) {
  std::string body(static_cast<size_t>(i) * 100, 'b');
  auto r = co_await c->send(ctx, Request("PUT", "/" + std::to_string(i), "", body));
  if (r.ok() && r->body == "/" + std::to_string(i) + "?|" + body) ++*good;
}
Task<void> Net::many(Net* net, Context ctx) {
  auto c = net->client();
  int good = 0;
  TaskGroup group(*net->loop_);
  for (int i = 0; i < 300; ++i) group.spawn(one(net, c.get(), ctx, i, &good));
  co_await group.join();
  EXPECT_EQ(good, 300);
}
TEST_F(Net, ManyPlain) { run(false, many); }
TEST_F(Net, ManyTls) { run(true, many); }

Task<void> Net::certificates(Net* net, Context ctx) {
  auto jane = net->client(net->client_id_);
  auto r = co_await jane->send(ctx, Request("GET", "/"));
  EXPECT_TRUE(r.ok()) << r.status().to_string();
  EXPECT_EQ(r->headers.get("x-peer"), "jane");
  EXPECT_EQ(r->headers.get("x-tls-error"), "");
  auto expired = net->client(net->expired_id_);
  r = co_await expired->send(ctx, Request("GET", "/"));
  EXPECT_TRUE(r.ok()) << r.status().to_string();
  EXPECT_EQ(r->headers.get("x-peer"), "-");
  EXPECT_EQ(r->headers.get("x-tls-error"), "x509: certificate has expired or is not yet valid");
  WallTime now = net->loop_->wall_now();
  auto other = *make_ca(
      CertificateSpec{.common_name = "other", .not_before = now - 1h, .not_after = now + 1h});
  auto stranger = *issue_certificate(
      other,
      CertificateSpec{
          .common_name = "jane", .client = true, .not_before = now - 1h, .not_after = now + 1h});
  auto c = net->client(stranger);
  r = co_await c->send(ctx, Request("GET", "/"));
  EXPECT_TRUE(r.ok()) << r.status().to_string();
  EXPECT_EQ(r->headers.get("x-tls-error"), "x509: certificate signed by unknown authority");
  // A server that we do not trust.
  Endpoint e{.host = "127.0.0.1", .port = net->server_->port()};
  e.tls = ClientTls{.ca_pem = other.certificate_pem};
  auto distrust = HttpClient::create(*net->loop_, e);
  r = co_await distrust->send(ctx, Request("GET", "/"));
  EXPECT_EQ(r.status().message(),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority");
}
TEST_F(Net, Certificates) { run(true, certificates); }

// The CA of clients, and what is served with, are exchanged while connections go on.
Task<void> Net::exchanged(Net* net, Context ctx) {
  auto before = net->client(net->client_id_);
  auto r = co_await before->send(ctx, Request("GET", "/"));
  EXPECT_TRUE(r.ok()) << r.status().to_string();
  if (!r.ok()) co_return;
  CertificateSpec spec;
  spec.common_name = "ca";
  spec.not_before = net->loop_->wall_now() - 1h;
  spec.not_after = net->loop_->wall_now() + 1h;
  const TlsIdentity next = *make_ca(spec);
  spec.common_name = "joe";
  spec.client = true;
  const TlsIdentity joe = *issue_certificate(next, spec);
  EXPECT_FALSE(exchange_tls(*net->server_, net->server_id_, "no certificate").ok());
  Status s =
      exchange_tls(*net->server_, net->server_id_, next.certificate_pem + net->ca_.certificate_pem);
  EXPECT_TRUE(s.ok()) << s.to_string();
  std::vector<TlsIdentity> both;
  both.push_back(net->client_id_);
  both.push_back(joe);
  for (const TlsIdentity& who : both) {
    auto c = net->client(who);
    r = co_await c->send(ctx, Request("GET", "/"));
    EXPECT_TRUE(r.ok()) << r.status().to_string();
    if (!r.ok()) co_return;
    EXPECT_EQ(r->headers.get("x-tls-error"), "");
  }
  s = exchange_tls(*net->server_, net->server_id_, next.certificate_pem);
  EXPECT_TRUE(s.ok()) << s.to_string();
  auto after = net->client(net->client_id_);
  r = co_await after->send(ctx, Request("GET", "/"));
  EXPECT_TRUE(r.ok()) << r.status().to_string();
  if (!r.ok()) co_return;
  EXPECT_EQ(r->headers.get("x-peer"), "-");
  r = co_await before->send(ctx, Request("GET", "/"));
  EXPECT_TRUE(r.ok()) << r.status().to_string();
  if (!r.ok()) co_return;
  EXPECT_EQ(r->headers.get("x-peer"), "jane");
  // Another certificate leaves the clients' CA as it was exchanged.
  net->server_->set_identity(net->server_id_);
  auto then = net->client(joe);
  r = co_await then->send(ctx, Request("GET", "/"));
  EXPECT_TRUE(r.ok()) << r.status().to_string();
  if (!r.ok()) co_return;
  EXPECT_EQ(r->headers.get("x-peer"), "joe");
}
TEST_F(Net, Exchanged) { run(true, exchanged); }

Task<void> Net::websockets(Net* net, Context ctx) {
  auto c = net->client();
  std::vector<std::string> offered = {"v9.unknown", "v4.channel.k8s.io", "v5.channel.k8s.io"};
  auto ws = co_await c->websocket(ctx, Request("GET", "/ws", "", ""), offered);
  EXPECT_TRUE(ws.ok()) << ws.status().to_string();
  if (!ws.ok()) co_return;
  EXPECT_EQ((*ws)->subprotocol(), "v5.channel.k8s.io");
  for (size_t n : {size_t{0}, size_t{5}, size_t{200}, size_t{70'000}, size_t{1'000'000}}) {
    WebSocket::Message out(n != 5, std::string(n, 'w'));
    Status s = co_await (*ws)->send(ctx, out);
    EXPECT_TRUE(s.ok()) << s.to_string();
    auto m = co_await (*ws)->receive(ctx);
    EXPECT_TRUE(m.ok()) << m.status().to_string();
    if (!m.ok()) co_return;
    EXPECT_EQ(m->data.size(), n);
    EXPECT_EQ(m->binary, n != 5);
  }
  Status s = co_await (*ws)->close(ctx, 1000, "bye");
  EXPECT_TRUE(s.ok());
  auto end = co_await (*ws)->receive(ctx);
  EXPECT_TRUE(end.status().is(Reason::kCancelled)) << end.status().to_string();
  auto refused = co_await c->websocket(ctx, Request("GET", "/slow", "", ""), offered);
  EXPECT_FALSE(refused.ok());
}
TEST_F(Net, WebsocketsPlain) { run(false, websockets); }
TEST_F(Net, WebsocketsTls) { run(true, websockets); }

Task<void> Net::upgrades(Net* net, Context ctx) {
  auto c = net->client();
  Request q("POST", "/raw");
  q.headers = {{"Connection", "Upgrade"}, {"Upgrade", "SPDY/3.1"}};
  auto up = co_await c->upgrade(ctx, q);
  EXPECT_TRUE(up.ok()) << up.status().to_string();
  EXPECT_EQ(up->status, 101);
  EXPECT_EQ(up->headers.get("upgrade"), "SPDY/3.1");
  EXPECT_EQ(up->headers.get("x-stream-protocol-version"), "v4");
  Status s = co_await up->stream->write(ctx, "abc");
  EXPECT_TRUE(s.ok());
  std::string got;
  while (got.size() < 8) {
    auto piece = co_await up->stream->read(ctx);
    EXPECT_TRUE(piece.ok() && !piece->empty());
    if (!piece.ok() || piece->empty()) co_return;
    got += *piece;
  }
  EXPECT_EQ(got, "echo:abc");
  s = co_await up->stream->shutdown_write(ctx);
  auto end = co_await up->stream->read(ctx);
  EXPECT_TRUE(end.ok());
  EXPECT_EQ(*end, "");
  up->stream.reset();
  auto no = co_await c->upgrade(ctx, Request("GET", "/raw"));
  EXPECT_EQ(no->status, 400);
  EXPECT_NE(no->body.find("unable to upgrade"), no->body.npos);
}
TEST_F(Net, UpgradesPlain) { run(false, upgrades); }
TEST_F(Net, UpgradesTls) { run(true, upgrades); }

// What a user wrote into a path, a query, a method or a field never becomes a second request, or
// another one: such a request is not sent at all.
Task<void> Net::one_request(Net* net, Context ctx) {
  auto c = net->client();
  auto head = [](std::string name, std::string value) {
    Request r("GET", "/");
    r.headers.add(std::move(name), std::move(value));
    return r;
  };
  std::vector<Request> attacks{Request("GET", "/a\r\nHost: evil\r\n\r\nPOST /b"),
                               Request("GET", "/a b"),
                               Request("GET", "/a?x=1"),
                               Request("GET", "/a#f"),
                               Request("GET", "a"),
                               Request("GET", std::string("/a\0b", 4)),
                               Request("GET", "/a\x7f"),
                               Request("GET", "/\xc3\xa9"),
                               Request("GET", "/", "q=a b"),
                               Request("GET", "/", "q\r\nX: y"),
                               Request("GET", "/", "q#f"),
                               Request("GET /x HTTP/1.1\r\n\r\nGET", "/"),
                               Request("", "/"),
                               head("X", "a\r\nY: b"),
                               head("X", "a\nb"),
                               head("X", std::string("a\0b", 3)),
                               head("X: y\r\nZ", "a"),
                               head("X Y", "a"),
                               head("", "a")};
  for (Request& r : attacks) {
    std::string shown = r.method + " " + r.path + "?" + r.query;
    Request again = r;
    auto sent = co_await c->send(ctx, std::move(r));
    EXPECT_TRUE(sent.status().is(Reason::kBadRequest)) << shown << sent.status().to_string();
    auto up = co_await c->upgrade(ctx, std::move(again));
    EXPECT_TRUE(up.status().is(Reason::kBadRequest)) << shown << up.status().to_string();
  }
  Request fine("GET", encode_target("/a b\r\n\xc3\xa9#%41?q= "));
  fine.query = fine.path.substr(fine.path.find('?') + 1);
  fine.path.resize(fine.path.find('?'));
  auto r = co_await c->send(ctx, std::move(fine));
  EXPECT_TRUE(r.ok()) << r.status().to_string();
  if (r.ok()) {
    EXPECT_EQ(r->body, "/a%20b%0D%0A%C3%A9%23%41?q=%20|");
  }
}
TEST_F(Net, RequestsAreOneRequestTls) { run(true, one_request); }
TEST_F(Net, RequestsAreOneRequestPlain) { run(false, one_request); }

Task<void> Net::too_large(Net* net, Context ctx) {
  auto c = net->client();
  auto r = co_await c->send(ctx, Request("POST", "/", "", std::string(5'000'000, 'z')));
  EXPECT_TRUE(r.ok()) << r.status().to_string();
  if (r.ok()) {
    EXPECT_EQ(r->status, 413);
  }
  r = co_await c->send(ctx, Request("POST", "/", "", std::string(1000, 'z')));
  EXPECT_TRUE(r.ok()) << r.status().to_string();
}
TEST_F(Net, TooLargeTls) { run(true, too_large); }
TEST_F(Net, TooLargePlain) { run(false, too_large); }

// Bytes straight on the wire: pipelining, chunked bodies, refusals.
Task<void> Net::raw(Net* net, Context ctx) {
  struct Case {
    std::string send, expect;
  };
  std::vector<Case> cases = {
      {"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
       "/1?|HTTP/1.1 200 OK"},
      {"POST /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
       "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n",
       "/c?|abcde"},
      {"GET / HTTP/1.0\r\n\r\n", "/?|"},
      {"GET / HTTP/1.1\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\nHost: a\n\n", "400 Bad Request"},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       "400 Bad Request"},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n", "413 Request Entity"},
      {"POST /e HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n"
       "Content-Length: 2\r\n\r\n",
       "HTTP/1.1 100 Continue\r\n\r\n"},
  };
  for (const Case& k : cases) {
    auto s = co_await dial(ctx, "127.0.0.1", net->server_->port());
    EXPECT_TRUE(s.ok());
    Status written = co_await (*s)->write(ctx, k.send);
    EXPECT_TRUE(written.ok());
    std::string got;
    while (got.find(k.expect) == got.npos) {
      auto piece = co_await (*s)->read(ctx);
      if (!piece.ok() || piece->empty()) break;
      got += *piece;
    }
    EXPECT_THAT(got, testing::HasSubstr(k.expect));
  }
}
TEST_F(Net, RawBytes) { run(false, raw); }

Task<void> Net::curl(Net* net, Context ctx) {
  std::string url = "https://127.0.0.1:" + std::to_string(net->server_->port());
  for (std::string version : {"--http1.1", "--http2"}) {
    ProcessOptions o{.argv = {"curl", "-sk", version, "-w", "%{http_version} %{http_code}", "-d",
                              std::string(100'000, 'q'), url + "/x?y=z"}};
    auto p = co_await run_process(ctx, o);
    EXPECT_TRUE(p.ok());
    if (!p.ok()) co_return;
    if (p->exit_code == 127) co_return;  // no curl here
    EXPECT_EQ(p->out,
              "/x?y=z|" + std::string(100'000, 'q') + (version == "--http2" ? "2 200" : "1.1 200"));
  }
}
TEST_F(Net, Curl) { run(true, curl); }

// It sends 20 MB to the end, or stops; in any case it learns why they were refused.
Task<void> Net::curl_too_large(Net* net, Context ctx) {
  std::string url = "https://127.0.0.1:" + std::to_string(net->server_->port());
  for (std::string version : {"--http1.1", "--http2"}) {
    ProcessOptions o{.argv = {"sh", "-c",
                              "head -c 20000000 /dev/zero | curl -sk " + version +
                                  " -w ' %{http_code}' --data-binary @- " + url + "/x"}};
    auto p = co_await run_process(ctx, o);
    EXPECT_TRUE(p.ok());
    if (!p.ok()) co_return;
    if (p->exit_code == 127) co_return;  // no curl here
    EXPECT_EQ(p->out, "too large 413") << version;
  }
}
TEST_F(Net, CurlTooLarge) { run(true, curl_too_large); }
TEST_F(Net, CurlTooLargeOnDemand) {
  ServerOptions options;
  options.bodies_on_demand = true;
  run(true, curl_too_large, options);
}

TEST_F(Net, RefusesAfterStop) {
  run(false, [](Net* net, Context ctx) -> Task<void> {
    auto c = net->client();
    auto r = co_await c->send(ctx, Request("GET", "/"));
    EXPECT_TRUE(r.ok());
    co_await net->server_->stop(ctx);
    r = co_await c->send(ctx, Request("GET", "/"));
    EXPECT_FALSE(r.ok());
  });
}

}  // namespace
}  // namespace keles::net
