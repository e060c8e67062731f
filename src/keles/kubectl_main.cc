#include <unistd.h>

#include <cstdio>

#include "keles/commands.h"
#include "kubectl/command.h"

namespace keles {

int kubectl_main(const std::vector<std::string>& args) {
  int code = kubectl::run(args);
  // Threads that wait for input or signals may still be there: end without taking anything apart.
  std::fflush(stdout);
  ::_exit(code);
}

}  // namespace keles
