#include "etcd/member.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "api/etcd_v3.h"
#include "base/log.h"
#include "base/metrics.h"
#include "etcd/errors.h"
#include "etcd/kv.h"
#include "etcd/lessor.h"
#include "etcd/maintenance.h"
#include "etcd/mvcc.h"
#include "etcd/watches.h"
#include "machinery/codec_protobuf.h"
#include "net/grpc_calls.h"
#include "net/grpc_server.h"

namespace keles::etcdserver {
namespace {

namespace v3 = api::etcd_v3;

constexpr int64_t kTerm = 2;  // of the only leader that there is
constexpr Duration kLookAtSize = 100ms;
constexpr Duration kCompactEvery = 5min;  // where revisions are counted
const std::string kIdentityKey = std::string(kFacts) + "identity";
const std::string kAlarmKey = std::string(kFacts) + "alarm";
constexpr size_t kOverhead = 512 * 1024;  // of a request beyond what it may put

Status alone() {
  return Status(Reason::kMethodNotAllowed,
                "etcdserver: keles etcd is a cluster of one member; for more, run etcd itself");
}
Status no_users() {
  return Status(Reason::kMethodNotAllowed,
                "etcdserver: keles etcd has no users and roles; clients are told apart from "
                "others by their certificates (--client-cert-auth)");
}

template <class T>
Result<Document> read(const std::string& message) {
  auto doc = decode_protobuf(T::descriptor(), message);
  if (!doc.ok()) return Status::bad_request("grpc: " + doc.status().message());
  return doc;
}

struct Identity {
  uint64_t cluster = 0, member = 0;
};
Result<Identity> identity_of(Disk& disk, Loop& loop) {
  Identity out;
  auto text = disk.get(kIdentityKey);
  if (text.ok()) {
    const size_t blank = text->find(' ');
    if (blank == std::string::npos)
      return Status::internal("the data directory's identity is damaged");
    auto number = [](std::string_view digits, uint64_t& to) {
      return std::from_chars(digits.data(), digits.data() + digits.size(), to, 16).ec ==
             std::errc();
    };
    const std::string_view view = *text;
    if (!number(view.substr(0, blank), out.cluster) || !number(view.substr(blank + 1), out.member))
      return Status::internal("the data directory's identity is damaged");
    return out;
  }
  if (text.status().reason() != Reason::kNotFound) return text.status();
  out.cluster = loop.random().next();
  out.member = loop.random().next();
  char digits[40];
  std::snprintf(digits, sizeof digits, "%llx %llx", static_cast<unsigned long long>(out.cluster),
                static_cast<unsigned long long>(out.member));
  std::vector<DiskWrite> batch;
  batch.push_back({kIdentityKey, std::string(digits)});
  disk.write(std::move(batch), [](Status) {});  // before anything that is acknowledged
  return out;
}

class MemberImpl final : public Member {
 public:
  MemberImpl(Loop& loop, MemberOptions options, std::unique_ptr<Disk> disk, Identity identity)
      : loop_(loop),
        options_(std::move(options)),
        disk_(std::move(disk)),
        identity_(identity),
        lessor_(loop),
        root_(Context::root(loop).child()),
        tasks_(loop),
        grpc_([this](Context ctx, net::GrpcCall* call) { return answer(ctx, call); }) {}

  Status open(std::function<void(Status)> failed) {
    Mvcc::Hooks hooks;
    hooks.attached = [this](std::string_view key, int64_t before, int64_t now) {
      lessor_.attach(key, before, now);
    };
    hooks.told = [this](const std::vector<EventPtr>& events, int64_t revision) {
      if (watches_) watches_->told(events, revision);
    };
    hooks.failed = std::move(failed);
    TRY_ASSIGN(mvcc, Mvcc::open(loop_, *disk_, std::move(hooks)));
    mvcc_ = std::move(mvcc);
    TRY(lessor_.open(*disk_, *mvcc_));
    auto header = [this](int64_t revision) { return header_field(revision); };
    Watches::Options watches;
    watches.progress_every = options_.progress_every;
    watches_ = std::make_unique<Watches>(*mvcc_, *disk_, watches, header);
    Kv::Options kv;
    kv.max_operations = options_.max_operations;
    kv.max_request = options_.max_request;
    kv.room = [this] { return room(); };
    kv_ = std::make_unique<Kv>(loop_, *mvcc_, lessor_, kv, header);
    alarm_ = disk_->get(kAlarmKey).ok();
    name_calls();
    loop_.post([this] { tasks_.spawn(compact_by_itself()); });
    return Status();
  }

  Task<void> stop() override {
    root_.cancel();
    co_await tasks_.join();
    co_await lessor_.stop();
    co_await mvcc_->stop();
    Status s = disk_->close();
    if (!s.ok()) log::error("The data directory was not closed in good order", {{"error", s}});
  }

  Task<void> serve(Context ctx, net::Request* request, net::Responder* responder) override {
    if (net::is_grpc(*request)) {
      co_await net::serve_grpc_call(ctx, request, responder, options_.max_request + kOverhead,
                                    &grpc_);
    } else {
      const bool known = !options_.client_certificates || request->peer;
      co_await page(request, responder, known);
    }
  }
  Task<void> serve_page(net::Request* request, net::Responder* responder) override {
    return page(request, responder, true);
  }

 private:
  // Decided at once, and answered when that is durable.
  using Decided = Result<std::string> (MemberImpl::*)(const std::string&);
  using Unary = Task<Result<std::string>> (MemberImpl::*)(Context, std::string);
  using Stream = Task<Status> (MemberImpl::*)(Context, net::GrpcCall*);

  void name_calls() {
    const std::string kv = "/etcdserverpb.KV/", lease = "/etcdserverpb.Lease/",
                      cluster = "/etcdserverpb.Cluster/", upkeep = "/etcdserverpb.Maintenance/";
    decided_ = {
        {kv + "Put", &MemberImpl::put},
        {kv + "DeleteRange", &MemberImpl::remove},
        {kv + "Txn", &MemberImpl::transaction},
        {lease + "LeaseGrant", &MemberImpl::grant},
        {lease + "LeaseRevoke", &MemberImpl::revoke},
        {lease + "LeaseTimeToLive", &MemberImpl::time_to_live},
        {lease + "LeaseLeases", &MemberImpl::leases},
        {cluster + "MemberList", &MemberImpl::members},
        {upkeep + "Status", &MemberImpl::status},
        {upkeep + "Alarm", &MemberImpl::alarm},
        {"/etcdserverpb.Auth/AuthStatus", &MemberImpl::auth_status},
    };
    unary_ = {
        {kv + "Range", &MemberImpl::range},
        {kv + "Compact", &MemberImpl::compact},
        {upkeep + "Defragment", &MemberImpl::defragment},
        {upkeep + "Hash", &MemberImpl::hash},
        {upkeep + "HashKV", &MemberImpl::hash_kv},
    };
    streams_ = {
        {"/etcdserverpb.Watch/Watch", &MemberImpl::watch},
        {lease + "LeaseKeepAlive", &MemberImpl::keep_alive},
        {upkeep + "Snapshot", &MemberImpl::snapshot},
    };
  }

  Task<Status> answer(Context ctx, net::GrpcCall* call) {
    const std::string path = call->request().path;
    if (options_.client_certificates && !call->request().peer) {
      co_return Status(Reason::kUnauthorized,
                       "etcdserver: a client certificate that verifies is needed");
    }
    Status s;
    if (auto it = decided_.find(path); it != decided_.end()) {
      auto message = co_await call->receive_one(ctx);
      if (!message.ok()) co_return message.status();
      auto reply = (this->*it->second)(*message);
      s = reply.status();
      if (s.ok()) s = co_await mvcc_->settled(ctx);
      if (s.ok()) s = co_await call->send(std::move(*reply));
    } else if (auto it = unary_.find(path); it != unary_.end()) {
      auto message = co_await call->receive_one(ctx);
      if (!message.ok()) co_return message.status();
      auto reply = co_await (this->*it->second)(ctx, std::move(*message));
      s = reply.status();
      if (reply.ok()) s = co_await call->send(std::move(*reply));
    } else if (auto stream = streams_.find(path); stream != streams_.end()) {
      s = co_await (this->*stream->second)(ctx, call);
    } else {
      s = unserved(path);
    }
    count(path, s);
    co_return s;
  }

  static Status unserved(const std::string& path) {
    if (path.starts_with("/etcdserverpb.Cluster/") ||
        path == "/etcdserverpb.Maintenance/MoveLeader" ||
        path == "/etcdserverpb.Maintenance/Downgrade")
      return alone();
    if (path == "/etcdserverpb.Auth/Authenticate" || path == "/etcdserverpb.Auth/AuthDisable")
      return refuse(Reason::kConflict, "authentication is not enabled");
    if (path.starts_with("/etcdserverpb.Auth/")) return no_users();
    return Status(Reason::kMethodNotAllowed, "unknown method " + path);
  }

  static void count(const std::string& path, const Status& s) {
    static metrics::Counter& calls =
        metrics::counter("grpc_server_handled_total",
                         "Total number of RPCs completed on the server, regardless of success or "
                         "failure.",
                         {"grpc_code", "grpc_method", "grpc_service"});
    static constexpr const char* kCodes[] = {
        "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
        "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
        "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
        "DataLoss", "Unauthenticated"};
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos || slash == 0 || !path.starts_with("/etcdserverpb.")) return;
    calls.with({kCodes[net::grpc_code(s)], path.substr(slash + 1), path.substr(1, slash - 1)})
        .add();
  }

  std::string header_field(int64_t revision) const {
    std::string header, out;
    put_int(header, 1, static_cast<int64_t>(identity_.cluster));
    put_int(header, 2, static_cast<int64_t>(identity_.member));
    put_int(header, 3, revision);
    put_int(header, 4, kTerm);
    put_message(out, 1, header);
    return out;
  }
  std::string header_now() const { return header_field(mvcc_->revision()); }

  // --- KV ---

  Task<Result<std::string>> range(Context ctx, std::string m) {
    return kv_->range(std::move(ctx), std::move(m));
  }
  Result<std::string> put(const std::string& m) { return kv_->put(m); }
  Result<std::string> remove(const std::string& m) { return kv_->remove(m); }
  Result<std::string> transaction(const std::string& m) { return kv_->transaction(m); }
  Task<Result<std::string>> compact(Context ctx, std::string m) {
    return kv_->compact(std::move(ctx), std::move(m));
  }

  Task<Status> watch(Context ctx, net::GrpcCall* call) { return watches_->serve(ctx, call); }

  // Refused from the quota on until the alarm is taken back.
  Status room() {
    if (!alarm_ && options_.quota_bytes > 0 && loop_.now() >= look_) {
      look_ = loop_.now() + kLookAtSize;
      if (disk_->size() > options_.quota_bytes) set_alarm(true);
    }
    return alarm_ ? refuse(Reason::kTooManyRequests, "mvcc: database space exceeded") : Status();
  }
  void set_alarm(bool on) {
    if (on == alarm_) return;
    alarm_ = on;
    if (on) log::error("The data directory exceeds its quota", {{"bytes", disk_->size()}});
    Mvcc::Write w(*mvcc_);
    w.record(kAlarmKey, on ? std::optional<std::string>("NOSPACE") : std::nullopt);
    w.end();
  }

  // --- leases ---

  Result<std::string> grant(const std::string& message) {
    TRY_ASSIGN(doc, read<v3::LeaseGrantRequest>(message));
    const v3::LeaseGrantRequest r(doc.root);
    TRY(room());
    TRY_ASSIGN(granted, lessor_.grant(r.id(), r.ttl()));
    std::string out = header_field(mvcc_->revision());
    put_int(out, 2, granted.id);
    put_int(out, 3, granted.ttl);
    return out;
  }
  Result<std::string> revoke(const std::string& message) {
    TRY_ASSIGN(doc, read<v3::LeaseRevokeRequest>(message));
    TRY(lessor_.revoke(v3::LeaseRevokeRequest(doc.root).id()));
    std::string out = header_field(mvcc_->revision());
    return out;
  }
  Result<std::string> time_to_live(const std::string& message) {
    TRY_ASSIGN(doc, read<v3::LeaseTimeToLiveRequest>(message));
    const v3::LeaseTimeToLiveRequest r(doc.root);
    std::string out = header_now();
    put_int(out, 2, r.id());
    auto state = lessor_.state(r.id(), r.keys());
    put_int(out, 3, state ? state->left : -1);
    if (state) {
      put_int(out, 4, state->granted);
      for (const std::string& key : state->keys) put_message(out, 5, key);
    }
    return out;
  }
  Result<std::string> leases(const std::string&) {
    std::string out = header_now();
    for (int64_t id : lessor_.all()) {
      std::string one;
      put_int(one, 1, id);
      put_message(out, 2, one);
    }
    return out;
  }
  Task<Status> keep_alive(Context ctx, net::GrpcCall* call) {
    for (;;) {
      auto message = co_await call->receive(ctx);
      if (!message.ok()) co_return message.status();
      if (!*message) co_return Status();
      auto doc = read<v3::LeaseKeepAliveRequest>(**message);
      if (!doc.ok()) co_return doc.status();
      const int64_t id = v3::LeaseKeepAliveRequest(doc->root).id();
      auto ttl = lessor_.keep_alive(id);
      std::string out = header_now();
      put_int(out, 2, id);
      put_int(out, 3, ttl.ok() ? *ttl : 0);
      TRY_CO(call->send(std::move(out)));
    }
  }

  // --- the member ---

  Result<std::string> members(const std::string&) {
    std::string member, out = header_now();
    put_int(member, 1, static_cast<int64_t>(identity_.member));
    put_bytes(member, 2, options_.name);
    for (const std::string& url : options_.peer_urls) put_message(member, 3, url);
    for (const std::string& url : options_.client_urls) put_message(member, 4, url);
    put_message(out, 2, member);
    return out;
  }
  Result<std::string> status(const std::string&) {
    std::string out = header_now();
    put_bytes(out, 2, kApiVersion);
    put_int(out, 3, disk_->size());
    put_int(out, 4, static_cast<int64_t>(identity_.member));
    put_int(out, 5, mvcc_->durable());
    put_int(out, 6, kTerm);
    put_int(out, 7, mvcc_->durable());
    if (alarm_) {
      char text[64];
      std::snprintf(text, sizeof text, "memberID:%llu alarm:NOSPACE ",
                    static_cast<unsigned long long>(identity_.member));
      put_bytes(out, 8, text);
    }
    put_int(out, 9, disk_->size_in_use());
    return out;
  }
  Result<std::string> alarm(const std::string& message) {
    TRY_ASSIGN(doc, read<v3::AlarmRequest>(message));
    const v3::AlarmRequest r(doc.root);
    const bool known = r.alarm().empty() || r.alarm() == "NONE" || r.alarm() == "NOSPACE";
    const bool on = alarm_;
    if (r.action() == "ACTIVATE") {
      if (r.alarm() != "NOSPACE")
        return Status::bad_request("etcdserver: only the alarm NOSPACE can be raised here");
      set_alarm(true);
    } else if (r.action() == "DEACTIVATE" && known) {
      set_alarm(false);
    }
    std::string out = header_now();
    if (alarm_ || on) {
      std::string one;
      put_int(one, 1, static_cast<int64_t>(identity_.member));
      put_int(one, 2, 1);
      put_message(out, 2, one);
    }
    return out;
  }
  Task<Result<std::string>> defragment(Context, std::string) {
    Disk* disk = disk_.get();
    std::function<Status()> compact = [disk] { return disk->compact(); };
    TRY_CO(run_blocking(&loop_, compact));
    co_return header_now();
  }
  Task<Result<std::string>> hash(Context, std::string) {
    const Disk* disk = disk_.get();
    std::function<Result<uint32_t>()> sum = [disk] { return hash_all(*disk); };
    auto crc = co_await run_blocking(&loop_, sum);
    if (!crc.ok()) co_return crc.status();
    std::string out = header_now();
    put_int(out, 2, *crc);
    co_return out;
  }
  Task<Result<std::string>> hash_kv(Context, std::string message) {
    auto doc = read<v3::HashKVRequest>(message);
    if (!doc.ok()) co_return doc.status();
    const int64_t asked = v3::HashKVRequest(doc->root).revision();
    if (asked > mvcc_->durable()) co_return future_revision();
    if (asked > 0 && asked < mvcc_->compacted()) co_return etcdserver::compacted();
    const int64_t revision = asked > 0 ? asked : mvcc_->durable();
    const int64_t since = mvcc_->compacted();
    const Disk* disk = disk_.get();
    std::function<Result<uint32_t>()> sum = [disk, since, revision] {
      return hash_keys(*disk, since, revision);
    };
    auto crc = co_await run_blocking(&loop_, sum);
    if (!crc.ok()) co_return crc.status();
    std::string out = header_now();
    put_int(out, 2, *crc);
    put_int(out, 3, since);
    put_int(out, 4, revision);
    co_return out;
  }
  Task<Status> snapshot(Context ctx, net::GrpcCall* call) {
    auto asked = co_await call->receive_one(ctx);
    if (!asked.ok()) co_return asked.status();
    SnapshotFacts facts;
    facts.revision = mvcc_->durable();
    facts.compacted = mvcc_->compacted();
    facts.version = kApiVersion;
    facts.directory = options_.directory;
    std::string header = header_now();
    co_return co_await send_snapshot(ctx, disk_.get(), facts, header, call);
  }
  Result<std::string> auth_status(const std::string&) { return header_now(); }

  // --- pages ---

  Task<void> page(const net::Request* request, net::Responder* responder, bool known) {
    std::string text;
    std::string type = "application/json";
    int code = 200;
    if (!known) {
      code = 401;
      type = "text/plain; charset=utf-8";
      text = "Unauthorized: a client certificate that verifies is needed\n";
    } else if (request->method != "GET" && request->method != "HEAD") {
      code = 405;
      type = "text/plain; charset=utf-8";
      text = "Method Not Allowed\n";
    } else if (request->path == "/health" || request->path == "/livez" ||
               request->path == "/readyz") {
      const bool only_alarm_free = request->query.find("exclude=NOSPACE") == std::string::npos;
      const bool healthy = !(alarm_ && only_alarm_free);
      code = healthy ? 200 : 503;
      text = healthy ? R"({"health":"true","reason":""})"
                     : R"({"health":"false","reason":"ALARM NOSPACE"})";
      text += "\n";
    } else if (request->path == "/version") {
      text = std::string(R"({"etcdserver":")") + kApiVersion + R"(","etcdcluster":"3.5.0"})" + "\n";
    } else if (request->path == "/metrics") {
      type = "text/plain; version=0.0.4; charset=utf-8";
      text = figures();
    } else {
      code = 404;
      type = "text/plain; charset=utf-8";
      text = "404 page not found\n";
    }
    net::Headers headers;
    headers.add("content-type", type);
    std::vector<net::SharedBytes> body = net::as_body(std::move(text));
    (void)co_await responder->respond(code, std::move(headers), std::move(body));
  }

  std::string figures() const {
    static metrics::Gauge& leader = metrics::gauge(
        "etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.");
    static metrics::Gauge& is_leader = metrics::gauge(
        "etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.");
    static metrics::Gauge& size =
        metrics::gauge("etcd_mvcc_db_total_size_in_bytes",
                       "Total size of the underlying database physically allocated in bytes.");
    static metrics::Gauge& used =
        metrics::gauge("etcd_mvcc_db_total_size_in_use_in_bytes",
                       "Total size of the underlying database logically in use in bytes.");
    static metrics::Gauge& quota = metrics::gauge("etcd_server_quota_backend_bytes",
                                                  "Current backend storage quota size in bytes.");
    static metrics::Gauge& keys =
        metrics::gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.");
    static metrics::Gauge& revision =
        metrics::gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.");
    static metrics::Gauge& compacted = metrics::gauge(
        "etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.");
    static metrics::Gauge& watchers =
        metrics::gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers.");
    static metrics::Gauge& version = metrics::gauge(
        "etcd_server_version",
        "Which version is running. 1 for 'server_version' label with current version.",
        {"server_version"});
    leader.set(1);
    is_leader.set(1);
    size.set(static_cast<double>(disk_->size()));
    used.set(static_cast<double>(disk_->size_in_use()));
    quota.set(static_cast<double>(options_.quota_bytes));
    keys.set(static_cast<double>(mvcc_->index().size()));
    revision.set(static_cast<double>(mvcc_->durable()));
    compacted.set(static_cast<double>(mvcc_->compacted()));
    watchers.set(static_cast<double>(watches_->count()));
    version.with({kApiVersion}).set(1);
    return metrics::expose();
  }

  // --- what is kept ---

  Task<void> compact_by_itself() {
    if (options_.keep_time == Duration(0) && options_.keep_revisions == 0) co_return;
    std::deque<std::pair<TimePoint, int64_t>> seen;
    const bool by_time = options_.keep_time > Duration(0);
    const Duration look =
        by_time ? std::max<Duration>(std::min<Duration>(options_.keep_time, 1h) / 10, 1s)
                : kCompactEvery;
    for (;;) {
      Status s = co_await root_.sleep(look);
      if (!s.ok()) co_return;
      int64_t until = mvcc_->durable() - options_.keep_revisions;
      if (by_time) {
        until = 0;
        seen.emplace_back(loop_.now(), mvcc_->durable());
        while (!seen.empty() && loop_.now() - seen.front().first >= options_.keep_time) {
          until = seen.front().second;
          seen.pop_front();
        }
      }
      if (until > std::max<int64_t>(mvcc_->compacted(), 0)) (void)mvcc_->compact(until);
    }
  }

  Loop& loop_;
  const MemberOptions options_;
  std::unique_ptr<Disk> disk_;
  const Identity identity_;
  Lessor lessor_;
  std::unique_ptr<Mvcc> mvcc_;
  std::unique_ptr<Watches> watches_;
  std::unique_ptr<Kv> kv_;
  std::map<std::string, Decided> decided_;
  std::map<std::string, Unary> unary_;
  std::map<std::string, Stream> streams_;
  bool alarm_ = false;
  TimePoint look_;
  Context root_;
  TaskGroup tasks_;
  const net::GrpcHandler grpc_;
};

}  // namespace

Result<std::unique_ptr<Member>> Member::open(Loop& loop, MemberOptions options,
                                             std::function<void(Status)> failed) {
  Disk::Options how;
  how.sync = options.sync;
  TRY_ASSIGN(disk, Disk::open(options.directory, how));
  TRY_ASSIGN(identity, identity_of(*disk, loop));
  auto out = std::make_unique<MemberImpl>(loop, std::move(options), std::move(disk), identity);
  TRY(out->open(std::move(failed)));
  return std::unique_ptr<Member>(std::move(out));
}

net::ServerOptions server_options(std::string address, uint16_t port) {
  net::ServerOptions o;
  o.address = std::move(address);
  o.port = port;
  o.http2_cleartext = true;
  o.bodies_on_demand = true;
  o.lenient_heads = true;
  o.max_streams = 10'000;
  o.idle_timeout = 1h;
  return o;
}

}  // namespace keles::etcdserver
