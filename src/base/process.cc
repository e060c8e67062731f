#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "base/asio_loop.h"
#include "base/sync.h"

extern char** environ;

namespace keles {
namespace {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

struct Pipe {
  int read = -1, write = -1;
  bool open() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) < 0) return false;
    read = fds[0];
    write = fds[1];
    return true;
  }
  void close() {
    if (read >= 0) ::close(read);
    if (write >= 0) ::close(write);
    read = write = -1;
  }
};

// Forks and executes; the child reports a failed exec through a close-on-exec pipe.
Result<pid_t> launch(const ProcessOptions& o, int in, int out, int err) {
  std::vector<char*> argv, env;
  for (const auto& a : o.argv) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  for (const auto& e : o.env) env.push_back(const_cast<char*>(e.c_str()));
  env.push_back(nullptr);
  char** environment = o.env.empty() ? environ : env.data();
  Pipe report;
  if (!report.open()) return Status::internal(std::string("pipe: ") + strerror(errno));
  pid_t pid = ::fork();
  if (pid < 0) {
    int e = errno;
    report.close();
    return Status::internal(std::string("fork: ") + strerror(e));
  }
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    bool good = true;
    if (in >= 0) good = good && ::dup2(in, 0) >= 0;
    if (out >= 0) good = good && ::dup2(out, 1) >= 0;
    if (err >= 0) good = good && ::dup2(err, 2) >= 0;
    if (good && o.netns_fd >= 0) good = ::setns(o.netns_fd, CLONE_NEWNET) == 0;
    if (good && !o.directory.empty()) good = ::chdir(o.directory.c_str()) == 0;
    if (good) {
      if (o.before_exec) o.before_exec();
      ::execvpe(argv[0], argv.data(), environment);
    }
    int e = errno;
    (void)!::write(report.write, &e, sizeof e);
    _exit(127);
  }
  ::close(report.write);
  int e = 0;
  ssize_t n;
  do {
    n = ::read(report.read, &e, sizeof e);
  } while (n < 0 && errno == EINTR);
  ::close(report.read);
  if (n == sizeof e) {
    ::waitpid(pid, nullptr, 0);
    return Status(e == ENOENT ? Reason::kNotFound : Reason::kInternalError,
                  "exec " + o.argv[0] + ": " + strerror(e));
  }
  return pid;
}

int pidfd_open(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

int exit_code_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

class AsioProcess final : public Process {
 public:
  AsioProcess(Loop& loop, pid_t pid) : state_(std::make_shared<State>(loop, pid)) { watch(state_); }
  pid_t pid() const override { return state_->pid; }
  void signal(int n) override {
    if (!state_->exited.is_set()) ::kill(state_->pid, n);
  }
  Task<Result<int>> wait(Context ctx) override {
    auto s = state_;
    Status w = co_await s->exited.wait(ctx);
    if (!w.ok()) co_return w;
    co_return s->code;
  }

 private:
  struct State {
    State(Loop& loop, pid_t p) : pid(p), fd(asio_context(loop), pidfd_open(p)) {}
    pid_t pid;
    Descriptor fd;
    int code = 0;
    Event exited;
  };
  // A wake-up may be spurious: only waitpid knows.
  static void watch(std::shared_ptr<State> s) {
    int status = 0;
    pid_t r = ::waitpid(s->pid, &status, WNOHANG);
    if (r == 0) {
      State* at = s.get();
      at->fd.async_wait(Descriptor::wait_read,
                        [s = std::move(s)](const boost::system::error_code&) { watch(s); });
      return;
    }
    if (r == s->pid) s->code = exit_code_of(status);
    s->exited.set();
  }
  std::shared_ptr<State> state_;
};

struct Reader : std::enable_shared_from_this<Reader> {
  Reader(Loop& loop, int fd, size_t limit) : descriptor(asio_context(loop), fd), max(limit) {}
  Descriptor descriptor;
  size_t max;
  std::string text;
  char chunk[16384];
  Event done;
  void start() {
    descriptor.async_read_some(
        asio::buffer(chunk),
        [self = shared_from_this()](const boost::system::error_code& e, size_t n) {
          self->text.append(self->chunk,
                            std::min(n, self->max - std::min(self->max, self->text.size())));
          if (e) {
            self->done.set();
          } else {
            self->start();
          }
        });
  }
};

}  // namespace

Result<std::unique_ptr<Process>> Process::start(Loop& loop, ProcessOptions options) {
  int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  int out = -1;
  if (!options.output_file.empty()) {
    out = ::open(options.output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (out < 0) {
      int e = errno;
      ::close(null);
      return Status::internal("open " + options.output_file + ": " + strerror(e));
    }
  }
  auto pid = launch(options, null, out, out);
  ::close(null);
  if (out >= 0) ::close(out);
  if (!pid.ok()) return pid.status();
  return std::unique_ptr<Process>(std::make_unique<AsioProcess>(loop, *pid));
}

Task<Result<ProcessOutput>> run_process(Context ctx, ProcessOptions options) {
  Pipe in, out, err;
  if (!in.open() || !out.open() || !err.open()) {
    in.close();
    out.close();
    err.close();
    co_return Status::internal(std::string("pipe: ") + strerror(errno));
  }
  auto pid = launch(options, in.read, out.write, err.write);
  ::close(in.read);
  ::close(out.write);
  ::close(err.write);
  if (!pid.ok()) {
    ::close(in.write);
    ::close(out.read);
    ::close(err.read);
    co_return pid.status();
  }
  Loop& loop = ctx.loop();
  AsioProcess process(loop, *pid);
  auto reader_out = std::make_shared<Reader>(loop, out.read, options.max_output_bytes);
  auto reader_err = std::make_shared<Reader>(loop, err.read, options.max_output_bytes);
  reader_out->start();
  reader_err->start();
  auto input = std::make_shared<std::string>(std::move(options.stdin_data));
  auto writer = std::make_shared<Descriptor>(asio_context(loop), in.write);
  asio::async_write(*writer, asio::buffer(*input),
                    [writer, input](const boost::system::error_code&, size_t) { writer->close(); });

  Result<int> code = co_await process.wait(ctx);
  if (!code.ok()) {
    process.signal(SIGKILL);
    Context forever = Context::root(loop);
    (void)co_await process.wait(forever);
    boost::system::error_code ignored;
    writer->close(ignored);
    reader_out->descriptor.close(ignored);
    reader_err->descriptor.close(ignored);
    co_return code.status();
  }
  // A grandchild may hold the pipes open: a second is enough for what was written before the exit.
  Context brief = ctx.with_timeout(1s);
  (void)co_await reader_out->done.wait(brief);
  (void)co_await reader_err->done.wait(brief);
  ProcessOutput result{*code, std::move(reader_out->text), std::move(reader_err->text)};
  boost::system::error_code ignored;
  reader_out->descriptor.close(ignored);
  reader_err->descriptor.close(ignored);
  co_return std::move(result);
}

}  // namespace keles
