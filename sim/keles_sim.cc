// keles_sim --script FILE [--seed N] [--verbose]
// keles_sim --seed N | --seeds A..B [--verbose] [--no-faults] [--nodes N] [--chaos SECONDS]
//           [--workloads A,B,...] [--servers N] [--wires] [--show KEY]
//
// Runs simulated clusters, by chance or by a script (sim/scenario.h). Prints the failing seeds,
// with what they broke and the command that replays them; the exit code is 0 when there are none.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/file.h"
#include "base/log.h"
#include "sim/scenario.h"
#include "sim/world.h"

namespace {

using keles::sim::Outcome;
using keles::sim::World;
using keles::sim::WorldOptions;

int usage() {
  std::fprintf(stderr,
               "usage: keles_sim --script FILE [--seed N] [--verbose]\n"
               "       keles_sim --seed N | --seeds A..B [--verbose] [--no-faults] [--nodes N] "
               "[--chaos SECONDS]\n"
               "         [--workloads A,B,...] [--servers N] [--wires] [--lag MS] [--show KEY]\n");
  return 2;
}

struct Total {
  size_t seeds = 0, events = 0;
  int server_crashes = 0, part_crashes = 0, node_deaths = 0;
};

int play(const std::string& path, uint64_t seed, bool verbose) {
  auto text = keles::read_file(path);
  keles::Status s = text.status();
  if (s.ok()) s = keles::sim::run_scenario(*text, seed, verbose);
  if (s.ok()) return 0;
  std::printf("%s: %s\n", path.c_str(), s.message().c_str());
  return 1;
}

// "deployments,jobs"; false when one is unknown.
bool take_workloads(std::string names, WorldOptions* options) {
  options->workloads.emplace();
  for (size_t at = 0; at <= names.size();) {
    size_t comma = std::min(names.find(',', at), names.size());
    std::string name = names.substr(at, comma - at);
    if (!keles::sim::find_workload(name)) return false;
    options->workloads->push_back(name);
    at = comma + 1;
  }
  return true;
}

bool run_seed(WorldOptions options, Total& total) {
  World world(options);
  Outcome o = world.run();
  ++total.seeds;
  total.events += o.events;
  total.server_crashes += o.server_crashes;
  total.part_crashes += o.part_crashes;
  total.node_deaths += o.node_deaths;
  if (options.verbose || !o.ok()) {
    std::printf(
        "seed %llu: %s, trace %016llx, %zu events, healed after %.0f s;%s%s%s, lag %.1f s;%s\n",
        static_cast<unsigned long long>(options.seed), o.ok() ? "ok" : "FAILED",
        static_cast<unsigned long long>(o.hash), o.events,
        static_cast<double>(o.healed_after.count()) / 1e9,
        o.two_servers ? " two servers" : " one server", o.two_planes ? ", two control planes" : "",
        o.wires ? ", wires" : "", static_cast<double>(o.lag.count()) / 1e9, o.workloads.c_str());
  }
  for (auto& v : o.violations) std::printf("  %s\n", v.c_str());
  if (!o.ok()) {
    std::printf("  replay: keles_sim --seed %llu --verbose\n",
                static_cast<unsigned long long>(options.seed));
  }
  std::fflush(stdout);
  return o.ok();
}

}  // namespace

int main(int argc, char** argv) {
  WorldOptions options;
  uint64_t first = 0, last = 0;
  bool have = false;
  std::string script;
  for (int i = 1; i < argc; ++i) {
    std::string a = argv[i];
    auto value = [&]() -> const char* { return i + 1 < argc ? argv[++i] : nullptr; };
    if (a == "--verbose") {
      options.verbose = true;
    } else if (a == "--no-faults") {
      options.faults = false;
    } else if (a == "--seed") {
      const char* v = value();
      if (!v) return usage();
      first = last = std::strtoull(v, nullptr, 10);
      have = true;
    } else if (a == "--seeds") {
      const char* v = value();
      const char* dots = v ? std::strstr(v, "..") : nullptr;
      if (!dots) return usage();
      first = std::strtoull(v, nullptr, 10);
      last = std::strtoull(dots + 2, nullptr, 10);
      have = true;
    } else if (a == "--show") {
      const char* v = value();
      if (!v) return usage();
      options.show = v;
      options.verbose = true;
    } else if (a == "--workloads") {
      const char* v = value();
      if (!v || !take_workloads(v, &options)) return usage();
    } else if (a == "--servers") {
      const char* v = value();
      if (!v) return usage();
      options.servers = std::atoi(v);
    } else if (a == "--lag") {
      const char* v = value();
      if (!v) return usage();
      options.lag = std::chrono::milliseconds(std::atoi(v));
    } else if (a == "--wires") {
      options.over_wires = 1;
    } else if (a == "--script") {
      const char* v = value();
      if (!v) return usage();
      script = v;
    } else if (a == "--nodes") {
      const char* v = value();
      if (!v) return usage();
      options.nodes = std::atoi(v);
    } else if (a == "--chaos") {
      const char* v = value();
      if (!v) return usage();
      options.chaos = std::chrono::seconds(std::atoi(v));
    } else {
      return usage();
    }
  }
  if (!have && script.empty()) return usage();
  if (!options.verbose) keles::log::set_output(-1);
  if (!script.empty()) return play(script, have ? first : 1, options.verbose);
  auto start = std::chrono::steady_clock::now();
  Total total;
  int failed = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    options.seed = seed;
    failed += !run_seed(options, total);
  }
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf(
      "%zu seeds in %.1f s: %d failed; %zu events, %d server crashes, %d component crashes, "
      "%d node deaths\n",
      total.seeds, took.count(), failed, total.events, total.server_crashes, total.part_crashes,
      total.node_deaths);
  return failed ? 1 : 0;
}
