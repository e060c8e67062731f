// An API server with its HTTP front on loopback, over TLS, on a simulated store: for the tests of
// the front and of what speaks to it. The server runs on the test's own loop, or on a thread of its
// own when a test must see it from outside.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/loop.h"
#include "base/run_task.h"
#include "net/http.h"
#include "net/pki.h"
#include "server/http/front.h"
#include "server/server.h"
#include "store/sim/sim_store.h"

namespace keles::server {

inline net::ServerOptions usual_server_options() {
  net::ServerOptions o;
  o.bodies_on_demand = true;  // as `keles server` has it
  return o;
}

struct ServedOptions {
  ApiServerOptions api;
  FrontOptions front;
  net::ServerOptions http = usual_server_options();
  bool own_thread = false;
  bool tls = true;
};

struct ServedApi {
  std::unique_ptr<RealLoop> loop = make_real_loop();  // of the test and its clients
  Context ctx = Context::root(*loop);
  std::unique_ptr<RealLoop> inside;  // the server's, with own_thread
  ServedOptions options;
  SimDisk disk;
  std::unique_ptr<Store> store;
  net::TlsIdentity ca;
  std::unique_ptr<ApiServer> api;
  std::unique_ptr<Front> front;
  std::unique_ptr<net::Server> http;

  explicit ServedApi(ServedOptions o = ServedOptions())
      : inside(o.own_thread ? make_real_loop() : nullptr),
        options(std::move(o)),
        disk(server_loop()),
        store(*open_sim_store(disk)) {
    net::CertificateSpec root;
    root.common_name = "kubernetes";
    root.not_before = loop->wall_now() - 72h;
    root.not_after = loop->wall_now() + 240h;
    ca = *net::make_ca(root);
    api = std::make_unique<ApiServer>(store.get(), options.api);
    serve(options.front);
    if (inside) thread_ = std::thread([this] { inside->run(); });
    Status s = run(run_on(&server_loop(), loop.get(), start(this)));
    EXPECT_TRUE(s.ok()) << s.to_string();
  }
  ~ServedApi() {
    run(http->stop(ctx.with_timeout(2s)));
    if (!inside) return;
    inside->stop();
    thread_.join();
  }
  ServedApi(const ServedApi&) = delete;

  // The front anew; not with own_thread.
  void serve(FrontOptions f) {
    if (http) run(http->stop(ctx.with_timeout(2s)));
    front = std::make_unique<Front>(api.get(), std::move(f));
    net::ServerOptions o = options.http;
    if (options.tls) {
      o.tls = certificate("kube-apiserver", true);
      o.client_ca_pem = ca.certificate_pem;
    }
    auto started = net::Server::start({&server_loop()}, o, front->handler());
    if (!started.ok()) std::abort();
    http = std::move(*started);
  }

  net::TlsIdentity certificate(std::string name, bool server, std::vector<std::string> groups = {},
                               Duration validity = 24h) const {
    net::CertificateSpec s;
    s.common_name = std::move(name);
    s.organizations = std::move(groups);
    s.server = server;
    s.client = !server;
    s.ip_addresses = {"127.0.0.1"};
    s.not_before = loop->wall_now() - 48h;
    s.not_after = loop->wall_now() + validity;
    return *net::issue_certificate(ca, s);
  }
  net::TlsIdentity admin() const { return certificate("admin", false, {"system:masters"}); }

  std::unique_ptr<net::HttpClient> connect(std::optional<net::TlsIdentity> identity) {
    net::Endpoint e;
    e.host = "127.0.0.1";
    e.port = http->port();
    e.tls.emplace();
    e.tls->ca_pem = ca.certificate_pem;
    e.tls->identity = std::move(identity);
    return net::HttpClient::create(*loop, e);
  }

  template <class T>
  T run(Task<T> t) {
    return run_task(*loop, std::move(t));
  }

  // `target`: a path and maybe a query. A body is JSON unless the headers say otherwise.
  static net::Request request(std::string method, const std::string& target, std::string body = "",
                              net::Headers headers = {}) {
    const size_t q = target.find('?');
    net::Request r(std::move(method), target.substr(0, q),
                   q == std::string::npos ? "" : target.substr(q + 1), std::move(body));
    r.headers = std::move(headers);
    if (!r.body.empty() && !r.headers.get("Content-Type")) {
      r.headers.add("Content-Type", "application/json");
    }
    return r;
  }
  net::Response send(net::HttpClient* by, net::Request r) {
    auto got = run(by->send(ctx.with_timeout(20s), std::move(r)));
    EXPECT_TRUE(got.ok()) << got.status().to_string();
    return got.ok() ? std::move(*got) : net::Response{};
  }

 private:
  RealLoop& server_loop() { return inside ? *inside : *loop; }
  static Task<Status> start(ServedApi* self) {
    Context here = Context::root(self->server_loop());
    co_return co_await self->api->start(here);
  }
  std::thread thread_;
};

}  // namespace keles::server
