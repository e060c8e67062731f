#include "server/flow/shuffle.h"

#include <cmath>

#include "server/flow/work.h"

namespace keles::flow {

std::string to_text(SeatSeconds s) {
  constexpr auto kScale = static_cast<SeatSeconds>(kSeatScale);
  std::string rest = std::to_string(s % kScale);
  rest.insert(0, 8 - rest.size(), '0');
  return std::to_string(s / kScale) + "." + rest + "ss";
}

bool may_deal(int deck, int hand) {
  if (deck <= 0 || hand <= 0 || hand > deck || deck > kMaxDeck) return false;
  return std::ceil(std::log2(deck) * hand) <= kMaxHashBits && hand <= kMaxHand;
}

Hand deal(int deck, int hand, uint64_t hash) {
  Hand out;
  out.size = hand;
  for (int i = 0; i < hand; ++i) {
    const auto left = static_cast<uint64_t>(deck - i);
    out.cards[static_cast<size_t>(i)] = static_cast<int>(hash % left);
    hash /= left;
  }
  // Each number counts among the cards that are left: those taken before are stepped over.
  std::array<int, kMaxHand> rank = out.cards;
  for (size_t i = 0; i < static_cast<size_t>(hand); ++i) {
    int card = rank[i];
    for (size_t j = i; j > 0; --j) {
      if (card >= rank[j - 1]) ++card;
    }
    out.cards[i] = card;
  }
  return out;
}

// FNV-1a, with its bits mixed (murmur3's finaliser): deals use the low digits.
uint64_t flow_hash(std::string_view schema, std::string_view distinguisher) {
  uint64_t h = 0xcbf29ce484222325;
  auto take = [&h](unsigned char c) { h = (h ^ c) * 0x100000001b3; };
  for (char c : schema) take(static_cast<unsigned char>(c));
  take(0);
  for (char c : distinguisher) take(static_cast<unsigned char>(c));
  h = (h ^ h >> 33) * 0xff51afd7ed558ccd;
  h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53;
  return h ^ h >> 33;
}

}  // namespace keles::flow
