#include "base/context.h"

#include <algorithm>

#include "base/sync.h"

namespace keles {

struct Context::State {
  Loop* loop;
  TimePoint deadline = TimePoint::max();
  TimerId timer = 0;
  bool done = false;
  Status why;
  std::shared_ptr<State> parent;
  std::shared_ptr<Hook> parent_hook;
  std::list<std::function<void()>> hooks;

  explicit State(Loop* l) : loop(l) {}
  ~State() {
    if (timer) loop->cancel(timer);
  }
  void end(Status s) {
    if (done) return;
    done = true;
    why = std::move(s);
    if (timer) loop->cancel(timer);
    timer = 0;
    // A hook may withdraw others: take them one at a time, in order.
    while (!hooks.empty()) {
      auto fn = std::move(hooks.front());
      // The node stays (emptied) in `spent` so that its Hook's iterator remains valid.
      spent.splice(spent.end(), hooks, hooks.begin());
      if (fn) fn();
    }
  }
  std::list<std::function<void()>> spent;
};

Context::Hook::Hook(std::weak_ptr<State> state, std::list<std::function<void()>>::iterator it,
                    bool live)
    : state_(std::move(state)), it_(it), live_(live) {}

Context::Hook::~Hook() {
  if (!live_) return;
  if (auto s = state_.lock()) {
    // Moves the node out of whichever list holds it; destruction happens here.
    std::list<std::function<void()>> mine;
    if (s->done) {
      mine.splice(mine.end(), s->spent, it_);
    } else {
      mine.splice(mine.end(), s->hooks, it_);
    }
  }
}

Context Context::root(Loop& loop) { return Context(std::make_shared<State>(&loop)); }

Context Context::child() const {
  auto s = std::make_shared<State>(state_->loop);
  s->deadline = state_->deadline;
  s->parent = state_;
  if (state_->done) {
    s->done = true;
    s->why = state_->why;
    return Context(s);
  }
  std::weak_ptr<State> weak = s;
  State* parent = state_.get();
  s->parent_hook = on_done([weak, parent] {
    if (auto c = weak.lock()) c->end(parent->why);
  });
  return Context(s);
}

Context Context::with_deadline(TimePoint when) const {
  Context c = child();
  if (c.state_->done || when >= c.state_->deadline) return c;
  c.state_->deadline = when;
  std::weak_ptr<State> weak = c.state_;
  c.state_->timer = loop().schedule(when, [weak] {
    if (auto s = weak.lock()) {
      s->timer = 0;
      s->end(Status::timeout("context deadline exceeded"));
    }
  });
  return c;
}

void Context::cancel(Status why) const {
  auto keep = state_;
  keep->end(std::move(why));
}

bool Context::done() const { return state_->done; }
Status Context::status() const { return state_->done ? state_->why : Status(); }
TimePoint Context::deadline() const { return state_->deadline; }
Loop& Context::loop() const { return *state_->loop; }

Task<Status> Context::sleep(Duration d) const {
  Context ctx = *this;
  Event fired;
  TimerId id = ctx.loop().schedule(ctx.loop().now() + d, [&fired] { fired.set(); });
  Status s = co_await fired.wait(ctx);
  ctx.loop().cancel(id);
  co_return s;
}

std::shared_ptr<Context::Hook> Context::on_done(std::function<void()> fn) const {
  if (state_->done) {
    fn();
    return std::make_shared<Hook>(state_, std::list<std::function<void()>>::iterator(), false);
  }
  state_->hooks.push_back(std::move(fn));
  return std::make_shared<Hook>(state_, std::prev(state_->hooks.end()), true);
}

}  // namespace keles
