// Runs a fuzz target without libFuzzer: its seeds, and mutations of them from a fixed seed, so that
// the run is the same every time. With arguments: the files named.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "base/random.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void run(const std::string& s) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(s.data()), s.size());
}

std::string mutate(keles::Random& r, std::string s) {
  for (uint64_t n = 1 + r.below(4); n > 0; --n) {
    size_t at = s.empty() ? 0 : r.below(s.size());
    switch (r.below(5)) {
      case 0:
        s.insert(at, 1, static_cast<char>(r.below(256)));
        break;
      case 1:
        if (!s.empty()) s.erase(at, 1 + r.below(4));
        break;
      case 2:
        if (!s.empty()) s[at] = static_cast<char>(r.below(256));
        break;
      case 3:
        s.insert(at, s.substr(r.below(s.size() + 1), r.below(24)));
        break;
      default: {
        constexpr std::string_view kMarks = "{}[]()\"':,-!=<>|&*#\n 0123456789.eEKMiny~/$";
        s.insert(at, 1, kMarks[r.below(kMarks.size())]);
      }
    }
  }
  return s;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream in(argv[i], std::ios::binary);
    run({std::istreambuf_iterator<char>(in), {}});
  }
  if (argc > 1) return 0;
  keles::Random random(1);
  auto seeds = fuzz_seeds();
  for (std::string_view s : seeds) run(std::string(s));
  constexpr int kRuns = 100'000;
  for (int i = 0; i < kRuns; ++i)
    run(mutate(random, std::string(seeds[random.below(seeds.size())])));
  std::printf("%zu seeds, %d mutations\n", seeds.size(), kRuns);
  return 0;
}
