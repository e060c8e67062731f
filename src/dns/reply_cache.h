// What other name servers said, for as long as their records allow and at most as long as is said,
// by the very question (whatever of it may change the answer: flags, letter case, EDNS). Within a
// budget in bytes; who was asked for longest ago goes first. One loop's thread.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/loop.h"

namespace keles::dns {

class ReplyCache {
 public:
  static constexpr Duration kLongest = 30s;  // as CoreDNS' `cache 30`, unless told
  explicit ReplyCache(size_t budget_bytes = 2 << 20) : budget_(budget_bytes) {}

  // The reply to this question, under its id and with the time that is left.
  std::optional<std::string> find(std::string_view question, TimePoint now);
  // Kept when it says that the name is or is not there, whole.
  void put(std::string_view question, std::string reply, TimePoint now,
           Duration longest = kLongest);
  void clear();
  size_t entries() const { return by_question_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string question, reply;  // without the id
    TimePoint since{}, until{};
  };
  using Order = std::list<Entry>;
  void drop(Order::iterator entry);

  size_t budget_, bytes_ = 0;
  Order order_;  // the last asked for in front
  std::unordered_map<std::string_view, Order::iterator> by_question_;
};

}  // namespace keles::dns
