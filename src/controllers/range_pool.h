// RangePool: which of the equal ranges within a larger one are in use. IPv4 or IPv6.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ip.h"

namespace keles::controllers {

// The ranges of `node_bits` within `cluster`, by number, and how often each is in use. A range that
// is added may be smaller or larger than one of them, or lie elsewhere: all that it overlaps are in
// use then. What adding, removing and asking cost does not grow with the number of ranges.
class RangePool {
 public:
  // More than 2^24 ranges there are not: those beyond are nobody's.
  RangePool(const IpPrefix& cluster, int node_bits);

  void add(const IpPrefix& used) { count(used, 1); }
  void remove(const IpPrefix& used) { count(used, -1); }
  // The lowest that nothing overlaps; none when all are in use, or no range of that size fits.
  std::optional<IpPrefix> lowest_free() const;

  const IpPrefix& cluster() const { return cluster_; }
  uint64_t size() const { return count_; }
  uint64_t used() const { return used_; }

 private:
  void count(const IpPrefix& used, int by);
  uint64_t number_of(const IpAddress& a) const;
  IpPrefix range(uint64_t number) const;

  IpPrefix cluster_;
  uint8_t bits_ = 0;             // of a range
  uint64_t count_ = 0;           // ranges
  uint64_t used_ = 0;            // those with a user
  std::vector<uint32_t> users_;  // by number, up to the highest that was ever in use
  mutable uint64_t lowest_ = 0;  // none below is free
};

}  // namespace keles::controllers
