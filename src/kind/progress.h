// Steps as kind shows them: " • Preparing nodes 📦 ..." then " ✓ Preparing nodes 📦"; on a terminal
// the second takes the first one's line. Standard error; silent when quiet. Not thread-safe.
#pragma once

#include <string>

namespace keles::kind {

class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress() { end(false); }
  void start(const std::string& step);  // ends the step before in success
  void end(bool success);
  void say(const std::string& line);  // a line of its own, between steps

 private:
  bool quiet_, terminal_;
  std::string step_;
};

}  // namespace keles::kind
