#include "proxy/health.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "machinery/time.h"
#include "proxy/proxy.h"

namespace keles::proxy {
namespace {

Task<void> answer(net::Responder* out, int status, std::string_view type, std::string body) {
  net::Headers headers;
  headers.add("Content-Type", std::string(type));
  headers.add("X-Content-Type-Options", "nosniff");
  std::vector<net::SharedBytes> parts = net::as_body(std::move(body));
  (void)co_await out->respond(status, std::move(headers), std::move(parts));
}

void count_answer(bool healthz, bool good) {
  static metrics::Counter& healths = metrics::counter(
      "kubeproxy_proxy_healthz_total", "Cumulative proxy healthz HTTP status", {"code"});
  static metrics::Counter& lives = metrics::counter("kubeproxy_proxy_livez_total",
                                                    "Cumulative proxy livez HTTP status", {"code"});
  (healthz ? healths : lives).with({good ? "200" : "503"}).add();
}

Task<void> serve_health(const Proxy* proxy, net::Request* request, net::Responder* out) {
  const Health health = proxy->health();
  const bool with_node = request->path == "/healthz";
  std::string body = "404 page not found\n";
  int status = 404;
  std::string_view type = "text/plain; charset=utf-8";
  if (with_node || request->path == "/livez") {
    const bool good = health.healthy && (health.node_eligible || !with_node);
    status = good ? 200 : 503;
    count_answer(with_node, good);
    type = "application/json";
    body = health_json(health, with_node);
  }
  co_await answer(out, status, type, std::move(body));
}

Task<void> serve_metrics(const std::string* configz, net::Request* request, net::Responder* out) {
  std::string body = "404 page not found\n";
  int status = 200;
  std::string_view type = "text/plain; charset=utf-8";
  if (request->path == "/healthz" || request->path == "/livez") {
    body = "ok";
  } else if (request->path == "/configz" && !configz->empty()) {
    type = "application/json";
    body = *configz;
  } else if (request->path == "/proxyMode") {
    body = "nftables";
  } else if (request->path == "/metrics") {
    type = "text/plain; version=0.0.4; charset=utf-8";
    body = metrics_of(metrics::expose(), "kubeproxy_");
  } else {
    status = 404;
  }
  co_await answer(out, status, type, std::move(body));
}

}  // namespace

std::string health_json(const Health& health, bool with_node) {
  const std::string healthy = health.healthy ? "true" : "false";
  const std::string updated = format_time(health.healthy ? health.now : health.updated);
  std::string out =
      "{\"lastUpdated\":\"" + updated + "\",\"currentTime\":\"" + format_time(health.now) + "\"";
  if (with_node)
    out += std::string(",\"nodeEligible\":") + (health.node_eligible ? "true" : "false");
  out += ",\"healthy\":" + healthy + ",\"status\":{";
  auto family = [&](const char* name) {
    if (out.back() != '{') out += ",";
    out += std::string("\"") + name + "\":{\"lastUpdated\":\"" + format_time(health.updated) +
           "\",\"healthy\":" + healthy + "}";
  };
  if (health.v4) family("IPv4");
  if (health.v6) family("IPv6");
  return out + "}}";
}

std::string metrics_of(const std::string& page, std::string_view prefix) {
  std::string out;
  for (size_t from = 0; from < page.size();) {
    const size_t end = std::min(page.find('\n', from), page.size());
    std::string_view line = std::string_view(page).substr(from, end - from), name = line;
    for (std::string_view comment : {"# HELP ", "# TYPE "}) {
      if (name.starts_with(comment)) name.remove_prefix(comment.size());
    }
    if (name.starts_with(prefix)) out.append(line).append("\n");
    from = end + 1;
  }
  return out;
}

HealthServer::HealthServer(Loop& loop, const Proxy* proxy, const HealthPorts& ports) {
  listen(loop, ports.address, ports.health,
         [proxy](Context, net::Request* request, net::Responder* out) {
           return serve_health(proxy, request, out);
         });
  auto configz = std::make_shared<const std::string>(ports.configz);
  listen(loop, ports.metrics_address, ports.metrics,
         [configz](Context, net::Request* request, net::Responder* out) {
           return serve_metrics(configz.get(), request, out);
         });
}

void HealthServer::listen(Loop& loop, std::string address, uint16_t port, net::Handler handler) {
  if (port == 0) return;
  net::ServerOptions options;
  options.address = std::move(address);
  options.port = port;
  options.max_body_bytes = 0;
  options.max_header_bytes = 16 * 1024;
  options.max_connections = 100;
  auto server = net::Server::start({&loop}, options, std::move(handler));
  if (server.ok()) {
    servers_.push_back(std::move(*server));
  } else {
    log::error("The proxy's health is not served", {{"port", port}, {"err", server.status()}});
  }
}

Task<void> HealthServer::stop(Context ctx) {
  for (auto& s : servers_) co_await s->stop(ctx);
}

}  // namespace keles::proxy
