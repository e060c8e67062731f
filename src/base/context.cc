#include "base/context.h"

#include "base/sync.h"

namespace keles {
void Context::Told::enter(Told& end_of_list) {
  before = end_of_list.before;
  after = &end_of_list;
  before->after = end_of_list.before = this;
}

void Context::Told::leave() {
  if (before == nullptr) return;
  before->after = after;
  after->before = before;
  before = after = nullptr;
}

struct Context::List final : Told {
  List() { before = after = this; }
  // Who was not told may outlive the list.
  ~List() override {
    while (Told* t = first()) t->leave();
  }
  void tell() override {}
  Told* first() { return after == this ? nullptr : after; }
};

struct Context::State final : Told, std::enable_shared_from_this<State> {
  Loop* loop;
  TimePoint deadline = TimePoint::max();
  TimerId timer = 0;
  bool done = false;
  Status why;
  std::shared_ptr<State> parent;
  List list;  // children and hooks

  explicit State(Loop* l) : loop(l) {}
  ~State() override {
    leave();
    if (timer) loop->cancel(timer);
  }
  void tell() override {
    auto keep = weak_from_this().lock();
    if (keep) end(parent->why);
  }
  void end(Status s) {
    if (done) return;
    done = true;
    why = std::move(s);
    if (timer) loop->cancel(timer);
    timer = 0;
    // One may withdraw others: take them one at a time, in order.
    while (Told* t = list.first()) {
      t->leave();
      t->tell();
    }
  }
};

Context::Hook::Hook(const Context& ctx, std::function<void()> fn) : fn_(std::move(fn)) {
  if (ctx.state_->done) {
    tell();
  } else {
    enter(ctx.state_->list);
  }
}

void Context::Hook::tell() {
  auto fn = std::move(fn_);
  fn();
}

Context Context::root(Loop& loop) { return Context(std::make_shared<State>(&loop)); }

Context Context::child() const {
  auto s = std::make_shared<State>(state_->loop);
  s->deadline = state_->deadline;
  s->parent = state_;
  if (state_->done) {
    s->done = true;
    s->why = state_->why;
  } else {
    s->enter(state_->list);
  }
  return Context(std::move(s));
}

Context Context::with_deadline(TimePoint when) const {
  Context c = child();
  if (c.state_->done || when >= c.state_->deadline) return c;
  c.state_->deadline = when;
  State* state = c.state_.get();  // whose destructor takes the timer back
  state->timer = loop().schedule(when, [state] {
    auto keep = state->shared_from_this();
    keep->timer = 0;
    keep->end(Status::timeout("context deadline exceeded"));
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

}  // namespace keles
