// api_bench: the API server over TLS and HTTP/2, 16 connections: durable creates, gets, patches,
// lists and watches, with the server's own CPU, beside the design's targets. The load generator is
// this process's one thread.
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/sync.h"
#include "bench/bench_server.h"

namespace keles::bench {
namespace {

constexpr int kConnections = 16;
constexpr int kInFlight = 8;  // requests at once on each connection

struct Load {
  BenchServer* server;
  RealLoop* loop;
  std::vector<std::unique_ptr<HttpsClient>> clients;
  long done = 0;
  long failed = 0;
  bool stop = false;
  std::string first_error;
};

std::string path_of(const std::string& ns, long i) {
  return "/api/v1/namespaces/" + ns + "/configmaps/cm-" + std::to_string(i);
}

std::string config_map(long i) {
  return "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"cm-" +
         std::to_string(i) + "\",\"labels\":{\"app\":\"bench\"}},\"data\":{\"key\":\"" +
         std::string(600, 'x') + "\"}}";
}

struct Call {
  std::string method, path, query, body;
  std::string content_type = "application/json", accept = "application/json";
  Call() = default;
};

Task<bool> carry_out(Load* load, HttpsClient* client, Context ctx, Call call, std::string* answer) {
  net::Headers headers;
  headers.add("Accept", call.accept);
  if (!call.body.empty()) headers.add("Content-Type", call.content_type);
  auto r = co_await client->raw(ctx, call.method, call.path, call.query, std::move(headers),
                                std::move(call.body));
  bool ok = r.ok() && r->status < 300;
  if (!ok && load->first_error.empty())
    load->first_error = r.ok() ? std::to_string(r->status) + " " + r->body : r.status().to_string();
  if (ok && answer) *answer = std::move(r->body);
  co_return ok;
}

Task<void> worker(Load* load, HttpsClient* client, Context ctx, std::function<Call()> next) {
  while (!load->stop) {
    Call call = next();
    bool ok = co_await carry_out(load, client, ctx, std::move(call), nullptr);
    ++(ok ? load->done : load->failed);
  }
}

Task<void> stop_later(Load* load, Context ctx, Duration d) {
  (void)co_await ctx.sleep(d);
  load->stop = true;
}

// Every connection busy with `next()` for `d`.
Task<void> measure(Load* load, std::string name, std::string target, Duration d,
                   std::function<Call()> next) {
  Context ctx = Context::root(*load->loop);
  load->done = load->failed = 0;
  load->stop = false;
  TaskGroup group(*load->loop);
  double cpu = load->server->cpu_seconds();
  TimePoint start = load->loop->now();
  for (auto& c : load->clients) {
    for (int i = 0; i < kInFlight; ++i) group.spawn(worker(load, c.get(), ctx, next));
  }
  group.spawn(stop_later(load, ctx, d));
  co_await group.join();
  double seconds = 1e-9 * static_cast<double>((load->loop->now() - start).count());
  cpu = load->server->cpu_seconds() - cpu;
  double n = static_cast<double>(std::max(1L, load->done));
  print_figure(name, text("%.0f/s, %.3f ms server CPU each", n / seconds, 1e3 * cpu / n), target);
  if (load->failed > 0) {
    printf("  %ld failed, first: %s\n", load->failed, load->first_error.substr(0, 300).c_str());
    load->first_error.clear();
  }
}

Task<void> fill(Load* load, HttpsClient* client, Context ctx, std::string ns, long* next, long n) {
  while (*next < n) {
    Call call;
    call.method = "POST";
    call.path = "/api/v1/namespaces/" + ns + "/configmaps";
    call.body = config_map((*next)++);
    bool ok = co_await carry_out(load, client, ctx, std::move(call), nullptr);
    load->failed += !ok;
  }
}

Task<void> make_namespace(Load* load, std::string ns) {
  Context ctx = Context::root(*load->loop);
  Call call;
  call.method = "POST";
  call.path = "/api/v1/namespaces";
  call.body = "{\"metadata\":{\"name\":\"" + ns + "\"}}";
  bool ok = co_await carry_out(load, load->clients[0].get(), ctx, std::move(call), nullptr);
  if (!ok) printf("namespace %s: %s\n", ns.c_str(), load->first_error.c_str());
}

Task<void> measure_list(Load* load, std::string ns, std::string accept, std::string name,
                        std::string target) {
  Context ctx = Context::root(*load->loop);
  std::vector<double> took;
  size_t bytes = 0;
  double cpu = load->server->cpu_seconds();
  for (int i = 0; i < 40; ++i) {
    Call call;
    call.method = "GET";
    call.path = "/api/v1/namespaces/" + ns + "/configmaps";
    call.accept = accept;
    std::string answer;
    TimePoint start = load->loop->now();
    bool ok = co_await carry_out(load, load->clients[0].get(), ctx, std::move(call), &answer);
    if (!ok) break;
    took.push_back(1e-6 * static_cast<double>((load->loop->now() - start).count()));
    bytes = answer.size();
  }
  if (took.empty()) {
    printf("%s: %s\n", name.c_str(), load->first_error.c_str());
    co_return;
  }
  cpu = load->server->cpu_seconds() - cpu;
  std::sort(took.begin(), took.end());
  print_figure(name,
               text("%.1f ms, %.2f ms server CPU", took[took.size() / 2],
                    1e3 * cpu / static_cast<double>(took.size())) +
                   text(" (%.1f MB)", static_cast<double>(bytes) / 1e6),
               target);
}

struct Watchers {
  long events = 0;
  int open = 0;
  int running = 0;
};

// Counts the lines of one watch.
Task<void> watcher(HttpsClient* client, Context ctx, std::string path, Watchers* w) {
  ++w->running;
  net::Headers headers;
  headers.add("Accept", "application/json");
  std::string none;
  auto stream = co_await client->raw_stream(ctx, "GET", path, "watch=true", headers, none);
  if (stream.ok() && (*stream)->status() == 200) {
    ++w->open;
    for (;;) {
      auto piece = co_await (*stream)->read(ctx);
      if (!piece.ok() || piece->empty()) break;
      w->events += std::count(piece->begin(), piece->end(), '\n');
    }
    (*stream).reset();
  }
  --w->running;
}

Task<void> measure_watch(Load* load, std::string ns) {
  constexpr int kWatchers = 200;
  Context ctx = Context::root(*load->loop);
  Context watching = ctx.child();
  Watchers w;
  TaskGroup group(*load->loop);
  std::string path = "/api/v1/namespaces/" + ns + "/configmaps";
  for (int i = 0; i < kWatchers; ++i)
    group.spawn(
        watcher(load->clients[static_cast<size_t>(i % kConnections)].get(), watching, path, &w));
  while (w.open < kWatchers && w.running > 0) (void)co_await ctx.sleep(5ms);
  auto writers = load->server->connect(*load->loop, 2);
  TaskGroup writing(*load->loop);
  long next = 0, n = 5'000;
  load->failed = 0;
  double cpu = load->server->cpu_seconds();
  TimePoint start = load->loop->now();
  for (auto& c : writers) {
    for (int i = 0; i < kInFlight; ++i) writing.spawn(fill(load, c.get(), ctx, ns, &next, n));
  }
  co_await writing.join();
  long wanted = (n - load->failed) * kWatchers;
  TimePoint end = load->loop->now() + 30s;
  while (w.events < wanted && load->loop->now() < end) (void)co_await ctx.sleep(1ms);
  double seconds = 1e-9 * static_cast<double>((load->loop->now() - start).count());
  cpu = load->server->cpu_seconds() - cpu;
  double events = static_cast<double>(w.events);
  print_figure("watch, 200 watchers (with the creates)",
               text("%.0f events/s, %.2f us server CPU each", events / seconds, 1e6 * cpu / events),
               ">= 500,000/s, <= 2 us");
  if (w.events < wanted || load->failed > 0)
    printf("  %ld of %ld events, %ld creates failed, %d watches open\n", w.events, wanted,
           load->failed, w.open);
  watching.cancel();
  co_await group.join();
}

Task<void> everything(Load* load, Duration d) {
  load->clients = load->server->connect(*load->loop, kConnections);
  print_figure("exec of the server to /readyz",
               text("%.0f ms", 1e3 * load->server->start_seconds()), "<= 100 ms");
  print_figure("memory of the control plane (PSS), idle",
               text("%.0f MB", load->server->memory_mb()), "<= 40 MB");
  co_await make_namespace(load, "five");
  co_await make_namespace(load, "watched");
  co_await make_namespace(load, "bench");
  Context ctx = Context::root(*load->loop);
  long next = 0;
  co_await fill(load, load->clients[0].get(), ctx, "five", &next, 1);  // the connection is warm

  long counter = 0;
  std::function<Call()> create = [&counter] {
    Call c;
    c.method = "POST";
    c.path = "/api/v1/namespaces/bench/configmaps";
    c.body = config_map(counter++);
    return c;
  };
  co_await measure(load, "create a ConfigMap, durable", ">= 8,000/s, <= 0.06 ms", d, create);
  long there = std::max(1L, counter - kConnections * kInFlight), at = 0;
  std::function<Call()> get = [&at, there] {
    Call c;
    c.method = "GET";
    c.path = path_of("bench", (at++ * 7919) % there);
    return c;
  };
  co_await measure(load, "get", ">= 40,000/s, <= 0.02 ms", d, get);
  std::function<Call()> get_protobuf = [&get] {
    Call c = get();
    c.accept = "application/vnd.kubernetes.protobuf";
    return c;
  };
  co_await measure(load, "get, protobuf", ">= 40,000/s, <= 0.02 ms", d, get_protobuf);
  std::function<Call()> patch = [&at, there] {
    Call c;
    c.method = "PATCH";
    c.path = path_of("bench", (at++ * 7919) % there);
    c.content_type = "application/strategic-merge-patch+json";
    c.body = "{\"data\":{\"more\":\"" + std::to_string(at) + "\"}}";
    return c;
  };
  co_await measure(load, "patch (strategic merge)", ">= 8,000/s, <= 0.1 ms", d, patch);

  TaskGroup group(*load->loop);
  for (auto& c : load->clients) group.spawn(fill(load, c.get(), ctx, "five", &next, 5'000));
  co_await group.join();
  co_await measure_list(load, "five", "application/json", "list 5,000 ConfigMaps, JSON", "<= 4 ms");
  co_await measure_list(load, "five", "application/vnd.kubernetes.protobuf",
                        "list 5,000 ConfigMaps, protobuf", "<= 3 ms");
  co_await measure_watch(load, "watched");
  print_figure("memory of the control plane (PSS), after",
               text("%.0f MB", load->server->memory_mb()), "<= 150 MB");
}

}  // namespace
}  // namespace keles::bench

int main(int argc, char** argv) {
  using namespace keles;
  using namespace keles::bench;
  int seconds = argc > 1 ? atoi(argv[1]) : 5;
  BenchServer server(argv[0], {});
  auto loop = make_real_loop();
  Load load;
  load.server = &server;
  load.loop = loop.get();
  run(*loop, everything(&load, std::chrono::seconds(std::max(1, seconds))));
  load.clients.clear();
}
