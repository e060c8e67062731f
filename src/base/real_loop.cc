#include <signal.h>
#include <sys/random.h>
#include <time.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>

#include "base/asio_loop.h"
#include "base/loop.h"
#include "base/timers.h"

namespace keles {
namespace {

namespace asio = boost::asio;

class AsioLoop final : public RealLoop {
 public:
  AsioLoop() : io_(1), alarm_(io_) {}
  // Callbacks that never ran go with the loop; what they held may still call it.
  ~AsioLoop() override {
    closing_ = true;
    Timers never_run = std::exchange(timers_, Timers());
  }

  TimePoint now() const override {
    return {
        std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())
            .count()};
  }
  WallTime wall_now() const override {
    return {
        std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())
            .count()};
  }
  // Begun anew each time from the system's source: what was drawn before, even the generator's
  // whole state, tells nothing of uids, names and query ids to come.
  Random& random() override {
    random_ = Random(system_entropy());
    return random_;
  }
  void post(std::function<void()> fn) override { asio::post(io_, std::move(fn)); }

  TimerId schedule(TimePoint when, std::function<void()> fn) override {
    if (closing_) return 0;
    TimerId id = timers_.add(when, std::move(fn));
    if (!alarm_at_ || when < *alarm_at_) arm();
    return id;
  }
  void cancel(TimerId id) override {
    if (!closing_) timers_.cancel(id);
  }
  bool in_loop_thread() const override { return thread_ == std::this_thread::get_id(); }

  void run() override {
    thread_ = std::this_thread::get_id();
    {
      auto work = asio::make_work_guard(io_);
      io_.run();
    }
    io_.restart();  // so that it may run again
  }
  void stop() override { io_.stop(); }

  asio::io_context io_;

 private:
  void arm() {
    auto next = timers_.next();
    if (!next) return;
    alarm_at_ = next;
    alarm_.expires_at(std::chrono::steady_clock::time_point(
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(Duration(next->ns))));
    alarm_.async_wait([this](const boost::system::error_code& e) {
      if (!e) fire();
    });
  }
  void fire() {
    // Only those due now and made before now: a timer that re-arms itself at once cannot starve the
    // loop.
    alarm_at_.reset();
    const TimePoint t = now();
    const uint64_t made = timers_.made();
    while (auto fn = timers_.take(t, made)) fn();
    arm();
  }

  asio::steady_timer alarm_;
  // When it goes off. A timer that is cancelled leaves it be: most are, and to set the alarm is a
  // system call; one that goes off too early finds nothing and is set anew.
  std::optional<TimePoint> alarm_at_;
  // getrandom(2), a few words at a time; what has been used is wiped.
  uint64_t system_entropy() {
    if (words_left_ == 0) {
      static_assert(sizeof words_ <= 256);  // such requests are answered whole
      ssize_t got;
      do {
        got = ::getrandom(words_.data(), sizeof words_, 0);
      } while (got < 0 && errno == EINTR);
      if (got != static_cast<ssize_t>(sizeof words_)) std::abort();  // there would be no secrets
      words_left_ = words_.size();
    }
    return std::exchange(words_[--words_left_], 0);
  }

  std::array<uint64_t, 32> words_ = {};
  size_t words_left_ = 0;
  Random random_{0};
  std::thread::id thread_;
  bool closing_ = false;
  Timers timers_;
};

}  // namespace

std::unique_ptr<RealLoop> make_real_loop() {
  // Who runs a real loop writes to sockets and pipes whose readers may go: an error, not an end.
  static const bool kIgnored = ::signal(SIGPIPE, SIG_IGN) != SIG_ERR;
  (void)kIgnored;
  return std::make_unique<AsioLoop>();
}

boost::asio::io_context& asio_context(Loop& loop) { return dynamic_cast<AsioLoop&>(loop).io_; }

void post_to_pool(std::function<void()> fn) {
  static asio::thread_pool pool(4);
  asio::post(pool, std::move(fn));
}

}  // namespace keles
