// Regular expressions, RE2's, which Go's are too. Constant once made; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "cel/val.h"

namespace keles::cel {

class Pattern {
 public:
  // The error's message is Go's: error parsing regexp: missing closing ): `(`.
  static Result<std::shared_ptr<const Pattern>> compile(std::string_view pattern);
  ~Pattern();
  Pattern(const Pattern&) = delete;

  bool matches(std::string_view text) const;
  // The first match; "" when there is none. A view into `text`.
  std::string_view find(std::string_view text) const;
  // At most `limit` of them (less than 0: all), as a list of strings.
  Val find_all(Run& run, std::string_view text, int64_t limit) const;

 private:
  struct Impl;
  explicit Pattern(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace keles::cel
