#include "node/probes/url.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"
#include "net/http.h"
#include "node/probes/probes.h"

namespace keles::node {
namespace {

TEST(ProbeUrl, Redirects) {
  HttpUrl base;
  base.host = "10.0.0.1";
  base.port = 8080;
  base.path = "/a/b";
  base.query = "x=1";
  struct Case {
    const char *location, *want;
  };
  const Case cases[] = {
      {"/healthz", "http://10.0.0.1:8080/healthz"},
      {"c?y=2#part", "http://10.0.0.1:8080/a/c?y=2"},
      {"../c/./d", "http://10.0.0.1:8080/c/d"},
      {"../../../../etc", "http://10.0.0.1:8080/etc"},
      {"?z", "http://10.0.0.1:8080/a/b?z"},
      {"", "http://10.0.0.1:8080/a/b?x=1"},
      {"/dir/", "http://10.0.0.1:8080/dir/"},
      {"/dir/..", "http://10.0.0.1:8080/"},
      {"//other:81/p", "http://other:81/p"},
      {"HTTPS://other", "https://other:443/"},
      {"http://user@[fd00::1]:81/p", "http://[fd00::1]:81/p"},
      {"http://10.0.0.1?q", "http://10.0.0.1:80/?q"},
      {"ftp://other/", "none"},
      {"file:/etc/passwd", "none"},
      {"http:/x", "none"},
      {"http://", "none"},
      {"http://h:99999/", "none"},
      {"http://h:0/", "none"},
      {"http://[::1/", "none"},
      {"/a b", "none"},
      {"/a\r\nHost: x", "none"},
  };
  for (const Case& c : cases) {
    auto got = resolve_url(base, c.location);
    EXPECT_EQ(got ? got->text() : "none", c.want) << c.location;
  }
}

// A server that redirects: /hops/N leads N times round, /away to another host.
Task<void> answer(Context, net::Request* request, net::Responder* responder) {
  net::Headers headers;
  int status = 200;
  std::string body = "fine";
  const std::string& path = request->path;
  if (path.starts_with("/hops/")) {
    int left = std::atoi(path.c_str() + 6);
    status = 302;
    headers.set("Location", left > 1 ? "/hops/" + std::to_string(left - 1) : "/ok");
  } else if (path == "/away") {
    status = 302;
    body = "elsewhere";
    headers.set("Location", "http://0.0.0.0/");
  } else if (path == "/broken") {
    status = 500;
  } else if (path == "/to-broken") {
    status = 301;
    headers.set("Location", "/broken");
  } else if (path == "/bad-location") {
    status = 302;
    headers.set("Location", "gopher://127.0.0.1/");
  } else if (path == "/see") {
    status = 304;
    body.clear();
  }
  std::vector<net::SharedBytes> parts = net::as_body(body);
  (void)co_await responder->respond(status, headers, std::move(parts));
}

Task<void> http_probes(Context ctx) {
  net::ServerOptions options;
  auto server = net::Server::start({&ctx.loop()}, options, answer);
  EXPECT_TRUE(server.ok());
  int64_t port = (*server)->port();
  struct Case {
    const char* path;
    bool success;
    const char *output, *warning;
  };
  const Case cases[] = {
      {"/ok", true, "", ""},
      {"/broken", false, "HTTP probe failed with statuscode: 500", ""},
      {"/hops/9", true, "", ""},
      {"/hops/10", false, "Get \"/ok\": stopped after 10 redirects", ""},
      {"/to-broken", false, "HTTP probe failed with statuscode: 500", ""},
      {"/away", true, "", "Probe terminated redirects, Response body: elsewhere"},
      {"/see", true, "", "Probe terminated redirects, Response body: "},
      {"/bad-location", false,
       "Get \"gopher://127.0.0.1/\": failed to parse Location header \"gopher://127.0.0.1/\"", ""},
  };
  for (const Case& c : cases) {
    auto doc = parse_json(R"({"httpGet":{"path":")" + std::string(c.path) + R"(","port":)" +
                          std::to_string(port) + "}}");
    api::core_v1::Probe probe(doc->root);
    api::core_v1::Container container;
    Context brief = ctx.with_timeout(5s);
    ProbeOutcome o = co_await run_probe(brief, probe, container, "id", "127.0.0.1", nullptr);
    EXPECT_EQ(o.success, c.success) << c.path;
    EXPECT_EQ(o.output, c.output) << c.path;
    EXPECT_EQ(o.warning, c.warning) << c.path;
    EXPECT_TRUE(o.answered) << c.path;
  }
  co_await (*server)->stop(ctx);
}

Task<void> run_and_stop(RealLoop* loop) {
  co_await http_probes(Context::root(*loop));
  loop->stop();
}

TEST(Probe, FollowsRedirectsOfItsHost) {
  auto loop = make_real_loop();
  spawn(*loop, run_and_stop(loop.get()));
  loop->run();
}

}  // namespace
}  // namespace keles::node
