// store_bench [DIRECTORY]: durable creates per second of the embedded store, by number of
// concurrent writers, with the process's own CPU; and what watchers add. Removes what it made.
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>

#include "base/file.h"
#include "store/store.h"
#include "store/test_objects.h"

namespace keles {
namespace {

using namespace store_test;

double cpu_seconds() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  auto s = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * t.tv_usec; };
  return s(u.ru_utime) + s(u.ru_stime);
}

struct Run {
  Store* store;
  RealLoop* loop;
  int running = 0;
  int left = 0;
  int64_t last_revision = 0;
  size_t delivered = 0;
};

Task<void> writer(Run* run, Context ctx, std::string prefix) {
  for (int i = 0; run->left > 0; ++i) {
    --run->left;
    std::string name = prefix + std::to_string(i);
    auto made = co_await run->store->write(ctx, create("bench", name, std::string(600, 'x')));
    if (!made.ok()) {
      fprintf(stderr, "write failed: %s\n", made.status().to_string().c_str());
      exit(1);
    }
    run->last_revision = std::max(run->last_revision, (*made)->revision());
  }
  if (--run->running == 0) run->loop->stop();
}

Task<void> watcher(Run* run, Context ctx, int* open) {
  auto w = run->store->watch(*run->loop, "/registry/configmaps/", run->store->revision());
  while (w.ok()) {
    auto events = co_await (*w)->next(ctx, 1000);
    if (!events.ok()) break;
    run->delivered += events->size();
  }
  --*open;
}

void measure(Store& store, int writers, int watchers, int writes) {
  static int round = 0;
  ++round;
  auto loop = make_real_loop();
  Context ctx = Context::root(*loop);
  Context watching = ctx.child();
  Run run{&store, loop.get(), writers, writes};
  int open = watchers;
  for (int i = 0; i < watchers; ++i) spawn(*loop, watcher(&run, watching, &open));
  double cpu = cpu_seconds();
  TimePoint start = loop->now();
  for (int i = 0; i < writers; ++i) {
    std::string prefix = std::to_string(round) + "-" + std::to_string(i) + "-";
    spawn(*loop, writer(&run, ctx, prefix));
  }
  loop->run();
  double seconds = 1e-9 * static_cast<double>((loop->now() - start).count());
  cpu = cpu_seconds() - cpu;
  printf("%4d writers %4d watchers  %8.0f durable creates/s  %6.1f us CPU each", writers, watchers,
         writes / seconds, 1e6 * cpu / writes);
  if (watchers > 0) {
    printf("  %9.0f events/s  %5.2f us CPU per event", static_cast<double>(run.delivered) / seconds,
           1e6 * cpu / static_cast<double>(run.delivered));
  }
  printf("\n");
  watching.cancel();
  while (open > 0) {
    loop->post([&loop] { loop->stop(); });
    loop->run();
  }
}

}  // namespace
}  // namespace keles

int main(int argc, char** argv) {
  using namespace keles;
  std::string directory = argc > 1 ? argv[1] : "/tmp/keles-store-bench";
  (void)remove_tree(directory);
  auto store = open_embedded_store({directory});
  if (!store.ok()) {
    fprintf(stderr, "%s\n", store.status().to_string().c_str());
    return 1;
  }
  printf("embedded store in %s (target of the whole API server: 8,000 durable creates/s)\n",
         directory.c_str());
  measure(**store, 1, 0, 3'000);
  measure(**store, 16, 0, 40'000);
  measure(**store, 128, 0, 100'000);
  measure(**store, 16, 200, 5'000);
  store->reset();
  (void)remove_tree(directory);
}
