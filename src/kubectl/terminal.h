// Standard input and the terminal, for exec, attach and run.
#pragma once

#include <termios.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/loop.h"

namespace keles::kubectl {

bool is_terminal(int fd);

struct WindowSize {
  uint16_t width = 0, height = 0;
};
// Of standard output's terminal; zero when it has none.
WindowSize window_size();

// Raw mode while it lives. The mode before comes back however the process ends: by the destructor,
// by exit, or by a signal that ends it (SIGKILL excepted).
class RawTerminal {
 public:
  explicit RawTerminal(int fd);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
};

// Reads standard input on a thread of its own and hands pieces to the loop, one at a time: the next
// is read when `taken()` was called. An empty piece is its end. The thread ends with the process.
class StdinReader {
 public:
  StdinReader(Loop& loop, std::function<void(std::string)> on_piece);
  void taken();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

// Before any thread is made: window changes go to on_resize() alone.
void block_window_signals();
// Calls `fn` on the loop when the window's size changes. The thread ends with the process.
void on_resize(Loop& loop, std::function<void()> fn);

}  // namespace keles::kubectl
