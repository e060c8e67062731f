// Controller: the shape that every controller has: a constructor that names what it watches (and
// maps each change to keys), a pure plan, and one reconcile(key) that carries the plan out.
//
// Everything runs on the client's loop; a key is never reconciled twice at once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/client.h"
#include "client/event_recorder.h"
#include "client/informer.h"
#include "client/work_queue.h"

namespace keles::controllers {

struct Options;  // options.h

// What a controller is made from. The parts outlive it.
struct Deps {
  Client& client;
  InformerFactory& informers;
  const Options& options;
};

class Controller {
 public:
  // `name` is the queue's in the workqueue_* metrics, `component` the events' source.
  Controller(Deps deps, std::string name, std::string component, int workers);
  virtual ~Controller() = default;
  const std::string& name() const { return name_; }
  // Before run(): how many keys are reconciled at once.
  void set_workers(int n) { workers_ = n; }
  virtual Task<ReconcileResult> reconcile(Context ctx, std::string key) = 0;
  // Waits for the informers, then reconciles until ctx ends and everything has come to rest.
  Task<void> run(Context ctx);

 protected:
  // Asked before each reconcile: that it is not to be begun yet, and when it is looked at again.
  virtual std::optional<ReconcileResult> too_early(const std::string& /*key*/) {
    return std::nullopt;
  }
  // Called once the informers are level, before the first reconcile.
  virtual void started(Context) {}
  // Called at the end of run(): waits for what started() began.
  virtual Task<void> stopped() { co_return; }
  Client& client() { return deps_.client; }
  Loop& loop() { return deps_.client.loop(); }
  const Options& options() const { return deps_.options; }
  EventRecorder& events() { return events_; }
  WorkQueue& queue() { return queue_; }
  template <class T>
  Informer<T> watch() {
    Informer<T> i = deps_.informers.informer<T>();
    watch_also(i.base());
    return i;
  }
  // Every change of T reconciles its own key. So does a gap in what is heard of anything watched:
  // what this controller made may have gone before any informer saw it.
  template <class T>
  Informer<T> watch_own() {
    return watch_own<T>([](const ObjectPtr&, const ObjectPtr&) { return Duration(0); });
  }
  // So long after the change; `before` is null for a new one, `now` for one that has gone.
  using WakesAfter =
      std::function<std::optional<Duration>(const ObjectPtr& before, const ObjectPtr& now)>;
  template <class T>
  Informer<T> watch_own(WakesAfter wakes_after) {
    Informer<T> i = watch<T>();
    wake_own(i.base(), std::move(wakes_after));
    return i;
  }
  void wake_own(InformerBase& own, WakesAfter wakes_after);
  void watch_also(InformerBase& informer);

 private:
  Task<ReconcileResult> reconcile_in_time(Context ctx, std::string key);
  Deps deps_;
  std::string name_;
  int workers_;
  WorkQueue queue_;
  EventRecorder events_;
  std::vector<InformerBase*> watched_, own_;
};

// Creates an object of a name of our own choosing (its generateName and five characters), so that a
// create whose reply was lost can be repeated without making a second object. The error is
// kOutcomeUnknown only when the server stayed away for a minute.
Task<Result<ObjectPtr>> create_once(Context ctx, Client* client, const KindDesc* kind,
                                    Document body);
// Deletes this very object (by uid), likewise repeated while the outcome is not known. That it was
// gone already is success.
Task<Status> remove_once(Context ctx, Client* client, const KindDesc* kind, std::string ns,
                         std::string name, DeleteOptions options);

// Nothing can be made any more: the namespace is being deleted.
bool namespace_is_ending(const Status& refused);

// "ns/name" or "name".
std::pair<std::string, std::string> split_key(std::string_view key);

// Runs the tasks with at most `limit` of them at once; returns when all have ended. The first error
// is reported; it does not stop the others.
Task<Status> run_bounded(Context ctx, int limit, std::vector<std::function<Task<Status>()>> tasks);
// The same in batches of 1, 2, 4, ...: no other begins after one with an error, so that few are
// tried where all fail (a quota, a bad template). `left`: how many were never begun.
Task<Status> run_slow_start(Context ctx, int limit,
                            std::vector<std::function<Task<Status>()>> tasks, int* left);

}  // namespace keles::controllers
