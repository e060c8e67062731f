#include "controllers/controller.h"

#include <algorithm>

#include "base/sync.h"

namespace keles::controllers {

Controller::Controller(Deps deps, std::string name, std::string component, int workers)
    : deps_(deps),
      name_(std::move(name)),
      workers_(workers),
      queue_(deps.client.loop()),
      events_(deps.client, std::move(component)) {}

void Controller::wake_own(InformerBase& own, WakesAfter wakes_after) {
  own_.push_back(&own);
  auto wake = [this, wakes_after = std::move(wakes_after)](const ObjectPtr& before,
                                                           const ObjectPtr& now) {
    std::optional<Duration> after = wakes_after(before, now);
    if (!after) return;
    const std::string key = (now ? now : before)->key();
    if (*after > Duration(0)) {
      queue_.add_after(key, *after);
    } else {
      queue_.add(key);
    }
  };
  own.add_handler({[wake](const ObjectPtr& now) { wake(nullptr, now); }, wake,
                   [wake](const ObjectPtr& last) { wake(last, nullptr); }, nullptr});
}

void Controller::watch_also(InformerBase& informer) {
  watched_.push_back(&informer);
  informer.add_handler({nullptr, nullptr, nullptr, [this] {
                          for (InformerBase* own : own_) {
                            for (const ObjectPtr& o : own->list()) queue_.add(o->key());
                          }
                        }});
}

Task<void> Controller::run(Context ctx) {
  for (InformerBase* i : watched_) {
    Status s = co_await i->wait_synced(ctx);
    if (!s.ok()) co_return;
  }
  events_.start(ctx);
  started(ctx);
  std::function<Task<ReconcileResult>(Context, std::string)> body = [this](Context c,
                                                                           std::string key) {
    return reconcile_in_time(std::move(c), std::move(key));
  };
  co_await run_workers(ctx, &queue_, name_, workers_, body);
  co_await stopped();
  co_await events_.join();
}

Task<ReconcileResult> Controller::reconcile_in_time(Context ctx, std::string key) {
  std::optional<ReconcileResult> later = too_early(key);
  if (later) co_return *later;
  co_return co_await reconcile(std::move(ctx), std::move(key));
}

namespace {

constexpr int kUnknownAttempts = 9;  // 100 ms and doubling: about 50 s

bool is_unknown(const Status& s) {
  return s.is(Reason::kOutcomeUnknown) || s.is(Reason::kTimeout) || s.is(Reason::kUnavailable);
}

}  // namespace

Task<Result<ObjectPtr>> create_once(Context ctx, Client* client, const KindDesc* kind,
                                    Document body) {
  Value* meta = body.root.find("metadata");
  std::string ns((*meta)["namespace"].as_string());
  std::string prefix((*meta)["generateName"].as_string());
  std::string name = prefix + client->loop().random().suffix(5);
  meta->set(body.arena, "name", Value::string(body.arena.copy(name)));
  bool in_doubt = false;
  Duration wait = 100ms;
  for (int attempt = 0;; ++attempt) {
    auto r = co_await client->create(ctx, kind, ns, "", body.clone(), WriteOptions());
    Status s = r.status();
    if (s.ok()) co_return std::move(r);
    if (s.is(Reason::kAlreadyExists)) {
      auto there = co_await client->get(ctx, kind, ns, name);
      if (in_doubt && there.ok()) co_return std::move(there);  // our own earlier attempt
      if (!in_doubt) {                                         // a stranger's: another name
        name = prefix + client->loop().random().suffix(5);
        meta->set(body.arena, "name", Value::string(body.arena.copy(name)));
      }
      s = there.status().ok() ? s : there.status();
    } else if (!is_unknown(s)) {
      co_return s;
    } else {
      in_doubt = in_doubt || !s.is(Reason::kUnavailable);
    }
    if (ctx.done()) co_return ctx.status();
    if (attempt + 1 >= kUnknownAttempts) {
      if (!in_doubt) co_return s;
      co_return Status(Reason::kOutcomeUnknown, s.message());
    }
    TRY_CO(ctx.sleep(wait));
    wait *= 2;
  }
}

Task<Status> remove_once(Context ctx, Client* client, const KindDesc* kind, std::string ns,
                         std::string name, DeleteOptions options) {
  Duration wait = 100ms;
  for (int attempt = 0;; ++attempt) {
    auto r = co_await client->remove(ctx, kind, ns, name, options);
    Status s = r.status();
    // A conflict: another object has the name, so that ours is gone.
    if (s.ok() || s.is(Reason::kNotFound) || s.is(Reason::kConflict)) co_return Status();
    if (!is_unknown(s) || ctx.done() || attempt + 1 >= kUnknownAttempts) co_return s;
    TRY_CO(ctx.sleep(wait));
    wait *= 2;
  }
}

bool namespace_is_ending(const Status& refused) {
  return refused.is(Reason::kForbidden) &&
         refused.message().find("being terminated") != std::string::npos;
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

Task<Status> run_slow_start(Context ctx, int limit,
                            std::vector<std::function<Task<Status>()>> tasks, int* left) {
  size_t done = 0;
  Status first;
  for (size_t batch = 1; first.ok() && done < tasks.size(); batch *= 2) {
    const size_t size = std::min(batch, tasks.size() - done);
    std::vector<std::function<Task<Status>()>> some;
    for (size_t i = 0; i < size; ++i) some.push_back(std::move(tasks[done + i]));
    first = co_await run_bounded(ctx, limit, std::move(some));
    done += size;
  }
  *left = static_cast<int>(tasks.size() - done);
  co_return first;
}

}  // namespace keles::controllers
