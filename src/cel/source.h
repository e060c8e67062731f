// An expression's text, and faults in it as Kubernetes shows them:
//
//   ERROR: <input>:1:6: undeclared reference to 'x' (in container '')
//    | self.x
//    | .....^
//
// Positions count code points, as upstream's do. A Source is constant once made; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace keles::cel {

struct Location {
  int line = -1;    // from 1; -1: none
  int column = -1;  // from 0
  auto operator<=>(const Location&) const = default;
};

class Source {
 public:
  explicit Source(std::string_view text);
  const std::u32string& runes() const { return runes_; }
  Location location(int32_t offset) const;
  // The text of [begin, end), in UTF-8.
  std::string slice(size_t begin, size_t end) const;
  // The line without its end; "" when there is no such line.
  std::string line(int number) const;
  bool has_line(int number) const;

 private:
  std::u32string runes_;  // what is no UTF-8 is U+FFFD
  std::vector<int32_t> line_starts_;
};

struct Issue {
  Location at;
  std::string message;
};

// Faults of one expression, at most 100 of which are kept.
class Issues {
 public:
  void add(Location at, std::string message);
  bool empty() const { return issues_.empty(); }
  const std::vector<Issue>& all() const { return issues_; }
  // All of them, by position.
  std::string to_string(const Source& source) const;

 private:
  std::vector<Issue> issues_;
  size_t count_ = 0;
};

// UTF-8 of one code point, appended.
void append_rune(std::string& out, char32_t rune);
// The code point at `at`, which moves behind it; U+FFFD (one byte) for what is no UTF-8.
char32_t next_rune(std::string_view text, size_t& at);
size_t count_runes(std::string_view text);
bool valid_utf8(std::string_view text);
bool valid_rune(char32_t rune);

}  // namespace keles::cel
