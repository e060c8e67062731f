// schedule_bench [NODES] [PODS]: pods created and bound per second by a running `keles server` on
// hollow nodes (Node objects without an agent), over TLS and HTTP/2.
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/sync.h"
#include "bench/bench_server.h"
#include "bench/hollow.h"

namespace keles::bench {
namespace {

struct Run {
  BenchServer* server;
  RealLoop* loop;
  int nodes, pods;
  long bound = 0;
  bool watching = false;
  std::string error;
};

Task<bool> post(HttpsClient* client, Context ctx, std::string method, std::string path,
                std::string body, std::string* error) {
  net::Headers headers;
  headers.add("Accept", "application/json");
  headers.add("Content-Type", "application/json");
  std::string none;
  auto r = co_await client->raw(ctx, method, path, none, std::move(headers), std::move(body));
  bool ok = r.ok() && r->status < 300;
  if (!ok && error->empty())
    *error = r.ok() ? std::to_string(r->status) + " " + r->body : r.status().to_string();
  co_return ok;
}

Task<void> make(Run* run, HttpsClient* client, Context ctx, std::string path, int* next, int n,
                bool nodes) {
  while (*next < n) {
    int i = (*next)++;
    std::string body = nodes ? hollow_node(i) : small_pod(i);
    (void)co_await post(client, ctx, "POST", path, body, &run->error);
    if (!nodes) continue;
    std::string status = path + "/hollow-" + std::to_string(i) + "/status";
    std::string again = hollow_node(i);
    (void)co_await post(client, ctx, "PUT", status, again, &run->error);
  }
}

Task<void> make_all(Run* run, std::vector<std::unique_ptr<HttpsClient>>* clients, Context ctx,
                    std::string path, int n, bool nodes) {
  TaskGroup group(*run->loop);
  int next = 0;
  for (auto& c : *clients) {
    for (int k = 0; k < 8; ++k) group.spawn(make(run, c.get(), ctx, path, &next, n, nodes));
  }
  co_await group.join();
}

// A pod comes into this selection in the moment that it is bound.
Task<void> count_bound(HttpsClient* client, Context ctx, Run* run) {
  net::Headers headers;
  headers.add("Accept", "application/json");
  std::string none;
  auto stream =
      co_await client->raw_stream(ctx, "GET", "/api/v1/namespaces/default/pods",
                                  "watch=true&fieldSelector=spec.nodeName!%3D", headers, none);
  run->watching = true;
  if (!stream.ok() || (*stream)->status() != 200) {
    run->error = "the watch of pods is refused";
    co_return;
  }
  static constexpr std::string_view kAdded = "{\"type\":\"ADDED\"";
  std::string rest;
  for (;;) {
    auto piece = co_await (*stream)->read(ctx);
    if (!piece.ok() || piece->empty()) break;
    rest += *piece;
    size_t from = 0;
    for (size_t end; (end = rest.find('\n', from)) != std::string::npos; from = end + 1)
      run->bound += std::string_view(rest).substr(from, end - from).starts_with(kAdded);
    rest.erase(0, from);
  }
}

Task<void> everything(Run* run) {
  Context ctx = Context::root(*run->loop);
  Context watching = ctx.child();
  auto clients = run->server->connect(*run->loop, 16);
  for (int tries = 0; tries < 100; ++tries) {  // pods need their namespace's service account
    std::string none;
    net::Headers headers;
    auto r =
        co_await clients[0]->raw(ctx, "GET", "/api/v1/namespaces/default/serviceaccounts/default",
                                 none, std::move(headers), none);
    if (r.ok() && r->status == 200) break;
    (void)co_await ctx.sleep(20ms);
  }
  double cpu = run->server->cpu_seconds();
  co_await make_all(run, &clients, ctx, "/api/v1/nodes", run->nodes, true);
  // The controllers see to the nodes first: until the server is at rest.
  for (double before = -1, now = run->server->cpu_seconds(); now - before > 0.05;) {
    (void)co_await ctx.sleep(500ms);
    before = std::exchange(now, run->server->cpu_seconds());
  }
  print_figure("  server CPU, a node taken in by all controllers",
               text("%.3f ms each", 1e3 * (run->server->cpu_seconds() - cpu) / run->nodes), "-");
  TaskGroup group(*run->loop);
  group.spawn(count_bound(clients[0].get(), watching, run));
  while (!run->watching) (void)co_await ctx.sleep(1ms);
  cpu = run->server->cpu_seconds();
  TimePoint start = run->loop->now();
  co_await make_all(run, &clients, ctx, "/api/v1/namespaces/default/pods", run->pods, false);
  double created = 1e-9 * static_cast<double>((run->loop->now() - start).count());
  TimePoint end = run->loop->now() + 60s;
  while (run->bound < run->pods && run->loop->now() < end) (void)co_await ctx.sleep(1ms);
  double seconds = 1e-9 * static_cast<double>((run->loop->now() - start).count());
  cpu = run->server->cpu_seconds() - cpu;
  std::string name =
      "schedule " + std::to_string(run->pods) + " pods on " + std::to_string(run->nodes) + " nodes";
  print_figure(name,
               text("%.0f/s created, %.0f/s created and bound", run->pods / created,
                    static_cast<double>(run->bound) / seconds),
               ">= 5,000/s");
  print_figure("  server CPU, create to bound", text("%.3f ms each", 1e3 * cpu / run->pods), "-");
  if (run->bound < run->pods) printf("  only %ld were bound\n", run->bound);
  if (!run->error.empty()) printf("  first error: %s\n", run->error.substr(0, 300).c_str());
  print_figure("memory of the control plane (PSS), after",
               text("%.0f MB", run->server->memory_mb()), "<= 150 MB");
  watching.cancel();
  co_await group.join();
}

}  // namespace
}  // namespace keles::bench

int main(int argc, char** argv) {
  using namespace keles::bench;
  int nodes = argc > 1 ? atoi(argv[1]) : 1'000, pods = argc > 2 ? atoi(argv[2]) : 3'000;
  BenchServer server(argv[0], {"--node-monitor-grace-period=1h", "--cluster-cidr=10.0.0.0/8"});
  auto loop = keles::make_real_loop();
  Run r{&server, loop.get(), nodes, pods};
  run(*loop, everything(&r));
}
