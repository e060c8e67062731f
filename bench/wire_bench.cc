// wire_bench [SCALE [PART...]]: the shape that the design's table names: 16 TLS connections,
// HTTP/2, requests one after the other on each, controllers on, by a load generator of another make
// than the project's client (wire_load.h). What counts is the server's own CPU, store and
// controllers included. Fixed numbers of requests, so that two builds do the same work. PART is one
// of create, get, patch, tracking (only when named), apply, delete, custom, heartbeat, list and
// watch: only those.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "bench/wire_load.h"

namespace keles::bench {
namespace {

constexpr int kConnections = 16, kWatchers = 200;
constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";

std::string maps(const std::string& ns) { return "/api/v1/namespaces/" + ns + "/configmaps"; }

WireRequest create_map(const std::string& ns, long i) {
  WireRequest r;
  r.method = "POST";
  r.path = maps(ns);
  r.body = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"cm-" +
           std::to_string(i) + "\",\"labels\":{\"app\":\"bench\"}},\"data\":{\"key\":\"" +
           std::string(600, 'x') + "\"}}";
  return r;
}
WireRequest on_map(std::string_view method, const std::string& ns, long i) {
  WireRequest r;
  r.method = method;
  r.path = maps(ns) + "/cm-" + std::to_string(i);
  return r;
}

class Bench {
 public:
  explicit Bench(BenchServer* server) : server_(server), load_(*server, kConnections) {}

  bool counts() const { return server_->counts(); }

  // `n` requests; "rate, server CPU each" beside the goal.
  void measure(const char* name, const char* goal, long n,
               const std::function<WireRequest(long)>& request) {
    double count = static_cast<double>(n);
    if (server_->counts()) {
      counted(name, count, [&] { run_all(&load_, n, request); });
      return;
    }
    double cpu = server_->cpu_seconds(), start = now_seconds();
    run_all(&load_, n, request);
    double seconds = now_seconds() - start;
    print_figure(
        name,
        text("%.0f/s, %.4f ms", count / seconds, 1e3 * (server_->cpu_seconds() - cpu) / count),
        goal);
  }

  void measure_list(const char* name, const char* goal, std::string_view accept) {
    constexpr long kTimes = 40;
    WireLoad one(*server_, 1);
    WireRequest list;
    list.method = "GET";
    list.path = maps("five");
    list.accept = accept;
    auto request = [&list](long) { return list; };
    run_all(&one, 3, request);  // the encoded forms are there
    if (server_->counts()) {
      counted(name, kTimes, [&] { run_all(&one, kTimes, request); });
      return;
    }
    double cpu = server_->cpu_seconds(), start = now_seconds();
    run_all(&one, kTimes, request);
    print_figure(name,
                 text("%.2f ms, %.2f ms", 1e3 * (now_seconds() - start) / kTimes,
                      1e3 * (server_->cpu_seconds() - cpu) / kTimes),
                 goal);
  }

  // A connection for each watcher, as in a cluster: nothing that goes to one shares a write with
  // what goes to another.
  void measure_watch(double scale) {
    WireLoad watchers(*server_, kWatchers);
    WireRequest watch;
    watch.method = "GET";
    watch.path = maps("watched") + "?watch=true";
    for (int i = 0; i < kWatchers; ++i) watchers.start(i, watch);
    double settle = now_seconds() + 0.3;
    while (now_seconds() < settle) (void)watchers.lines(50);
    WireLoad one(*server_, 1);
    long paced = static_cast<long>(600 * scale);
    report("watch, 200 watchers, 200 creates/s: an event", "<= 8 us", paced, &watchers, [&] {
      double next = now_seconds();
      for (long i = 0; i < paced; ++i) {
        run_all(
            &one, 1, [i](long) { return create_map("watched", i); }, [] {});
        next += 0.005;
        for (double left; (left = next - now_seconds()) > 0;)
          (void)watchers.lines(static_cast<int>(1e3 * left) + 1);
      }
    });
    long flat = static_cast<long>(5'000 * scale);
    report("watch, 200 watchers, flat out: an event", "<= 1.5 us", flat, &watchers, [&] {
      long done = 0;
      run_all(
          &load_, flat, [paced](long i) { return create_map("watched", paced + i); },
          [&] {
            if (++done % kConnections == 0) (void)watchers.lines(0);
          });
    });
  }

 private:
  // The same under callgrind: instructions in place of time. The profile's name is the row's, with
  // dashes for what is not a letter.
  void counted(const std::string& name, double count, const std::function<void()>& work) {
    server_->begin_count();
    work();
    std::string file = name;
    for (char& c : file) c = isalnum(static_cast<unsigned char>(c)) ? c : '-';
    print_figure(name, text("%.0f instructions", server_->end_count(file) / count), "");
  }

  void report(const char* name, const char* goal, long creates, WireLoad* watchers,
              const std::function<void()>& write) {
    if (server_->counts()) {
      const long wanted = watchers->lines(0) + creates * kWatchers;
      counted(name, static_cast<double>(creates * kWatchers), [&] {
        write();
        while (watchers->lines(10) < wanted) {
        }
      });
      return;
    }
    long before = watchers->lines(0), wanted = before + creates * kWatchers, got = 0;
    double cpu = server_->cpu_seconds(), start = now_seconds();
    write();
    while ((got = watchers->lines(10)) < wanted && now_seconds() < start + 60) {
    }
    double seconds = now_seconds() - start, events = static_cast<double>(got - before);
    print_figure(
        name,
        text("%.0f/s, %.2f us", events / seconds, 1e6 * (server_->cpu_seconds() - cpu) / events),
        goal);
    if (got < wanted) printf("  only %.0f of %ld events\n", events, creates * kWatchers);
  }

  BenchServer* server_;
  WireLoad load_;
};

using Parts = std::set<std::string>;

void measure_objects(Bench& bench, const Parts& parts, long n) {
  auto wanted = [&parts](const char* part) { return parts.empty() || parts.contains(part); };
  auto spread = [n](long i) { return (i * 7919) % n; };  // 7919 does not divide n
  bench.measure("create a ConfigMap, durable", "12,000/s, 0.06 ms", n,
                [](long i) { return create_map("bench", i); });
  if (wanted("get")) {
    bench.measure("get, JSON", "40,000/s, 0.012 ms", 3 * n,
                  [&](long i) { return on_map("GET", "bench", spread(i)); });
    bench.measure("get, protobuf", "40,000/s, 0.012 ms", 3 * n, [&](long i) {
      WireRequest r = on_map("GET", "bench", spread(i));
      r.accept = kProtobuf;
      return r;
    });
  }
  if (wanted("patch")) {
    bench.measure("patch (strategic merge)", "10,000/s, 0.07 ms", n, [&](long i) {
      WireRequest r = on_map("PATCH", "bench", spread(i));
      r.content_type = "application/strategic-merge-patch+json";
      r.body = "{\"data\":{\"more\":\"" + std::to_string(i) + "\"}}";
      return r;
    });
  }
  if (parts.contains("tracking")) {
    // The same patch of objects whose fields somebody manages, and once that is forgotten.
    auto patch = [&](long i, std::string body) {
      WireRequest r = on_map("PATCH", "bench", spread(i));
      r.content_type = "application/strategic-merge-patch+json";
      r.body = std::move(body);
      return r;
    };
    auto value = [&](long i) {
      return patch(i, "{\"data\":{\"again\":\"" + std::to_string(i) + "\"}}");
    };
    bench.measure("patch, a field more", "-", n, value);
    bench.measure("patch, tracked", "1.3 of untracked", n, [&](long i) { return value(i + n); });
    bench.measure("patch, managers forgotten", "-", n,
                  [&](long i) { return patch(i, "{\"metadata\":{\"managedFields\":[{}]}}"); });
    bench.measure("patch, untracked", "-", n, [&](long i) { return value(i + 2 * n); });
  }
  if (wanted("apply")) {
    // Each object is made by one manager and applied to by another, a value of its own each time.
    bench.measure("server-side apply", "0.09 ms", n, [&](long i) {
      const long object = spread(i);
      WireRequest r = on_map("PATCH", "bench", object);
      r.path += "?fieldManager=bench&force=true";
      r.content_type = "application/apply-patch+yaml";
      r.body = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"cm-" +
               std::to_string(object) + "\"},\"data\":{\"applied\":\"" + std::to_string(i) + "\"}}";
      return r;
    });
  }
  if (wanted("delete")) {
    bench.measure("delete", "12,000/s, 0.06 ms", n,
                  [](long i) { return on_map("DELETE", "bench", i); });
  }
}

// A custom resource of the same size beside the ConfigMap.
void measure_custom(Bench& bench, long n) {
  const std::string group = "/apis/bench.example.com/v1/namespaces/bench/things";
  auto post = [](std::string path, std::string body) {
    WireRequest r;
    r.method = "POST";
    r.path = std::move(path);
    r.body = std::move(body);
    return r;
  };
  bench.measure("make a definition", "-", 1, [&](long) {
    return post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                R"({"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",)"
                R"("metadata":{"name":"things.bench.example.com"},"spec":{"group":)"
                R"("bench.example.com","scope":"Namespaced","names":{"plural":"things","kind":)"
                R"("Thing"},"versions":[{"name":"v1","served":true,"storage":true,"schema":)"
                R"({"openAPIV3Schema":{"type":"object","properties":{"data":{"type":"object",)"
                R"("additionalProperties":{"type":"string"}},"spec":{"type":"object",)"
                R"("properties":{"replicas":{"type":"integer","minimum":0},"minReplicas":)"
                R"({"type":"integer","default":1}},"x-kubernetes-validations":[{"rule":)"
                R"("!has(self.replicas) || self.minReplicas <= self.replicas"}]}}}}}]}})");
  });
  std::this_thread::sleep_for(std::chrono::seconds(bench.counts() ? 10 : 1));  // it is served
  bench.measure("create a custom resource", "0.06 ms", n, [&](long i) {
    return post(group, R"({"apiVersion":"bench.example.com/v1","kind":"Thing","metadata":)"
                       R"({"name":"cm-)" +
                           std::to_string(i) +
                           R"(","labels":{"app":"bench"}},"spec":{"replicas":3},"data":{"key":")" +
                           std::string(600, 'x') + "\"}}");
  });
  bench.measure("merge patch of a custom resource", "-", n, [&](long i) {
    WireRequest r = post(group + "/cm-" + std::to_string(i),
                         R"({"data":{"more":")" + std::to_string(i) + R"("}})");
    r.method = "PATCH";
    r.content_type = "application/merge-patch+json";
    return r;
  });
}

// A node says that it lives: five at a time, as memory_bench has them.
void measure_heartbeats(Bench& bench, long n) {
  const std::string leases = "/apis/coordination.k8s.io/v1/namespaces/bench/leases";
  const long nodes = std::max(1L, n / 4);
  bench.measure("create a Lease", "-", nodes, [&](long i) {
    WireRequest r;
    r.method = "POST";
    r.path = leases;
    const std::string name = "node-" + std::to_string(i);
    r.body = R"({"metadata":{"name":")" + name + R"("},"spec":{"holderIdentity":")" + name +
             R"(","leaseDurationSeconds":40}})";
    return r;
  });
  bench.measure("a heartbeat", "0.16 ms", n, [&](long i) {
    WireRequest r;
    r.method = "PATCH";
    r.path = leases + "/node-" + std::to_string(i % nodes);
    r.content_type = "application/merge-patch+json";
    r.body =
        R"({"spec":{"renewTime":"2030-01-01T00:00:00.)" + std::to_string(100'000 + i) + R"(Z"}})";
    return r;
  });
}

void measure_parts(BenchServer* server, double scale, const Parts& parts) {
  Bench bench(server);
  printf("%d connections, one request after the other on each; server CPU each\n", kConnections);
  print_figure("memory of the control plane (PSS), at the start",
               text("%.0f MB", server->memory_mb()), "-");
  const char* names[] = {"bench", "five", "watched"};
  bench.measure("make namespaces", "-", 3, [&names](long i) {
    WireRequest r;
    r.method = "POST";
    r.path = "/api/v1/namespaces";
    r.body = std::string("{\"metadata\":{\"name\":\"") + names[i] + "\"}}";
    return r;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // what namespaces get has been made
  const bool objects = std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
    return part != "list" && part != "watch" && part != "custom" && part != "heartbeat";
  });
  const long n = static_cast<long>(20'000 * scale);
  if (parts.empty() || objects) measure_objects(bench, parts, n);
  if (parts.empty() || parts.contains("custom")) measure_custom(bench, n);
  if (parts.empty() || parts.contains("heartbeat")) measure_heartbeats(bench, n);
  if (parts.empty() || parts.contains("list")) {
    bench.measure("create the 5,000 to list", "-", 5'000,
                  [](long i) { return create_map("five", i); });
    bench.measure_list("list 5,000 ConfigMaps, JSON", "<= 2 ms", "application/json");
    bench.measure_list("list 5,000 ConfigMaps, protobuf", "<= 1.5 ms", kProtobuf);
  }
  if (parts.empty() || parts.contains("watch")) bench.measure_watch(scale);
  print_figure("memory of the control plane (PSS), after", text("%.0f MB", server->memory_mb()),
               "<= 40 MB");
}

}  // namespace
}  // namespace keles::bench

int main(int argc, char** argv) {
  double scale = argc > 1 ? atof(argv[1]) : 1;
  keles::bench::Parts parts(argv + std::min(argc, 2), argv + argc);
  keles::bench::BenchServer server(argv[0], {});
  keles::bench::measure_parts(&server, scale > 0 ? scale : 1, parts);
}
