#include "dns/server.h"

#include <algorithm>
#include <functional>

#include "base/host_port.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/sync.h"
#include "dns/corefile.h"
#include "dns/dns_metrics.h"
#include "dns/health_ports.h"
#include "dns/publish.h"
#include "dns/reply_cache.h"
#include "dns/router.h"
#include "net/stream.h"
#include "net/udp.h"

namespace keles::dns {
namespace {

using api::core_v1::ConfigMap;
using api::core_v1::Namespace;
using api::core_v1::Service;
using api::discovery_v1::EndpointSlice;

constexpr Duration kForwardTimeout = 2s;
constexpr Duration kTcpIdle = 10s;
constexpr int kPortTries = 16;
constexpr uint16_t kHinfo = 13;

using Config = std::shared_ptr<const DnsConfig>;

// A question under way, from its arrival to its answer. `config` holds what `route` points into.
struct Asking {
  Query query;
  Route route;
  Config config;
  net::UdpAddress from;  // of a datagram
  size_t bytes = 0;
  bool tcp = false;
  TimePoint since{};
};

class Server final : public DnsServer {
 public:
  Server(DnsOptions options, DnsConfig config, std::unique_ptr<net::UdpSocket> udp,
         std::unique_ptr<net::StreamListener> tcp, Loop& loop)
      : options_(std::move(options)),
        zone_(options_.domain),
        udp_(std::move(udp)),
        tcp_(std::move(tcp)),
        loop_(loop),
        tasks_(loop) {
    use(std::move(config));
  }

  uint16_t port() const override { return udp_->port(); }
  Zone& zone() override { return zone_; }

  Task<void> run(Context ctx, Client* client, InformerFactory* informers) override {
    ctx_ = ctx;
    if (informers) {
      feed(*informers);
      tasks_.spawn(become_ready(ctx, informers));
    }
    if (client && !options_.service_ip.empty()) {
      Published what;
      what.service_ip = options_.service_ip;
      what.endpoint_ip = options_.endpoint_ip;
      what.corefile = first_corefile(options_);
      what.port = port();
      std::function<Task<void>(Context)> publishing = [client, what](Context leading) {
        return publish(std::move(leading), client, what);
      };
      if (options_.while_leading) {
        tasks_.spawn(options_.while_leading(ctx, publishing));
      } else {
        tasks_.spawn(publishing(ctx));
      }
    }
    tasks_.spawn(serve_tcp(ctx));
    open_health();
    look_for_loops();
    co_await serve_udp(ctx);
    co_await close_health();
    co_await tasks_.join();
  }

  static std::string first_corefile(const DnsOptions& options) {
    return options.corefile.empty() ? default_corefile(options.domain) : options.corefile;
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
    informers
        .informer<ConfigMap>(std::string(kConfigNamespace), "",
                             "metadata.name=" + std::string(kConfigName))
        .on_change([this](const Ref<ConfigMap>&, const Ref<ConfigMap>& now) {
          std::string text(now ? now->data().get("Corefile") : std::string_view());
          reload(text.empty() ? first_corefile(options_) : text);
        });
  }

  Task<void> become_ready(Context ctx, InformerFactory* informers) {
    Status s = co_await informers->wait_synced(ctx);
    ready_ = s.ok();
  }

  // --- configuration ---

  void reload(const std::string& text) {
    if (text == text_) return;
    auto read = parse_corefile(text, options_.domain);
    if (!read.ok()) {
      log::error("The Corefile of kube-system/coredns is not used", {{"err", read.status()}});
      DnsMetrics::reload_failed();
      return;
    }
    text_ = text;
    log::info("Follows the Corefile of kube-system/coredns");
    use(std::move(*read));
    open_health();
    look_for_loops();
  }

  void use(DnsConfig config) {
    for (const std::string& w : config.warnings) log::warn("Corefile", {{"warning", w}});
    if (!options_.serves_health) config.health = config.ready = config.metrics = std::nullopt;
    for (const ServerBlock& block : config.blocks) {
      if (block.cluster) zone_.set_ttl(block.cluster->ttl_seconds);
    }
    config_ = std::make_shared<const DnsConfig>(std::move(config));
    cache_.clear();
    looping_.clear();
    probes_.clear();
  }

  // One after another: a port is free when the one before has ended.
  void open_health() {
    if (!options_.serves_health || !ctx_) return;
    tasks_.spawn(replace_health(*ctx_));
  }
  Task<void> replace_health(Context ctx) {
    Status turn = co_await replacing_.acquire(ctx);
    if (!turn.ok()) co_return;
    co_await close_health();
    if (!ctx.done()) {
      health_ = std::make_unique<HealthPorts>(loop_, *config_, options_.address,
                                              [this] { return ready_; });
    }
    replacing_.release();
  }
  Task<void> close_health() {
    std::unique_ptr<HealthPorts> old = std::move(health_);
    if (!old) co_return;
    Context soon = Context::root(loop_).with_timeout(1s);
    co_await old->stop(soon);
  }

  // --- loops: what is forwarded and comes back ---

  // Each forwarder of a block that says `loop` is asked once for a name that nobody else asks for.
  void look_for_loops() {
    if (!ctx_) return;
    for (const ServerBlock& block : config_->blocks) {
      if (!block.loop) continue;
      for (const Forward& f : block.forwards) tasks_.spawn(probe(*ctx_, config_, &f));
    }
  }
  Task<void> probe(Context ctx, Config config, const Forward* f) {
    const std::string name = std::to_string(ctx.loop().random().next()) + "." +
                             std::to_string(ctx.loop().random().next()) +
                             (f->from.empty() ? "" : "." + f->from);
    probes_[name] = f;
    std::string question = write_question(0, name, kHinfo);
    for (const Upstream& to : upstreams_of(*f)) {
      auto reply = co_await ask_udp(ctx, to, 0, question);
      if (reply.ok()) break;
    }
    if (ctx.done()) co_return;
    probes_.erase(name);
    if (config == config_ && std::count(looping_.begin(), looping_.end(), f) != 0) {
      log::error(
          "Loop detected: what is forwarded comes back to this server; nothing is forwarded there",
          {{"zone", f->from + "."}});
    }
  }
  bool is_own_probe(const Query& q) {
    if (q.type != kHinfo || probes_.empty()) return false;
    auto it = probes_.find(q.name);
    if (it == probes_.end()) return false;
    looping_.push_back(it->second);
    return true;
  }

  // --- questions ---

  Asking take(Query query, size_t bytes, bool tcp) {
    Asking a;
    a.query = std::move(query);
    a.config = config_;
    a.bytes = bytes;
    a.tcp = tcp;
    a.since = loop_.now();
    a.route = route(*config_, zone_, a.query);
    const bool back = is_own_probe(a.query);
    const bool nobody = a.route.forward && (back || cannot_forward(*a.route.forward));
    if (nobody) {
      Answer refused;
      refused.rcode = back ? kServFail : kRefused;
      refused.authoritative = false;
      a.route.answer = std::move(refused);
      a.route.forward = nullptr;
      a.route.plugin = back ? "loop" : "";
    }
    return a;
  }

  bool cannot_forward(const Forward& f) const {
    if (std::count(looping_.begin(), looping_.end(), &f) != 0) return true;
    return f.to.empty() && options_.upstreams.empty();
  }

  Task<void> serve_udp(Context ctx) {
    for (;;) {
      Result<net::UdpSocket::Datagram> d = co_await udp_->receive(ctx);
      if (!d.ok()) {
        if (ctx.done()) co_return;
        continue;
      }
      Result<Query> q = parse_query(d->data);
      if (!q.ok()) continue;  // not worth an answer: it may be forged
      Asking a = take(std::move(*q), d->data.size(), false);
      a.from = d->from;
      if (a.route.answer && a.route.answer->chase.empty()) {
        std::string reply = written(a, udp_limit(a.query));
        (void)co_await udp_->send(ctx, std::move(reply), d->from);
        continue;
      }
      std::optional<std::string> known = from_cache(a, d->data);
      if (known) {
        (void)co_await udp_->send(ctx, std::move(*known), d->from);
      } else if (in_flight_ >= limit_of(a)) {
        DnsMetrics::too_many_forwards();
        std::string reply = failed(a, kRefused);
        (void)co_await udp_->send(ctx, std::move(reply), d->from);
      } else {
        tasks_.spawn(answer_udp(ctx, std::move(a), std::move(d->data)));
      }
    }
  }

  int limit_of(const Asking& a) const {
    const int own = a.route.forward ? a.route.forward->max_concurrent : 0;
    return own > 0 ? std::min(own, options_.max_forwards_in_flight)
                   : options_.max_forwards_in_flight;
  }

  std::optional<std::string> from_cache(const Asking& a, std::string_view question) {
    if (a.route.answer || !a.route.block->cache_seconds) return std::nullopt;
    const std::string_view zone = a.route.block->zones.front();
    std::optional<std::string> known = cache_.find(question, loop_.now());
    metrics_.cache(known.has_value(), zone);
    if (known) count(a, static_cast<uint8_t>((*known)[3] & 15), known->size(), "cache");
    return known;
  }

  Task<void> answer_udp(Context ctx, Asking a, std::string question) {
    ++in_flight_;
    std::string reply = co_await ask_others(ctx, &a, std::move(question), udp_limit(a.query));
    --in_flight_;
    (void)co_await udp_->send(ctx, std::move(reply), a.from);
  }

  // Of a question that has no whole answer here.
  Task<std::string> ask_others(Context ctx, Asking* a, std::string question, size_t limit) {
    if (a->route.answer) {
      co_await chase(ctx, a->query.type, &*a->route.answer, a->tcp);
      co_return written(*a, limit);
    }
    const Forward* f = a->route.forward;
    Status why = Status::unavailable("no upstream");
    for (const Upstream& to : upstreams_of(*f)) {
      Result<std::string> reply = Status::unavailable("not asked");
      if (a->tcp || f->force_tcp) {
        reply = co_await ask_tcp(ctx, to, question);
      } else {
        reply = co_await ask_udp(ctx, to, a->query.id, question);
      }
      if (!reply.ok()) {
        why = reply.status();
        continue;
      }
      if (a->config == config_ && a->route.block->cache_seconds && !a->tcp) {
        cache_.put(question, *reply, loop_.now(),
                   std::chrono::seconds(*a->route.block->cache_seconds));
        metrics_.cache_entries(cache_.entries(), a->route.block->zones.front());
      }
      const uint8_t rcode = reply->size() > 3 ? static_cast<uint8_t>((*reply)[3] & 15) : 0;
      count(*a, rcode, reply->size(), "forward");
      // What came over TCP may be more than a datagram's sender takes.
      if (!a->tcp && reply->size() > limit) co_return failed(*a, kNoError, true);
      co_return std::move(*reply);
    }
    if (a->route.block->errors) {
      log::error("plugin/errors: 2 " + a->query.name + ". " + type_text(a->query.type),
                 {{"err", why}});
    }
    co_return failed(*a, kServFail);
  }

  // Adds what is said of an alias's target. When nobody answers, the alias is all that the client
  // learns, as from CoreDNS.
  Task<void> chase(Context ctx, uint16_t type, Answer* to, bool tcp) {
    Query target;
    target.name = target.name_as_asked = to->chase;
    target.type = type;
    target.id = static_cast<uint16_t>(ctx.loop().random().next());
    Asking a = take(std::move(target), 0, tcp);
    if (a.route.answer) {
      for (Record& r : a.route.answer->answers) to->answers.push_back(std::move(r));
      co_return;
    }
    std::string question = write_question(a.query.id, a.query.name, type);
    for (const Upstream& upstream : upstreams_of(*a.route.forward)) {
      Result<std::string> reply = Status::unavailable("not asked");
      if (tcp) {
        reply = co_await ask_tcp(ctx, upstream, question);
      } else {
        reply = co_await ask_udp(ctx, upstream, a.query.id, question);
      }
      if (!reply.ok()) continue;
      Result<Answer> said = parse_answer(*reply);
      if (!said.ok()) continue;
      for (Record& r : said->answers) to->answers.push_back(std::move(r));
      co_return;
    }
  }

  // --- answers ---

  std::string written(Asking& a, size_t limit) {
    Answer& answer = *a.route.answer;
    if (!a.route.block || a.route.block->rotate) rotate(answer);
    std::string out = write_answer(a.query, answer, zone_.domain(), limit);
    count(a, answer.rcode, out.size(), a.route.plugin);
    return out;
  }

  std::string failed(const Asking& a, Rcode rcode, bool cut = false) {
    Answer answer;
    answer.rcode = rcode;
    answer.authoritative = false;
    std::string out = write_answer(a.query, answer, zone_.domain(), 512);
    if (cut) out[2] = static_cast<char>(out[2] | 2);  // TC: to be asked for over TCP
    if (!cut) count(a, rcode, out.size(), "forward");
    return out;
  }

  void count(const Asking& a, uint8_t rcode, size_t bytes, std::string_view plugin) {
    Asked asked;
    asked.zone = a.route.block ? std::string_view(a.route.block->zones.front()) : kNoZone;
    asked.tcp = a.tcp;
    asked.v6 = options_.address.find(':') != std::string::npos;
    asked.type = a.query.type;
    asked.rcode = rcode;
    asked.plugin = plugin;
    asked.request_bytes = a.bytes;
    asked.reply_bytes = bytes;
    asked.took = loop_.now() - a.since;
    metrics_.count(asked);
    if (!a.route.block || !a.route.block->log) return;
    // CoreDNS' line, by its common format.
    log::info(a.from.ip + ":" + std::to_string(a.from.port) + " - " + std::to_string(a.query.id) +
              " \"" + type_text(a.query.type) + " IN " + a.query.name + ". " +
              (a.tcp ? "tcp " : "udp ") + std::to_string(a.bytes) + "\" " + rcode_text(rcode) +
              " " + std::to_string(bytes));
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

  // --- other name servers ---

  // In the order in which they are to be asked.
  std::vector<Upstream> upstreams_of(const Forward& f) {
    std::vector<Upstream> out;
    if (f.hosts_own) {
      for (const std::string& ip : options_.upstreams) out.push_back({ip, 53});
    }
    for (const Upstream& to : f.to) {
      const bool self =
          to.port == 53 && (to.ip == options_.service_ip || to.ip == options_.endpoint_ip);
      if (!self) out.push_back(to);
    }
    if (out.size() < 2 || f.policy == Forward::Policy::kSequential) return out;
    const size_t start = f.policy == Forward::Policy::kRandom ? loop_.random().below(out.size())
                                                              : forward_turn_++ % out.size();
    std::rotate(out.begin(), out.begin() + static_cast<long>(start), out.end());
    return out;
  }

  static void count_forward(const Upstream& to, const Result<std::string>& reply, Duration took) {
    const std::string host = url_host(to.ip);
    const uint8_t rcode = reply.ok() && reply->size() > 3 ? static_cast<uint8_t>((*reply)[3] & 15)
                                                          : uint8_t{kServFail};
    DnsMetrics::forwarded(host + ":" + std::to_string(to.port), rcode_text(rcode), took);
  }

  // The reply to the question, under the id `id`.
  Task<Result<std::string>> ask_udp(Context ctx, Upstream upstream, uint16_t id,
                                    std::string message) {
    const TimePoint since = ctx.loop().now();
    Result<std::string> reply = co_await exchange_udp(ctx, upstream, id, std::move(message));
    count_forward(upstream, reply, ctx.loop().now() - since);
    co_return reply;
  }

  static Task<Result<std::string>> exchange_udp(Context ctx, Upstream upstream, uint16_t asked_id,
                                                std::string message) {
    const bool v6 = upstream.ip.find(':') != upstream.ip.npos;
    auto socket = net::UdpSocket::bind(ctx.loop(), v6 ? "::" : "0.0.0.0", 0);
    if (!socket.ok()) co_return socket.status();
    // A fresh id and port: an off-path attacker must guess both.
    uint16_t id = static_cast<uint16_t>(ctx.loop().random().next());
    message[0] = static_cast<char>(id >> 8);
    message[1] = static_cast<char>(id);
    Context limited = ctx.with_timeout(kForwardTimeout);
    net::UdpAddress to;  // a local: GCC 12 destroys braced temporaries in an awaited call twice
    to.ip = upstream.ip;
    to.port = upstream.port;
    Status s = co_await (*socket)->send(limited, message, to);
    if (!s.ok()) co_return s;
    for (;;) {
      Result<net::UdpSocket::Datagram> r = co_await (*socket)->receive(limited);
      if (!r.ok()) co_return r.status();
      if (r->from.ip != upstream.ip || r->data.size() < 12) continue;
      if (r->data[0] != message[0] || r->data[1] != message[1]) continue;
      r->data[0] = static_cast<char>(asked_id >> 8);
      r->data[1] = static_cast<char>(asked_id);
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
      Result<Query> q = parse_query(*message);
      if (!q.ok()) break;
      Asking a = take(std::move(*q), message->size(), true);
      std::string reply;
      if (a.route.answer && a.route.answer->chase.empty()) {
        reply = written(a, 65535);
      } else {
        reply = co_await ask_others(ctx, &a, std::move(*message), 65535);
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

  static Task<Result<std::string>> ask_tcp(Context ctx, Upstream upstream, std::string message) {
    const TimePoint since = ctx.loop().now();
    Result<std::string> reply = co_await exchange_tcp(ctx, upstream, std::move(message));
    count_forward(upstream, reply, ctx.loop().now() - since);
    co_return reply;
  }

  static Task<Result<std::string>> exchange_tcp(Context ctx, Upstream upstream,
                                                std::string message) {
    Context limited = ctx.with_timeout(kForwardTimeout);
    auto stream = co_await net::dial(limited, upstream.ip, upstream.port);
    if (!stream.ok()) co_return stream.status();
    Status s = co_await (*stream)->write(limited, framed(message));
    if (!s.ok()) co_return s;
    std::string buffer;
    Result<std::string> r = co_await read_message(limited, stream->get(), &buffer);
    co_return r;
  }

  DnsOptions options_;
  Zone zone_;
  std::unique_ptr<net::UdpSocket> udp_;
  std::unique_ptr<net::StreamListener> tcp_;
  Loop& loop_;
  TaskGroup tasks_;
  std::optional<Context> ctx_;  // once it runs
  Config config_;
  std::string text_;  // of config_, where it came from the cluster
  std::unique_ptr<HealthPorts> health_;
  Semaphore replacing_{1};
  bool ready_ = false;
  ReplyCache cache_;
  DnsMetrics metrics_;
  std::map<std::string, const Forward*, std::less<>> probes_;  // by name; under way
  std::vector<const Forward*> looping_;                        // of config_
  int in_flight_ = 0, connections_ = 0;
  size_t turn_ = 0, forward_turn_ = 0;
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
  auto config = parse_corefile(Server::first_corefile(options), options.domain);
  if (!config.ok()) return config.status();
  // Any port (0) has to be free for both: one that is free for UDP may be taken for TCP.
  for (int tries = options.port == 0 ? kPortTries : 1;; --tries) {
    auto udp = net::UdpSocket::bind(loop, options.address, options.port);
    if (!udp.ok()) return udp.status();
    auto tcp = net::StreamListener::listen(loop, options.address, (*udp)->port());
    if (!tcp.ok() && tries > 1) continue;
    if (!tcp.ok()) return tcp.status();
    return std::unique_ptr<DnsServer>(std::make_unique<Server>(
        std::move(options), std::move(*config), std::move(*udp), std::move(*tcp), loop));
  }
}

}  // namespace keles::dns
