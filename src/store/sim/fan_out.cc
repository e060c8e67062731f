#include "store/sim/fan_out.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "base/random.h"

namespace keles {
namespace {

constexpr Duration kLookAgain = 100ms;  // while news are held

// Remembers what a deletion deletes, for the answer; the replica's own origin stays behind, since
// its news may come after the answer.
struct Noted : Origin {
  Bytes previous;
};

}  // namespace

// Follows the backend, and knows the whole state for those who begin later.
class FanOut::Source final : private Follower {
 public:
  Source(Loop& loop, std::unique_ptr<Backend> backend) : loop_(loop), backend_(std::move(backend)) {
    backend_->watch(*this);
  }
  Loop& loop() { return loop_; }
  Backend& backend() { return *backend_; }
  Contents contents() const {
    Contents out = rest_;
    for (const auto& [key, change] : state_) out.records.push_back(change);
    return out;
  }
  std::vector<Spoke*> spokes;

 private:
  void restart(Contents contents) override;
  void apply(std::vector<Change> changes, int64_t revision) override;

  Loop& loop_;
  std::map<std::string, Change> state_;
  Contents rest_;  // without records
  std::unique_ptr<Backend> backend_;
};

class FanOut::Spoke final : public Backend {
 public:
  Spoke(Source* source, const Lag* lag) : source_(source), lag_(lag) {}
  ~Spoke() override {
    std::erase(source_->spokes, this);
    if (timer_ != 0) source_->loop().cancel(timer_);
  }

  void watch(Follower& follower) override {
    follower_ = &follower;
    source_->spokes.push_back(this);
    follower.restart(source_->contents());
  }
  Task<Result<Committed>> commit(Context ctx, Transaction t) override;
  Task<Result<int64_t>> read(Context ctx) override;
  bool shared() const override { return lag_ != nullptr; }
  Status writable() const override { return source_->backend().writable(); }
  Task<Status> close(Context) override {
    closed_ = true;
    co_return Status();
  }

  // By the source.
  void begin_anew(const Contents& contents) {
    news_.clear();
    follower_->restart(contents);
  }
  void tell(std::vector<Change> changes, int64_t revision) {
    if (!lag_) return follower_->apply(std::move(changes), revision);
    last_ = std::max(last_, source_->loop().now() + some(lag_->news_max));
    news_.push_back({last_, std::move(changes), revision});
    if (timer_ == 0) arm(last_);
  }

 private:
  struct News {
    TimePoint when;
    std::vector<Change> changes;
    int64_t revision;
  };
  Duration some(Duration most) {
    return Duration(source_->loop().random().between(0, most.count()));
  }
  void arm(TimePoint when) {
    timer_ = source_->loop().schedule(std::max(when, source_->loop().now()), [this] {
      timer_ = 0;
      deliver();
    });
  }
  void deliver() {
    if (lag_->held) return arm(source_->loop().now() + kLookAgain);
    while (!news_.empty() && news_.front().when <= source_->loop().now()) {
      News n = std::move(news_.front());
      news_.pop_front();
      follower_->apply(std::move(n.changes), n.revision);
    }
    if (!news_.empty()) arm(news_.front().when);
  }

  Source* source_;
  const Lag* lag_;
  Follower* follower_ = nullptr;
  std::deque<News> news_;
  TimePoint last_;
  TimerId timer_ = 0;
  bool closed_ = false;
};

void FanOut::Source::restart(Contents contents) {
  state_.clear();
  for (Change& c : contents.records) {
    std::string key = *c.key;
    state_[std::move(key)] = std::move(c);
  }
  contents.records.clear();
  rest_ = std::move(contents);
  for (Spoke* s : spokes) s->begin_anew(this->contents());
}

void FanOut::Source::apply(std::vector<Change> changes, int64_t revision) {
  for (Change& c : changes) {
    auto at = state_.find(*c.key);
    auto* noted = static_cast<Noted*>(c.origin.get());
    if (noted && at != state_.end()) noted->previous = at->second.stored;
    c.origin.reset();
    std::erase_if(rest_.damaged, [&](const DamagedRecord& d) { return d.key == *c.key; });
    if (c.stored) {
      state_[*c.key] = c;
    } else if (at != state_.end()) {
      state_.erase(at);
    }
  }
  rest_.revision = revision;
  for (Spoke* s : spokes) s->tell(changes, revision);
}

Task<Result<Committed>> FanOut::Spoke::commit(Context ctx, Transaction t) {
  if (closed_) co_return Status::unavailable("store is closed");
  if (lag_) {
    Status there = co_await ctx.sleep(some(lag_->way_max));
    if (!there.ok()) co_return there;
  }
  const bool deletes = t.stored == nullptr;
  auto noted = std::make_shared<Noted>();
  t.origin = noted;
  auto done = co_await source_->backend().commit(ctx, std::move(t));
  if (!done.ok()) co_return done.status();
  if (lag_) {
    Status back = co_await ctx.sleep(some(lag_->way_max));
    if (!back.ok()) co_return Status(Reason::kOutcomeUnknown, "the answer is lost");
  }
  if (deletes && !done->previous) done->previous = noted->previous;
  co_return std::move(done);
}

Task<Result<int64_t>> FanOut::Spoke::read(Context ctx) {
  if (lag_) {
    Status there = co_await ctx.sleep(some(lag_->way_max));
    if (!there.ok()) co_return there;
  }
  auto revision = co_await source_->backend().read(ctx);
  if (!revision.ok() || !lag_) co_return std::move(revision);
  Status back = co_await ctx.sleep(some(lag_->way_max));
  if (!back.ok()) co_return back;
  co_return std::move(revision);
}

FanOut::FanOut(Loop& loop, std::unique_ptr<Backend> backend)
    : source_(std::make_unique<Source>(loop, std::move(backend))) {}

FanOut::~FanOut() = default;

std::unique_ptr<Backend> FanOut::follower(const Lag* lag) {
  return std::make_unique<Spoke>(source_.get(), lag);
}

}  // namespace keles
