#include "scheduler/queue.h"

#include <algorithm>

namespace keles::scheduler {
namespace {
constexpr Duration kInitialBackoff = 1s;
constexpr Duration kMaxBackoff = 10s;
constexpr Duration kMaxParked = 300s;
}  // namespace

Duration SchedulingQueue::backoff_of(const Entry& e) const {
  Duration d = kInitialBackoff;
  for (int i = 1; i < e.attempts && d < kMaxBackoff; ++i) d *= 2;
  return std::min(d, kMaxBackoff);
}

void SchedulingQueue::leave(Entry& e) {
  switch (e.where) {
    case Where::kActive:
      active_.erase(e.order);
      break;
    case Where::kBackoff:
      backoff_.erase({e.last_attempt + backoff_of(e), e.order.sequence});
      break;
    case Where::kParked:
      parked_.erase(e.pod->uid);
      break;
    case Where::kInFlight:
      missed_.erase(e.pod->uid);
      break;
  }
}

void SchedulingQueue::activate(Entry& e) {
  e.where = Where::kActive;
  active_.emplace(e.order, e.pod->uid);
  waiting_.wake_one();
}

void SchedulingQueue::back_off_or_activate(Entry& e) {
  TimePoint until = e.last_attempt + backoff_of(e);
  if (e.attempts == 0 || until <= loop_.now()) {
    activate(e);
  } else {
    e.where = Where::kBackoff;
    backoff_.emplace(std::pair(until, e.order.sequence), e.pod->uid);
  }
}

void SchedulingQueue::add(PodPtr pod) {
  auto it = entries_.find(pod->uid);
  if (it != entries_.end()) {
    update(std::move(pod), false);
    return;
  }
  Entry e;
  e.order = {pod->priority, loop_.now(), ++sequence_};
  std::string uid = pod->uid;
  e.pod = std::move(pod);
  activate(entries_.emplace(std::move(uid), std::move(e)).first->second);
}

void SchedulingQueue::update(PodPtr pod, bool worth_a_try) {
  auto it = entries_.find(pod->uid);
  if (it == entries_.end()) {
    add(std::move(pod));
    return;
  }
  Entry& e = it->second;
  if (e.where == Where::kActive && e.order.priority != pod->priority) {
    active_.erase(e.order);
    e.order.priority = pod->priority;
    active_.emplace(e.order, pod->uid);
  }
  e.pod = std::move(pod);
  if (!worth_a_try) return;
  if (e.where == Where::kParked) {
    leave(e);
    back_off_or_activate(e);
  } else if (e.where == Where::kInFlight) {
    missed_[e.pod->uid] |= kAnyEvent;
  }
}

void SchedulingQueue::remove(std::string_view uid) {
  auto it = entries_.find(uid);
  if (it == entries_.end()) return;
  leave(it->second);
  entries_.erase(it);
}

Task<Result<PodPtr>> SchedulingQueue::next(Context ctx) {
  while (active_.empty()) {
    Status s = co_await waiting_.wait(ctx);
    if (!s.ok()) co_return s;
  }
  auto it = active_.begin();
  Entry& e = entries_.find(it->second)->second;
  active_.erase(it);
  e.where = Where::kInFlight;
  e.last_attempt = loop_.now();
  ++e.attempts;
  missed_.emplace(e.pod->uid, 0);
  co_return e.pod;
}

void SchedulingQueue::park(PodPtr pod, uint32_t events) {
  auto it = entries_.find(pod->uid);
  if (it == entries_.end() || it->second.where != Where::kInFlight) return;  // deleted meanwhile
  Entry& e = it->second;
  uint32_t seen = missed_[e.pod->uid];
  leave(e);
  e.waits_for = events;
  if (seen & events) {
    back_off_or_activate(e);
    return;
  }
  e.where = Where::kParked;
  e.parked_at = loop_.now();
  parked_.insert(e.pod->uid);
}

void SchedulingQueue::retry(PodPtr pod) {
  auto it = entries_.find(pod->uid);
  if (it == entries_.end() || it->second.where != Where::kInFlight) return;
  leave(it->second);
  back_off_or_activate(it->second);
}

void SchedulingQueue::done(std::string_view uid) {
  auto it = entries_.find(uid);
  if (it == entries_.end() || it->second.where != Where::kInFlight) return;
  leave(it->second);
  entries_.erase(it);
}

void SchedulingQueue::on_event(uint32_t events) {
  if (events == 0) return;
  for (auto& [uid, seen] : missed_) seen |= events;
  std::vector<std::string> moving;
  for (const std::string& uid : parked_) {
    if (entries_.find(uid)->second.waits_for & events) moving.push_back(uid);
  }
  for (const std::string& uid : moving) {
    Entry& e = entries_.find(uid)->second;
    leave(e);
    back_off_or_activate(e);
  }
}

void SchedulingQueue::flush() {
  TimePoint now = loop_.now();
  while (!backoff_.empty() && backoff_.begin()->first.first <= now) {
    Entry& e = entries_.find(backoff_.begin()->second)->second;
    backoff_.erase(backoff_.begin());
    activate(e);
  }
  std::vector<std::string> old;
  for (const std::string& uid : parked_) {
    if (entries_.find(uid)->second.parked_at + kMaxParked <= now) old.push_back(uid);
  }
  for (const std::string& uid : old) {
    Entry& e = entries_.find(uid)->second;
    leave(e);
    back_off_or_activate(e);
  }
}

}  // namespace keles::scheduler
