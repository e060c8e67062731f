#include "keles/runtime.h"

#include <signal.h>
#include <unistd.h>

#include <boost/asio/signal_set.hpp>
#include <cstdio>

#include "base/asio_loop.h"
#include "base/log.h"

namespace keles {
namespace {

Task<void> run_body(std::function<Task<Status>(Context)> body, Context ctx, RealLoop* loop,
                    Status* out) {
  *out = co_await body(ctx);
  loop->stop();
}

void await_signal(boost::asio::signal_set& signals, Context ctx, int count) {
  signals.async_wait([&signals, ctx, count](const boost::system::error_code& e, int number) {
    if (e) return;
    if (count > 0) _exit(128 + number);
    log::info("Stopping", {{"signal", number}});
    ctx.cancel(Status::cancelled("the program was told to stop"));
    await_signal(signals, ctx, count + 1);
  });
}

}  // namespace

Status run_program(std::function<Task<Status>(Context)> body) {
  ::signal(SIGPIPE, SIG_IGN);
  auto loop = make_real_loop();
  Context ctx = Context::root(*loop).child();
  boost::asio::signal_set signals(asio_context(*loop), SIGTERM, SIGINT);
  await_signal(signals, ctx, 0);
  Status status;
  spawn(*loop, run_body(std::move(body), ctx, loop.get(), &status));
  loop->run();
  return status.is(Reason::kCancelled) ? Status() : status;
}

int run_command(Flags* flags, const std::vector<std::string>& args,
                const std::function<Status(const std::vector<std::string>&)>& body) {
  Result<std::vector<std::string>> rest = flags->parse(args);
  if (flags->help_wanted()) {
    std::fputs(flags->help_text().c_str(), stdout);
    return 0;
  }
  Status s = rest.ok() ? body(*rest) : rest.status();
  if (s.ok()) return 0;
  std::fflush(stdout);  // what was found stands before what it means, in one pipe too
  std::fprintf(stderr, "error: %s\n", s.message().c_str());
  return 1;
}

Status no_arguments(const std::vector<std::string>& rest) {
  if (rest.empty()) return Status();
  return Status::bad_request("unknown command: " + rest.front());
}

}  // namespace keles
