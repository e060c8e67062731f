#include "base/buggify.h"

#include <cstdlib>

namespace keles {
namespace {

struct State {
  uint64_t seed = 0;
  std::map<std::string, Buggify::Count> counts;
};

State& state() {
  static State s;
  return s;
}

// One point in three is live in a run: which ones, the seed and the name say, not the order in
// which they are reached.
bool live(uint64_t seed, const std::string& point) {
  uint64_t h = seed * 0x9e3779b97f4a7c15ull;
  for (char c : point) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return Random(h).chance(1.0 / 3);
}

}  // namespace

namespace buggify_detail {

bool fires(Loop& loop, const char* point, double probability) {
  State& s = state();
  if (!live(s.seed, point)) return false;
  Buggify::Count& count = s.counts[point];
  ++count.asked;
  if (!loop.random().chance(probability)) return false;
  ++count.fired;
  return true;
}

}  // namespace buggify_detail

Buggify::Buggify(uint64_t seed) {
  if (buggify_detail::armed.exchange(true)) std::abort();
  state().seed = seed;
}

Buggify::~Buggify() { disarm(); }

void Buggify::disarm() { buggify_detail::armed = false; }

const std::map<std::string, Buggify::Count>& Buggify::counts() { return state().counts; }

}  // namespace keles
