// A slow disk for one process: loaded before the C library, it makes every sync take longer.
#include <dlfcn.h>
#include <time.h>

namespace {

void wait() {
  const timespec t = {0, 40'000'000};
  nanosleep(&t, nullptr);
}

int pass_on(const char* name, int fd) {
  wait();
  auto real = reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, name));
  return real(fd);
}

}  // namespace

extern "C" int fsync(int fd) { return pass_on("fsync", fd); }
extern "C" int fdatasync(int fd) { return pass_on("fdatasync", fd); }
