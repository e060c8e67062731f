#include "controllers/controller.h"

#include "base/sync.h"

namespace keles::controllers {

Controller::Controller(Deps deps, std::string name, std::string component, int workers)
    : deps_(deps),
      name_(std::move(name)),
      workers_(workers),
      queue_(deps.client.loop()),
      events_(deps.client, std::move(component)) {}

Task<void> Controller::run(Context ctx) {
  for (InformerBase* i : watched_) {
    Status s = co_await i->wait_synced(ctx);
    if (!s.ok()) co_return;
  }
  events_.start(ctx);
  started(ctx);
  std::function<Task<ReconcileResult>(Context, std::string)> body =
      [this](Context c, std::string key) { return reconcile(std::move(c), std::move(key)); };
  co_await run_workers(ctx, &queue_, name_, workers_, body);
  co_await events_.join();
}

std::pair<std::string, std::string> split_key(std::string_view key) {
  size_t slash = key.find('/');
  if (slash == std::string_view::npos) return {"", std::string(key)};
  return {std::string(key.substr(0, slash)), std::string(key.substr(slash + 1))};
}

namespace {

struct Bounded {
  std::vector<std::function<Task<Status>()>> tasks;
  size_t next = 0;
  Status first_error;
};

Task<void> run_some(Context ctx, Bounded* b) {
  while (b->next < b->tasks.size()) {
    size_t i = b->next++;
    if (ctx.done()) {
      if (b->first_error.ok()) b->first_error = ctx.status();
      co_return;
    }
    Status s = co_await b->tasks[i]();
    if (!s.ok() && b->first_error.ok()) b->first_error = s;
  }
}

}  // namespace

Task<Status> run_bounded(Context ctx, int limit, std::vector<std::function<Task<Status>()>> tasks) {
  Bounded b;
  b.tasks = std::move(tasks);
  TaskGroup group(ctx.loop());
  size_t n = std::min(b.tasks.size(), static_cast<size_t>(limit));
  for (size_t i = 0; i < n; ++i) group.spawn(run_some(ctx, &b));
  co_await group.join();
  co_return b.first_error;
}

}  // namespace keles::controllers
