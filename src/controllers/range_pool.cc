#include "controllers/range_pool.h"

#include <algorithm>
#include <array>

namespace keles::controllers {

namespace {

constexpr int kMostBits = 24;  // of a range's number

bool bit(std::span<const uint8_t> bytes, int i) {
  return (bytes[static_cast<size_t>(i) / 8] >> (7 - i % 8) & 1) != 0;
}

}  // namespace

RangePool::RangePool(const IpPrefix& cluster, int node_bits) : cluster_(cluster.network()) {
  if (node_bits < cluster.length || node_bits > cluster.whole()) return;
  bits_ = static_cast<uint8_t>(node_bits);
  count_ = uint64_t{1} << std::min(node_bits - cluster.length, kMostBits);
}

// Of the range that has the address, which lies within the cluster's: the bits between the two
// lengths. Beyond what is counted: the number of ranges.
uint64_t RangePool::number_of(const IpAddress& a) const {
  uint64_t number = 0;
  for (int i = cluster_.length; i < bits_; ++i) {
    number = number << 1 | static_cast<uint64_t>(bit(a.bytes(), i));
    if (number >= count_) return count_;
  }
  return number;
}

IpPrefix RangePool::range(uint64_t number) const {
  std::array<uint8_t, 16> raw{};
  const auto base = cluster_.base.bytes();
  std::copy(base.begin(), base.end(), raw.begin());
  for (int i = bits_ - 1; i >= cluster_.length && number != 0; --i, number >>= 1) {
    if ((number & 1) != 0)
      raw[static_cast<size_t>(i) / 8] |= static_cast<uint8_t>(1 << (7 - i % 8));
  }
  auto address = IpAddress::from_bytes(std::span<const uint8_t>(raw.data(), base.size()));
  return {address.value_or(cluster_.base), bits_};
}

void RangePool::count(const IpPrefix& used, int by) {
  if (count_ == 0 || used.v6() != cluster_.v6() || !used.overlaps(cluster_)) return;
  uint64_t first = 0, last = count_ - 1;
  if (used.length > cluster_.length) {
    first = number_of(used.network().base);
    const int within = std::max(0, bits_ - used.length);  // bits of the numbers that it spans
    last = std::min(first + (uint64_t{1} << std::min(within, kMostBits)) - 1, count_ - 1);
  }
  if (first >= count_) return;
  if (users_.size() <= last) users_.resize(last + 1);
  for (uint64_t k = first; k <= last; ++k) {
    const bool before = users_[k] != 0;
    users_[k] += static_cast<uint32_t>(by);
    const bool after = users_[k] != 0;
    if (before != after) used_ = after ? used_ + 1 : used_ - 1;
  }
  if (by < 0) lowest_ = std::min(lowest_, first);
}

std::optional<IpPrefix> RangePool::lowest_free() const {
  while (lowest_ < users_.size() && users_[lowest_] != 0) ++lowest_;
  if (lowest_ >= count_) return std::nullopt;
  return range(lowest_);
}

}  // namespace keles::controllers
