// The process that holds a pod's namespaces: waits for a signal to end, and reaps the zombies that
// a shared process namespace leaves to it. In a pod of its own it also makes and removes the
// directories of local volumes, so that no other image is needed for them.
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace {

int failed(const char* what, const char* path) {
  fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
  return 1;
}

// A directory that every user of a pod may write in.
int make_directory(const char* path) {
  if (mkdir(path, 0777) != 0 && errno != EEXIST) return failed("mkdir", path);
  return chmod(path, 0777) == 0 ? 0 : failed("chmod", path);
}

int remove_one(const char* path, const struct stat*, int, struct FTW*) {
  return remove(path) == 0 || errno == ENOENT ? 0 : failed("remove", path);
}

// With all below it; links are removed, not followed. Absent is fine.
int remove_directory(const char* path) {
  struct stat st;
  if (lstat(path, &st) != 0) return errno == ENOENT ? 0 : failed("stat", path);
  return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "-v") == 0) {
    puts("pause of keles");
    return 0;
  }
  if (argc > 2 && strcmp(argv[1], "make-directory") == 0) return make_directory(argv[2]);
  if (argc > 2 && strcmp(argv[1], "remove-directory") == 0) return remove_directory(argv[2]);
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
