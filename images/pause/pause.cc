// The process that holds a pod's namespaces: waits for a signal to end, and reaps the zombies that
// a shared process namespace leaves to it.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "-v") == 0) {
    puts("pause of keles");
    return 0;
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGCHLD);
  // Blocked signals reach process 1 even without a handler.
  sigprocmask(SIG_BLOCK, &set, nullptr);
  while (1) {
    int number = sigwaitinfo(&set, nullptr);
    if (number == SIGINT || number == SIGTERM) return 0;
    while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
  }
}
