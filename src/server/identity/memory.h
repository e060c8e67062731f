// Answers of others by their question, each until its time. Bounded in bytes of questions and in
// entries: when there is no room the oldest go. Any thread.
#pragma once

#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/loop.h"

namespace keles::identity {

template <class Answer>
class Memory {
 public:
  explicit Memory(size_t entries = 8192, size_t bytes = 16u << 20)
      : max_entries_(entries), max_bytes_(bytes) {}

  // `now` and `until` of one clock: nanoseconds.
  std::optional<Answer> find(const std::string& question, int64_t now) const {
    std::lock_guard lock(mutex_);
    auto it = by_question_.find(question);
    if (it == by_question_.end() || it->second->until <= now) return std::nullopt;
    return it->second->answer;
  }
  void keep(std::string question, Answer answer, int64_t until) {
    std::lock_guard lock(mutex_);
    if (auto it = by_question_.find(question); it != by_question_.end()) erase(it->second);
    if (question.size() > max_bytes_ / 16) return;
    bytes_ += question.size();
    entries_.push_back({std::move(question), std::move(answer), until});
    by_question_.emplace(entries_.back().question, std::prev(entries_.end()));
    while (entries_.size() > max_entries_ || bytes_ > max_bytes_) erase(entries_.begin());
  }

 private:
  struct Entry {
    std::string question;
    Answer answer;
    int64_t until;
  };
  using At = typename std::list<Entry>::iterator;
  void erase(At at) {
    bytes_ -= at->question.size();
    by_question_.erase(at->question);
    entries_.erase(at);
  }
  size_t max_entries_, max_bytes_, bytes_ = 0;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the oldest in front
  std::unordered_map<std::string_view, At> by_question_;
};

}  // namespace keles::identity
