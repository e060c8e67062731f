// Backend over etcd: a loop of its own, on which everything that is said to etcd is said.
#include <algorithm>
#include <cstdio>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/context.h"
#include "base/log.h"
#include "base/recurring.h"
#include "base/sync.h"
#include "store/etcd/client.h"
#include "store/etcd/crossing.h"
#include "store/etcd/etcd_store.h"
#include "store/etcd/leases.h"
#include "store/etcd/messages.h"

namespace keles {
namespace {

using namespace etcd;

constexpr std::string_view kOwnPrefix = "/registry";
// Of all API servers of a cluster, ours and upstream's, one compacts: who changes this key first.
constexpr std::string_view kCompactionKey = "compact_rev_key";
constexpr const char* kRange = "/etcdserverpb.KV/Range";
constexpr const char* kTxn = "/etcdserverpb.KV/Txn";
constexpr const char* kCompact = "/etcdserverpb.KV/Compact";
constexpr const char* kWatch = "/etcdserverpb.Watch/Watch";
constexpr int64_t kPage = 500;
constexpr Duration kLongestWrite = 60s;
constexpr size_t kMostWaiting = 16'384;
constexpr Duration kFirstPause = 100ms, kLastPause = 5s;
constexpr size_t kMostBuffered = 256u << 20;  // bytes of one revision's fragments
const std::string kAllKeys(1, '\0');

Leases::Limits lease_limits(const EtcdOptions& options) {
  Leases::Limits out;
  out.reuse = options.lease_reuse;
  return out;
}

Status unreachable(const Status& why) {
  return Status(Reason::kServiceUnavailable, "etcd cannot be reached: " + why.message());
}

}  // namespace

// Everything here is of the backend's own loop but for what the mutex guards.
class EtcdBackend final : public Backend {
 public:
  EtcdBackend(EtcdOptions options, std::vector<net::Endpoint> members)
      : options_(std::move(options)),
        loop_(make_real_loop()),
        client_(*loop_, members),
        leases_(*loop_, &client_, lease_limits(options_)),
        root_(Context::root(*loop_).child()),
        tasks_(*loop_) {
    thread_ = std::thread([this] { loop_->run(); });
  }
  EtcdBackend(const EtcdBackend&) = delete;
  ~EtcdBackend() override {
    loop_->post([this] { spawn(*loop_, end()); });
    thread_.join();
  }

  // The state, read for the first time. Blocking, from outside of the loop.
  Status open() {
    auto first = std::make_shared<std::promise<Status>>();
    std::future<Status> done = first->get_future();
    loop_->post([this, first] { spawn(*loop_, open_for(first)); });
    return done.get();
  }

  void watch(Follower& follower) override {
    follower_ = &follower;
    revision_ = opened_.revision;
    follower_->restart(std::exchange(opened_, Contents()));
    loop_->post([this] {
      tasks_.spawn(follow(root_));
      if (options_.compaction_interval > Duration::zero()) tasks_.spawn(compact(root_));
    });
  }

  Task<Result<Committed>> commit(Context ctx, Transaction t) override {
    auto moved = std::make_shared<Transaction>(std::move(t));
    std::function<Task<Result<Committed>>(Context)> call = [this, moved](Context c) {
      return carry_out(std::move(c), moved);
    };
    co_return co_await on_own_loop(std::move(ctx), std::move(call));
  }
  Task<Result<int64_t>> read(Context ctx) override {
    std::function<Task<Result<int64_t>>(Context)> call = [this](Context c) {
      return newest(std::move(c));
    };
    co_return co_await on_own_loop(std::move(ctx), std::move(call));
  }
  bool shared() const override { return true; }
  Status writable() const override {
    std::lock_guard lock(mutex_);
    return health_;
  }
  Task<Status> close(Context) override {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    co_return Status();
  }

 private:
  // --- between the loops ---

  template <class T>
  Task<Result<T>> on_own_loop(Context ctx, std::function<Task<Result<T>>(Context)> call) {
    if (ctx.done()) co_return ctx.status();
    {
      std::lock_guard lock(mutex_);
      if (closed_) co_return Status::unavailable("store is closed");
      if (waiting_ >= kMostWaiting) {
        co_return Status(Reason::kTooManyRequests, "store: too many writes are waiting; try again");
      }
      ++waiting_;
    }
    auto answer = std::make_shared<Crossing<Result<T>>>(ctx.loop());
    Duration left = kLongestWrite;
    if (ctx.deadline() != TimePoint::max())
      left = std::min<Duration>(left, ctx.deadline() - ctx.loop().now());
    std::optional<Context::Hook> given_up;
    given_up.emplace(ctx, [answer, ctx] {
      answer->answer(
          Status(Reason::kOutcomeUnknown, "gave up waiting for etcd: " + ctx.status().message()));
    });
    loop_->post([this, answer, left, call = std::move(call)] {
      tasks_.spawn(run_for<T>(answer, left, call));
    });
    Result<T> result = co_await answer->arrival();
    given_up.reset();
    co_return result;
  }
  template <class T>
  Task<void> run_for(std::shared_ptr<Crossing<Result<T>>> answer, Duration left,
                     std::function<Task<Result<T>>(Context)> call) {
    Context limit = root_.with_timeout(left);
    Result<T> result = co_await call(limit);
    answer->answer(std::move(result));
    std::lock_guard lock(mutex_);
    --waiting_;
  }

  Task<void> end() {
    root_.cancel();
    co_await tasks_.join();
    // The connections' own tasks end in turns of the loop that come after this one.
    Context last_turns = Context::root(*loop_);
    Status slept = co_await last_turns.sleep(20ms);
    (void)slept;
    loop_->stop();
  }

  // --- keys ---

  std::string outside(const std::string& key) const {
    if (options_.prefix == kOwnPrefix || !key.starts_with(kOwnPrefix)) return key;
    return options_.prefix + key.substr(kOwnPrefix.size());
  }
  // Null: it is none of the cluster's.
  KeyPtr inside(std::string_view key) const {
    if (!key.starts_with(options_.prefix) || key.size() <= options_.prefix.size() ||
        key[options_.prefix.size()] != '/') {
      return nullptr;
    }
    std::string own(kOwnPrefix);
    return std::make_shared<const std::string>(own.append(key.substr(options_.prefix.size())));
  }

  // --- writes and reads ---

  Task<Result<Committed>> carry_out(Context ctx, std::shared_ptr<Transaction> t) {
    using enum Committed::Verdict;
    Condition c;
    switch (t->condition) {
      case Transaction::If::kAbsent:
        c.what = Condition::What::kModRevision;
        break;
      case Transaction::If::kRevision:
        c.what = Condition::What::kModRevision;
        c.value = t->revision;
        break;
      case Transaction::If::kPresent:
        c.is = Condition::Is::kGreater;
        break;
    }
    auto sent = co_await send_write(ctx, t, c);
    if (!sent.ok()) co_return sent.status();
    auto answer = parse_write(*sent);
    if (!answer.ok()) co_return Status(Reason::kOutcomeUnknown, answer.status().message());
    Committed out;
    out.revision = answer->header.revision;
    if (!answer->succeeded) {
      out.verdict = t->condition == Transaction::If::kAbsent ? kExists
                    : answer->there.empty()                  ? kMissing
                                                             : kChanged;
    } else if (!t->stored && !answer->there.empty()) {
      out.previous = std::make_shared<const std::string>(answer->there.front().value);
    }
    co_return out;
  }

  Duration life_of(const std::string& key) const {
    for (const EtcdOptions::Life& l : options_.lives)
      if (key.starts_with(l.prefix)) return l.life;
    return {};
  }
  Task<Result<std::string>> send_write(Context ctx, std::shared_ptr<Transaction> t, Condition c) {
    const Duration life = t->stored ? life_of(t->key) : Duration::zero();
    for (int tries = 0;; ++tries) {
      int64_t lease = 0;
      if (life > Duration::zero()) {
        auto granted = co_await leases_.of(ctx, life);
        if (!granted.ok()) co_return granted.status();
        lease = *granted;
      }
      std::string request = write_request(outside(t->key), c, t->stored.get(), lease);
      auto sent = co_await client_.write(ctx, kTxn, std::move(request));
      if (sent.ok() || !sent.status().is(Reason::kNotFound)) co_return sent;
      leases_.forget(lease);  // revoked by somebody, or of an etcd that was restored
      if (tries > 0) co_return Status(Reason::kServiceUnavailable, sent.status().message());
    }
  }

  // What etcd has decided last, asked of its leader.
  Task<Result<int64_t>> newest(Context ctx) {
    RangeQuery query;
    query.from = kCompactionKey;
    query.count_only = true;
    std::string request = range_request(query);
    auto sent = co_await client_.read(ctx, kRange, std::move(request));
    if (!sent.ok()) co_return unreachable(sent.status());
    auto answer = parse_range(*sent);
    if (!answer.ok()) co_return answer.status();
    co_return answer->header.revision;
  }

  // --- the state ---

  // How far a reading of the state has come: it goes on where it was when something went wrong.
  struct Reading {
    Contents out;
    std::string from;
    int64_t at = 0;        // its revision; 0: not begun
    int64_t page = kPage;  // keys; fewer when an answer was too large or too late
  };

  Task<Status> read_on(Context ctx, Reading* reading) {
    const std::string to = options_.prefix + '0';  // behind everything below the prefix
    Contents& out = reading->out;
    for (;;) {
      RangeQuery query;
      query.from = reading->from;
      query.to = to;
      query.limit = reading->page;
      query.revision = reading->at;
      std::string request = range_request(query);
      auto sent = co_await client_.read(ctx, kRange, std::move(request));
      if (!sent.ok()) co_return sent.status();
      auto page = parse_range(*sent);
      if (!page.ok()) co_return page.status();
      if (reading->at == 0) {
        reading->at = page->header.revision;
        char identity[17];
        std::snprintf(identity, sizeof identity, "%016llx",
                      static_cast<unsigned long long>(page->header.cluster_id));
        out.identity = identity;
        out.records.reserve(static_cast<size_t>(std::max<int64_t>(0, page->count)));
      }
      for (const KeyValue& kv : page->kvs) {
        Change c;
        c.key = inside(kv.key);
        if (c.key) out.records.push_back(change(std::move(c.key), kv));
      }
      if (!page->more || page->kvs.empty()) break;
      reading->from = page->kvs.back().key;
      reading->from += '\0';
    }
    out.revision = reading->at;
    co_return Status();
  }
  Reading from_the_start() const {
    Reading out;
    out.from = options_.prefix + '/';
    return out;
  }
  static Change change(KeyPtr key, const KeyValue& kv) {
    Change c;
    c.key = std::move(key);
    c.stored = std::make_shared<const std::string>(kv.value);
    c.revision = kv.mod_revision;
    c.create_revision = kv.create_revision;
    c.version = kv.version;
    return c;
  }

  // Again and again until it is there or ctx ends; then the last thing that went wrong.
  Task<Result<Contents>> read_state_patiently(Context ctx) {
    Status last;
    Reading reading = from_the_start();
    for (Duration pause = kFirstPause;; pause = std::min<Duration>(pause * 2, kLastPause)) {
      Status got = co_await read_on(ctx, &reading);
      if (got.ok()) {
        tell_health(Status());
        co_return std::move(reading.out);
      }
      if (got.is(Reason::kExpired)) {  // its revision has been compacted meanwhile
        reading = from_the_start();
      } else {
        reading.page = std::max<int64_t>(1, reading.page / 2);
      }
      if (last.ok() || !ctx.done()) last = got;
      tell_health(unreachable(last));
      Status rested = co_await ctx.sleep(pause);
      if (!rested.ok()) co_return unreachable(last);
    }
  }

  Task<void> open_for(std::shared_ptr<std::promise<Status>> to) {
    Context limit = root_.with_timeout(options_.start_timeout);
    auto got = co_await read_state_patiently(limit);
    if (got.ok()) opened_ = std::move(*got);
    to->set_value(got.status());
  }

  void tell_health(Status s) {
    if (!s.ok() && told_.news(loop_->now(), s.message())) {
      log::warn("The store cannot be followed", {{"err", s}});
    }
    if (s.ok()) told_.over();
    std::lock_guard lock(mutex_);
    health_ = std::move(s);
  }

  // --- the stream ---

  Task<void> follow(Context ctx) {
    Duration pause = kFirstPause;
    bool missed = false;  // something that etcd has no more
    while (!ctx.done()) {
      if (missed) {
        auto anew = co_await read_state_patiently(ctx);
        if (!anew.ok()) co_return;
        log::warn("Changes were compacted before they were seen; the state was read anew",
                  {{"seen", revision_}, {"now", anew->revision}});
        revision_ = anew->revision;
        follower_->restart(std::move(*anew));
        missed = false;
      }
      const int64_t before = revision_;
      Status ended = co_await follow_once(ctx, &missed);
      if (ctx.done()) co_return;
      if (missed) continue;
      if (ended.is(Reason::kCancelled)) continue;  // another member is asked now
      if (revision_ != before) pause = kFirstPause;
      tell_health(unreachable(ended));
      Status rested = co_await ctx.sleep(pause);
      (void)rested;
      pause = std::min<Duration>(pause * 2, kLastPause);
    }
  }

  Task<Status> follow_once(Context whole, bool* missed) {
    Context ctx = whole.child();
    std::string request = watch_request(kAllKeys, kAllKeys, revision_ + 1);
    std::function<void()> turned = [ctx] { ctx.cancel(); };
    auto opened = co_await client_.stream(ctx, kWatch, std::move(request), std::move(turned));
    if (!opened.ok()) co_return Status::unavailable(opened.status().message());
    std::unique_ptr<net::GrpcStream> stream = std::move(*opened);
    std::vector<Change> changes;
    int64_t revision = revision_;
    size_t buffered = 0;
    for (;;) {
      auto message = co_await stream->next(ctx);
      if (!message.ok()) {
        if (ctx.done()) co_return Status::cancelled();
        client_.turn_away();
        co_return Status::unavailable(message.status().message());
      }
      auto answer = parse_watch(*message);
      if (!answer.ok()) co_return answer.status();
      if (answer->canceled) {
        *missed = answer->compact_revision > revision_;
        if (!*missed) client_.turn_away();
        co_return Status::unavailable("the watch was cancelled: " +
                                      std::string(answer->cancel_reason));
      }
      if (answer->created) tell_health(Status());
      for (const WatchEvent& e : answer->events) {
        revision = e.kv.mod_revision;
        KeyPtr key = inside(e.kv.key);
        if (!key) continue;
        Change c = change(std::move(key), e.kv);
        if (e.deleted) c.stored = nullptr;
        changes.push_back(std::move(c));
      }
      buffered += message->size();
      if (answer->fragment && buffered < kMostBuffered) continue;
      buffered = 0;
      if (revision == revision_) continue;
      revision_ = revision;
      follower_->apply(std::exchange(changes, {}), revision);
    }
  }

  // --- the past ---

  Task<void> compact(Context ctx) {
    int64_t version = 0, reached = 0;
    for (;;) {
      Status rested = co_await ctx.sleep(options_.compaction_interval);
      if (!rested.ok()) co_return;
      Condition c;
      c.value = version;
      const std::string upto_now = std::to_string(reached);  // what others take for compacted
      std::string request = write_request(kCompactionKey, c, &upto_now);
      Context limit = ctx.with_timeout(kLongestWrite);
      auto sent = co_await client_.write(limit, kTxn, std::move(request));
      if (!sent.ok()) continue;
      auto answer = parse_write(*sent);
      if (!answer.ok()) continue;
      if (!answer->succeeded) {  // another server has done it
        version = answer->there.empty() ? 0 : answer->there.front().version;
        reached = answer->header.revision;
        continue;
      }
      ++version;
      const int64_t upto = std::exchange(reached, answer->header.revision);
      if (upto == 0) continue;  // what was there before this server is somebody's present
      std::string order = compact_request(upto);
      auto done = co_await client_.write(limit, kCompact, std::move(order));
      if (!done.ok()) log::warn("etcd was not compacted", {{"err", done.status()}});
    }
  }

  const EtcdOptions options_;
  std::unique_ptr<RealLoop> loop_;
  Client client_;
  Leases leases_;
  Context root_;
  TaskGroup tasks_;
  Follower* follower_ = nullptr;
  Contents opened_;       // until watch()
  int64_t revision_ = 0;  // told so far
  Recurring told_;
  std::thread thread_;

  mutable std::mutex mutex_;
  Status health_;
  bool closed_ = false;
  size_t waiting_ = 0;  // calls that etcd has not answered
};

Result<std::unique_ptr<Backend>> open_etcd_backend(const EtcdOptions& options) {
  if (!options.prefix.starts_with('/') || options.prefix.ends_with('/')) {
    return Status::bad_request("--etcd-prefix: " + options.prefix +
                               " must begin with a slash and not end with one");
  }
  net::ClientTls tls;
  tls.ca_pem = options.ca_pem;
  if (!options.certificate_pem.empty())
    tls.identity = net::TlsIdentity{options.certificate_pem, options.key_pem};
  TRY_ASSIGN(members, parse_members(options.servers, tls));
  auto backend = std::make_unique<EtcdBackend>(options, std::move(members));
  TRY(backend->open());
  return std::unique_ptr<Backend>(std::move(backend));
}

}  // namespace keles
