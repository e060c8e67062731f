// What a kubelet says at one moment of the resources that its node and pods use
// (/metrics/resource, KEP-1916), and what two such moments tell: cores over the window between
// them. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/loop.h"
#include "base/status.h"

namespace keles::usage {

// Of a container, or of a whole node.
struct Point {
  bool has_cpu = false, has_memory = false;
  double cpu_seconds = 0;  // since it started
  int64_t at_ms = 0;       // when that was read, since 1970
  double memory_bytes = 0;
  double started = 0;  // seconds since 1970; 0: not told
};

using PodName = std::pair<std::string, std::string>;  // namespace, name

struct Sample {
  Point node;
  std::map<PodName, std::map<std::string, Point>> pods;  // its containers by name
};

inline constexpr size_t kMaxSampleText = 16u << 20;
inline constexpr size_t kMaxContainers = 20'000;  // of one node

// From Prometheus' text form; metrics and labels of others are passed over. `now_ms` is the time of
// what brings none. An error: it is not that form, or there is too much of it.
Result<Sample> read_sample(std::string_view text, int64_t now_ms);

// What was used between two points.
struct Used {
  double cores = 0, memory_bytes = 0;
  int64_t until_ms = 0;
  Duration window{0};
};

// The last two different moments of one thing. Kubelets stamp each container and the node by
// itself, and may read one less often than they are asked: what they say again is no second moment.
struct Series {
  std::optional<Point> before;
  Point now;

  explicit Series(const Point& first) : now(first) {}
  void add(const Point& next);
};

// What one node has told: of what its last sample has, and of nothing else.
struct History {
  std::optional<Series> node;
  std::map<PodName, std::map<std::string, Series>> pods;

  void add(const Sample& next);
};

// Nothing when `before` and `now` tell nothing: no time between them, or it has been restarted. A
// container that started a short while ago needs no `before`: then it had used nothing.
std::optional<Used> used(const Point* before, const Point& now);
std::optional<Used> used(const Series& of);

}  // namespace keles::usage
