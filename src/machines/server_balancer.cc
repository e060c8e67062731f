#include "machines/server_balancer.h"

#include <utility>

#include "base/file.h"
#include "base/host_port.h"
#include "base/log.h"
#include "base/loop.h"
#include "client/kubeconfig.h"
#include "net/http.h"

namespace keles::machines {
namespace {

constexpr int kFailuresToGiveUp = 2;

Task<Status> ask_ready(Context ctx, std::shared_ptr<net::HttpClient> client) {
  net::Request request("GET", "/readyz");
  auto answer = co_await client->send(ctx, std::move(request), 64 * 1024);
  if (!answer.ok()) co_return answer.status();
  const int status = answer->status;
  if (status == 200 || status == 401 || status == 403) co_return Status();
  co_return Status::unavailable("/readyz: status " + std::to_string(status));
}

// How each server is asked, by the CA that the file holds by now.
class Probes {
 public:
  Probes(Loop& loop, std::vector<ServerAddress> servers, std::string ca_file)
      : loop_(&loop), servers_(std::move(servers)), ca_file_(std::move(ca_file)) {}

  void trust(const std::string& ca_pem) {
    ca_pem_ = ca_pem;
    clients_.clear();  // who is asking holds his own
    for (const ServerAddress& a : servers_) {
      net::Endpoint endpoint;
      endpoint.host = a.host;
      endpoint.port = a.port;
      endpoint.tls.emplace();
      endpoint.tls->ca_pem = ca_pem;
      clients_.push_back(net::HttpClient::create(*loop_, std::move(endpoint)));
    }
  }
  std::shared_ptr<net::HttpClient> client(size_t server) {
    const auto held = read_file(ca_file_);  // small; what cannot be read changes nothing
    if (held.ok() && *held != ca_pem_) trust(*held);
    return clients_[server];
  }

 private:
  Loop* loop_;
  const std::vector<ServerAddress> servers_;
  const std::string ca_file_;
  std::string ca_pem_;
  std::vector<std::shared_ptr<net::HttpClient>> clients_;
};

// A server's end of a connection, which tells when the server was the first to say that it writes
// no more, or broke off.
class ServerEnd final : public net::ByteStream {
 public:
  ServerEnd(std::unique_ptr<net::ByteStream> to, std::function<void()> ended)
      : to_(std::move(to)), ended_(std::move(ended)) {}
  Task<Result<std::string>> read(Context ctx, size_t max) override {
    auto got = co_await to_->read(ctx, max);
    const bool over = !got.ok() || got->empty();
    if (over && !finished_ && !ctx.done()) ended_();
    co_return got;
  }
  Task<Status> write(Context ctx, std::string data) override {
    return to_->write(std::move(ctx), std::move(data));
  }
  Task<Status> shutdown_write(Context ctx) override {
    finished_ = true;
    return to_->shutdown_write(std::move(ctx));
  }
  void close() override {
    finished_ = true;
    to_->close();
  }

 private:
  const std::unique_ptr<net::ByteStream> to_;
  const std::function<void()> ended_;
  bool finished_ = false;  // by this side
};

}  // namespace

std::string ServerAddress::text() const { return host_port(host, port); }

Result<std::vector<ServerAddress>> server_addresses(const std::vector<std::string>& urls) {
  std::vector<ServerAddress> out;
  for (const std::string& url : urls) {
    ClientConfig config;
    TRY(parse_server_url(url, &config).with_prefix("--server"));
    if (urls.size() > 1 && !config.path_prefix.empty())
      return Status::bad_request("--server: \"" + url +
                                 "\": one of several has no path: want https://HOST:PORT");
    ServerAddress address;
    address.host = config.endpoint.host;
    address.port = config.endpoint.port;
    out.push_back(std::move(address));
  }
  return out;
}

Result<ServerProbe> ready_probe(Loop& loop, const std::vector<ServerAddress>& servers,
                                const std::string& ca_file) {
  auto probes = std::make_shared<Probes>(loop, servers, ca_file);
  TRY_ASSIGN(ca, read_file(ca_file));
  probes->trust(ca);
  return ServerProbe(
      [probes](Context ctx, size_t server) { return ask_ready(ctx, probes->client(server)); });
}

Result<std::unique_ptr<ServerBalancer>> ServerBalancer::listen(Loop& loop, Options options) {
  auto listener = net::StreamListener::listen(loop, options.address, options.port);
  if (!listener.ok())
    return listener.status().with_prefix(host_port(options.address, options.port) +
                                         ", where the API servers are to be reached");
  const size_t first = loop.random().below(options.servers.size());
  return std::unique_ptr<ServerBalancer>(
      new ServerBalancer(std::move(options), std::move(*listener), first));
}

std::vector<size_t> ServerBalancer::order() const {
  std::vector<size_t> out;
  for (bool well : {true, false})
    for (size_t i = 0; i < servers_.size(); ++i) {
      const size_t at = (first_ + i) % servers_.size();
      const Server& s = servers_[at];
      if ((s.well && !s.doubted.is_set()) == well) out.push_back(at);
    }
  return out;
}

void ServerBalancer::failed(const Context& whole, size_t server, const Status& why, bool give_up) {
  Server& s = servers_[server];
  if (std::exchange(s.well, false))
    log::warn("An API server is not well",
              {{"server", options_.servers[server].text()}, {"err", why}});
  if (!give_up) return;
  s.life.cancel();
  s.life = whole.child();
}

Task<void> ServerBalancer::look_after(Context ctx, size_t server) {
  for (;;) {
    Server& it = servers_[server];
    Context rest = ctx.with_timeout(options_.every);
    Status woken = co_await it.doubted.wait(rest);
    (void)woken;  // or it is time
    if (ctx.done()) co_return;
    Context limit = ctx.with_timeout(options_.patience);
    Status s = co_await options_.probe(limit, server);
    if (ctx.done()) co_return;
    const bool doubted = it.doubted.is_set();
    it.doubted.reset();
    if (!s.ok()) {
      const bool give_up = ++it.failures >= kFailuresToGiveUp;
      if (give_up || doubted) failed(ctx, server, s, give_up);
      continue;
    }
    it.failures = 0;
    if (!std::exchange(it.well, true))
      log::info("An API server is well again", {{"server", options_.servers[server].text()}});
  }
}

Task<void> ServerBalancer::carry(Context ctx, std::shared_ptr<net::ByteStream> from) {
  if (options_.in_turn) first_ = (first_ + 1) % servers_.size();
  const std::vector<size_t> candidates = order();
  for (size_t i : candidates) {
    Context limit = ctx.with_timeout(options_.patience);
    auto to = co_await net::dial(limit, options_.servers[i].host, options_.servers[i].port);
    if (ctx.done()) break;
    if (!to.ok()) {
      failed(ctx, i, to.status(), false);
      continue;
    }
    Context life = servers_[i].life;
    ServerEnd end(std::move(*to), [this, i] { servers_[i].doubted.set(); });
    Status ended = co_await net::relay(life, from.get(), &end);
    (void)ended;
    break;
  }
  from->close();
  --open_;
}

Task<void> ServerBalancer::run(Context ctx) {
  for (size_t i = 0; i < options_.servers.size(); ++i) servers_.emplace_back(ctx.child());
  TaskGroup group(ctx.loop());
  for (size_t i = 0; i < servers_.size(); ++i) group.spawn(look_after(ctx, i));
  while (!ctx.done()) {
    auto accepted = co_await listener_->accept(ctx);
    if (ctx.done()) break;
    if (!accepted.ok()) {
      (void)co_await ctx.sleep(100ms);  // no descriptor is left, perhaps
      continue;
    }
    if (open_ >= options_.most) continue;
    ++open_;
    std::shared_ptr<net::ByteStream> from = std::move(*accepted);
    group.spawn(carry(ctx, std::move(from)));
  }
  listener_->close();
  co_await group.join();
}

}  // namespace keles::machines
