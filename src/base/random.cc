#include "base/random.h"

namespace keles {

Random::Random(uint64_t seed) {
  for (auto& s : s_) {  // splitmix64 spreads a small seed over the whole state
    seed += 0x9e3779b97f4a7c15ULL;
    uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    s = z ^ (z >> 31);
  }
}

uint64_t Random::next() {
  auto rotl = [](uint64_t x, int k) { return (x << k) | (x >> (64 - k)); };
  uint64_t result = rotl(s_[1] * 5, 7) * 9;
  uint64_t t = s_[1] << 17;
  s_[2] ^= s_[0];
  s_[3] ^= s_[1];
  s_[1] ^= s_[2];
  s_[0] ^= s_[3];
  s_[2] ^= t;
  s_[3] = rotl(s_[3], 45);
  return result;
}

uint64_t Random::below(uint64_t bound) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
}

double Random::unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

std::string Random::uuid() {
  uint64_t a = next(), b = next();
  a = (a & ~0xf000ULL) | 0x4000ULL;
  b = (b & 0x3fffffffffffffffULL) | 0x8000000000000000ULL;
  std::string out = "00000000-0000-0000-0000-000000000000";
  for (size_t at = out.size(); at-- > 0;) {
    if (out[at] == '-') continue;
    out[at] = "0123456789abcdef"[b & 15];
    b = b >> 4 | a << 60;  // the last digit of `a` follows the first of `b`
    a >>= 4;
  }
  return out;
}

std::string Random::suffix(int n) {
  static constexpr char kAlphabet[] = "bcdfghjklmnpqrstvwxz2456789";
  std::string s;
  for (int i = 0; i < n; ++i) s += kAlphabet[below(sizeof kAlphabet - 1)];
  return s;
}

}  // namespace keles
