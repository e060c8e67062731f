// Turns: whose request a loop works on next. Seats (flow/) say how many requests of a priority
// level run at once; on one thread they still run one after the other, and what a level has waiting
// there would be ahead of everybody who comes later. So requests that are ready wait here, by
// level, and the loop works a while (a round) on those whose level has had least of it for its
// weight, then reads its sockets again. A level that asks seldom goes first: it waits for the piece
// of work that is being done, not for all that a flood has brought.
//
// Long work takes turns, too: it stops now and then (Turn::next) and goes on when its level comes
// round again.
//
// Threads: a loop's turns belong to its thread; everything here is called there. Nothing is
// allocated for who waits: it lies in the awaiting coroutine. Who waits when its loop ends is
// forgotten with it.
#pragma once

#include <coroutine>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "base/loop.h"

namespace keles::server {

// The turns of one loop.
class Turns;

// Those of a server, loop by loop.
class LoopTurns {
 public:
  LoopTurns();
  LoopTurns(const LoopTurns&) = delete;
  // Of the loop whose thread this is; they last as long as the server and what it has begun there.
  Turns* of_this_thread();

 private:
  const uint64_t id_;  // no other's in this process
  std::mutex mutex_;
  std::map<std::thread::id, std::shared_ptr<Turns>> all_;
};

// The loop has worked for a request until `now`.
void note_work(Turns* turns, TimePoint now);

// One request's claim to its loop's time. A default one waits for nothing.
class Turn {
 public:
  struct Awaiter {
    Turns* turns = nullptr;  // null: no wait
    Loop* loop = nullptr;
    const void* level = nullptr;
    int weight = 1;
    std::coroutine_handle<> waiter = nullptr;
    Awaiter* after = nullptr;
    bool await_ready() const { return turns == nullptr; }
    void await_suspend(std::coroutine_handle<> h);
    void await_resume() {}
  };

  Turn() = default;
  // `level` is compared and never looked at; levels share the loop by their weights (> 0).
  Turn(Turns* turns, Loop* loop, const void* level, int weight)
      : turns_(turns), loop_(loop), level_(level), weight_(weight) {}

  // Of who has just come, at `now`: waits for its turn, unless the loop had nothing to do before.
  Awaiter begin(TimePoint now) const;
  // Between two pieces of long work: others have theirs first whose turn it is.
  Awaiter next() const;
  // Whether work that began at `since` has taken so long that it ought to stop for next().
  bool over(TimePoint since) const;

 private:
  Turns* turns_ = nullptr;  // null: it waits for nothing
  Loop* loop_ = nullptr;
  const void* level_ = nullptr;
  int weight_ = 1;
};

}  // namespace keles::server
