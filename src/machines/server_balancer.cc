#include "machines/server_balancer.h"

#include <utility>

#include "base/log.h"
#include "base/loop.h"

namespace keles::machines {
namespace {

constexpr int kFailuresToGiveUp = 2;

}  // namespace

std::string ServerAddress::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<std::unique_ptr<ServerBalancer>> ServerBalancer::listen(Loop& loop, Options options) {
  auto listener = net::StreamListener::listen(loop, "127.0.0.1", options.port);
  if (!listener.ok())
    return listener.status().with_prefix("127.0.0.1:" + std::to_string(options.port) +
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
      if (servers_[at].well == well) out.push_back(at);
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
    Status rested = co_await ctx.sleep(options_.every);
    if (!rested.ok()) co_return;
    Context limit = ctx.with_timeout(options_.patience);
    Status s = co_await options_.probe(limit, server);
    if (ctx.done()) co_return;
    Server& it = servers_[server];
    if (!s.ok()) {
      if (++it.failures >= kFailuresToGiveUp) failed(ctx, server, s, true);
      continue;
    }
    it.failures = 0;
    if (!std::exchange(it.well, true))
      log::info("An API server is well again", {{"server", options_.servers[server].text()}});
  }
}

Task<void> ServerBalancer::carry(Context ctx, std::shared_ptr<net::ByteStream> from) {
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
    Status ended = co_await net::relay(life, from.get(), to->get());
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
