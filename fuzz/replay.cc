// Runs a fuzz target without libFuzzer: its seeds, and mutations of them from a fixed seed, so that
// the run is the same every time. With arguments: the files named. KELES_FUZZ_SEED (1) and
// KELES_FUZZ_RUNS (100000) ask for other mutations, and more.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
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

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream in(argv[i], std::ios::binary);
    run({std::istreambuf_iterator<char>(in), {}});
  }
  if (argc > 1) return 0;
  const uint64_t seed = setting("KELES_FUZZ_SEED", 1), runs = setting("KELES_FUZZ_RUNS", 100'000);
  keles::Random random(seed);
  auto seeds = fuzz_seeds();
  for (std::string_view s : seeds) run(std::string(s));
  for (uint64_t i = 0; i < runs; ++i)
    run(mutate(random, std::string(seeds[random.below(seeds.size())])));
  std::printf("%zu seeds, %llu mutations\n", seeds.size(), static_cast<unsigned long long>(runs));
  return 0;
}
