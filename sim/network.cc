#include "sim/network.h"

#include <algorithm>

namespace keles::sim {
namespace {

Status lost(bool write) {
  return write ? Status(Reason::kOutcomeUnknown, "connection lost before the answer")
               : Status::unavailable("connection lost");
}

// Carries out a call inside one life of the server: it ends with the caller or with the server.
template <class R>
Task<Result<R>> call_inside(Context ctx, std::shared_ptr<ServerProcess> server,
                            std::function<Task<Result<R>>(Client*, Context)> call) {
  ++server->calls;
  Context inner = ctx.child();
  auto hook = server->ctx.on_done([inner] { inner.cancel(Status::unavailable("server is gone")); });
  Result<R> r = co_await call(server->client, inner);
  hook.reset();
  --server->calls;
  co_return std::move(r);
}

// The second arrival of a request, for which nobody waits.
Task<void> arrive_again(Context ctx, Duration later, std::shared_ptr<ServerProcess> server,
                        std::function<Task<Result<ObjectPtr>>(Client*, Context)> call) {
  Status s = co_await ctx.sleep(later);
  if (!s.ok()) co_return;
  auto r = co_await call_inside<ObjectPtr>(ctx, server, call);
  (void)r;
}

// A watch over the network: delivers late, breaks half-way, ends with the server.
class FaultyWatch final : public Watch {
 public:
  FaultyWatch(Network* network, std::shared_ptr<Line> line, std::shared_ptr<ServerProcess> server,
              std::unique_ptr<Watch> inner, bool ordered)
      : network_(network), line_(std::move(line)), server_(std::move(server)), ordered_(ordered) {
    open_ = std::make_shared<ServerProcess::OpenWatch>();
    open_->watch = std::move(inner);
    server_->watches.push_back(open_);
  }

  Task<Result<WatchEvent>> next(Context ctx) override {
    Random& random = ctx.loop().random();
    const NetworkFaults& f = network_->faults;
    if (broken_ || line_->cut || server_->ctx.done() || !open_->watch)
      co_return Status::unavailable("watch connection lost");
    if (f.break_watch > 0 && random.chance(f.break_watch)) {
      broken_ = true;
      co_return Status::unavailable("watch connection lost");
    }
    open_->in_next = true;
    ++server_->calls;
    Context inner = ctx.child();
    auto hook = server_->ctx.on_done(
        [inner] { inner.cancel(Status::unavailable("watch connection lost")); });
    Result<WatchEvent> r = co_await open_->watch->next(inner);
    hook.reset();
    --server_->calls;
    open_->in_next = false;
    if (!r.ok()) co_return r.status();
    if (line_->cut || server_->ctx.done()) {
      broken_ = true;
      co_return Status::unavailable("watch connection lost");
    }
    if (f.slow > 0 && random.chance(f.slow)) {
      Status s = co_await ctx.sleep(Duration(random.between(0, f.slow_max.count())));
      if (!s.ok() || line_->cut || server_->ctx.done()) {
        broken_ = true;
        co_return s.ok() ? Status::unavailable("watch connection lost") : s;
      }
    }
    if (ordered_ && r->revision < last_ && network_->violation) {
      network_->violation("a watch of " + line_->name + " went back from revision " +
                          std::to_string(last_) + " to " + std::to_string(r->revision));
    }
    last_ = r->revision;
    co_return std::move(r);
  }

 private:
  Network* network_;
  std::shared_ptr<Line> line_;
  std::shared_ptr<ServerProcess> server_;
  std::shared_ptr<ServerProcess::OpenWatch> open_;
  bool broken_ = false;
  bool ordered_;  // it began at a revision: a list of the current state has none to go by
  int64_t last_ = 0;
};

}  // namespace

void ServerProcess::release_watches() {
  for (auto& weak : watches) {
    if (auto w = weak.lock()) w->watch.reset();
  }
  watches.clear();
}

Duration FaultyClient::delay() {
  Random& random = loop_.random();
  const NetworkFaults& f = network_->faults;
  Duration d(random.between(f.delay_min.count(), f.delay_max.count()));
  if (f.slow > 0 && random.chance(f.slow)) d += Duration(random.between(0, f.slow_max.count()));
  return d;
}

template <class R>
Task<Result<R>> FaultyClient::send(Context ctx, Verb verb, Call<R> call) {
  Random& random = loop_.random();
  Network* network = network_;  // the network outlives its clients
  std::shared_ptr<Line> line = line_;
  bool write = verb != Verb::kRead;
  Status s = co_await ctx.sleep(delay());
  if (!s.ok()) co_return s;
  std::shared_ptr<ServerProcess> server = network->server;
  if (line->cut || !server) co_return Status::unavailable("connection refused");
  const NetworkFaults& f = network->faults;
  if (f.drop_request > 0 && random.chance(f.drop_request)) {
    s = co_await ctx.sleep(Duration(random.between(0, f.patience.count())));
    co_return lost(write);
  }
  Result<R> r = co_await call_inside<R>(ctx, server, call);
  if (line->cut || server->ctx.done()) co_return lost(write);
  if constexpr (std::is_same_v<R, ObjectPtr>) {
    if (verb == Verb::kIdempotentWrite && f.duplicate > 0 && random.chance(f.duplicate)) {
      Duration later(random.between(0, f.slow_max.count()));
      spawn(loop_, arrive_again(server->ctx, later, server, call));
    }
  }
  if (f.lose_reply > 0 && random.chance(f.lose_reply)) {
    s = co_await ctx.sleep(Duration(random.between(0, f.patience.count())));
    co_return lost(write);
  }
  s = co_await ctx.sleep(delay());
  if (!s.ok() || line->cut) co_return lost(write);
  co_return std::move(r);
}

Task<Result<ObjectPtr>> FaultyClient::get(Context ctx, const KindDesc* kind, std::string ns,
                                          std::string name) {
  return send<ObjectPtr>(std::move(ctx), Verb::kRead,
                         [kind, ns = std::move(ns), name = std::move(name)](Client* c, Context x) {
                           return c->get(std::move(x), kind, ns, name);
                         });
}

Task<Result<ListResult>> FaultyClient::list(Context ctx, const KindDesc* kind, std::string ns,
                                            ListOptions options) {
  std::string key = std::string(kind->group_resource()) + "|" + ns + "|" + options.label_selector +
                    "|" + options.field_selector;
  bool any_version = options.resource_version == "0";
  Network* network = network_;
  auto last = network->last_lists.find(key);
  if (any_version && last != network->last_lists.end() && network->faults.stale_list > 0 &&
      loop_.random().chance(network->faults.stale_list)) {
    ListResult stale = last->second;
    co_return std::move(stale);
  }
  bool whole = options.limit == 0 && options.continue_.empty();
  Call<ListResult> call = [kind, ns, options](Client* c, Context x) {
    return c->list(std::move(x), kind, ns, options);
  };
  Result<ListResult> r = co_await send<ListResult>(ctx, Verb::kRead, call);
  if (r.ok() && whole) network->last_lists[key] = *r;
  co_return std::move(r);
}

Task<Result<std::unique_ptr<Watch>>> FaultyClient::watch(Context ctx, const KindDesc* kind,
                                                         std::string ns, WatchOptions options) {
  Status s = co_await ctx.sleep(delay());
  if (!s.ok()) co_return s;
  std::shared_ptr<ServerProcess> server = network_->server;
  if (line_->cut || !server) co_return Status::unavailable("connection refused");
  // The watch's own context is the server's: it lives until it is let go.
  Call<std::unique_ptr<Watch>> call = [kind, ns, options](Client* c, Context x) {
    return c->watch(std::move(x), kind, ns, options);
  };
  ++server->calls;
  Result<std::unique_ptr<Watch>> r = co_await call(server->client, server->ctx);
  --server->calls;
  if (!r.ok()) co_return r.status();
  if (server->ctx.done()) {
    (*r).reset();
    co_return Status::unavailable("connection lost");
  }
  bool ordered = !options.resource_version.empty() && options.resource_version != "0";
  co_return std::unique_ptr<Watch>(
      std::make_unique<FaultyWatch>(network_, line_, server, std::move(*r), ordered));
}

// A body may be sent twice: it is shared, and copied for each arrival.
using SharedBody = std::shared_ptr<const Document>;
static SharedBody share(Document body) { return std::make_shared<const Document>(std::move(body)); }

Task<Result<ObjectPtr>> FaultyClient::create(Context ctx, const KindDesc* kind, std::string ns,
                                             std::string name, Document body,
                                             WriteOptions options) {
  SharedBody b = share(std::move(body));
  return send<ObjectPtr>(std::move(ctx), Verb::kWrite, [=](Client* c, Context x) {
    return c->create(std::move(x), kind, ns, name, b->clone(), options);
  });
}

Task<Result<ObjectPtr>> FaultyClient::update(Context ctx, const KindDesc* kind, std::string ns,
                                             std::string name, Document body,
                                             WriteOptions options) {
  SharedBody b = share(std::move(body));
  return send<ObjectPtr>(std::move(ctx), Verb::kIdempotentWrite, [=](Client* c, Context x) {
    return c->update(std::move(x), kind, ns, name, b->clone(), options);
  });
}

Task<Result<ObjectPtr>> FaultyClient::patch(Context ctx, const KindDesc* kind, std::string ns,
                                            std::string name, PatchType type, Document body,
                                            WriteOptions options) {
  SharedBody b = share(std::move(body));
  return send<ObjectPtr>(std::move(ctx), Verb::kWrite, [=](Client* c, Context x) {
    return c->patch(std::move(x), kind, ns, name, type, b->clone(), options);
  });
}

Task<Result<ObjectPtr>> FaultyClient::remove(Context ctx, const KindDesc* kind, std::string ns,
                                             std::string name, DeleteOptions options) {
  // Without a uid a second arrival could hit the next object of that name, which no retry of HTTP
  // does either: only a guarded deletion is repeated.
  Verb verb = options.uid.empty() ? Verb::kWrite : Verb::kIdempotentWrite;
  return send<ObjectPtr>(std::move(ctx), verb, [=](Client* c, Context x) {
    return c->remove(std::move(x), kind, ns, name, options);
  });
}

}  // namespace keles::sim
