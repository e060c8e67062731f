#include "server/flow/queue_set.h"

#include <algorithm>
#include <limits>

namespace keles::flow {
namespace {

// What a request is taken to last when it is put into the virtual world; its true time corrects it.
constexpr Duration kUsualTime = 3ms;
// R is wound back by this much long before it overflows.
constexpr SeatSeconds kWindBack = std::numeric_limits<SeatSeconds>::max() / 2;
constexpr SeatSeconds kHighR = kWindBack + kWindBack / 2;
constexpr size_t kMaxSchemas = 10'000;

void add(int64_t& to, uint64_t n) { to += static_cast<int64_t>(n); }
void take(int64_t& from, uint64_t n) { from -= static_cast<int64_t>(n); }

}  // namespace

// Tickets that wait, in order, and those that run.
struct Ticket::Queue {
  struct Tickets {
    Ticket* first = nullptr;
    Ticket* last = nullptr;
    size_t n = 0;
    void push(Ticket* t) {
      t->before_ = last;
      t->after_ = nullptr;
      (last ? last->after_ : first) = t;
      last = t;
      ++n;
    }
    void remove(Ticket* t) {
      (t->before_ ? t->before_->after_ : first) = t->after_;
      (t->after_ ? t->after_->before_ : last) = t->before_;
      --n;
    }
  };
  Tickets waiting, executing;
  uint64_t seats_in_use = 0;  // lingering ones included
  uint64_t initial_waiting = 0, widest_waiting = 0;
  SeatSeconds work_waiting = 0;
  SeatSeconds next_r = 0;  // when its next request begins, in the virtual world
  size_t index = 0;
  bool busy() const { return waiting.n > 0 || executing.n > 0; }
};

void QueueSet::Virtual::note(const Queue& q) {
  const SeatSeconds begun = seat_seconds(static_cast<double>(q.seats_in_use), kUsualTime);
  const SeatSeconds discounted = q.next_r > begun ? q.next_r - begun : 0;
  s_min = std::min(s_min, q.next_r);
  s_max = std::max(s_max, q.next_r);
  discounted_min = std::min(discounted_min, discounted);
  discounted_max = std::max(discounted_max, discounted);
}

struct QueueSet::Lingering {
  TimePoint until;
  uint64_t seats = 0;
  Queue* queue = nullptr;
  SchemaStats* stats = nullptr;
  // For the heap's order: the first due in front.
  bool operator<(const Lingering& o) const { return until > o.until; }
};

QueueSet::QueueSet(TimePoint now, SeatSeconds r)
    : none_(std::make_unique<Queue>()),
      r_(r),
      at_(now),
      waiting_part_(kRequestParts, now),
      executing_part_(kRequestParts, now),
      seats_part_(kSeatParts, now),
      demand_part_(kDemandParts, now),
      demand_(now) {}
QueueSet::~QueueSet() = default;

// --- time ---

void QueueSet::sync(TimePoint now) {
  if (!lingering_.empty()) release_due(now);
  advance(now);
}

// R advances by what each queue gets: the seats that can be used, divided by who can use them.
void QueueSet::advance(TimePoint now) {
  if (now <= at_) return;
  const Duration passed = now - at_;
  at_ = now;
  if (active_ == 0) return;
  const auto asked = static_cast<double>(seats_in_use_ - none_->seats_in_use + seats_waiting_);
  const double rate = std::min(asked, static_cast<double>(limit_)) / static_cast<double>(active_);
  r_ += seat_seconds(rate, passed);
  if (r_ >= kHighR) wind_back();
}

void QueueSet::wind_back() {
  r_ -= kWindBack;
  ++epochs_;
  for (auto& q : queues_) {
    // Of one that is empty the next request says where it begins.
    q->next_r = q->busy() && q->next_r > kWindBack ? q->next_r - kWindBack : 0;
    for (Ticket* t = q->waiting.first; t; t = t->after_) {
      t->arrival_r_ = t->arrival_r_ > kWindBack ? t->arrival_r_ - kWindBack : 0;
    }
  }
}

// Seats that linger become free when their time has come, even if nobody looked then.
void QueueSet::release_due(TimePoint now) {
  while (!lingering_.empty() && lingering_.front().until <= now) {
    std::pop_heap(lingering_.begin(), lingering_.end());
    const Lingering l = lingering_.back();
    lingering_.pop_back();
    advance(l.until);
    release(l.seats, l.queue, l.stats, at_);
    dispatch(at_);
  }
}

void QueueSet::note_demand(TimePoint now) {
  const auto demand = static_cast<double>(seats_in_use_ + seats_waiting_);
  demand_.set(demand, now);
  demand_part_.set(demand, now);
}

void QueueSet::release(uint64_t seats, Queue* q, SchemaStats* stats, TimePoint now) {
  seats_in_use_ -= seats;
  q->seats_in_use -= seats;
  take(stats->executing_seats, seats);
  seats_part_.set(static_cast<double>(seats_in_use_), now);
  note_demand(now);
  drop_surplus(q);
}

void QueueSet::drop_surplus(Queue* q) {
  const auto wanted = static_cast<size_t>(std::max(queuing_.queues, 0));
  if (queues_.size() <= wanted || q == none_.get() || q->busy() || q->seats_in_use > 0) return;
  const size_t index = q->index;
  queues_.erase(queues_.begin() + static_cast<ptrdiff_t>(index));
  for (size_t i = index; i < queues_.size(); ++i) queues_[i]->index = i;
  if (robin_ >= index && robin_ > 0) --robin_;
}

// --- configuration ---

void QueueSet::configure(Loop& loop, Queuing queuing, int seats, int whole) {
  std::unique_lock lock(mutex_);
  const TimePoint now = std::max(loop.now(), at_);
  sync(now);
  if (queuing.queues <= 0) {
    queuing.hand = queuing_.hand;
    queuing.length = queuing_.length;
  }
  queuing_ = queuing;
  limit_ = static_cast<uint64_t>(std::max(seats, 0));
  while (queues_.size() < static_cast<size_t>(std::max(queuing.queues, 0))) {
    queues_.push_back(std::make_unique<Queue>());
    queues_.back()->index = queues_.size() - 1;
  }
  for (size_t i = queues_.size(); i-- > 0;) drop_surplus(queues_[i].get());
  const double places = std::max(queuing.length, 1) * (queuing.queues > 0 ? queuing.queues : 1);
  waiting_part_.set_whole(places, now);
  executing_part_.set_whole(whole, now);
  seats_part_.set_whole(whole, now);
  demand_part_.set_whole(whole, now);
  dispatch(now);
  arm(loop);
  wake(lock);
}

SchemaStats* QueueSet::stats(std::string_view schema) {
  std::lock_guard lock(mutex_);
  auto at = stats_.find(schema);
  if (at != stats_.end()) return at->second.get();
  // More schemas than that, one after the other, share their figures.
  const std::string name(stats_.size() < kMaxSchemas ? schema : std::string_view("overflow"));
  auto& slot = stats_[name];
  if (!slot) slot = std::make_unique<SchemaStats>();
  return slot.get();
}

// --- a request's way ---

bool QueueSet::fits(uint64_t seats) const {
  if (queuing_.queues < 0) return true;
  // What is wider than the level runs alone.
  if (seats > limit_) return executing_ == 0;
  return seats_in_use_ + seats <= limit_;
}

// The least work waits there; of equals another comes first each time.
QueueSet::Queue* QueueSet::choose(uint64_t hash) {
  const Hand hand = deal(queuing_.queues, queuing_.hand, hash);
  const auto size = static_cast<size_t>(hand.size);
  const size_t offset = enqueued_++ % size;
  Queue* best = nullptr;
  for (size_t i = 0; i < size; ++i) {
    Queue* q = queues_[static_cast<size_t>(hand.cards[(offset + i) % size])].get();
    if (!best || q->work_waiting < best->work_waiting) best = q;
    if (best->work_waiting == 0) break;
  }
  return best;
}

QueueSet::Outcome QueueSet::enter(Loop& loop, Ticket* t, const Entry& e, TimePoint now) {
  std::unique_lock lock(mutex_);
  now = std::max(now, at_);
  sync(now);
  t->loop_ = &loop;
  t->about_ = e.about;
  t->schema_ = e.schema;
  t->distinguisher_ = e.distinguisher;
  t->stats_ = e.stats;
  t->watch_ = e.about->verb == "watch";
  t->arrived_ = now;
  t->work_ = e.work;
  t->final_work_ = seat_seconds(static_cast<double>(e.work.final_seats), e.work.extra);
  t->total_work_ = seat_seconds(static_cast<double>(e.work.seats), kUsualTime) + t->final_work_;
  e.stats->seats.observe(static_cast<double>(e.work.widest()));
  if (e.watchers >= 0) e.stats->watchers.observe(e.watchers);
  const bool queued = queuing_.queues > 0;
  Queue* q = queued ? choose(e.hash) : none_.get();
  const bool full =
      queued ? seats_in_use_ >= limit_ && q->waiting.n >= static_cast<size_t>(queuing_.length)
             : !fits(e.work.widest());
  if (full) {
    ++refused_;
    ++(queued ? e.stats->queue_full : e.stats->over_limit);
    e.stats->waited_in_vain.observe(0);
  } else if (queued) {
    enqueue(t, q, now);
    dispatch(now, q);
    arm(loop);
  } else {
    start(t, q, now);
  }
  const Outcome out = full ? Outcome::kRefused : t->runs() ? Outcome::kRuns : Outcome::kWaits;
  wake(lock);
  return out;
}

void QueueSet::enqueue(Ticket* t, Queue* q, TimePoint now) {
  if (!q->busy()) {
    ++active_;
    q->next_r = r_;
  }
  t->arrival_r_ = r_;
  t->queue_ = q;
  t->state_ = Ticket::State::kWaits;
  q->waiting.push(t);
  const uint64_t seats = t->work_.widest();
  q->initial_waiting += t->work_.seats;
  q->widest_waiting += seats;
  q->work_waiting += t->total_work_;
  ++waiting_;
  seats_waiting_ += seats;
  ++t->stats_->waiting;
  add(t->stats_->waiting_seats, seats);
  waiting_part_.set(static_cast<double>(waiting_), now);
  note_demand(now);
  bound(q);
  t->stats_->queue_length.observe(static_cast<double>(q->waiting.n));
}

// Out of its queue, to run or to give up.
void QueueSet::dequeue(Ticket* t, TimePoint now) {
  Queue* q = t->queue_;
  const uint64_t seats = t->work_.widest();
  q->waiting.remove(t);
  q->initial_waiting -= t->work_.seats;
  q->widest_waiting -= seats;
  q->work_waiting -= t->total_work_;
  --waiting_;
  seats_waiting_ -= seats;
  --t->stats_->waiting;
  take(t->stats_->waiting_seats, seats);
  waiting_part_.set(static_cast<double>(waiting_), now);
}

// Nothing begins, in the virtual world, before it has come: a queue that could not use its share
// has not saved it up.
void QueueSet::bound(Queue* q) {
  if (q->waiting.first) q->next_r = std::max(q->next_r, q->waiting.first->arrival_r_);
}

void QueueSet::start(Ticket* t, Queue* q, TimePoint now) {
  t->state_ = Ticket::State::kRuns;
  t->queue_ = q;
  t->started_ = now;
  q->executing.push(t);
  const uint64_t seats = t->work_.widest();
  q->seats_in_use += seats;
  seats_in_use_ += seats;
  ++executing_;
  ++dispatched_;
  SchemaStats& s = *t->stats_;
  ++s.dispatched;
  ++s.executing;
  add(s.executing_seats, seats);
  if (queuing_.queues >= 0) s.waited.observe(in_seconds(now - t->arrived_));
  executing_part_.set(static_cast<double>(executing_), now);
  seats_part_.set(static_cast<double>(seats_in_use_), now);
  note_demand(now);
}

void QueueSet::dispatch(TimePoint now, Queue* newest) {
  // Mostly nobody waits but who has just come: no need to look around.
  while (waiting_ > 0 && seats_in_use_ < limit_ &&
         dispatch_one(now, waiting_ == 1 && newest && newest->waiting.first ? newest : nullptr)) {
  }
}

// The queue whose oldest request would be done first; of equals the next in turn.
QueueSet::Queue* QueueSet::next_queue(Virtual& seen) {
  SeatSeconds first_done = std::numeric_limits<SeatSeconds>::max();
  Queue* best = nullptr;
  size_t at = robin_;
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (++at >= queues_.size()) at = 0;
    Queue* q = queues_[at].get();
    if (!q->waiting.first) continue;
    seen.note(*q);
    const SeatSeconds done = q->next_r + q->waiting.first->total_work_;
    if (best && done >= first_done) continue;
    first_done = done;
    best = q;
  }
  return best;
}

// `sole`: nothing waits anywhere else; null: it may.
bool QueueSet::dispatch_one(TimePoint now, Queue* sole) {
  Virtual seen;
  if (sole) seen.note(*sole);
  Queue* best = sole ? sole : next_queue(seen);
  if (!best) return false;
  Ticket* t = best->waiting.first;
  if (!fits(t->work_.widest())) {
    ++t->stats_->no_room;
    return false;
  }
  dequeue(t, now);
  // What lingers on more seats than there are does so on those, for longer.
  if (t->work_.final_seats > limit_) {
    t->work_.final_seats = std::max<uint64_t>(limit_, 1);
    t->work_.extra = per_seat(t->final_work_, static_cast<double>(t->work_.final_seats));
  }
  robin_ = best->index;
  queued_once_ = true;
  seen.dispatch_r = r_;
  seen.latest_s = best->next_r;
  virtual_ = seen;
  start(t, best, now);
  best->next_r += t->total_work_;
  bound(best);
  if (t->waiter_) woken_.push_back({t->loop_, t->waiter_});
  return true;
}

void QueueSet::leave(Loop& loop, Ticket* t, TimePoint now) {
  std::unique_lock lock(mutex_);
  now = std::max(now, at_);
  sync(now);
  Queue* q = t->queue_;
  SchemaStats* stats = t->stats_;
  const Duration took = now - t->started_;
  (t->watch_ ? stats->watch_started : stats->executed).observe(in_seconds(took));
  q->executing.remove(t);
  t->state_ = Ticket::State::kOutside;
  --executing_;
  --stats->executing;
  executing_part_.set(static_cast<double>(executing_), now);
  if (q != none_.get()) {
    // It was taken to last kUsualTime.
    const auto seats = static_cast<double>(t->work_.seats);
    const SeatSeconds guess = seat_seconds(seats, kUsualTime), truth = seat_seconds(seats, took);
    const SeatSeconds next = q->next_r + truth;
    q->next_r = next > guess ? next - guess : 0;
    bound(q);
    if (!q->busy()) --active_;
  }
  if (t->work_.extra > Duration()) {
    lingering_.push_back({now + t->work_.extra, t->work_.widest(), q, stats});
    std::push_heap(lingering_.begin(), lingering_.end());
  } else {
    release(t->work_.widest(), q, stats, now);
  }
  dispatch(now);
  arm(loop);
  wake(lock);
}

void QueueSet::give_up(Loop& loop, Ticket* t) {
  std::unique_lock lock(mutex_);
  if (t->state_ != Ticket::State::kWaits) return;
  const TimePoint now = std::max(loop.now(), at_);
  sync(now);
  if (t->state_ != Ticket::State::kWaits) {  // its turn has just come
    wake(lock);
    return;
  }
  Queue* q = t->queue_;
  dequeue(t, now);
  t->state_ = Ticket::State::kGivenUp;
  ++refused_;
  ++timed_out_;
  ++t->stats_->timed_out;
  t->stats_->waited_in_vain.observe(in_seconds(now - t->arrived_));
  note_demand(now);
  bound(q);
  if (!q->busy()) --active_;
  drop_surplus(q);
  // Behind one that was too wide others may fit.
  dispatch(now);
  arm(loop);
  if (t->waiter_) woken_.push_back({t->loop_, t->waiter_});
  wake(lock);
}

// Resumed through its loop, once: by who starts it, or gives it up.
struct QueueSet::Awaiter {
  QueueSet* set;
  Ticket* ticket;
  bool await_ready() { return false; }
  bool await_suspend(std::coroutine_handle<> h) {
    std::lock_guard lock(set->mutex_);
    if (ticket->state_ != Ticket::State::kWaits) return false;
    ticket->waiter_ = h;
    return true;
  }
  void await_resume() {}
};

Task<bool> QueueSet::wait(Context limit, Ticket* t) {
  Context::Hook end(limit, [this, loop = &limit.loop(), t] { give_up(*loop, t); });
  Awaiter turn{this, t};
  co_await turn;
  co_return t->runs();
}

// Who waits for seats that linger is called when the first of them are free.
void QueueSet::arm(Loop& loop) {
  if (armed_ || waiting_ == 0 || lingering_.empty()) return;
  armed_ = true;
  loop.schedule(lingering_.front().until, [weak = weak_from_this(), on = &loop] {
    auto self = weak.lock();
    if (!self) return;
    std::unique_lock lock(self->mutex_);
    self->armed_ = false;
    self->sync(std::max(on->now(), self->at_));
    self->arm(*on);
    self->wake(lock);
  });
}

// Outside of the lock, which they will want.
void QueueSet::wake(std::unique_lock<std::mutex>& lock) {
  if (woken_.empty()) {
    lock.unlock();
    return;
  }
  std::vector<Woken> woken = std::exchange(woken_, {});
  lock.unlock();
  for (const Woken& w : woken) w.loop->resume_soon(w.h);
}

// --- what is seen of it ---

bool QueueSet::idle() const {
  std::lock_guard lock(mutex_);
  return waiting_ == 0 && executing_ == 0;
}

Integrator::Results QueueSet::take_demand(TimePoint now) {
  std::unique_lock lock(mutex_);
  sync(std::max(now, at_));
  auto out = demand_.take(at_);
  wake(lock);
  return out;
}

namespace {

std::string group_version(const Digest& d) {
  if (d.group.empty()) return std::string(d.version);
  return std::string(d.group) + "/" + std::string(d.version);
}

}  // namespace

QueueSet::Seen QueueSet::see(Loop& loop, const Ticket& t, int queue, int place) {
  Seen s;
  s.queue = queue;
  s.place = place;
  s.schema = t.schema_;
  s.distinguisher = t.distinguisher_;
  const WallTime wall = loop.wall_now();
  const TimePoint now = loop.now();
  s.arrived = wall - (now - t.arrived_);
  if (t.runs()) s.started = wall - (now - t.started_);
  s.work = t.work_;
  const Digest& d = *t.about_;
  s.user = d.caller->name;
  s.verb = d.verb;
  s.path = d.path;
  s.ns = d.ns;
  s.name = d.name;
  s.api_version = group_version(d);
  s.resource = d.resource;
  s.subresource = d.subresource;
  return s;
}

QueueSet::Figures QueueSet::figures(Loop& loop, bool requests) {
  std::unique_lock lock(mutex_);
  sync(std::max(loop.now(), at_));
  for (Gauge* g : {&waiting_part_, &executing_part_, &seats_part_}) g->add(0, at_);
  note_demand(at_);
  Figures f;
  f.waiting = waiting_;
  f.executing = executing_;
  f.seats_in_use = seats_in_use_;
  f.dispatched = dispatched_;
  f.refused = refused_;
  f.timed_out = timed_out_;
  f.epochs = epochs_;
  f.r = r_;
  f.virtual_time = virtual_;
  f.queued_once = queued_once_;
  f.waiting_part = waiting_part_.counts();
  f.executing_part = executing_part_.counts();
  f.seats_part = seats_part_.counts();
  f.demand_part = demand_part_.counts();
  for (const auto& [name, s] : stats_) f.schemas.emplace(name, *s);
  int index = 0;
  for (const auto& q : queues_) {
    f.queues.push_back({q->waiting.n, q->executing.n, q->seats_in_use, q->initial_waiting,
                        q->widest_waiting, q->next_r, q->work_waiting});
    int place = 0;
    if (requests) {
      for (const Ticket* t = q->waiting.first; t; t = t->after_)
        f.requests.push_back(see(loop, *t, index, place++));
      for (const Ticket* t = q->executing.first; t; t = t->after_)
        f.requests.push_back(see(loop, *t, index, -1));
    }
    ++index;
  }
  if (requests) {
    for (const Ticket* t = none_->executing.first; t; t = t->after_)
      f.requests.push_back(see(loop, *t, -1, -1));
  }
  wake(lock);
  return f;
}

}  // namespace keles::flow
