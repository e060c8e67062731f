// For benchmarks over the wire: a `keles server` of one's own in a temporary directory, clients to
// it with a connection each, and what its process used.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/task.h"
#include "base/temporary_directory.h"
#include "client/https_client.h"
#include "client/kubeconfig.h"

namespace keles::bench {

class BenchServer {
 public:
  // `program` is the benchmark's own argv[0]: keles is ../keles beside it, or what $KELES_BIN names
  // (to compare two builds). With $KELES_CALLGRIND, a folder that exists, it runs under callgrind.
  // Ends the process with a message when the server does not come up.
  BenchServer(const char* program, std::vector<std::string> flags);
  ~BenchServer();
  BenchServer(const BenchServer&) = delete;

  const ClientConfig& config() const { return config_; }
  double start_seconds() const { return start_seconds_; }
  std::string data_directory() const { return directory_.path() + "/data"; }
  // Killed, and started again on what it left.
  void restart();
  double cpu_seconds() const;  // user and system, all threads
  double switches() const;     // of its threads that live now, from /proc
  double memory_mb() const;    // proportional set size
  double resident_mb() const;  // shared libraries counted whole
  // Under callgrind: counts from here on; how many instructions in user space it was, with the
  // profile left in $KELES_CALLGRIND/NAME.
  bool counts() const { return !profiles_.empty(); }
  void begin_count();
  double end_count(const std::string& name);
  std::vector<std::unique_ptr<HttpsClient>> connect(Loop& loop, int connections) const;

 private:
  void launch();
  std::vector<std::string> args_;  // the command
  TemporaryDirectory directory_ = *TemporaryDirectory::make("keles-bench");
  std::string profiles_;
  int dumps_ = 0;
  pid_t pid_ = 0;
  ClientConfig config_;
  double start_seconds_ = 0;
};

double now_seconds();  // of a clock that is never set

// Runs `t` on the loop to its end.
void run(RealLoop& loop, Task<void> t);

// "name   1234/s   0.05 ms CPU   target ...".
void print_figure(const std::string& name, const std::string& value, const std::string& target);
std::string text(const char* format, double a, double b = 0);

}  // namespace keles::bench
