#include "scheduler/queue.h"

#include <algorithm>

#include "scheduler/metrics.h"

namespace keles::scheduler {

// What it counted is no longer waiting here.
SchedulingQueue::~SchedulingQueue() {
  for (auto& [uid, e] : entries_) leave(e);
}

Duration SchedulingQueue::backoff_of(const Entry& e) const {
  Duration d = options_.initial_backoff;
  for (int i = 1; i < e.attempts && d < options_.max_backoff; ++i) d *= 2;
  return std::min(d, options_.max_backoff);
}

void SchedulingQueue::leave(Entry& e) {
  switch (e.where) {
    case Where::kActive:
      active_.erase(e.order);
      break;
    case Where::kBackoff:
      backoff_.erase({e.backoff_until, e.order.sequence});
      break;
    case Where::kParked: {
      auto at = parked_.find(e.waits_for);
      at->second.erase(e.order.sequence);
      if (at->second.empty()) parked_.erase(at);
      --parked_count_;
      if (e.gated) --gated_count_;
      for (Plugin* p : e.rejected_by)
        meters::unschedulable_by(p->name(), e.pod->scheduler_name).add(-1);
      break;
    }
    case Where::kInFlight:
      missed_.erase(e.pod->uid);
      break;
    case Where::kBinding:
      break;
  }
}

void SchedulingQueue::put_aside(Entry& e, std::string_view event) {
  e.where = Where::kParked;
  e.parked_at = loop_.now();
  parked_[e.waits_for].emplace(e.order.sequence, &e);
  ++parked_count_;
  if (e.gated) ++gated_count_;
  for (Plugin* p : e.rejected_by) meters::unschedulable_by(p->name(), e.pod->scheduler_name).add(1);
  meters::incoming(e.gated ? "gated" : "unschedulable", event).add();
}

// Asks the plugins whether it may be tried; puts it aside when not.
bool SchedulingQueue::let_in(Entry& e, std::string_view event) {
  e.gated = false;
  if (!options_.pre_enqueue) return true;
  Plugin* by = nullptr;
  if (options_.pre_enqueue(*e.pod, &by).ok()) return true;
  e.gated = true;
  e.rejected_by = {by};
  e.waits_for = by->events();
  put_aside(e, event);
  return false;
}

void SchedulingQueue::make_active(Entry& e, std::string_view event) {
  if (!let_in(e, event)) return;
  e.where = Where::kActive;
  active_.emplace(e.order, &e);
  meters::incoming("active", event).add();
  waiting_.wake_one();
}

void SchedulingQueue::back_off_or_activate(Entry& e, std::string_view event) {
  const TimePoint until = e.last_attempt + backoff_of(e);
  if (e.attempts == 0 || until <= loop_.now()) {
    make_active(e, event);
    return;
  }
  if (!let_in(e, event)) return;
  e.where = Where::kBackoff;
  e.backoff_until = until;
  backoff_.emplace(std::pair(until, e.order.sequence), &e);
  meters::incoming("backoff", event).add();
  if (!e.failed) waiting_.wake_one();
}

void SchedulingQueue::add(PodPtr pod) {
  if (entries_.contains(pod->uid)) {
    update(std::move(pod), 0);
    return;
  }
  Entry e;
  e.order = {pod->priority, loop_.now(), ++sequence_};
  std::string uid = pod->uid;
  e.pod = std::move(pod);
  make_active(entries_.emplace(std::move(uid), std::move(e)).first->second, "UnschedulablePodAdd");
}

PodPtr SchedulingQueue::get(std::string_view uid) const {
  auto it = entries_.find(uid);
  return it == entries_.end() ? nullptr : it->second.pod;
}

void SchedulingQueue::update(PodPtr pod, Events self) {
  auto it = entries_.find(pod->uid);
  if (it == entries_.end()) {
    add(std::move(pod));
    return;
  }
  Entry& e = it->second;
  if (e.order.priority != pod->priority) {
    const bool active = e.where == Where::kActive;
    if (active) active_.erase(e.order);
    e.order.priority = pod->priority;
    if (active) active_.emplace(e.order, &e);
  }
  PodPtr before = std::exchange(e.pod, std::move(pod));
  if (self == 0) return;
  if (e.where == Where::kInFlight) {
    missed_[e.pod->uid] |= self;
  } else if (e.where == Where::kParked) {
    Event event;
    event.bits = self;
    event.pod_before = before.get();
    event.pod = e.pod.get();
    if (!helps(e, event)) return;
    leave(e);
    back_off_or_activate(e, event_name(self));
  }
}

void SchedulingQueue::remove(std::string_view uid) {
  auto it = entries_.find(uid);
  if (it == entries_.end()) return;
  leave(it->second);
  entries_.erase(it);
}

// The next active one; or the one that has backed off longest, when nothing better is to be done.
SchedulingQueue::Entry& SchedulingQueue::take_next() {
  if (!active_.empty()) {
    Entry& e = *active_.begin()->second;
    active_.erase(active_.begin());
    return e;
  }
  auto it = std::find_if(backoff_.begin(), backoff_.end(),
                         [](const auto& b) { return !b.second->failed; });
  Entry& e = *it->second;
  backoff_.erase(it);
  return e;
}

Task<Result<PodPtr>> SchedulingQueue::next(Context ctx) {
  for (;;) {
    const bool some =
        !active_.empty() || std::any_of(backoff_.begin(), backoff_.end(),
                                        [](const auto& b) { return !b.second->failed; });
    if (some) break;
    Status s = co_await waiting_.wait(ctx);
    if (!s.ok()) co_return s;
  }
  Entry& e = take_next();
  e.where = Where::kInFlight;
  e.failed = false;
  e.last_attempt = loop_.now();
  if (e.attempts++ == 0) e.first_attempt = e.last_attempt;
  missed_.emplace(e.pod->uid, 0);
  co_return e.pod;
}

void SchedulingQueue::park(const PodPtr& pod, std::vector<Plugin*> rejected_by, Events also) {
  auto it = entries_.find(pod->uid);
  if (it == entries_.end()) return;  // deleted meanwhile
  Entry& e = it->second;
  if (e.where != Where::kInFlight && e.where != Where::kBinding) return;
  const Events seen = e.where == Where::kInFlight ? missed_[e.pod->uid] : 0;
  leave(e);
  e.pod = pod;
  e.order.since = loop_.now();
  e.rejected_by = std::move(rejected_by);
  e.flushed = false;
  Events waits = also;
  for (Plugin* p : e.rejected_by) waits |= p->events();
  e.waits_for = e.rejected_by.empty() && also == 0 ? kAnyEvent : waits;
  if (seen & e.waits_for) {
    back_off_or_activate(e, "ScheduleAttemptFailure");
    return;
  }
  put_aside(e, "ScheduleAttemptFailure");
}

void SchedulingQueue::retry(const PodPtr& pod) {
  auto it = entries_.find(pod->uid);
  if (it == entries_.end()) return;
  Entry& e = it->second;
  if (e.where != Where::kInFlight && e.where != Where::kBinding) return;
  leave(e);
  e.pod = pod;
  e.order.since = loop_.now();
  e.rejected_by.clear();
  e.failed = true;
  back_off_or_activate(e, "ScheduleAttemptFailure");
}

void SchedulingQueue::binding(std::string_view uid) {
  auto it = entries_.find(uid);
  if (it == entries_.end() || it->second.where != Where::kInFlight) return;
  leave(it->second);
  it->second.where = Where::kBinding;
}

SchedulingQueue::Waited SchedulingQueue::done(std::string_view uid) {
  auto it = entries_.find(uid);
  if (it == entries_.end()) return {};
  Entry& e = it->second;
  if (e.where != Where::kInFlight && e.where != Where::kBinding) return {};
  Waited out{e.attempts, e.first_attempt, e.flushed};
  leave(e);
  entries_.erase(it);
  return out;
}

bool SchedulingQueue::helps(const Entry& e, const Event& event) {
  if (!(e.waits_for & event.bits)) return false;
  if (e.rejected_by.empty()) return true;
  bool named = false;
  for (Plugin* p : e.rejected_by) {
    if (!(p->events() & event.bits)) continue;
    named = true;
    if (p->hint(*e.pod, event) == Hint::kQueue) return true;
  }
  return !named;  // what no plugin named, park() was given
}

void SchedulingQueue::on_event(const Event& event) {
  if (event.bits == 0) return;
  for (auto& [uid, seen] : missed_) seen |= event.bits;
  if (parked_.empty()) return;
  std::vector<Entry*> moving;
  for (auto& [waits_for, entries] : parked_) {
    if (!(waits_for & event.bits)) continue;
    for (auto& [sequence, e] : entries)
      if (helps(*e, event)) moving.push_back(e);
  }
  const std::string_view name = event_name(event.bits);
  for (Entry* e : moving) {
    leave(*e);
    back_off_or_activate(*e, name);
  }
}

void SchedulingQueue::activate(std::string_view uid) {
  auto it = entries_.find(uid);
  if (it == entries_.end()) return;
  Entry& e = it->second;
  if (e.where == Where::kInFlight) {
    missed_[e.pod->uid] |= kAnyEvent;
  } else if (e.where == Where::kParked || e.where == Where::kBackoff) {
    leave(e);
    make_active(e, "ForceActivate");
  }
}

void SchedulingQueue::ask_again(std::string_view uid) {
  auto it = entries_.find(uid);
  if (it == entries_.end() || it->second.where != Where::kParked || !it->second.gated) return;
  leave(it->second);
  back_off_or_activate(it->second, "ForceActivate");
}

void SchedulingQueue::flush() {
  const TimePoint now = loop_.now();
  while (!backoff_.empty() && backoff_.begin()->first.first <= now) {
    Entry& e = *backoff_.begin()->second;
    backoff_.erase(backoff_.begin());
    make_active(e, "BackoffComplete");
  }
  std::vector<Entry*> old;
  for (auto& [waits_for, entries] : parked_) {
    for (auto& [sequence, e] : entries)
      if (!e->gated && e->parked_at + options_.max_parked <= now) old.push_back(e);
  }
  for (Entry* e : old) {
    leave(*e);
    e->flushed = true;
    back_off_or_activate(*e, "UnschedulableTimeout");
  }
}

}  // namespace keles::scheduler
