// What a container answers to its last input reaches whoever is attached, though the runtime closes
// the output with the input; over real sockets, with a runtime of the test's own.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/run_task.h"
#include "net/spdy.h"
#include "node/server/node_server.h"

namespace keles::node {
namespace {

using net::Headers;
using net::HttpClient;
using net::Request;
using net::Responder;
using net::SpdySession;
using net::SpdyStream;

// The streams of a session by their type.
using Streams = std::map<std::string, std::shared_ptr<SpdyStream>>;

Task<Streams> accept_streams(Context ctx, SpdySession* session, size_t n) {
  Streams out;
  for (size_t i = 0; i < n; ++i) {
    auto s = co_await session->accept(ctx);
    if (!s.ok()) break;
    std::string type((*s)->headers().get("streamtype").value_or(""));
    out[type] = std::move(*s);
  }
  co_return out;
}

Task<std::string> read_all(Context ctx, std::shared_ptr<SpdyStream> s) {
  std::string out;
  while (true) {
    auto data = co_await s->read(ctx);
    if (!data.ok() || data->empty()) break;
    out += *data;
  }
  co_return out;
}

// Attach as containerd does it: who has been heard to the end is detached at once. The container
// answers a little later than it is asked.
Task<void> attach(Context ctx, Request*, Responder* responder) {
  auto bytes = co_await responder->accept_upgrade("SPDY/3.1", Headers());
  if (!bytes.ok()) co_return;
  auto session = SpdySession::create(ctx.loop(), std::move(*bytes), true);
  Streams s = co_await accept_streams(ctx, session.get(), 3);
  if (s.size() != 3) co_return;
  auto asked = co_await s["stdin"]->read(ctx);
  auto more = co_await s["stdin"]->read(ctx.with_timeout(200ms));
  if (asked.ok() && !more.ok()) {
    std::string answer = "answer to " + *asked;
    (void)co_await s["stdout"]->write(ctx, std::move(answer));
    more = co_await s["stdin"]->read(ctx.with_timeout(60s));
  }
  (void)co_await s["stdout"]->shutdown_write(ctx);
  (void)co_await s["error"]->shutdown_write(ctx);
  (void)co_await session->accept(ctx);  // until it is left
}

struct Attached : testing::Test {
  std::unique_ptr<RealLoop> loop = make_real_loop();
  Context ctx = Context::root(*loop).with_timeout(60s);
  AttachedContainer container;
  std::unique_ptr<net::Server> runtime = serve(attach);
  std::unique_ptr<net::Server> kubelet;

  Attached() {
    container.detaches_at_end_of_input = true;
    const std::string url = "http://127.0.0.1:" + std::to_string(runtime->port()) + "/attach/x";
    kubelet = serve([this, url](Context c, Request* request, Responder* responder) {
      cri::Runtime::StreamOptions o;
      o.in = o.out = true;
      return relay_stream(c, request, responder, url, o, false, container);
    });
  }
  ~Attached() override {
    run(kubelet->stop(Context::root(*loop).with_timeout(2s)));
    run(runtime->stop(Context::root(*loop).with_timeout(2s)));
  }
  std::unique_ptr<net::Server> serve(net::Handler handler) {
    return std::move(*net::Server::start({loop.get()}, net::ServerOptions(), std::move(handler)));
  }
  template <class T>
  T run(Task<T> t) {
    return run_task(*loop, std::move(t));
  }
  std::unique_ptr<HttpClient> client() {
    net::Endpoint e;
    e.host = "127.0.0.1";
    e.port = kubelet->port();
    return HttpClient::create(*loop, e);
  }
};

struct Answer {
  std::string output, status;
};

Task<Answer> ask_by_spdy(Context ctx, HttpClient* client, std::string offered) {
  Request r("POST", "/attach");
  r.headers.set("Connection", "Upgrade");
  r.headers.set("Upgrade", "SPDY/3.1");
  r.headers.add("X-Stream-Protocol-Version", std::move(offered));
  Answer out;
  auto up = co_await client->upgrade(ctx, std::move(r));
  if (!up.ok() || !up->stream) {
    out.status = up.ok() ? up->body : up.status().message();
    co_return out;
  }
  auto session = SpdySession::create(ctx.loop(), std::move(up->stream), false);
  Streams s;
  std::vector<std::string> types{"error", "stdin", "stdout"};
  for (const std::string& type : types) {
    Headers headers;
    headers.set("streamtype", type);
    auto opened = co_await session->open(ctx, std::move(headers));
    if (!opened.ok()) co_return out;
    s[type] = *opened;
  }
  (void)co_await s["stdin"]->write(ctx, "ping");
  (void)co_await s["stdin"]->shutdown_write(ctx);
  out.output = co_await read_all(ctx, s["stdout"]);
  out.status = co_await read_all(ctx, s["error"]);
  session->close();
  co_return out;
}

Task<Answer> ask_by_websocket(Context ctx, HttpClient* client) {
  Answer out;
  Request r("GET", "/attach");
  std::vector<std::string> protocols{"v5.channel.k8s.io"};
  auto ws = co_await client->websocket(ctx, std::move(r), std::move(protocols));
  if (!ws.ok()) co_return out;
  net::WebSocket::Message input(true, std::string("\0ping", 5)),
      end(true, std::string("\xff\0", 2));
  (void)co_await (*ws)->send(ctx, std::move(input));
  (void)co_await (*ws)->send(ctx, std::move(end));
  while (true) {
    auto m = co_await (*ws)->receive(ctx);
    if (!m.ok()) break;
    if (m->data.empty()) continue;
    (m->data[0] == 1 ? out.output : out.status) += m->data.substr(1);
  }
  co_return out;
}

TEST_F(Attached, TheAnswerToTheLastInputArrives) {
  auto c = client();
  Answer spdy = run(ask_by_spdy(ctx, c.get(), "v4.channel.k8s.io"));
  EXPECT_EQ(spdy.output, "answer to ping");
  EXPECT_EQ(spdy.status, R"({"metadata":{},"status":"Success"})");
  Answer ws = run(ask_by_websocket(ctx, c.get()));
  EXPECT_EQ(ws.output, "answer to ping");
  EXPECT_EQ(ws.status, R"({"metadata":{},"status":"Success"})");
}

// Protocols before the fourth are the runtime's matter.
TEST_F(Attached, OlderProtocolsPassUnread) {
  auto c = client();
  Answer old = run(ask_by_spdy(ctx, c.get(), "v3.channel.k8s.io"));
  EXPECT_EQ(old.output, "");
  EXPECT_EQ(old.status, "");
}

}  // namespace
}  // namespace keles::node
