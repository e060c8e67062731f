// A regular expression as Go has them (RE2), compiled when it is first asked. For the patterns of
// schemas and of the description. Any thread.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

namespace keles {

class Pattern {
 public:
  // `text` must outlive it.
  constexpr explicit Pattern(std::string_view text) : text_(text) {}
  ~Pattern();
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  std::string_view text() const { return text_; }
  // Whether it occurs in `s`. False for every text when it is no regular expression.
  bool matches(std::string_view s) const;
  // What is wrong with a regular expression, in Go's words ("error parsing regexp: missing closing
  // ]: `[a`"), or "".
  static std::string error_of(std::string_view text);

 private:
  std::string_view text_;
  mutable std::atomic<const void*> compiled_ = nullptr;
};

}  // namespace keles
