// How many requests read and write, wait and run, over time (apiserver_flowcontrol_read_vs_write_
// current_requests). Under the lock of its owner.
#pragma once

#include <array>

#include "server/flow/flow_control.h"
#include "server/flow/stats.h"

namespace keles::flow {

struct FlowControl::ReadsAndWrites {
  struct Pair {
    Gauge waiting{kReadWriteParts, TimePoint{}}, executing{kReadWriteParts, TimePoint{}};
    bool began = false;
  };
  std::array<Pair, 2> of;  // reads, writes
  double places = 1, seats = 1;

  void set_wholes(int waiting, int executing, TimePoint now) {
    places = waiting;
    seats = executing;
    for (Pair& p : of) {
      if (!p.began) continue;
      p.waiting.set_whole(places, now);
      p.executing.set_whole(seats, now);
    }
  }
  void bring_up(TimePoint now) {
    for (Pair& p : of) {
      if (!p.began) continue;
      p.waiting.add(0, now);
      p.executing.add(0, now);
    }
  }
  void note(bool mutating, int waiting, int executing, TimePoint now) {
    Pair& p = of[mutating ? 1 : 0];
    if (!p.began) {
      p.waiting = Gauge(kReadWriteParts, now);
      p.executing = Gauge(kReadWriteParts, now);
      p.waiting.set_whole(places, now);
      p.executing.set_whole(seats, now);
      p.began = true;
    }
    if (waiting != 0) p.waiting.add(waiting, now);
    if (executing != 0) p.executing.add(executing, now);
  }
};

}  // namespace keles::flow
