// Random: a seeded generator (xoshiro256**); never a source of secrets (see net/pki.h for
// those).
#pragma once

#include <cstdint>
#include <string>

namespace keles {

class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t next();
  // In [0, bound); bound > 0.
  uint64_t below(uint64_t bound);
  // In [lo, hi], both included.
  int64_t between(int64_t lo, int64_t hi) {
    return lo + static_cast<int64_t>(below(static_cast<uint64_t>(hi - lo + 1)));
  }
  double unit();  // [0, 1)
  bool chance(double probability) { return unit() < probability; }
  // RFC 4122 version 4, lower case.
  std::string uuid();
  // `n` characters of upstream's safe alphabet (k8s.io/apimachinery/pkg/util/rand).
  std::string suffix(int n);

 private:
  uint64_t s_[4];
};

}  // namespace keles
