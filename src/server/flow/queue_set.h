// QueueSet: the seats of one priority level and who waits for them. Upstream's Fair Queuing for
// Server Requests (KEP-1040; k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/queueset): each
// request is put into the least loaded of the queues that its flow was dealt; seats that become
// free go to the queue whose oldest request would be done first in a virtual world, in which all
// queues that hold something are served at once, at the same rate. R is that world's clock.
//
// Threads: every member may be called from any loop; one lock guards the state, never held across
// an await. A Ticket belongs to the loop of its request.
#pragma once

#include <coroutine>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "server/flow/digest.h"
#include "server/flow/shuffle.h"
#include "server/flow/stats.h"
#include "server/flow/work.h"

namespace keles::flow {

// How a level queues. queues 0: it does not, who finds no seat is refused; below 0: nobody is
// limited.
struct Queuing {
  int queues = 0, hand = 1, length = 0;
  bool operator==(const Queuing&) const = default;
};

class QueueSet;

// One request's place in a QueueSet. It must have left (or been refused) before it is destroyed.
class Ticket {
 public:
  Ticket() = default;
  Ticket(const Ticket&) = delete;
  bool runs() const { return state_ == State::kRuns; }

 private:
  friend class QueueSet;
  struct Queue;
  enum class State : uint8_t { kOutside, kWaits, kRuns, kGivenUp };
  State state_ = State::kOutside;
  bool watch_ = false;
  Loop* loop_ = nullptr;
  std::coroutine_handle<> waiter_;
  const Digest* about_ = nullptr;
  std::string_view schema_, distinguisher_;
  SchemaStats* stats_ = nullptr;
  Queue* queue_ = nullptr;
  Ticket* before_ = nullptr;
  Ticket* after_ = nullptr;
  Work work_;
  SeatSeconds total_work_ = 0, final_work_ = 0, arrival_r_ = 0;
  TimePoint arrived_, started_;
};

class QueueSet : public std::enable_shared_from_this<QueueSet> {
 public:
  // `r`: what R starts from; tests start close to where it is wound back.
  explicit QueueSet(TimePoint now, SeatSeconds r = 0);
  ~QueueSet();
  QueueSet(const QueueSet&) = delete;

  // `seats`: how many may be in use; `whole`: what gauges are parts of.
  void configure(Loop& loop, Queuing queuing, int seats, int whole);

  struct Entry {
    const Digest* about = nullptr;  // outlives the ticket
    std::string_view schema, distinguisher;
    uint64_t hash = 0;
    SchemaStats* stats = nullptr;  // of stats()
    Work work;
    int watchers = -1;  // that a write will be told to; -1: not counted
  };
  enum class Outcome : uint8_t { kRuns, kWaits, kRefused };
  // `now`: the loop's, as of late.
  Outcome enter(Loop& loop, Ticket* t, const Entry& e, TimePoint now);
  // Of who waits: until it runs (true), or `limit` ends and it has left the queue (false).
  Task<bool> wait(Context limit, Ticket* t);
  // Of who runs: once. Its final seats stay in use for a while.
  void leave(Loop& loop, Ticket* t, TimePoint now);

  // Nobody waits or runs.
  bool idle() const;
  // How many seats were asked for since this was asked last.
  Integrator::Results take_demand(TimePoint now);
  // The figures of a schema; they last as long as the set.
  SchemaStats* stats(std::string_view schema);

  // One request, as debugging endpoints show it.
  struct Seen {
    int queue = -1, place = -1;  // -1: none; it runs
    std::string schema, distinguisher;
    WallTime arrived, started;  // started 0: it waits
    Work work;
    std::string user, verb, path, ns, name, api_version, resource, subresource;
  };
  struct SeenQueue {
    size_t waiting = 0, executing = 0;
    uint64_t seats_in_use = 0, initial_seats = 0, widest_seats = 0;
    SeatSeconds next_r = 0, work = 0;
  };
  // The virtual world at the last dispatch: when the queues' next requests begin there (s), less
  // what they have begun already (discounted).
  struct Virtual {
    SeatSeconds dispatch_r = 0, latest_s = 0;
    SeatSeconds s_min = UINT64_MAX, s_max = 0, discounted_min = UINT64_MAX, discounted_max = 0;
    void note(const Ticket::Queue& q);
  };
  struct Figures {
    size_t waiting = 0, executing = 0;
    uint64_t seats_in_use = 0, dispatched = 0, refused = 0, timed_out = 0;
    uint64_t epochs = 0;
    SeatSeconds r = 0;
    Virtual virtual_time;
    bool queued_once = false;  // the figures of R and S mean something
    Counts waiting_part{kRequestParts}, executing_part{kRequestParts}, seats_part{kSeatParts},
        demand_part{kDemandParts};
    std::map<std::string, SchemaStats, std::less<>> schemas;
    std::vector<SeenQueue> queues;
    std::vector<Seen> requests;
  };
  // `requests` only when asked for.
  Figures figures(Loop& loop, bool requests = false);

 private:
  using Queue = Ticket::Queue;
  struct Lingering;
  struct Woken {
    Loop* loop;
    std::coroutine_handle<> h;
  };
  struct Awaiter;

  void sync(TimePoint now);
  void advance(TimePoint now);
  void release_due(TimePoint now);
  void release(uint64_t seats, Queue* q, SchemaStats* stats, TimePoint now);
  void wind_back();
  Queue* choose(uint64_t hash);
  bool fits(uint64_t seats) const;
  void enqueue(Ticket* t, Queue* q, TimePoint now);
  void dequeue(Ticket* t, TimePoint now);
  void start(Ticket* t, Queue* q, TimePoint now);
  void dispatch(TimePoint now, Queue* newest = nullptr);
  bool dispatch_one(TimePoint now, Queue* sole);
  Queue* next_queue(Virtual& seen);
  void bound(Queue* q);
  void drop_surplus(Queue* q);
  void note_demand(TimePoint now);
  void give_up(Loop& loop, Ticket* t);
  void arm(Loop& loop);
  void wake(std::unique_lock<std::mutex>& lock);
  static Seen see(Loop& loop, const Ticket& t, int queue, int place);

  mutable std::mutex mutex_;
  Queuing queuing_;
  uint64_t limit_ = 0;
  std::vector<std::unique_ptr<Queue>> queues_;  // more than wanted while those too many drain
  std::unique_ptr<Queue> none_;                 // of requests that pass without a queue
  size_t robin_ = 0, active_ = 0, enqueued_ = 0;
  SeatSeconds r_;
  TimePoint at_;
  size_t waiting_ = 0, executing_ = 0;
  uint64_t seats_in_use_ = 0, seats_waiting_ = 0;
  uint64_t dispatched_ = 0, refused_ = 0, timed_out_ = 0, epochs_ = 0;
  Virtual virtual_;
  bool queued_once_ = false, armed_ = false;
  std::vector<Lingering> lingering_;  // a heap, the first due in front
  std::vector<Woken> woken_;
  std::map<std::string, std::unique_ptr<SchemaStats>, std::less<>> stats_;
  Gauge waiting_part_, executing_part_, seats_part_, demand_part_;
  Integrator demand_;
};

}  // namespace keles::flow
