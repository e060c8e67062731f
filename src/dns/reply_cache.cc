#include "dns/reply_cache.h"

#include <algorithm>

#include "dns/message.h"

namespace keles::dns {
namespace {

constexpr size_t kOverhead = 200;  // of an entry, beside its texts
constexpr uint8_t kTruncated = 0x02;

size_t cost(const std::string& question, const std::string& reply) {
  return question.size() + reply.size() + kOverhead;
}

uint32_t u32(const std::string& m, size_t at) {
  uint32_t out = 0;
  for (size_t i = 0; i < 4; ++i) out = out << 8 | static_cast<uint8_t>(m[at + i]);
  return out;
}

}  // namespace

void ReplyCache::drop(Order::iterator entry) {
  bytes_ -= cost(entry->question, entry->reply);
  by_question_.erase(entry->question);
  order_.erase(entry);
}

std::optional<std::string> ReplyCache::find(std::string_view question, TimePoint now) {
  if (question.size() < 2) return std::nullopt;
  auto it = by_question_.find(question.substr(2));
  if (it == by_question_.end()) return std::nullopt;
  if (now >= it->second->until) {
    drop(it->second);
    return std::nullopt;
  }
  order_.splice(order_.begin(), order_, it->second);
  std::string out = std::string(question.substr(0, 2)) + it->second->reply;
  const auto aged = static_cast<uint32_t>((now - it->second->since) / 1s);
  auto ttls = ttl_offsets(out);
  if (!ttls.ok()) return std::nullopt;
  for (size_t at : *ttls) {
    const uint32_t ttl = u32(out, at);
    const uint32_t left = ttl - std::min(ttl, aged);
    for (size_t i = 0; i < 4; ++i) out[at + i] = static_cast<char>(left >> (24 - 8 * i));
  }
  return out;
}

void ReplyCache::clear() {
  by_question_.clear();
  order_.clear();
  bytes_ = 0;
}

void ReplyCache::put(std::string_view question, std::string reply, TimePoint now,
                     Duration longest) {
  auto ttls = ttl_offsets(reply);
  if (question.size() < 2 || !ttls.ok() || ttls->empty()) return;
  const int rcode = static_cast<uint8_t>(reply[3]) & 15;
  if ((rcode != kNoError && rcode != kNxDomain) || (reply[2] & kTruncated) != 0) return;
  Duration left = longest;
  for (size_t at : *ttls) left = std::min<Duration>(left, std::chrono::seconds(u32(reply, at)));
  if (left <= Duration::zero()) return;
  Entry e{std::string(question.substr(2)), reply.substr(2), now, now + left};
  if (cost(e.question, e.reply) > budget_) return;
  auto old = by_question_.find(e.question);
  if (old != by_question_.end()) drop(old->second);
  bytes_ += cost(e.question, e.reply);
  order_.push_front(std::move(e));
  by_question_.emplace(order_.front().question, order_.begin());
  while (bytes_ > budget_) drop(std::prev(order_.end()));
}

}  // namespace keles::dns
