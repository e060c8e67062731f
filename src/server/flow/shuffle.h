// Shuffle sharding: which queues a flow may use. Each flow is dealt a hand of `hand` of `deck`
// queues from its hash, so that a heavy flow crowds only those who were dealt the very same hand.
// Upstream's arithmetic (k8s.io/apiserver/pkg/util/shufflesharding). Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keles::flow {

inline constexpr int kMaxHand = 15;      // the largest hand that 60 bits can deal
inline constexpr int kMaxHashBits = 60;  // of the hash that are used
inline constexpr int kMaxDeck = 1 << 26;

// Whether a deck of that size can be dealt from in hands of that size.
bool may_deal(int deck, int hand);

struct Hand {
  std::array<int, kMaxHand> cards;
  int size = 0;
};
// Distinct numbers below `deck`; may_deal(deck, hand) holds.
Hand deal(int deck, int hand, uint64_t hash);

// Of a flow: its schema's name and what distinguishes it within.
uint64_t flow_hash(std::string_view schema, std::string_view distinguisher);

}  // namespace keles::flow
