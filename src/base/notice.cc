#include "base/notice.h"

#include <atomic>
#include <list>
#include <mutex>
#include <utility>

namespace keles {

struct Notice::State {
  Loop* loop = nullptr;
  std::function<void()> fn;      // the loop's; empty once the subscription is gone
  std::atomic<bool> due{false};  // told, and not called yet
};

struct Notice::Told {
  std::mutex mutex;
  std::list<std::shared_ptr<State>> all;
};

Notice::Notice() : told_(std::make_shared<Told>()) {}
Notice::~Notice() = default;

std::unique_ptr<Notice::Subscription> Notice::subscribe(Loop& loop, std::function<void()> fn) {
  auto state = std::make_shared<State>();
  state->loop = &loop;
  state->fn = std::move(fn);
  {
    std::lock_guard lock(told_->mutex);
    told_->all.push_back(state);
  }
  return std::unique_ptr<Subscription>(new Subscription(told_, std::move(state)));
}

void Notice::tell() {
  std::lock_guard lock(told_->mutex);
  for (const auto& state : told_->all) {
    if (state->due.exchange(true)) continue;
    state->loop->post([state] {
      state->due = false;
      if (auto fn = state->fn) fn();  // a copy: it may end its own subscription
    });
  }
}

Notice::Subscription::Subscription(std::shared_ptr<Told> told, std::shared_ptr<State> state)
    : told_(std::move(told)), state_(std::move(state)) {}

Notice::Subscription::~Subscription() {
  state_->fn = nullptr;
  std::lock_guard lock(told_->mutex);
  told_->all.remove(state_);
}

}  // namespace keles
