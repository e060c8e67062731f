// store_crash_writer DIRECTORY ROUND: writes to an embedded store until it is killed, and says on
// standard output what was acknowledged: "OPERATION NAME REVISION DELETED-NEXT", one a line.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store.h"
#include "store/test_objects.h"

namespace keles {
namespace {

using namespace store_test;

void say(char operation, const std::string& name, int64_t revision, bool deleted_next) {
  char line[128];
  int n = snprintf(line, sizeof line, "%c %s %lld %d\n", operation, name.c_str(),
                   static_cast<long long>(revision), deleted_next);
  if (::write(1, line, static_cast<size_t>(n)) != n) _exit(3);
}

Task<void> writer(Store* store, Context ctx, std::string prefix) {
  for (int i = 0;; ++i) {
    std::string name = prefix + "-" + std::to_string(i);
    bool goes = i % 3 == 0;
    auto made = co_await store->write(ctx, create("ns", name, std::string(200, 'x')));
    if (!made.ok()) _exit(4);
    say('c', name, (*made)->revision(), false);
    auto changed = co_await store->write(ctx, update("ns", name, "2", (*made)->revision()));
    if (!changed.ok()) _exit(5);
    say('u', name, (*changed)->revision(), goes);
    if (!goes) continue;
    auto gone = co_await store->write(ctx, remove("ns", name, (*changed)->revision()));
    if (!gone.ok()) _exit(6);
    say('d', name, (*gone)->revision(), false);
  }
}

}  // namespace
}  // namespace keles

int main(int argc, char** argv) {
  using namespace keles;
  if (argc != 3) return 2;
  auto opened = open_embedded_store({argv[1]});
  if (!opened.ok()) {
    fprintf(stderr, "%s\n", opened.status().to_string().c_str());
    return 1;
  }
  say('s', "started", 0, false);
  auto loop = make_real_loop();
  Context ctx = Context::root(*loop);
  for (int i = 0; i < 8; ++i)
    spawn(*loop, writer(opened->get(), ctx, std::string("r") + argv[2] + "-w" + std::to_string(i)));
  loop->run();
}
