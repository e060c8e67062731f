#include "dns/server.h"

#include <algorithm>

#include "base/ip.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/recurring.h"
#include "base/sync.h"
#include "dns/reply_cache.h"
#include "net/stream.h"
#include "net/udp.h"

namespace keles::dns {
namespace {

using api::core_v1::Namespace;
using api::core_v1::Service;
using api::core_v1::ServiceEdit;
using api::discovery_v1::EndpointSlice;
using api::discovery_v1::EndpointSliceEdit;

constexpr Duration kForwardTimeout = 2s;
constexpr Duration kTcpIdle = 10s;
constexpr Duration kPublishEvery = 60s, kPublishAgain = 500ms;
constexpr int kPortTries = 16;

metrics::Counter& requests() {
  static metrics::Counter& m = metrics::counter(
      "coredns_dns_requests_total", "Counter of DNS requests made per protocol.", {"proto"});
  return m;
}
metrics::Counter& responses() {
  static metrics::Counter& m = metrics::counter("coredns_dns_responses_total",
                                                "Counter of response status codes.", {"rcode"});
  return m;
}

metrics::Counter& cache_requests() {
  static metrics::Counter& m =
      metrics::counter("keles_dns_cache_requests_total",
                       "Questions to other name servers, by whether the cache knew.", {"result"});
  return m;
}

class Server final : public DnsServer {
 public:
  Server(DnsOptions options, std::unique_ptr<net::UdpSocket> udp,
         std::unique_ptr<net::StreamListener> tcp, Loop& loop)
      : options_(std::move(options)),
        zone_(options_.domain),
        udp_(std::move(udp)),
        tcp_(std::move(tcp)),
        tasks_(loop) {}

  uint16_t port() const override { return udp_->port(); }
  Zone& zone() override { return zone_; }

  Task<void> run(Context ctx, Client* client, InformerFactory* informers) override {
    if (informers) feed(*informers);
    if (client && !options_.service_ip.empty()) tasks_.spawn(publish(ctx, client));
    tasks_.spawn(serve_tcp(ctx));
    co_await serve_udp(ctx);
    co_await tasks_.join();
  }

 private:
  void feed(InformerFactory& informers) {
    informers.informer<Service>().on_change(
        [this](const Ref<Service>& before, const Ref<Service>& now) {
          if (now) {
            zone_.set_service(*now);
          } else {
            zone_.remove_service(before->metadata().namespace_(), before->metadata().name());
          }
        });
    informers.informer<EndpointSlice>().on_change(
        [this](const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now) {
          if (now) {
            zone_.set_slice(*now);
          } else {
            zone_.remove_slice(before->metadata().namespace_(), before->metadata().name());
          }
        });
    informers.informer<Namespace>().on_change(
        [this](const Ref<Namespace>& before, const Ref<Namespace>& now) {
          if (now) {
            zone_.set_namespace(now->metadata().name());
          } else {
            zone_.remove_namespace(before->metadata().name());
          }
        });
  }

  Task<void> serve_udp(Context ctx) {
    for (;;) {
      Result<net::UdpSocket::Datagram> d = co_await udp_->receive(ctx);
      if (!d.ok()) {
        if (ctx.done()) co_return;
        continue;
      }
      requests().with({"udp"}).add();
      Result<Query> q = parse_query(d->data);
      if (!q.ok()) continue;  // not worth an answer: it may be forged
      std::optional<Answer> a = answer_locally(*q);
      if (a && !must_chase(*a)) {
        std::string reply = written(*q, *a, udp_limit(*q));
        (void)co_await udp_->send(ctx, std::move(reply), d->from);
      } else if (auto known = a ? std::nullopt : cache_.find(d->data, ctx.loop().now())) {
        cache_requests().with({"hits"}).add();
        (void)co_await udp_->send(ctx, std::move(*known), d->from);
      } else if (in_flight_ >= options_.max_forwards_in_flight) {
        continue;
      } else if (a) {
        tasks_.spawn(chase_udp(ctx, std::move(*q), std::move(*a), d->from));
      } else {
        cache_requests().with({"misses"}).add();
        tasks_.spawn(forward_udp(ctx, std::move(*q), std::move(*d)));
      }
    }
  }

  // Nothing when the question has to be forwarded.
  std::optional<Answer> answer_locally(const Query& q) {
    std::optional<Answer> a;
    if (q.opcode != 0) {
      a.emplace();
      a->rcode = kNotImp;
      a->authoritative = false;
    } else if (q.klass == 1 || q.klass == 255) {
      a = zone_.answer(q.name, q.type);
    }
    if (!a && options_.upstreams.empty()) {
      a.emplace();
      a->rcode = kRefused;
      a->authoritative = false;
    }
    return a;
  }

  bool must_chase(const Answer& a) const { return !a.chase.empty() && !options_.upstreams.empty(); }

  std::string written(const Query& q, Answer& a, size_t limit) {
    rotate(a);
    responses().with({std::to_string(a.rcode)}).add();
    return write_answer(q, a, zone_.domain(), limit);
  }

  // Adds what the forwarder says of an alias's target. When nobody answers, the alias is all that
  // the client learns, as from CoreDNS.
  Task<void> chase(Context ctx, uint16_t type, Answer* a, bool tcp) {
    Query target;
    target.id = static_cast<uint16_t>(ctx.loop().random().next());
    std::string question = write_question(target.id, a->chase, type);
    for (const std::string& upstream : options_.upstreams) {
      Result<std::string> reply = Status::unavailable("not asked");
      if (tcp) {
        reply = co_await ask_tcp(ctx, upstream, question);
      } else {
        reply = co_await ask_udp(ctx, upstream, target, question);
      }
      if (!reply.ok()) continue;
      Result<Answer> said = parse_answer(*reply);
      if (!said.ok()) continue;
      for (Record& r : said->answers) a->answers.push_back(std::move(r));
      co_return;
    }
  }

  Task<void> chase_udp(Context ctx, Query q, Answer a, net::UdpAddress from) {
    ++in_flight_;
    co_await chase(ctx, q.type, &a, false);
    --in_flight_;
    std::string reply = written(q, a, udp_limit(q));
    (void)co_await udp_->send(ctx, std::move(reply), from);
  }

  // Spreads clients that take the first address over the endpoints.
  void rotate(Answer& a) {
    // Aliases stay in front: some resolvers read a chain in order only.
    auto first = std::find_if(a.answers.begin(), a.answers.end(),
                              [](const Record& r) { return r.type != kCname; });
    const auto n = static_cast<size_t>(a.answers.end() - first);
    if (n < 2) return;
    std::rotate(first, first + static_cast<long>(turn_++ % n), a.answers.end());
  }

  std::string failure(const Query& q) {
    Answer a;
    a.rcode = kServFail;
    a.authoritative = false;
    responses().with({"2"}).add();
    return write_answer(q, a, zone_.domain(), 512);
  }

  Task<void> forward_udp(Context ctx, Query q, net::UdpSocket::Datagram d) {
    ++in_flight_;
    std::string reply = failure(q);
    for (const std::string& upstream : options_.upstreams) {
      Result<std::string> r = co_await ask_udp(ctx, upstream, q, d.data);
      if (!r.ok()) continue;
      reply = std::move(*r);
      cache_.put(d.data, reply, ctx.loop().now());
      break;
    }
    --in_flight_;
    (void)co_await udp_->send(ctx, std::move(reply), d.from);
  }

  Task<Result<std::string>> ask_udp(Context ctx, std::string upstream, Query q,
                                    std::string message) {
    auto socket = net::UdpSocket::bind(ctx.loop(), "0.0.0.0", 0);
    if (!socket.ok()) co_return socket.status();
    // A fresh id and port: an off-path attacker must guess both.
    uint16_t id = static_cast<uint16_t>(ctx.loop().random().next());
    message[0] = static_cast<char>(id >> 8);
    message[1] = static_cast<char>(id);
    Context limited = ctx.with_timeout(kForwardTimeout);
    net::UdpAddress to;  // a local: GCC 12 destroys braced temporaries in an awaited call twice
    to.ip = upstream;
    to.port = 53;
    Status s = co_await (*socket)->send(limited, message, to);
    if (!s.ok()) co_return s;
    for (;;) {
      Result<net::UdpSocket::Datagram> r = co_await (*socket)->receive(limited);
      if (!r.ok()) co_return r.status();
      if (r->from.ip != upstream || r->data.size() < 12) continue;
      if (r->data[0] != message[0] || r->data[1] != message[1]) continue;
      r->data[0] = static_cast<char>(q.id >> 8);
      r->data[1] = static_cast<char>(q.id);
      co_return std::move(r->data);
    }
  }

  Task<void> serve_tcp(Context ctx) {
    for (;;) {
      auto stream = co_await tcp_->accept(ctx);
      if (!stream.ok()) {
        if (ctx.done()) co_return;
        (void)co_await ctx.sleep(100ms);  // out of descriptors, most likely
        continue;
      }
      if (connections_ >= options_.max_tcp_connections) continue;  // dropping it closes it
      tasks_.spawn(serve_connection(ctx, std::move(*stream)));
    }
  }

  Task<void> serve_connection(Context ctx, std::unique_ptr<net::ByteStream> stream) {
    ++connections_;
    std::string buffer;
    for (;;) {
      Result<std::string> message =
          co_await read_message(ctx.with_timeout(kTcpIdle), stream.get(), &buffer);
      if (!message.ok()) break;
      requests().with({"tcp"}).add();
      Result<Query> q = parse_query(*message);
      if (!q.ok()) break;
      std::optional<Answer> a = answer_locally(*q);
      std::string reply;
      if (a) {
        if (must_chase(*a)) co_await chase(ctx, q->type, &*a, true);
        reply = written(*q, *a, 65535);
      } else {
        reply = failure(*q);
        for (const std::string& upstream : options_.upstreams) {
          Result<std::string> r = co_await ask_tcp(ctx, upstream, *message);
          if (!r.ok()) continue;
          reply = std::move(*r);
          break;
        }
      }
      Status s = co_await stream->write(ctx.with_timeout(kTcpIdle), framed(reply));
      if (!s.ok()) break;
    }
    --connections_;
  }

  static std::string framed(const std::string& m) {
    std::string out;
    out += static_cast<char>(m.size() >> 8);
    out += static_cast<char>(m.size());
    return out + m;
  }

  static Task<Result<std::string>> read_message(Context ctx, net::ByteStream* stream,
                                                std::string* buffer) {
    for (;;) {
      if (buffer->size() >= 2) {
        size_t n = static_cast<size_t>(static_cast<uint8_t>((*buffer)[0]) << 8 |
                                       static_cast<uint8_t>((*buffer)[1]));
        if (buffer->size() >= n + 2) {
          std::string m = buffer->substr(2, n);
          buffer->erase(0, n + 2);
          co_return std::move(m);
        }
      }
      Result<std::string> more = co_await stream->read(ctx);
      if (!more.ok()) co_return more.status();
      if (more->empty()) co_return Status::cancelled("end of stream");
      buffer->append(*more);
    }
  }

  static Task<Result<std::string>> ask_tcp(Context ctx, std::string upstream, std::string message) {
    Context limited = ctx.with_timeout(kForwardTimeout);
    auto stream = co_await net::dial(limited, upstream, 53);
    if (!stream.ok()) co_return stream.status();
    Status s = co_await (*stream)->write(limited, framed(message));
    if (!s.ok()) co_return s;
    std::string buffer;
    Result<std::string> r = co_await read_message(limited, stream->get(), &buffer);
    co_return r;
  }

  // Makes the kube-dns Service and its EndpointSlice what they should be; looks again every minute.
  Task<void> publish(Context ctx, Client* client) {
    Recurring failing;
    Duration again = kPublishAgain;
    for (;;) {
      Status s = co_await publish_once(ctx, client);
      if (s.ok()) failing.over();
      if (!s.ok() && !ctx.done() && failing.news(ctx.loop().now(), s.message())) {
        log::warn("kube-dns not published", {{"err", s}});
      }
      again = s.ok() ? kPublishAgain : std::min<Duration>(again * 2, kPublishEvery);
      Duration wait = s.ok() ? kPublishEvery : again;
      Status slept = co_await ctx.sleep(wait);
      if (!slept.ok()) co_return;
    }
  }

  Task<Status> publish_once(Context ctx, Client* client) {
    Context limited = ctx.with_timeout(10s);
    auto service = co_await client->get<Service>(limited, "kube-system", "kube-dns");
    if (!service.ok()) {
      if (!service.status().is(Reason::kNotFound)) co_return service.status();
      auto made = co_await client->create<Service>(limited, desired_service());
      if (!made.ok()) co_return made.status();
    }
    // A loopback address is no endpoint: whoever reads it would ask itself.
    auto ip = IpAddress::parse(options_.endpoint_ip);
    if (!ip || !ip->is_global_unicast()) {
      co_return Status::bad_request("pods cannot reach the advertised address " +
                                    options_.endpoint_ip);
    }
    auto slice = co_await client->get<EndpointSlice>(limited, "kube-system", "kube-dns-keles");
    if (slice.ok()) {
      auto endpoints = (*slice)->endpoints();
      bool same = endpoints.size() == 1 && endpoints[0].addresses().size() == 1 &&
                  endpoints[0].addresses()[0] == options_.endpoint_ip;
      if (same) co_return Status();
      Status gone =
          co_await client->remove<EndpointSlice>(limited, "kube-system", "kube-dns-keles");
      if (!gone.ok()) co_return gone;
    } else if (!slice.status().is(Reason::kNotFound)) {
      co_return slice.status();
    }
    auto made = co_await client->create<EndpointSlice>(limited, desired_slice());
    co_return made.status();
  }

  Document desired_service() const {
    Draft<ServiceEdit> d;
    auto meta = d->edit_metadata();
    meta.set_name("kube-dns");
    meta.set_namespace_("kube-system");
    meta.edit_labels().set("k8s-app", "kube-dns");
    meta.edit_labels().set("kubernetes.io/cluster-service", "true");
    meta.edit_labels().set("kubernetes.io/name", "CoreDNS");
    auto spec = d->edit_spec();
    spec.set_cluster_ip(options_.service_ip);
    auto add = [&spec](std::string_view name, std::string_view protocol) {
      auto p = spec.edit_ports().add();
      p.set_name(name);
      p.set_port(53);
      p.set_protocol(protocol);
    };
    add("dns", "UDP");
    add("dns-tcp", "TCP");
    return d.take();
  }

  Document desired_slice() const {
    Draft<EndpointSliceEdit> d;
    auto meta = d->edit_metadata();
    meta.set_name("kube-dns-keles");
    meta.set_namespace_("kube-system");
    meta.edit_labels().set("kubernetes.io/service-name", "kube-dns");
    meta.edit_labels().set("endpointslice.kubernetes.io/managed-by", "dns.keles.dev");
    d->set_address_type("IPv4");
    auto e = d->edit_endpoints().add();
    e.edit_addresses().add(options_.endpoint_ip);
    e.edit_conditions().set_ready(true);
    auto add = [&d, this](std::string_view name, std::string_view protocol) {
      auto p = d->edit_ports().add();
      p.set_name(name);
      p.set_port(port());
      p.set_protocol(protocol);
    };
    add("dns", "UDP");
    add("dns-tcp", "TCP");
    return d.take();
  }

  DnsOptions options_;
  Zone zone_;
  std::unique_ptr<net::UdpSocket> udp_;
  std::unique_ptr<net::StreamListener> tcp_;
  TaskGroup tasks_;
  ReplyCache cache_;
  int in_flight_ = 0, connections_ = 0;
  size_t turn_ = 0;
};

}  // namespace

std::vector<std::string> name_servers(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    if (!line.starts_with("nameserver")) continue;
    line.remove_prefix(10);
    auto a = line.find_first_not_of(" \t");
    if (a == line.npos) continue;
    auto b = line.find_first_of(" \t\r#;", a);
    std::string server(line.substr(a, b == line.npos ? b : b - a));
    if (!server.starts_with("127.") && server != "::1" && out.size() < 3)
      out.push_back(std::move(server));
  }
  return out;
}

Result<std::unique_ptr<DnsServer>> DnsServer::start(Loop& loop, DnsOptions options) {
  // Who asks himself goes round for ever: a host whose resolver is this very service.
  std::erase_if(options.upstreams, [&](const std::string& upstream) {
    const bool self = upstream == options.service_ip || upstream == options.endpoint_ip ||
                      (upstream == options.address && options.port == 53);
    if (self)
      log::warn("A forwarder is this server itself and is left out", {{"upstream", upstream}});
    return self;
  });
  // Any port (0) has to be free for both: one that is free for UDP may be taken for TCP.
  for (int tries = options.port == 0 ? kPortTries : 1;; --tries) {
    auto udp = net::UdpSocket::bind(loop, options.address, options.port);
    if (!udp.ok()) return udp.status();
    auto tcp = net::StreamListener::listen(loop, options.address, (*udp)->port());
    if (!tcp.ok() && tries > 1) continue;
    if (!tcp.ok()) return tcp.status();
    return std::unique_ptr<DnsServer>(
        std::make_unique<Server>(std::move(options), std::move(*udp), std::move(*tcp), loop));
  }
}

}  // namespace keles::dns
