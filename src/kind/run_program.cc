#include "kind/run_program.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace keles::kind {

Result<ProgramResult> run_program(const std::vector<std::string>& argv) {
  constexpr size_t kMaxOutput = 64u << 10;
  std::vector<char*> args;
  for (const std::string& a : argv) args.push_back(const_cast<char*>(a.c_str()));
  args.push_back(nullptr);
  int output[2];
  if (pipe2(output, O_CLOEXEC) < 0)
    return Status::internal(std::string("pipe: ") + std::strerror(errno));
  pid_t pid = fork();
  if (pid < 0) {
    Status s = Status::internal(std::string("fork: ") + std::strerror(errno));
    close(output[0]);
    close(output[1]);
    return s;
  }
  if (pid == 0) {
    dup2(output[1], 1);
    dup2(output[1], 2);
    execvp(args[0], args.data());
    _exit(127);
  }
  close(output[1]);
  ProgramResult out;
  char buffer[4096];
  for (ssize_t n; (n = read(output[0], buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR);)
    if (n > 0 && out.output.size() < kMaxOutput) out.output.append(buffer, static_cast<size_t>(n));
  close(output[0]);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  out.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return out;
}

}  // namespace keles::kind
