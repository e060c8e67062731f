#include "server/flow/allocation.h"

#include <algorithm>
#include <limits>
#include <string>

namespace keles::flow {
namespace {

constexpr double kLeastTarget = 0.001, kEpsilon = 0.0000001;

// Where a share begins to grow with the fraction (its lower bound is passed) or ceases to.
struct Turn {
  double fraction = 0;
  double growth = 0;  // change of the sum's slope from there on
};

double seats_at(const Share& s, double target, double fraction) {
  return std::max(s.lower, std::min(s.upper, fraction * target));
}

}  // namespace

Result<Allocation> allocate(int sum, const std::vector<Share>& shares) {
  if (sum < 0) return Status::bad_request("negative sums are not supported");
  double low = 0, high = 0;
  std::vector<double> targets;
  std::vector<Turn> turns;
  for (const Share& s : shares) {
    if (s.lower < 0 || s.target < s.lower || s.upper < s.lower) {
      return Status::bad_request("a target of " + std::to_string(s.target) + " between " +
                                 std::to_string(s.lower) + " and " + std::to_string(s.upper) +
                                 " seats is not possible");
    }
    const double target = std::max(s.target, kLeastTarget);
    targets.push_back(target);
    low += s.lower;
    high += s.upper;
    turns.push_back({s.lower / target, target});
    turns.push_back({s.upper / target, -target});
  }
  if (low - sum > kEpsilon || sum - high > kEpsilon) {
    return Status::bad_request("the bounds of the levels, " + std::to_string(low) + " to " +
                               std::to_string(high) + " seats, leave out the sum of " +
                               std::to_string(sum));
  }
  Allocation out;
  out.seats.resize(shares.size());
  if (sum == 0 || shares.empty()) return out;
  // The sum grows with the fraction, piece by piece, each piece a straight line from turn to turn.
  std::sort(turns.begin(), turns.end(),
            [](const Turn& a, const Turn& b) { return a.fraction < b.fraction; });
  double fraction = turns.front().fraction, reached = low, slope = 0;
  for (size_t i = 0; i < turns.size(); ++i) {
    slope += turns[i].growth;
    const double next = i + 1 < turns.size() ? turns[i + 1].fraction : fraction;
    const double least = kLeastTarget * kEpsilon;  // what is left of a slope of nothing
    if (slope > least && reached + (next - fraction) * slope >= sum) {
      fraction += (sum - reached) / slope;
      break;
    }
    reached += (next - fraction) * std::max(slope, 0.0);
    fraction = next;
  }
  out.fraction = fraction;
  for (size_t i = 0; i < shares.size(); ++i) {
    out.seats[i] = seats_at(shares[i], targets[i], fraction);
  }
  return out;
}

}  // namespace keles::flow
