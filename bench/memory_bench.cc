// memory_bench [maps|nodes [NODES PODS]]: what a control plane holds: 60,000 ConfigMaps made, read
// in both forms and deleted; then, in a server of their own, 5,000 nodes with 35,000 bound pods,
// and the CPU that the nodes' heartbeats cost.
#include <stdio.h>
#include <stdlib.h>

#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "bench/hollow.h"
#include "bench/wire_load.h"

namespace keles::bench {
namespace {

void rest(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

void print_memory(const BenchServer& server, const std::string& name, const char* goal) {
  print_figure(
      name, text("%.0f MB resident, %.0f MB PSS", server.resident_mb(), server.memory_mb()), goal);
}

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";

void maps(const char* program) {
  constexpr long kCount = 60'000;
  BenchServer server(program, {});
  WireLoad load(server, 16);
  print_memory(server, "fresh, at once", "-");
  rest(15);
  print_memory(server, "  and 15 s later", "12 MB");
  auto name = [](long i) { return "cm-" + std::to_string(i); };
  run_all(&load, kCount, [&](long i) {
    return request("POST", kMaps,
                   "{\"metadata\":{\"name\":\"" + name(i) + "\"},\"data\":{\"key\":\"" +
                       std::string(600, 'x') + "\"}}");
  });
  print_memory(server, "60,000 ConfigMaps made", "-");
  for (const char* accept : {"application/json", "application/vnd.kubernetes.protobuf"}) {
    run_all(&load, kCount, [&](long i) {
      WireRequest r = request("GET", std::string(kMaps) + "/" + name(i));
      r.accept = accept;
      return r;
    });
  }
  print_memory(server, "  read in both forms", "-");
  run_all(&load, kCount,
          [&](long i) { return request("DELETE", std::string(kMaps) + "/" + name(i)); });
  print_memory(server, "  deleted", "-");
  rest(15);
  print_memory(server, "  and 15 s later", "60 MB");
  rest(75);
  print_memory(server, "  and 90 s later", "60 MB");
}

void make_nodes(WireLoad* load, long n) {
  auto name = [](long i) { return "hollow-" + std::to_string(i); };
  run_all(load, n, [&](long i) { return request("POST", "/api/v1/nodes", hollow_node(i)); });
  run_all(load, n, [&](long i) {
    return request("PUT", "/api/v1/nodes/" + name(i) + "/status", hollow_node(i));
  });
  run_all(load, n, [&](long i) {
    return request("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
                   "{\"metadata\":{\"name\":\"" + name(i) + "\"},\"spec\":{\"holderIdentity\":\"" +
                       name(i) + "\",\"leaseDurationSeconds\":40}}");
  });
}

// Each node renews its Lease every ten seconds, evenly.
void heartbeats(const BenchServer& server, WireLoad* load, long nodes, double seconds) {
  double cpu = server.cpu_seconds(), start = now_seconds();
  long sent = 0;
  for (double t; (t = now_seconds() - start) < seconds; rest(0.01)) {
    long due = static_cast<long>(t * static_cast<double>(nodes) / 10) - sent, first = sent;
    run_all(load, due, [&](long i) {
      WireRequest r =
          request("PATCH",
                  "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/hollow-" +
                      std::to_string((first + i) % nodes),
                  "{\"spec\":{\"renewTime\":\"2030-01-01T00:00:00." +
                      std::to_string(100'000 + first + i) + "Z\"}}");
      r.content_type = "application/merge-patch+json";
      return r;
    });
    sent += due;
  }
  print_figure("  CPU, a heartbeat of each node in 10 s",
               text("%.1f %% of a core (%.3f ms each)",
                    100 * (server.cpu_seconds() - cpu) / (now_seconds() - start),
                    1e3 * (server.cpu_seconds() - cpu) / static_cast<double>(sent)),
               "8 %");
}

void nodes(const char* program, long count, long pods) {
  BenchServer server(program, {"--node-monitor-grace-period=1h", "--cluster-cidr=10.0.0.0/8"});
  WireLoad load(server, 16), watch(server, 1);
  rest(1);
  make_nodes(&load, count);
  // The controllers see to the nodes first: until the server is at rest.
  for (double before = -1, now = server.cpu_seconds(); now - before > 0.05;) {
    rest(0.5);
    before = std::exchange(now, server.cpu_seconds());
  }
  print_memory(server, std::to_string(count) + " nodes", "-");
  watch.start(0, request("GET",
                         "/api/v1/namespaces/default/pods?watch=true&fieldSelector=spec.nodeName!"
                         "%3D"));
  double cpu = server.cpu_seconds(), start = now_seconds();
  long made = 0;
  run_all(
      &load, pods,
      [](long i) { return request("POST", "/api/v1/namespaces/default/pods", small_pod(i)); },
      [&] {
        // A watcher that does not read falls behind what the server remembers.
        if (++made % 16 == 0) (void)watch.lines(0);
      });
  while (watch.lines(10) < pods && now_seconds() < start + 180) {
  }
  print_figure(
      std::to_string(pods) + " pods made and bound",
      text("%.0f/s, %.3f ms server CPU each", static_cast<double>(pods) / (now_seconds() - start),
           1e3 * (server.cpu_seconds() - cpu) / static_cast<double>(pods)),
      "5,000/s");
  print_memory(server, "  at once", "-");
  rest(12);
  print_memory(server, "  and 12 s later", "250 MB");
  heartbeats(server, &load, count, 10);
  print_memory(server, "  after the heartbeats", "250 MB");
}

}  // namespace
}  // namespace keles::bench

int main(int argc, char** argv) {
  std::string_view what = argc > 1 ? argv[1] : "";
  if (what != "nodes") keles::bench::maps(argv[0]);
  long count = argc > 3 ? atol(argv[2]) : 5'000, pods = argc > 3 ? atol(argv[3]) : 35'000;
  if (what != "maps") keles::bench::nodes(argv[0], count, pods);
}
