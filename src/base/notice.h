// Notice: something changed, and those who asked are told, each on its own loop. What changed they
// look up themselves: several tells may arrive as one.
#pragma once

#include <functional>
#include <memory>

#include "base/loop.h"

namespace keles {

// Thread-safe.
class Notice {
 public:
  Notice();
  ~Notice();
  Notice(const Notice&) = delete;

  // Calls `fn` on `loop` after each tell(), as long as the Subscription lives, which ends on that
  // loop. It may outlive the Notice.
  class Subscription;
  [[nodiscard]] std::unique_ptr<Subscription> subscribe(Loop& loop, std::function<void()> fn);
  void tell();

 private:
  struct Told;
  struct State;
  std::shared_ptr<Told> told_;
};

class Notice::Subscription {
 public:
  ~Subscription();
  Subscription(const Subscription&) = delete;

 private:
  friend class Notice;
  Subscription(std::shared_ptr<Told> told, std::shared_ptr<State> state);
  std::shared_ptr<Told> told_;
  std::shared_ptr<State> state_;
};

}  // namespace keles
