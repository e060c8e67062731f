// Parts of a text: between separators, and without the blanks around it. Nothing is copied.
#pragma once

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>

namespace keles {

// A range of views into the text, which must outlive it; each part is looked for when it is asked
// for.
class Split {
 public:
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::string_view*;
    using reference = const std::string_view&;

    Iterator() = default;
    Iterator(std::string_view rest, char by) : rest_(rest), by_(by) { take(); }
    reference operator*() const { return part_; }
    pointer operator->() const { return &part_; }
    Iterator& operator++() {
      take();
      return *this;
    }
    void operator++(int) { take(); }
    friend bool operator==(const Iterator& a, std::default_sentinel_t) { return a.ended_; }
    friend bool operator==(const Iterator& a, const Iterator& b) {
      return a.ended_ == b.ended_ && (a.ended_ || a.part_.data() == b.part_.data());
    }

   private:
    void take() {
      ended_ = !rest_;
      if (ended_) return;
      const size_t at = rest_->find(by_);
      part_ = rest_->substr(0, at);
      rest_ = at == rest_->npos ? std::nullopt : std::optional(rest_->substr(at + 1));
    }
    std::optional<std::string_view> rest_;  // behind the next separator; none: this is the last
    std::string_view part_;
    char by_ = ',';
    bool ended_ = true;
  };

  Split(std::string_view text, char by, bool none) : text_(text), by_(by), none_(none) {}
  Iterator begin() const { return none_ ? Iterator() : Iterator(text_, by_); }
  Iterator end() const { return {}; }

 private:
  std::string_view text_;
  char by_;
  bool none_;
};

// One part more than there are separators, as Go's strings.Split: "" has one, which is empty.
inline Split split(std::string_view text, char by) { return {text, by, false}; }
// The same of a list in a flag or an annotation: "" has none.
inline Split split_list(std::string_view text, char by = ',') { return {text, by, text.empty()}; }

constexpr std::string_view kBlanks = " \t\n\v\f\r";

constexpr std::string_view trim_left(std::string_view text, std::string_view letters = kBlanks) {
  return text.substr(std::min(text.find_first_not_of(letters), text.size()));
}
constexpr std::string_view trim_right(std::string_view text, std::string_view letters = kBlanks) {
  return text.substr(0, text.find_last_not_of(letters) + 1);
}
constexpr std::string_view trim(std::string_view text, std::string_view letters = kBlanks) {
  return trim_right(trim_left(text, letters), letters);
}

}  // namespace keles
