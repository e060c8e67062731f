// std::source_location for clang 14, whose library has the header but whose compiler lacks the
// builtin. Force-included where libFuzzer targets are built, and nowhere else.
#pragma once

#include <version>
#ifndef __cpp_lib_source_location
#include <cstdint>

namespace std {
struct source_location {
  static constexpr source_location current(const char* file = __builtin_FILE(),
                                           uint_least32_t line = __builtin_LINE()) {
    source_location s;
    s.file_ = file;
    s.line_ = line;
    return s;
  }
  constexpr const char* file_name() const { return file_; }
  constexpr uint_least32_t line() const { return line_; }
  constexpr uint_least32_t column() const { return 0; }
  constexpr const char* function_name() const { return ""; }

 private:
  const char* file_ = "";
  uint_least32_t line_ = 0;
};
}  // namespace std
#endif
