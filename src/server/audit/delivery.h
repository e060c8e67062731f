// Where audit events go: a Delivery writes or sends their texts; an Outlet stands before one and
// does what the flags say of how they get there: as part of the request, or behind it in batches,
// throttled, cut down to a size.
//
// Threads: take() on any loop; run() and a Delivery's send() on the outlet's own.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/recurring.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "server/audit/event.h"
#include "server/audit/options.h"

namespace keles::audit {

class Delivery {
 public:
  virtual ~Delivery() = default;
  virtual std::string_view name() const = 0;  // "log", "webhook": in metrics
  virtual std::string text(const Event& e, bool whole) const = 0;
  // What can be done at once, on any thread; else it is sent, on the outlet's loop.
  virtual bool immediate() const = 0;
  virtual Status write(const std::string& text, WallTime now) = 0;
  virtual Task<Status> send(Context ctx, std::vector<std::string> texts) = 0;
};

class Outlet {
 public:
  // What waits at most, besides the number of events that the flags say.
  static constexpr size_t kMostBytes = 64u << 20;

  Outlet(Loop& loop, BatchOptions batch, TruncateOptions truncate,
         std::unique_ptr<Delivery> delivery);
  ~Outlet();

  // Whether the request may go on: false only when blocking-strict could not deliver.
  Task<bool> take(Context ctx, const Event* event);
  // Delivers what waits until ctx ends, and then, for a few seconds, the rest. Spawn it once.
  Task<void> run(Context ctx);

 private:
  struct Waiter;
  struct Item {
    std::string text;
    std::shared_ptr<Waiter> waiter;  // of a blocking delivery; else null
  };
  struct Shared;

  bool push(Item item);
  std::vector<Item> take_batch();
  Task<void> throttle(Context ctx);
  Task<void> deliver(Context ctx, std::vector<Item> items);
  // Starts to send what waits, as far as it makes whole batches. `sending` is the senders' time.
  Task<void> drain(Context ctx, Context sending, TaskGroup* under_way);
  void failed(std::string_view plugin, const Status& why, size_t events);

  Loop& loop_;
  const BatchOptions batch_;
  const TruncateOptions truncate_;
  const bool batched_, strict_;
  std::unique_ptr<Delivery> delivery_;
  std::shared_ptr<Shared> shared_;
  Semaphore senders_;
  double tokens_;
  TimePoint filled_;
  std::mutex told_mutex_;
  Recurring told_;
};

}  // namespace keles::audit
