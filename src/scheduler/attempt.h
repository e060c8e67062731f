// What the scheduler keeps of one attempt, for the sources of Scheduler alone.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/sync.h"
#include "scheduler/scheduler.h"

namespace keles::scheduler {

inline double seconds_since(TimePoint then, TimePoint now) {
  return static_cast<double>((now - then).count()) / 1e9;
}

// One pod on its way to its node.
struct Scheduler::Attempt {
  Attempt(Named* n, CyclePtr c, TimePoint s) : by(n), cycle(std::move(c)), started(s) {}
  Named* by;
  CyclePtr cycle;
  TimePoint started;
  std::string node;
  std::vector<std::pair<Plugin*, Duration>> waits;  // Permit
  Verdict refused;                                  // Permit, or a binding given up
  Plugin* refused_by = nullptr;
  keles::Event woken;
  std::optional<Context> context;  // of pre_bind()
  bool in_slot = true;             // holds one of bindings_
  const PodInfo& pod() const { return *cycle->pod; }
};

}  // namespace keles::scheduler
