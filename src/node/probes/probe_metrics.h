// /metrics/probes: the results of probes and how long they took, by container; gone with the pod.
// One loop.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>

#include "base/loop.h"

namespace keles::node {

class ProbeMetrics {
 public:
  struct Of {
    std::string type, container, pod, ns, uid;  // "Liveness"
    auto operator<=>(const Of&) const = default;
    bool same_but_uid(const Of& o) const {
      return type == o.type && container == o.container && pod == o.pod && ns == o.ns;
    }
  };
  // One attempt that had an answer. Of failures the time is not told, as upstream.
  void observe(const Of& of, bool success, Duration took);
  void forget(std::string_view uid);
  // Prometheus' text form; `process_start_seconds` with it, as upstream.
  std::string text(double process_start_seconds) const;

 private:
  static constexpr std::array<double, 11> kBounds = {.005, .01, .025, .05, .1, .25,
                                                     .5,   1,   2.5,  5,   10};
  struct Counts {
    uint64_t successful = 0, failed = 0;
    std::array<uint64_t, kBounds.size() + 1> took{};
    double seconds = 0;
    void add(const Counts& other);
  };
  static std::string histogram(const Of& of, const Counts& c);
  std::map<Of, Counts> counts_;
};

}  // namespace keles::node
