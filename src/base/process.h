// Running other programs (CNI plugins, containerd, tools) without blocking the loop.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles {

struct ProcessOptions {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH
  std::vector<std::string> env;   // "K=V"; empty: inherit
  std::string stdin_data;
  std::string directory;    // "" = unchanged
  int netns_fd = -1;        // enter this network namespace first
  std::string output_file;  // for start(): stdout and stderr go there (append); "" = inherit
  std::function<void()> before_exec;  // in the child, async-signal-safe calls only
  size_t max_output_bytes = 4u << 20;
};

struct ProcessOutput {
  int exit_code = 0;  // 128 + signal when killed
  std::string out, err;
};

// Runs to the end and collects the output; killed (SIGKILL) when ctx ends first.
Task<Result<ProcessOutput>> run_process(Context ctx, ProcessOptions options);

// A child that goes on. Destroying the handle leaves it running (it is reaped by wait()).
class Process {
 public:
  static Result<std::unique_ptr<Process>> start(Loop& loop, ProcessOptions options);
  virtual ~Process() = default;
  virtual pid_t pid() const = 0;
  virtual void signal(int signal_number) = 0;
  // The exit code (128 + signal when killed), or ctx's status.
  virtual Task<Result<int>> wait(Context ctx) = 0;
};

}  // namespace keles
