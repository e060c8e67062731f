#include "bench/bench_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>

#include "base/file.h"

namespace keles::bench {
double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

namespace {

// One that nobody listens on now.
int free_port() {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  bool ok = bind(fd, reinterpret_cast<sockaddr*>(&a), size) == 0 &&
            getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size) == 0;
  close(fd);
  return ok ? ntohs(a.sin_port) : 16443;
}

[[noreturn]] void give_up(const std::string& why) {
  fprintf(stderr, "bench: %s\n", why.c_str());
  exit(1);
}

Task<void> ask_ready(HttpsClient* client, Context ctx, bool* ready) {
  std::string none;
  auto r = co_await client->raw(ctx, "GET", "/readyz", none, net::Headers(), none);
  *ready = r.ok() && r->status == 200;
}

}  // namespace

BenchServer::BenchServer(const char* program, std::vector<std::string> flags) {
  std::string self = program;
  std::string folder = self.find('/') == std::string::npos ? "." : self.substr(0, self.rfind('/'));
  const char* other = getenv("KELES_BIN");
  std::string keles = other ? other : folder + "/../keles",
              kubeconfig = directory_.path() + "/kubeconfig";
  std::vector<std::string> args = {keles,
                                   "server",
                                   "--data-dir=" + data_directory(),
                                   "--bind-address=127.0.0.1",
                                   "--secure-port=" + std::to_string(free_port()),
                                   "--dns-port=0",
                                   "--write-kubeconfig=" + kubeconfig};
  args.insert(args.end(), flags.begin(), flags.end());
  if (const char* folder_of_profiles = getenv("KELES_CALLGRIND")) {
    profiles_ = folder_of_profiles;
    args.insert(args.begin(), {"/usr/bin/valgrind", "--tool=callgrind", "--instr-atstart=no",
                               "--callgrind-out-file=" + directory_.path() + "/profile"});
  }
  args_ = std::move(args);
  launch();
}

void BenchServer::restart() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  launch();
}

void BenchServer::launch() {
  const std::string kubeconfig = directory_.path() + "/kubeconfig";
  (void)unlink(kubeconfig.c_str());
  const double patience = counts() ? 300 : 20;
  double start = now_seconds();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a benchmark that is killed leaves no server behind
    int log = open((directory_.path() + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, 1);
    dup2(log, 2);
    std::vector<char*> argv;
    for (auto& a : args_) argv.push_back(a.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  auto loop = make_real_loop();
  bool ready = false;
  while (!ready) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    int status = 0;
    if (now_seconds() - start > patience || waitpid(pid_, &status, WNOHANG) == pid_) {
      auto log = read_file(directory_.path() + "/log");
      (void)remove_tree(directory_.path());
      give_up(args_[0] + " server does not come up:\n" + log.value_or(""));
    }
    if (!path_exists(kubeconfig)) continue;
    KubeconfigChoice choice;
    choice.path = kubeconfig;
    auto config = load_client_config(choice);
    if (!config.ok()) continue;
    config_ = *config;
    HttpsClient client(*loop, config_);
    run(*loop, ask_ready(&client, Context::root(*loop).with_timeout(counts() ? 20s : 1s), &ready));
  }
  start_seconds_ = now_seconds() - start;
}

BenchServer::~BenchServer() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

double BenchServer::cpu_seconds() const {
  clockid_t clock{};
  timespec t{};
  if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &t) != 0) return 0;
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

namespace {
double rollup_mb(pid_t pid, std::string_view field) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/smaps_rollup");
  std::string word;
  while (in >> word) {
    double kb = 0;
    if (word == field && in >> kb) return kb / 1024;
  }
  return 0;
}
}  // namespace

double BenchServer::switches() const {
  double sum = 0;
  std::error_code gone;  // a thread that ends meanwhile
  for (const auto& thread :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/task", gone)) {
    std::ifstream in(thread.path() / "status");
    std::string line;
    while (std::getline(in, line)) {
      if (line.find("ctxt_switches:") != line.npos)
        sum += strtod(&line[line.find(':') + 1], nullptr);
    }
  }
  return sum;
}

double BenchServer::memory_mb() const { return rollup_mb(pid_, "Pss:"); }
double BenchServer::resident_mb() const { return rollup_mb(pid_, "Rss:"); }

namespace {
void control(const std::string& what, pid_t pid) {
  const std::string command = "callgrind_control " + what + " " + std::to_string(pid);
  if (system((command + " >/dev/null 2>&1").c_str()) != 0) give_up(command + " failed");
}
}  // namespace

void BenchServer::begin_count() { control("--zero", pid_), control("-i on", pid_); }

double BenchServer::end_count(const std::string& name) {
  control("-i off", pid_), control("--dump", pid_);
  const std::string from = directory_.path() + "/profile." + std::to_string(++dumps_),
                    to = profiles_ + "/" + name;
  std::ifstream in(from);
  std::ofstream out(to);
  std::string line;
  double total = 0;
  while (std::getline(in, line)) {
    if (line.starts_with("totals: ")) total = strtod(line.c_str() + 8, nullptr);
    out << line << "\n";
  }
  return total;
}

std::vector<std::unique_ptr<HttpsClient>> BenchServer::connect(Loop& loop, int connections) const {
  std::vector<std::unique_ptr<HttpsClient>> out;
  for (int i = 0; i < connections; ++i) out.push_back(std::make_unique<HttpsClient>(loop, config_));
  return out;
}

namespace {
Task<void> to_end(Task<void> t, RealLoop* loop) {
  co_await std::move(t);
  loop->stop();
}
}  // namespace

void run(RealLoop& loop, Task<void> t) {
  spawn(loop, to_end(std::move(t), &loop));
  loop.run();
}

void print_figure(const std::string& name, const std::string& value, const std::string& target) {
  printf("%-44s %-38s target %s\n", name.c_str(), value.c_str(), target.c_str());
  fflush(stdout);
}

std::string text(const char* format, double a, double b) {
  char out[128];
  snprintf(out, sizeof out, format, a, b);
  return out;
}

}  // namespace keles::bench
