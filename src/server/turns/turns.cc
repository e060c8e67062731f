#include "server/turns/turns.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

namespace keles::server {
namespace {

// How long a round lasts before the loop looks at its sockets again, and how many it serves at
// most: a clock that stands still (the simulator's) must not make it endless.
constexpr Duration kRound = 100us;
constexpr int kMost = 16;
// What a turn costs at least: those that take no time at all are still shared out.
constexpr Duration kLeast = 1us;
// A loop that has had nothing to do for so long has nobody waiting whom it has not seen.
constexpr Duration kQuiet = 50us;
// Long work stops after so much of it.
constexpr Duration kPiece = 200us;

}  // namespace

// Start-time fair queuing over levels, in nanoseconds of work by weight.
class Turns : public std::enable_shared_from_this<Turns> {
 public:
  bool quiet(TimePoint now) const { return waiting_ == 0 && !posted_ && now - last_ >= kQuiet; }
  void note(TimePoint now) { last_ = now; }

  void enter(Turn::Awaiter* w) {
    Level& level = find(w->level, w->weight);
    if (level.first == nullptr) level.spent = std::max(level.spent, reached_);
    (level.first == nullptr ? level.first : level.last->after) = w;
    level.last = w;
    ++waiting_;
    if (!running_) schedule(*w->loop);
  }

 private:
  struct Level {
    const void* of;
    int weight;
    double spent = 0;
    Turn::Awaiter* first = nullptr;
    Turn::Awaiter* last = nullptr;
  };

  // One round to come. A loop may end before it runs; then so do those who wait on it.
  struct Round {
    explicit Round(std::shared_ptr<Turns> t) : turns(std::move(t)) {}
    Round(const Round&) = delete;
    ~Round() {
      if (turns) turns->abandon();
    }
    void run(Loop& loop) { std::exchange(turns, nullptr)->round(loop); }
    std::shared_ptr<Turns> turns;
  };

  Level& find(const void* of, int weight) {
    for (auto& level : levels_) {
      if (level->of != of) continue;
      level->weight = weight;
      return *level;
    }
    levels_.push_back(std::make_unique<Level>(Level{of, weight}));
    return *levels_.back();
  }

  void schedule(Loop& loop) {
    if (posted_) return;
    posted_ = true;
    auto round = std::make_shared<Round>(shared_from_this());
    loop.post([round = std::move(round), &loop] { round->run(loop); });
  }

  void round(Loop& loop) {
    posted_ = false;
    running_ = true;
    // A level that has nothing waiting and no more than its share is as good as a new one.
    std::erase_if(levels_, [&](const auto& l) { return !l->first && l->spent <= reached_; });
    const TimePoint start = loop.now();
    TimePoint at = start;
    for (int n = 0; n < kMost && waiting_ > 0 && at - start < kRound; ++n) {
      Level& level = least();
      reached_ = std::max(reached_, level.spent);
      Turn::Awaiter* w = level.first;
      level.first = w->after;
      --waiting_;
      w->waiter.resume();
      const TimePoint end = loop.now();
      const Duration took = std::max<Duration>(end - at, kLeast);
      level.spent += static_cast<double>(took.count()) / level.weight;
      at = end;
    }
    last_ = at;
    running_ = false;
    if (waiting_ > 0) schedule(loop);
  }

  // Of the levels with somebody waiting.
  Level& least() {
    Level* best = nullptr;
    for (auto& level : levels_) {
      if (level->first && (!best || level->spent < best->spent)) best = level.get();
    }
    return *best;
  }

  void abandon() {
    posted_ = false;
    waiting_ = 0;
    levels_.clear();
  }

  std::vector<std::unique_ptr<Level>> levels_;
  double reached_ = 0;  // what a level that comes anew starts from
  size_t waiting_ = 0;
  bool posted_ = false, running_ = false;
  TimePoint last_{INT64_MIN / 2};
};

void Turn::Awaiter::await_suspend(std::coroutine_handle<> h) {
  waiter = h;
  turns->enter(this);
}

Turn::Awaiter Turn::begin(TimePoint now) const {
  if (!turns_ || turns_->quiet(now)) return {};
  return next();
}

Turn::Awaiter Turn::next() const {
  Awaiter a;
  a.turns = turns_;
  a.loop = loop_;
  a.level = level_;
  a.weight = weight_;
  return a;
}

bool Turn::over(TimePoint since) const { return turns_ && loop_->now() - since >= kPiece; }

void note_work(Turns* turns, TimePoint now) { turns->note(now); }

namespace {
std::atomic<uint64_t> last_id{0};
}  // namespace

LoopTurns::LoopTurns() : id_(last_id.fetch_add(1) + 1) {}

// Remembered by each thread, so that loops do not meet at the lock.
Turns* LoopTurns::of_this_thread() {
  struct Mine {
    uint64_t of = 0;
    Turns* turns = nullptr;
  };
  thread_local Mine mine;
  if (mine.of == id_) return mine.turns;
  std::lock_guard lock(mutex_);
  std::shared_ptr<Turns>& turns = all_[std::this_thread::get_id()];
  if (!turns) turns = std::make_shared<Turns>();
  mine = {id_, turns.get()};
  return mine.turns;
}

}  // namespace keles::server
