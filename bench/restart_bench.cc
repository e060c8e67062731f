// restart_bench [NODES] [DEPLOYMENTS] [REPLICAS]: a `keles server` with that many hollow nodes and
// pods of Deployments, all bound, is killed and started again. Prints when it serves, when its
// controllers and scheduler are level (a Deployment scaled by one meanwhile has its pod, and that
// pod its node), and what that took of the processor.
#include <stdio.h>
#include <stdlib.h>

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
  int nodes, deployments, replicas;
  std::string error;
};

const std::string kDeployments = "/apis/apps/v1/namespaces/default/deployments";

Task<std::string> ask(HttpsClient* client, Context ctx, std::string method, std::string path,
                      std::string body, std::string* error) {
  net::Headers headers;
  headers.add("Accept", "application/json");
  headers.add("Content-Type",
              method == "PATCH" ? "application/merge-patch+json" : "application/json");
  std::string none;
  auto r = co_await client->raw(ctx, method, path, none, std::move(headers), std::move(body));
  const bool ok = r.ok() && r->status < 300;
  if (!ok && error->empty())
    *error = r.ok() ? std::to_string(r->status) + " " + r->body : r.status().to_string();
  co_return ok ? std::move(r->body) : std::string();
}

std::string deployment(int i, int replicas) {
  const std::string name = "app-" + std::to_string(i);
  return "{\"metadata\":{\"name\":\"" + name +
         "\"},\"spec\":{\"replicas\":" + std::to_string(replicas) +
         ",\"selector\":{\"matchLabels\":{\"app\":\"" + name +
         "\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"" + name +
         "\"}},\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"i\",\"resources\":{"
         "\"requests\":{\"cpu\":\"50m\",\"memory\":\"32Mi\"}}}]}}}}";
}

Task<void> make(Run* run, HttpsClient* client, Context ctx, int* next, int n, bool nodes) {
  while (*next < n) {
    const int i = (*next)++;
    std::string path = nodes ? "/api/v1/nodes" : kDeployments;
    std::string body = nodes ? hollow_node(i) : deployment(i, run->replicas);
    (void)co_await ask(client, ctx, "POST", path, body, &run->error);
    if (!nodes) continue;
    std::string status = path + "/hollow-" + std::to_string(i) + "/status";
    std::string again = hollow_node(i);
    (void)co_await ask(client, ctx, "PUT", status, again, &run->error);
  }
}

Task<void> make_all(Run* run, Context ctx, int n, bool nodes) {
  auto clients = run->server->connect(*run->loop, 8);
  TaskGroup group(*run->loop);
  int next = 0;
  for (auto& c : clients) group.spawn(make(run, c.get(), ctx, &next, n, nodes));
  co_await group.join();
}

// How many pods there are that the selector picks; a list of one tells of the rest.
Task<long> count(Run* run, HttpsClient* client, Context ctx, std::string selector) {
  net::Headers headers;
  headers.add("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
  std::string path = "/api/v1/namespaces/default/pods", none;
  auto r = co_await client->raw(ctx, "GET", path, selector, std::move(headers), none);
  if (!r.ok() || r->status != 200) {
    if (run->error.empty()) run->error = "pods cannot be counted";
    co_return -1;
  }
  long n = 0;
  for (size_t at = 0; (at = r->body.find("\"uid\":\"", at)) != std::string::npos; ++at) ++n;
  co_return n;
}

// Of those that wait for a node there is none, and of all as many as wanted.
Task<void> until_bound(Run* run, HttpsClient* client, Context ctx, std::string of, long wanted) {
  const std::string bound = of + "fieldSelector=spec.nodeName!%3D";
  const Duration pause = of.empty() ? Duration(2s) : Duration(5ms);
  for (;;) {
    const long there = co_await count(run, client, ctx, bound);
    if (there >= wanted || !run->error.empty()) co_return;
    (void)co_await ctx.sleep(pause);
  }
}

Task<void> everything(Run* run) {
  Context ctx = Context::root(*run->loop).with_timeout(20min);
  co_await make_all(run, ctx, run->nodes, true);
  co_await make_all(run, ctx, run->deployments, false);
  const long pods = static_cast<long>(run->deployments) * run->replicas;
  {
    auto clients = run->server->connect(*run->loop, 1);
    std::string all;
    co_await until_bound(run, clients[0].get(), ctx, all, pods);
  }
  const TimePoint began = run->loop->now();
  run->server->restart();
  const double ready = 1e-9 * static_cast<double>((run->loop->now() - began).count());
  auto clients = run->server->connect(*run->loop, 1);
  std::string scaled = "{\"spec\":{\"replicas\":" + std::to_string(run->replicas + 1) + "}}";
  std::string path = kDeployments + "/app-0", of = "labelSelector=app%3Dapp-0&";
  (void)co_await ask(clients[0].get(), ctx, "PATCH", path, scaled, &run->error);
  co_await until_bound(run, clients[0].get(), ctx, of, run->replicas + 1);
  const double level = 1e-9 * static_cast<double>((run->loop->now() - began).count());
  print_figure("restart with " + std::to_string(pods) + " pods",
               text("serves after %.2f s, level after %.2f s", ready, level), "level in 5 s");
  print_figure("  server CPU until then", text("%.2f s", run->server->cpu_seconds()), "-");
  if (!run->error.empty()) printf("  first error: %s\n", run->error.substr(0, 300).c_str());
}

}  // namespace
}  // namespace keles::bench

int main(int argc, char** argv) {
  using namespace keles::bench;
  const int nodes = argc > 1 ? atoi(argv[1]) : 1'000,
            deployments = argc > 2 ? atoi(argv[2]) : 1'000,
            replicas = argc > 3 ? atoi(argv[3]) : 100;
  BenchServer server(argv[0], {"--node-monitor-grace-period=1h", "--cluster-cidr=10.0.0.0/8"});
  auto loop = keles::make_real_loop();
  Run r{&server, loop.get(), nodes, deployments, replicas};
  run(*loop, everything(&r));
}
