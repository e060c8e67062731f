#include "net/http_proxy.h"

#include <gtest/gtest.h>

#include "base/run_task.h"
#include "base/sync.h"
#include "net/pki.h"
#include "net/stream.h"

namespace keles::net {
namespace {

TEST(HttpProxyTest, Addresses) {
  auto p = parse_proxy_url("http://me:p%40ss@proxy.example:3128/ignored");
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(p->host, "proxy.example");
  EXPECT_EQ(p->port, 3128);
  EXPECT_EQ(p->authorization, "Basic bWU6cEBzcw==");
  EXPECT_EQ(parse_proxy_url("proxy:80")->host, "proxy");
  EXPECT_EQ(parse_proxy_url("http://[fd00::1]:8080")->host, "fd00::1");
  for (const char* bad : {"socks5://x:1", "https://x", "http://", "http://x:99999", "http://a b"}) {
    EXPECT_FALSE(parse_proxy_url(bad).ok()) << bad;
  }
}

TEST(HttpProxyTest, NoProxyAsGoReadsIt) {
  struct {
    const char *no_proxy, *host;
    bool needed;
  } cases[] = {{"", "api.example.com", true},
               {"", "localhost", false},
               {"", "127.0.0.9", false},
               {"", "::1", false},
               {"*", "api.example.com", false},
               {"example.com", "api.example.com", false},
               {"example.com", "example.com", false},
               {"example.com", "badexample.com", true},
               {".example.com", "api.example.com", false},
               {".example.com", "example.com", true},
               {"*.example.com", "API.example.com", false},
               {"a, example.com:6443", "example.com", false},
               {"example.com:443", "example.com", true},
               {"10.0.0.0/8", "10.1.2.3", false},
               {"10.0.0.0/8", "11.1.2.3", true},
               {"10.1.2.3", "10.1.2.3", false},
               {"fd00::/8", "[fd00::5]", false}};
  for (const auto& c : cases) {
    EXPECT_EQ(needs_proxy(c.no_proxy, c.host, 6443), c.needed) << c.no_proxy << " " << c.host;
  }
}

struct Relay {
  std::unique_ptr<StreamListener> listener;
  std::string first_line, authorization;
  bool refuse = false;
  uint16_t to = 0;
};

// One connection of a proxy.
Task<void> serve_one(Context ctx, Relay* r) {
  auto client = co_await r->listener->accept(ctx);
  if (!client.ok()) co_return;
  std::string head;
  while (head.find("\r\n\r\n") == head.npos) {
    auto piece = co_await (*client)->read(ctx);
    if (!piece.ok() || piece->empty()) co_return;
    head += *piece;
  }
  r->first_line = head.substr(0, head.find('\r'));
  r->authorization = head;
  if (r->refuse) {
    (void)co_await (*client)->write(ctx, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    co_return;
  }
  (void)co_await (*client)->write(ctx, "HTTP/1.1 200 Connection established\r\n\r\n");
  auto server = co_await dial(ctx, "127.0.0.1", r->to);
  if (!server.ok()) co_return;
  (void)co_await relay(ctx, client->get(), server->get());
}

Task<void> hello(Context, Request*, Responder* responder) {
  std::vector<SharedBytes> body;
  body.push_back(std::make_shared<const std::string>("hello"));
  Headers none;
  (void)co_await responder->respond(200, std::move(none), std::move(body));
}

Task<Result<Response>> ask(Context ctx, Loop* loop, Relay* r, Endpoint endpoint) {
  Context own = ctx.child();
  TaskGroup group(*loop);
  group.spawn(serve_one(own, r));
  auto client = HttpClient::create(*loop, std::move(endpoint));
  Request request("GET", "/");
  auto answer = co_await client->send(ctx, std::move(request));
  client->close();
  own.cancel();
  co_await group.join();
  co_return answer;
}

TEST(HttpProxyTest, TunnelsToTheServer) {
  auto loop = make_real_loop();
  ServerOptions options;
  auto server = Server::start({loop.get()}, options,
                              [](Context c, Request* q, Responder* a) { return hello(c, q, a); });
  ASSERT_TRUE(server.ok());
  for (bool refuse : {false, true}) {
    Relay r;
    r.listener = std::move(*StreamListener::listen(*loop, "127.0.0.1", 0));
    r.to = (*server)->port();
    r.refuse = refuse;
    Endpoint endpoint;
    endpoint.host = "api.example";  // only the proxy knows where that is
    endpoint.port = 6443;
    HttpProxy proxy;
    proxy.host = "127.0.0.1";
    proxy.port = r.listener->port();
    proxy.authorization = "Basic bTpw";
    connect_through(proxy, &endpoint);
    auto answer = run_task(
        *loop, ask(Context::root(*loop).with_timeout(10s), loop.get(), &r, std::move(endpoint)));
    EXPECT_EQ(r.first_line, "CONNECT api.example:6443 HTTP/1.1");
    EXPECT_NE(r.authorization.find("Proxy-Authorization: Basic bTpw\r\n"), std::string::npos);
    if (refuse) {
      EXPECT_EQ(answer.status().message(), "Proxy Authentication Required");
    } else {
      ASSERT_TRUE(answer.ok()) << answer.status().message();
      EXPECT_EQ(answer->body, "hello");
    }
  }
  run_task(*loop, (*server)->stop(Context::root(*loop).with_timeout(5s)));
}

}  // namespace
}  // namespace keles::net
