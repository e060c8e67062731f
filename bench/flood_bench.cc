// flood_bench [SECONDS]: priority and fairness on a real server. Four clients get one ConfigMap
// each every 20 ms, on a priority level of their own: first alone, then while 200 clients of
// another level have 1,000 ConfigMaps searched, one list after the other on each connection. Their
// latency in both, beside each other: the goal is a p99 of at most twice the quiet one; and what
// the server's processors did. The flood's clients stand for other machines: they run at the lowest
// priority, so that what they compute is not taken from the server, nor from who measures.
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "bench/wire_load.h"

namespace keles::bench {
namespace {

constexpr int kFlood = 200, kThreads = 4, kVictims = 4, kMaps = 1000;
constexpr auto kPause = std::chrono::milliseconds(20);
constexpr const char* kMapsPath = "/api/v1/namespaces/default/configmaps";

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

WireRequest post(std::string path, std::string body) {
  WireRequest r;
  r.method = "POST";
  r.path = std::move(path);
  r.body = std::move(body);
  return r;
}

// One after the other, as the administrator.
void make(const BenchServer& server, const std::vector<WireRequest>& requests) {
  WireLoad admin(server, 1);
  size_t next = 0;
  admin.run([&](int) { return next < requests.size() ? requests[next++] : WireRequest(); },
            [](int, const WireAnswer& a) {
              if (a.status < 300) return;
              fprintf(stderr, "status %d: %s\n", a.status, a.text.c_str());
              exit(1);
            });
}

// Both may read ConfigMaps; the victims have a level of 30 shares of their own.
std::vector<WireRequest> set_up() {
  constexpr const char* kFlow = "/apis/flowcontrol.apiserver.k8s.io/v1/";
  std::vector<WireRequest> out;
  out.push_back(
      post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
           R"({"metadata":{"name":"bench"},"roleRef":{"apiGroup":)"
           R"("rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},"subjects":[)"
           R"({"kind":"User","name":"victim","apiGroup":"rbac.authorization.k8s.io"},)"
           R"({"kind":"User","name":"flood","apiGroup":"rbac.authorization.k8s.io"}]})"));
  out.push_back(
      post(std::string(kFlow) + "prioritylevelconfigurations",
           R"({"metadata":{"name":"victims"},"spec":{"type":"Limited","limited":{)"
           R"("nominalConcurrencyShares":30,"limitResponse":{"type":"Queue","queuing":{}}}}})"));
  out.push_back(
      post(std::string(kFlow) + "flowschemas",
           R"({"metadata":{"name":"victims"},"spec":{"matchingPrecedence":500,)"
           R"("priorityLevelConfiguration":{"name":"victims"},"distinguisherMethod":{"type":)"
           R"("ByUser"},"rules":[{"subjects":[{"kind":"User","user":{"name":"victim"}}],)"
           R"("resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],)"
           R"("namespaces":["*"],"clusterScope":true}]}]}})"));
  for (int i = 0; i < kMaps; ++i) {
    out.push_back(post(kMapsPath, R"({"metadata":{"name":"m)" + std::to_string(i) +
                                      R"("},"data":{"k":")" + std::string(600, 'x') + "\"}}"));
  }
  return out;
}

struct Latencies {
  std::vector<double> ms;
  int failed = 0;
  double quantile(double q) {
    if (ms.empty()) return 0;
    std::sort(ms.begin(), ms.end());
    return ms[std::min(ms.size() - 1, static_cast<size_t>(q * static_cast<double>(ms.size())))];
  }
};

Latencies measure(WireLoad* victims, double seconds) {
  Latencies out;
  const auto begin = Clock::now();
  std::vector<Clock::time_point> sent(kVictims);
  while (seconds_since(begin) < seconds) {
    std::vector<bool> asked(kVictims, false);
    victims->run(
        [&](int c) {
          WireRequest r;
          if (asked[static_cast<size_t>(c)]) return r;
          asked[static_cast<size_t>(c)] = true;
          sent[static_cast<size_t>(c)] = Clock::now();
          r.method = "GET";
          r.path = std::string(kMapsPath) + "/m" + std::to_string(c);
          r.authorization = "Bearer victim-token";
          return r;
        },
        [&](int c, const WireAnswer& a) {
          out.ms.push_back(seconds_since(sent[static_cast<size_t>(c)]) * 1e3);
          if (a.status != 200) ++out.failed;
        });
    std::this_thread::sleep_for(kPause);
  }
  return out;
}

struct Flood {
  std::atomic<bool> over{false};
  std::atomic<int> ended{0};
  std::atomic<long> served{0}, refused{0};
  // On threads of its own.
  void run(const BenchServer& server) {
    (void)setpriority(PRIO_PROCESS, 0, 19);  // of this thread
    WireLoad load(server, kFlood / kThreads, false);
    load.run(
        [&](int) {
          WireRequest r;
          if (over) return r;
          r.method = "GET";
          r.path = std::string(kMapsPath) + "?labelSelector=none%3Dhas-it";
          r.authorization = "Bearer flood-token";
          return r;
        },
        [&](int, const WireAnswer& a) { ++(a.status == 200 ? served : refused); });
    ++ended;
  }
};

void print(const char* name, Latencies* l, double cpu, double seconds) {
  printf("%-8s p50 %7.2f ms   p99 %7.2f ms   %5zu requests, %d failed   server %.2f cores\n", name,
         l->quantile(0.5), l->quantile(0.99), l->ms.size(), l->failed, cpu / seconds);
}

}  // namespace
}  // namespace keles::bench

int main(int argc, char** argv) {
  using namespace keles::bench;
  const double seconds = argc > 1 ? atof(argv[1]) : 10;
  std::optional<keles::TemporaryDirectory> directory =
      *keles::TemporaryDirectory::make("keles-flood");
  const std::string tokens = directory->path() + "/tokens.csv";
  if (!keles::write_file(tokens, "flood-token,flood,f\nvictim-token,victim,v\n", 0600).ok())
    return 1;
  auto server = std::make_unique<BenchServer>(
      argv[0], std::vector<std::string>{"--token-auth-file=" + tokens});
  make(*server, set_up());
  WireLoad victims(*server, kVictims, false);
  (void)measure(&victims, 1);
  double cpu = server->cpu_seconds();
  Latencies quiet = measure(&victims, seconds);
  print("quiet", &quiet, server->cpu_seconds() - cpu, seconds);
  Flood flood;
  std::vector<std::thread> crowd;
  for (int i = 0; i < kThreads; ++i) crowd.emplace_back([&] { flood.run(*server); });
  (void)measure(&victims, 3);  // until they all are there
  cpu = server->cpu_seconds();
  const long before = flood.served;
  Latencies loud = measure(&victims, seconds);
  print("flooded", &loud, server->cpu_seconds() - cpu, seconds);
  printf("p99 %.1f times the quiet one (goal 2); the flood: %.0f lists/s, %ld refused\n",
         loud.quantile(0.99) / std::max(quiet.quantile(0.99), 0.001),
         static_cast<double>(flood.served - before) / seconds, flood.refused.load());
  fflush(stdout);
  flood.over = true;
  for (int i = 0; i < 50 && flood.ended < kThreads; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  for (std::thread& t : crowd) {
    if (flood.ended == kThreads) t.join();
  }
  server.reset();
  directory.reset();
  _exit(0);  // lists that are still on their way are nobody's
}
