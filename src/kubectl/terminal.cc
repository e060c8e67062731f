#include "kubectl/terminal.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <semaphore>
#include <thread>
#include <utility>

namespace keles::kubectl {
namespace {

// What a signal handler must reach.
std::atomic<int> raw_fd{-1};
termios saved_mode;

// Async-signal-safe.
void restore() {
  int fd = raw_fd.exchange(-1);
  if (fd >= 0) ::tcsetattr(fd, TCSANOW, &saved_mode);
}

void restore_and_die(int number) {
  restore();
  ::signal(number, SIG_DFL);
  ::raise(number);
}

sigset_t window_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGWINCH);
  return set;
}

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

WindowSize window_size() {
  winsize w{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0) return {};
  return {w.ws_col, w.ws_row};
}

RawTerminal::RawTerminal(int fd) {
  if (!is_terminal(fd) || ::tcgetattr(fd, &saved_mode) != 0) return;
  static bool once = [] {
    ::atexit(restore);
    return true;
  }();
  (void)once;
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGSEGV, SIGABRT, SIGBUS, SIGFPE}) {
    ::signal(number, restore_and_die);
  }
  termios raw = saved_mode;
  ::cfmakeraw(&raw);
  raw_fd = fd;
  ::tcsetattr(fd, TCSANOW, &raw);
}

RawTerminal::~RawTerminal() { restore(); }

struct StdinReader::Shared {
  std::function<void(std::string)> on_piece;
  std::counting_semaphore<> room{1};
};

StdinReader::StdinReader(Loop& loop, std::function<void(std::string)> on_piece)
    : shared_(std::make_shared<Shared>()) {
  shared_->on_piece = std::move(on_piece);
  std::thread([shared = shared_, &loop] {
    std::string buffer(32 << 10, '\0');
    for (;;) {
      shared->room.acquire();
      ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) {
        shared->room.release();
        continue;
      }
      std::string piece = n > 0 ? buffer.substr(0, static_cast<size_t>(n)) : "";
      bool end = piece.empty();
      loop.post([shared, piece] { shared->on_piece(piece); });
      if (end) return;
    }
  }).detach();
}

void StdinReader::taken() { shared_->room.release(); }

void block_window_signals() {
  sigset_t set = window_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);  // threads made later inherit it
}

void on_resize(Loop& loop, std::function<void()> fn) {
  sigset_t set = window_signals();
  std::thread([&loop, fn = std::move(fn), set] {
    int number = 0;
    while (::sigwait(&set, &number) == 0) loop.post(fn);
  }).detach();
}

}  // namespace keles::kubectl
