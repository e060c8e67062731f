#include "keles/healthz_port.h"

#include "base/log.h"

namespace keles {
namespace {

Task<void> serve(net::Request* request, net::Responder* out) {
  const bool known = request->path == "/healthz";
  net::Headers headers;
  headers.add("Content-Type", "text/plain; charset=utf-8");
  headers.add("X-Content-Type-Options", "nosniff");
  std::string text = known ? "ok" : "404 page not found\n";
  std::vector<net::SharedBytes> body = net::as_body(std::move(text));
  const int status = known ? 200 : 404;
  (void)co_await out->respond(status, std::move(headers), std::move(body));
}

}  // namespace

HealthzPort::HealthzPort(Loop& loop, const std::string& address, uint16_t port) {
  if (port == 0) return;
  net::ServerOptions options;
  options.address = address;
  options.port = port;
  options.max_body_bytes = 0;
  options.max_header_bytes = 16 * 1024;
  options.max_connections = 100;
  auto server = net::Server::start(
      {&loop}, options,
      [](Context, net::Request* request, net::Responder* out) { return serve(request, out); });
  if (server.ok()) {
    server_ = std::move(*server);
  } else {
    log::error("The kubelet's health is not served", {{"port", port}, {"err", server.status()}});
  }
}

Task<void> HealthzPort::stop(Context ctx) {
  if (server_) co_await server_->stop(std::move(ctx));
}

}  // namespace keles
