// How fast an autoscaler's count of replicas may follow what its metrics ask for (autoscaling/v2
// HorizontalPodAutoscalerBehavior, KEP-853): the bounds, stabilization windows, policies, and what
// was recommended and done meanwhile. Pure: the time is given. A History belongs to one loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/autoscaling_v2.h"
#include "base/loop.h"

namespace keles::controllers::hpa {

struct History {
  struct Recommendation {
    int64_t replicas;
    TimePoint at;
  };
  struct Change {
    int64_t replicas;  // by how many
    TimePoint at;
  };
  std::vector<Recommendation> recommendations;
  std::vector<Change> up, down;
};

struct Bounds {
  int64_t current = 0, min = 1, max = 1;
};

// What is done, and what the conditions say of it.
struct Pace {
  int64_t replicas = 0;
  std::string able_reason, able_message;  // of AbleToScale, which is True
  bool limited = false;                   // ScalingLimited
  std::string limited_reason, limited_message;
};

// Records `wanted` and tells what may be done of it now. `behavior` null: by upstream's old rules
// (the greatest recommendation of `down_window`, at most twice as many or four).
Pace paced(const api::autoscaling_v2::HorizontalPodAutoscalerBehavior& behavior,
           const Bounds& bounds, int64_t wanted, Duration down_window, TimePoint now,
           History* history);

// Remembers a rescale, for the policies of `behavior`; null: nobody will ask.
void note_change(const api::autoscaling_v2::HorizontalPodAutoscalerBehavior& behavior, int64_t from,
                 int64_t to, TimePoint now, History* history);

}  // namespace keles::controllers::hpa
