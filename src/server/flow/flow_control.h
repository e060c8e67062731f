// FlowControl: API priority and fairness (KEP-1040), as upstream 1.36 does it. FlowSchemas sort
// requests into priority levels; a level has seats, a share of the server's, lends those that it
// does not use, and lets its flows wait in queues that are served fairly.
//
//   enter() ── schema by precedence ── its level's QueueSet ──► runs now │ wait() │ refused (429)
//   end()   gives the seats back
//
// What is configured is an immutable index, published whole; a request holds the one that it came
// in by. It follows the store: a change acts shortly after the write, as with upstream's informers.
//
// Threads: run() belongs to one loop; everything else may be called from any.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/sync.h"
#include "base/task.h"
#include "server/flow/estimate.h"
#include "server/flow/queue_set.h"
#include "server/flow/refusals.h"
#include "server/flow/schema.h"
#include "server/registry/registry.h"

namespace keles::flow {

struct Options {
  bool enabled = true;
  int seats = 600;  // of all levels together
};

// What requests are sorted by at a time.
struct Index {
  struct Level {
    std::string name, uid;
    bool exempt = false;
    Queuing queuing;
    uint64_t widest = 0;  // LevelSpec::widest_request
    int weight = 1;       // of its requests' turns on a loop: its nominal seats
    std::shared_ptr<QueueSet> set;
    std::shared_ptr<Refusals> refusals;
  };
  struct Entry {
    Schema schema;
    const Level* level = nullptr;
    SchemaStats* stats = nullptr;
  };
  std::map<std::string, Level, std::less<>> levels;
  std::vector<Entry> entries;  // as they are asked; the last that may be asked is catch-all
  const Entry* catch_all = nullptr;
  const Entry& match(const Digest& d) const;
};

// What a request asks for, beyond who it is: its views outlive the passage.
struct Question {
  Digest digest;
  const KindDesc* kind = nullptr;  // null: of none that is served here
  ListQuestion list;               // of a list or watch
  bool list_unclear = false;       // it cannot be read, and will be refused
  std::string_view node;           // of a watch of pods: whose node's
};

// One request under flow control. It has ended, or been refused, before it is destroyed.
class Passage {
 public:
  // Whether it is, or was, under flow control: not so what only has its level's turns.
  bool classified() const { return entered_; }
  const std::string& schema_uid() const { return entry_->schema.uid; }
  const std::string& level_uid() const { return entry_->level->uid; }
  bool runs() const { return ticket_.runs(); }
  // Whose turns its are, and their weight (server/turns).
  const void* level() const { return entry_ ? entry_->level->set.get() : nullptr; }
  int weight() const { return entry_ ? entry_->level->weight : 1; }

 private:
  friend class FlowControl;
  std::shared_ptr<const void> holds_;  // the index
  const Index::Entry* entry_ = nullptr;
  Digest digest_;
  std::string_view node_;
  Ticket ticket_;
  WatchTracker::Watching watching_;
  bool mutating_ = false, entered_ = false;
};

class FlowControl {
 public:
  // The registry outlives it.
  FlowControl(registry::Registry* registry, Options options);
  ~FlowControl();

  bool enabled() const { return options_.enabled; }
  // Makes the index of what the store holds now; by itself with each change, and when the first
  // request comes before it was called.
  void refresh(Loop& loop);
  // Keeps it current, shares the seats out anew every 10 s, keeps the objects that every cluster
  // has, and tells FlowSchemas whether their level exists, until ctx ends. Spawn it once.
  Task<void> run(Context ctx);

  using Outcome = QueueSet::Outcome;
  // `now`: the loop's, as of late.
  Outcome enter(Loop& loop, Passage* p, const Question& q, TimePoint now);
  // Of what lasts, and has no seat (as upstream's long-running requests): whose turns its are.
  void sort(Loop& loop, Passage* p, const Question& q);
  // Of who waits: whether it runs; not when `limit` ended first.
  Task<bool> wait(Context limit, Passage* p);
  // Of who runs: its seats are free. A second call does nothing.
  void end(Loop& loop, Passage* p);
  // Of who was refused, or waited in vain: in how many seconds it is to come back.
  int64_t refused(Loop& loop, const Passage& p);

  // apiserver_flowcontrol_*, in Prometheus' text form.
  std::string metrics(Loop& loop);
  // /debug/api_priority_and_fairness/dump_*; nullopt: there is no such path.
  std::optional<std::string> dump(Loop& loop, std::string_view path, bool details);

  // How a level's seats stand, for metrics and tests.
  struct LevelFigures {
    std::string name;
    bool quiescing = false;
    int nominal = 0, least = 0, most = 0, current = 0;
    double high_watermark = 0, average = 0, deviation = 0, smoothed = 0, target = 0;
  };
  std::vector<LevelFigures> levels() const;

 private:
  struct Level {
    LevelSpec spec;
    std::shared_ptr<QueueSet> set;
    std::shared_ptr<Refusals> refusals;
    LevelFigures figures;
  };
  struct Held;
  struct WantedStatus;
  std::shared_ptr<const Held> current() const;
  void digest_levels(Loop& loop, const StoreSnapshot& snapshot);
  std::vector<Schema> digest_schemas(const StoreSnapshot& snapshot);
  void publish(std::vector<Schema> schemas, TimePoint now);
  void share_out(Loop& loop);
  void adjust(Loop& loop);
  void note(bool mutating, int waiting, int executing, TimePoint now);
  Task<void> keep_objects(Context ctx);
  Task<void> write_statuses(Context ctx);
  bool too_often(const std::string& schema, TimePoint now);
  Work work_of(const Index::Entry& entry, const Question& q, TimePoint now, int* watchers);
  std::string dump_levels(Loop& loop) const;
  std::string dump_queues(Loop& loop) const;
  std::string dump_requests(Loop& loop, bool details) const;
  std::vector<std::pair<LevelFigures, QueueSet::Figures>> all_figures(Loop& loop,
                                                                      bool requests) const;

  registry::Registry* registry_;
  Options options_;
  WatchTracker watches_;
  ObjectSizes sizes_;
  std::atomic<std::shared_ptr<const Held>> held_;
  std::atomic<uint64_t> generation_{0};

  mutable std::mutex mutex_;  // of what follows, never held across an await
  std::map<std::string, Level, std::less<>> levels_;
  std::set<std::string, std::less<>> present_;  // of levels, in the API
  std::vector<WantedStatus> wanted_;
  int nominal_sum_ = 0;
  double fair_fraction_ = 0;

  std::mutex gauges_mutex_;
  struct ReadsAndWrites;
  std::unique_ptr<ReadsAndWrites> gauges_;

  // Of run()'s loop.
  Event changed_;
  std::map<std::string, std::vector<TimePoint>> written_;
};

}  // namespace keles::flow
