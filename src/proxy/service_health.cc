#include "proxy/service_health.h"

#include "base/log.h"

namespace keles::proxy {

std::string service_check_json(const std::string& service, int local, bool proxy_healthy) {
  const size_t slash = service.find('/');
  return "{\n\t\"service\": {\n\t\t\"namespace\": \"" + service.substr(0, slash) +
         "\",\n\t\t\"name\": \"" + service.substr(slash + 1) +
         "\"\n\t},\n\t\"localEndpoints\": " + std::to_string(local) +
         ",\n\t\"serviceProxyHealthy\": " + (proxy_healthy ? "true" : "false") + "\n}";
}

namespace {

Task<void> answer(net::Responder* out, std::string service, int local, bool healthy) {
  net::Headers headers;
  headers.add("Content-Type", "application/json");
  headers.add("X-Content-Type-Options", "nosniff");
  headers.add("X-Load-Balancing-Endpoint-Weight", std::to_string(local));
  std::string body = service_check_json(service, local, healthy);
  std::vector<net::SharedBytes> parts = net::as_body(std::move(body));
  const int status = local > 0 && healthy ? 200 : 503;
  (void)co_await out->respond(status, std::move(headers), std::move(parts));
}

}  // namespace

ServiceHealth::ServiceHealth(std::string address, std::function<bool()> healthy)
    : address_(std::move(address)), healthy_(std::move(healthy)) {}

void ServiceHealth::listen(Loop& loop, const std::string& service, const ServiceCheck& check) {
  auto served = std::make_shared<Served>();
  served->check = check;
  net::ServerOptions options;
  options.address = address_;
  options.port = check.port;
  options.max_body_bytes = 0;
  options.max_header_bytes = 16 * 1024;
  options.max_connections = 100;
  // The server is the object's own: a handler that held it would keep it for ever.
  std::weak_ptr<Served> weak = served;
  net::Handler handler = [this, weak, service](Context, net::Request*, net::Responder* out) {
    auto now = weak.lock();
    return answer(out, service, now ? now->check.local : 0, healthy_());
  };
  auto server = net::Server::start({&loop}, options, std::move(handler));
  if (!server.ok()) {
    const std::string what = service + ": " + server.status().message();
    if (failing_.news(loop.now(), what)) {
      log::error("Failed to start healthcheck",
                 {{"service", service}, {"port", check.port}, {"err", server.status()}});
    }
    return;
  }
  served->server = std::move(*server);
  served_[service] = std::move(served);
}

Task<void> ServiceHealth::sync(Context ctx, std::map<std::string, ServiceCheck> checks) {
  for (auto it = served_.begin(); it != served_.end();) {
    auto wanted = checks.find(it->first);
    if (wanted != checks.end() && wanted->second.port == it->second->check.port) {
      it->second->check = wanted->second;
      ++it;
      continue;
    }
    std::shared_ptr<Served> gone = it->second;
    it = served_.erase(it);
    co_await gone->server->stop(ctx);
  }
  for (const auto& [service, check] : checks) {
    if (!served_.contains(service)) listen(ctx.loop(), service, check);
  }
}

Task<void> ServiceHealth::stop(Context ctx) {
  std::map<std::string, ServiceCheck> none;
  co_await sync(ctx, std::move(none));
}

uint16_t ServiceHealth::port(const std::string& service) const {
  auto it = served_.find(service);
  return it == served_.end() ? 0 : it->second->server->port();
}

}  // namespace keles::proxy
