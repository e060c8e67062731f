#include "server/audit/delivery.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"

namespace keles::audit {
namespace {

constexpr Duration kLastWords = 5s;
constexpr int kSenders = 16;  // batches on their way at once

metrics::Counter& errors_total() {
  static metrics::Counter& c = metrics::counter(
      "apiserver_audit_error_total",
      "Counter of audit events that failed to be audited properly. Plugin identifies the plugin "
      "affected by the error.",
      {"plugin"});
  return c;
}

}  // namespace

struct Outlet::Waiter {
  explicit Waiter(Loop& loop) : loop(loop) {}
  Loop& loop;
  keles::Event done;
  Status status;
};

// Under the mutex, but for `wake`, which is the outlet's loop's.
struct Outlet::Shared {
  std::mutex mutex;
  std::deque<Item> queue;
  size_t bytes = 0;
  bool closed = false;
  keles::Event wake;
};

Outlet::Outlet(Loop& loop, BatchOptions batch, TruncateOptions truncate,
               std::unique_ptr<Delivery> delivery)
    : loop_(loop),
      batch_(std::move(batch)),
      truncate_(truncate),
      batched_(batch_.mode == "batch"),
      strict_(batch_.mode == "blocking-strict"),
      delivery_(std::move(delivery)),
      shared_(std::make_shared<Shared>()),
      senders_(kSenders),
      tokens_(static_cast<double>(batch_.throttle_burst)),
      filled_(loop.now()) {}

Outlet::~Outlet() = default;

void Outlet::failed(std::string_view plugin, const Status& why, size_t events) {
  errors_total().with({std::string(plugin)}).add(static_cast<double>(events));
  std::lock_guard lock(told_mutex_);
  if (!told_.news(loop_.now(), why.message())) return;
  log::error("Audit events are lost", {{"plugin", plugin}, {"events", events}, {"err", why}});
}

bool Outlet::push(Item item) {
  bool wake = false;
  {
    std::lock_guard lock(shared_->mutex);
    const size_t size = item.text.size(), have = shared_->queue.size();
    const size_t most = batched_ ? static_cast<size_t>(batch_.buffer_size) : 10'000;
    if (shared_->closed || have >= most || shared_->bytes + size > kMostBytes) return false;
    shared_->bytes += size;
    shared_->queue.push_back(std::move(item));
    wake = have == 0 || have + 1 == static_cast<size_t>(batch_.max_size) || !batched_;
  }
  if (wake) loop_.post([shared = shared_] { shared->wake.set(); });
  return true;
}

Task<bool> Outlet::take(Context ctx, const Event* event) {
  Item item;
  item.text = delivery_->text(*event, true);
  if (truncate_.enabled) {
    const auto most = static_cast<size_t>(truncate_.max_event_size);
    if (item.text.size() > most && event->how.level >= Level::kRequest) {
      item.text = delivery_->text(*event, false);
    }
    if (item.text.size() > most) {
      failed("truncate", Status::internal("event is too large even after truncating"), 1);
      co_return true;
    }
  }
  if (batched_) {
    if (!push(std::move(item))) {
      failed("buffered", Status::unavailable("audit buffer queue blocked"), 1);
    }
    co_return true;
  }
  if (delivery_->immediate()) {
    Status s = delivery_->write(item.text, event->at);
    if (!s.ok()) failed(delivery_->name(), s, 1);
    co_return s.ok() || !strict_;
  }
  auto waiter = std::make_shared<Waiter>(ctx.loop());
  item.waiter = waiter;
  if (!push(std::move(item))) {
    failed(delivery_->name(), Status::unavailable("too many audit events wait"), 1);
    co_return !strict_;
  }
  Status waited = co_await waiter->done.wait(ctx);
  co_return !strict_ || (waited.ok() && waiter->status.ok());
}

std::vector<Outlet::Item> Outlet::take_batch() {
  const size_t most = batched_ ? static_cast<size_t>(batch_.max_size) : 1;
  const size_t most_bytes =
      truncate_.enabled ? static_cast<size_t>(truncate_.max_batch_size) : kMostBytes;
  std::vector<Item> out;
  size_t bytes = 0;
  std::lock_guard lock(shared_->mutex);
  while (!shared_->queue.empty() && out.size() < most) {
    Item& next = shared_->queue.front();
    if (!out.empty() && bytes + next.text.size() > most_bytes) break;
    bytes += next.text.size();
    out.push_back(std::move(next));
    shared_->queue.pop_front();
  }
  return out;
}

// A token bucket.
Task<void> Outlet::throttle(Context ctx) {
  if (!batched_ || !batch_.throttle) co_return;
  const double rate = batch_.qps();
  const TimePoint now = loop_.now();
  const double since = std::chrono::duration<double>(now - filled_).count();
  tokens_ = std::min(static_cast<double>(batch_.throttle_burst), tokens_ + since * rate) - 1;
  filled_ = now;
  if (tokens_ >= 0) co_return;
  Status s = co_await ctx.sleep(Duration(static_cast<int64_t>(-tokens_ / rate * 1e9)));
  (void)s;  // at the end nothing is held back
}

Task<void> Outlet::deliver(Context ctx, std::vector<Item> items) {
  std::vector<std::string> texts;
  size_t bytes = 0;  // part of what waits until it is delivered or lost
  for (Item& item : items) {
    bytes += item.text.size();
    texts.push_back(std::move(item.text));
  }
  Status s;
  if (delivery_->immediate()) {
    for (const std::string& text : texts) {
      Status one = delivery_->write(text, loop_.wall_now());
      if (!one.ok()) failed(delivery_->name(), one, 1);
    }
  } else {
    s = co_await delivery_->send(ctx, std::move(texts));
    if (!s.ok()) failed(delivery_->name(), s, items.size());
  }
  for (const Item& item : items) {
    if (!item.waiter) continue;
    item.waiter->status = s;
    item.waiter->loop.post([waiter = item.waiter] { waiter->done.set(); });
  }
  {
    std::lock_guard lock(shared_->mutex);
    shared_->bytes -= bytes;
  }
  senders_.release();
}

Task<void> Outlet::drain(Context ctx, Context sending, TaskGroup* under_way) {
  for (;;) {
    std::vector<Item> items = take_batch();
    if (items.empty()) co_return;
    co_await throttle(ctx);
    Context always = Context::root(loop_);
    Status turn = co_await senders_.acquire(always);
    (void)turn;
    under_way->spawn(deliver(sending, std::move(items)));
    if (ctx.done()) co_return;
    bool partial = false;
    {
      std::lock_guard lock(shared_->mutex);
      partial = shared_->queue.size() < static_cast<size_t>(batch_.max_size);
    }
    if (partial && batched_ && batch_.max_size > 1) co_return;  // they wait for others
  }
}

Task<void> Outlet::run(Context ctx) {
  if (!batched_ && delivery_->immediate()) co_return;
  TaskGroup under_way(loop_);
  Context sending = Context::root(loop_);  // ends a few seconds after ctx
  TimerId timer = 0;
  Context::Hook end(ctx, [this, &sending, &timer] {
    timer = loop_.schedule(loop_.now() + kLastWords, [sending] { sending.cancel(); });
  });
  while (!ctx.done()) {
    Status s = co_await shared_->wake.wait(ctx);
    if (!s.ok()) break;
    shared_->wake.reset();
    bool partial = false;
    {
      std::lock_guard lock(shared_->mutex);
      partial = shared_->queue.size() < static_cast<size_t>(batch_.max_size);
    }
    if (partial && batched_ && batch_.max_size > 1) {
      Context wait = ctx.with_timeout(batch_.max_wait);
      Status full = co_await shared_->wake.wait(wait);
      (void)full;
      shared_->wake.reset();
    }
    if (ctx.done()) break;
    co_await drain(ctx, sending, &under_way);
    bool more = false;
    {
      std::lock_guard lock(shared_->mutex);
      more = !shared_->queue.empty();
    }
    if (more) shared_->wake.set();
  }
  {
    std::lock_guard lock(shared_->mutex);
    shared_->closed = true;
  }
  for (bool more = true; more && !sending.done();) {
    co_await drain(sending, sending, &under_way);
    std::lock_guard lock(shared_->mutex);
    more = !shared_->queue.empty();
  }
  co_await under_way.join();
  if (timer) loop_.cancel(timer);
}

}  // namespace keles::audit
