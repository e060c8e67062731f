#include "sim/network.h"

#include <algorithm>
#include <optional>

#include "client/https_client.h"
#include "keles/local_client.h"
#include "server/server.h"

namespace keles::sim {
namespace {

Status lost(bool write) {
  return write ? Status(Reason::kOutcomeUnknown, "connection lost before the answer")
               : Status::unavailable("connection lost");
}

// One request and its answer. It is carried out inside one life of the server, and ends with it;
// with its caller too, unless it is `detached`.
template <class R>
struct Flight {
  std::function<Task<Result<R>>(Client*, Context)> call;
  std::shared_ptr<ServerProcess> server;
  Caller user;
  std::optional<Result<R>> answer;
  Event done;
};

template <class R>
Task<void> carry(Context ctx, std::shared_ptr<Flight<R>> flight) {
  ServerProcess* server = flight->server.get();
  Client* client = server->client_of(flight->user);
  Result<R> r = co_await flight->call(client, ctx);
  flight->answer.emplace(std::move(r));
  --server->calls;
  flight->done.set();
}

template <class R>
Task<Result<R>> fly(Context ctx, std::shared_ptr<Flight<R>> flight, bool detached) {
  std::shared_ptr<ServerProcess> server = flight->server;
  ++server->calls;
  Context inner = detached ? server->ctx.with_timeout(60s) : ctx.child();
  std::optional<Context::Hook> hook;
  hook.emplace(server->ctx, [inner] { inner.cancel(Status::unavailable("server is gone")); });
  if (!detached) {
    co_await carry(inner, flight);
  } else {
    spawn(ctx.loop(), carry(inner, flight));
    Status s = co_await flight->done.wait(ctx);
    if (!s.ok()) co_return s;
  }
  hook.reset();
  co_return std::move(*flight->answer);
}

// An arrival for which nobody waits: the second of a request, or the only one, late.
template <class R>
Task<void> arrive_later(Duration later, std::shared_ptr<Flight<R>> flight, Network* network) {
  Context server = flight->server->ctx;
  Status s = co_await server.sleep(later);
  if (!s.ok() || network->faults.late + network->faults.duplicate == 0) co_return;
  ++network->late_arrivals;
  auto r = co_await fly<R>(server, flight, false);
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
    std::optional<Context::Hook> hook;
    hook.emplace(server_->ctx,
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

// The other side of a connection, and as whom its client has come.
Task<Result<net::TlsConnection>> dial_wire(Context ctx, Loop* loop, Network* network,
                                           std::shared_ptr<Line> line) {
  Random& random = loop->random();
  const WireOptions& wires = network->wires;
  Status s = co_await ctx.sleep(
      Duration(2 * random.between(wires.delay_min.count(), wires.delay_max.count())));
  if (!s.ok()) co_return s;
  while (line->cut) {  // nobody answers
    s = co_await ctx.sleep(1s);
    if (!s.ok()) co_return Status(Reason::kTimeout, "dial tcp apiserver:6443: i/o timeout");
  }
  std::shared_ptr<ServerProcess> server = network->any_server(random);
  if (!server || !server->wire)
    co_return Status::unavailable("dial tcp apiserver:6443: connect: connection refused");
  WirePair pair = connect_wire(*loop, &network->wires, line);
  net::TlsConnection out;
  out.transport = std::move(pair.client);
  out.info.http2 = !(wires.http1 > 0 && random.chance(wires.http1));
  net::PeerCertificate certificate;
  certificate.common_name = line->user.name;
  certificate.organizations = line->user.groups;
  server->wire->serve(std::move(pair.server), line->name + ":1", std::move(certificate),
                      out.info.http2);
  co_return std::move(out);
}

// Says when a watch goes back.
class OrderedWatch final : public Watch {
 public:
  OrderedWatch(Network* network, std::string name, std::unique_ptr<Watch> inner)
      : network_(network), name_(std::move(name)), inner_(std::move(inner)) {}
  Task<Result<WatchEvent>> next(Context ctx) override {
    auto e = co_await inner_->next(ctx);
    if (!e.ok()) co_return e.status();
    if (e->revision < last_ && network_->violation) {
      network_->violation("a watch of " + name_ + " over a wire went back from revision " +
                          std::to_string(last_) + " to " + std::to_string(e->revision));
    }
    last_ = e->revision;
    co_return std::move(e);
  }

 private:
  Network* network_;
  std::string name_;
  std::unique_ptr<Watch> inner_;
  int64_t last_ = 0;
};

// A client whose connections go to any server that is up when they are made.
std::unique_ptr<Client> wire_client(Loop& loop, Network* network, std::shared_ptr<Line> line) {
  ClientConfig config;
  config.endpoint.host = "apiserver";
  config.endpoint.port = 6443;
  config.endpoint.dial = [&loop, network, line](Context ctx) -> Task<Result<net::TlsConnection>> {
    return dial_wire(std::move(ctx), &loop, network, line);
  };
  HttpsClientOptions options;
  options.user_agent = line->name;
  return std::make_unique<HttpsClient>(loop, std::move(config), options);
}

}  // namespace

Client* ServerProcess::client_of(const Caller& caller) {
  auto& client = clients_[caller.name];
  if (!client) client = make_local_client(*api, ctx.loop(), caller);
  return client.get();
}

void ServerProcess::release() {
  for (auto& weak : watches) {
    if (auto w = weak.lock()) w->watch.reset();
  }
  watches.clear();
  clients_.clear();
}

FaultyClient::FaultyClient(Loop& loop, Network* network, std::shared_ptr<Line> line,
                           bool over_wires)
    : loop_(loop), network_(network), line_(std::move(line)) {
  if (over_wires) wires_ = wire_client(loop_, network_, line_);
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
  if (wires_) co_return co_await call(wires_.get(), ctx);
  Random& random = loop_.random();
  Network* network = network_;  // the network outlives its clients
  std::shared_ptr<Line> line = line_;
  bool write = verb != Verb::kRead;
  Status s = co_await ctx.sleep(delay());
  if (!s.ok()) co_return s;
  auto flight = std::make_shared<Flight<R>>();
  flight->call = call;
  flight->user = line->user;
  flight->server = network->any_server(random);
  std::shared_ptr<ServerProcess> server = flight->server;
  if (line->cut || !server) co_return Status::unavailable("connection refused");
  const NetworkFaults& f = network->faults;
  if (f.drop_request > 0 && random.chance(f.drop_request)) {
    if (write && f.late > 0 && random.chance(f.late)) {
      Duration later(random.between(0, 3 * f.patience.count()));
      spawn(loop_, arrive_later<R>(later, flight, network));
    }
    s = co_await ctx.sleep(Duration(random.between(0, f.patience.count())));
    co_return lost(write);
  }
  bool detached = f.late > 0 && random.chance(f.late);
  Result<R> r = co_await fly<R>(ctx, flight, detached);
  if (line->cut || server->ctx.done() || !flight->answer) co_return lost(write);
  if constexpr (std::is_same_v<R, ObjectPtr>) {
    if (verb == Verb::kIdempotentWrite && f.duplicate > 0 && random.chance(f.duplicate)) {
      auto again = std::make_shared<Flight<R>>();
      again->call = call;
      again->user = line->user;
      again->server = server;
      Duration later(random.between(0, f.slow_max.count()));
      spawn(loop_, arrive_later<R>(later, again, network));
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
  return send<ObjectPtr>(
      std::move(ctx), Verb::kRead,
      [kind = KindRef(kind), ns = std::move(ns), name = std::move(name)](Client* c, Context x) {
        return c->get(std::move(x), kind.get(), ns, name);
      });
}

Task<Result<ListResult>> FaultyClient::list(Context ctx, const KindDesc* kind, std::string ns,
                                            ListOptions options) {
  std::string key = std::string(kind->api_version()) + "|" + std::string(kind->plural) + "|" + ns +
                    "|" + options.label_selector + "|" + options.field_selector;
  bool any_version = options.resource_version == "0";
  Network* network = network_;
  auto last = network->last_lists.find(key);
  if (any_version && last != network->last_lists.end() && network->faults.stale_list > 0 &&
      loop_.random().chance(network->faults.stale_list)) {
    ListResult stale = last->second;
    co_return std::move(stale);
  }
  bool whole = options.limit == 0 && options.continue_.empty();
  Call<ListResult> call = [kind = KindRef(kind), ns, options](Client* c, Context x) {
    return c->list(std::move(x), kind.get(), ns, options);
  };
  Result<ListResult> r = co_await send<ListResult>(ctx, Verb::kRead, call);
  if (r.ok() && whole) network->last_lists[key] = *r;
  co_return std::move(r);
}

Task<Result<std::unique_ptr<Watch>>> FaultyClient::watch(Context ctx, const KindDesc* kind,
                                                         std::string ns, WatchOptions options) {
  if (!wires_) co_return co_await watch_by_messages(ctx, kind, std::move(ns), std::move(options));
  bool ordered = !options.resource_version.empty() && options.resource_version != "0";
  auto r = co_await wires_->watch(ctx, kind, std::move(ns), std::move(options));
  if (!r.ok() || !ordered) co_return std::move(r);
  std::unique_ptr<Watch> watch =
      std::make_unique<OrderedWatch>(network_, line_->name, std::move(*r));
  co_return std::move(watch);
}

Task<Result<std::unique_ptr<Watch>>> FaultyClient::watch_by_messages(Context ctx,
                                                                     const KindDesc* kind,
                                                                     std::string ns,
                                                                     WatchOptions options) {
  Status s = co_await ctx.sleep(delay());
  if (!s.ok()) co_return s;
  std::shared_ptr<ServerProcess> server = network_->any_server(loop_.random());
  if (line_->cut || !server) co_return Status::unavailable("connection refused");
  // The watch's own context is the server's: it lives until it is let go.
  Call<std::unique_ptr<Watch>> call = [kind = KindRef(kind), ns, options](Client* c, Context x) {
    return c->watch(std::move(x), kind.get(), ns, options);
  };
  ++server->calls;
  Client* client = server->client_of(line_->user);
  Result<std::unique_ptr<Watch>> r = co_await call(client, server->ctx);
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
  const KindRef held(kind);
  return send<ObjectPtr>(std::move(ctx), Verb::kWrite, [=](Client* c, Context x) {
    return c->create(std::move(x), held.get(), ns, name, b->clone(), options);
  });
}

Task<Result<ObjectPtr>> FaultyClient::update(Context ctx, const KindDesc* kind, std::string ns,
                                             std::string name, Document body,
                                             WriteOptions options) {
  SharedBody b = share(std::move(body));
  const KindRef held(kind);
  return send<ObjectPtr>(std::move(ctx), Verb::kIdempotentWrite, [=](Client* c, Context x) {
    return c->update(std::move(x), held.get(), ns, name, b->clone(), options);
  });
}

Task<Result<ObjectPtr>> FaultyClient::patch(Context ctx, const KindDesc* kind, std::string ns,
                                            std::string name, PatchType type, Document body,
                                            WriteOptions options) {
  SharedBody b = share(std::move(body));
  const KindRef held(kind);
  return send<ObjectPtr>(std::move(ctx), Verb::kWrite, [=](Client* c, Context x) {
    return c->patch(std::move(x), held.get(), ns, name, type, b->clone(), options);
  });
}

Task<Result<ObjectPtr>> FaultyClient::remove(Context ctx, const KindDesc* kind, std::string ns,
                                             std::string name, DeleteOptions options) {
  // Without a uid a second arrival could hit the next object of that name, which no retry of HTTP
  // does either: only a guarded deletion is repeated.
  const KindRef held(kind);
  Verb verb = options.uid.empty() ? Verb::kWrite : Verb::kIdempotentWrite;
  return send<ObjectPtr>(std::move(ctx), verb, [=](Client* c, Context x) {
    return c->remove(std::move(x), held.get(), ns, name, options);
  });
}

}  // namespace keles::sim
