#include "kind/progress.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace keles::kind {

Progress::Progress(bool quiet)
    : quiet_(quiet), terminal_(isatty(2) && std::getenv("NO_COLOR") == nullptr) {}

void Progress::start(const std::string& step) {
  end(true);
  step_ = step;
  if (quiet_) return;
  std::fprintf(stderr, terminal_ ? " • %s  ..." : " • %s  ...\n", step.c_str());
}

void Progress::end(bool success) {
  if (step_.empty()) return;
  if (!quiet_) {
    if (terminal_)
      std::fprintf(stderr, "\r\033[K \033[%dm%s\033[0m %s\n", success ? 32 : 31,
                   success ? "✓" : "✗", step_.c_str());
    else
      std::fprintf(stderr, " %s %s\n", success ? "✓" : "✗", step_.c_str());
  }
  step_.clear();
}

void Progress::say(const std::string& line) {
  if (!quiet_) std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace keles::kind
