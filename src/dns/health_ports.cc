#include "dns/health_ports.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"

namespace keles::dns {
namespace {

Task<void> answer(net::Responder* out, net::Response what) {
  what.headers.add("Content-Type", "text/plain; charset=utf-8");
  std::vector<net::SharedBytes> parts = net::as_body(std::move(what.body));
  (void)co_await out->respond(what.status, std::move(what.headers), std::move(parts));
}

net::Response text(int status, std::string body) {
  net::Response out;
  out.status = status;
  out.body = std::move(body);
  return out;
}

// Of the process's metrics those of this server.
std::string own_metrics() {
  const std::string page = metrics::expose();
  std::string out;
  for (size_t from = 0; from < page.size();) {
    const size_t end = std::min(page.find('\n', from), page.size());
    std::string_view line = std::string_view(page).substr(from, end - from), name = line;
    for (std::string_view comment : {"# HELP ", "# TYPE "}) {
      if (name.starts_with(comment)) name.remove_prefix(comment.size());
    }
    if (name.starts_with("coredns_")) out.append(line).append("\n");
    from = end + 1;
  }
  return out;
}

}  // namespace

HealthPorts::HealthPorts(Loop& loop, const DnsConfig& config, const std::string& own,
                         std::function<bool()> ready) {
  if (config.health) {
    listen(loop, own, *config.health, "/health", [] { return text(200, "OK"); });
  }
  if (config.ready) {
    listen(loop, own, *config.ready, "/ready", [ready = std::move(ready)] {
      return ready() ? text(200, "OK") : text(503, "kubernetes");
    });
  }
  if (config.metrics) {
    listen(loop, own, *config.metrics, "/metrics", [] { return text(200, own_metrics()); });
  }
}

void HealthPorts::listen(Loop& loop, const std::string& own, const ListenAddress& at,
                         const char* path, std::function<net::Response()> say) {
  net::ServerOptions options;
  options.address = at.ip.empty() ? own : at.ip;
  options.port = at.port;
  options.max_body_bytes = 0;
  options.max_header_bytes = 16 * 1024;
  options.max_connections = 100;
  auto handler = [path, say = std::move(say)](Context, net::Request* request, net::Responder* out) {
    return answer(out, request->path == path ? say() : text(404, "404 page not found\n"));
  };
  auto server = net::Server::start({&loop}, options, std::move(handler));
  if (server.ok()) {
    servers_.push_back(std::move(*server));
  } else {
    log::error("A port of the name server's health is not served",
               {{"path", path}, {"port", at.port}, {"err", server.status()}});
  }
}

Task<void> HealthPorts::stop(Context ctx) {
  for (auto& s : servers_) co_await s->stop(ctx);
}

}  // namespace keles::dns
