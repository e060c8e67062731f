// custom_bench [DEFINITIONS]: custom resources beside built-in ones: 1,000
// CustomResourceDefinitions of about 20 kB made while the server runs, each from its creation until
// its objects are served, and what they hold; then creates, patches and lists of 5,000 objects of
// one of them beside ConfigMaps of the same size, in turns.
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "bench/wire_load.h"

namespace keles::bench {
namespace {

constexpr int kConnections = 16;
constexpr long kObjects = 5'000;

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }

// Some 20 kB of schema: groups of fields with descriptions, bounds and a few rules.
std::string schema() {
  std::string spec;
  for (int g = 0; g < 24; ++g) {
    std::string fields;
    for (int f = 0; f < 6; ++f) {
      fields += (f ? "," : "") + quoted("field" + std::to_string(f)) +
                ":{\"type\":\"string\",\"maxLength\":256,\"description\":" +
                quoted("What field " + std::to_string(f) + " of group " + std::to_string(g) +
                       " says about the thing that it is part of.") +
                "}";
    }
    spec += (g ? "," : "") + quoted("group" + std::to_string(g)) +
            ":{\"type\":\"object\",\"properties\":{" + fields + "}}";
  }
  spec +=
      ",\"minReplicas\":{\"type\":\"integer\",\"default\":1},\"replicas\":{\"type\":\"integer\"}";
  return "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{" +
         spec +
         "},\"x-kubernetes-validations\":[{\"rule\":\"!has(self.replicas) || self.minReplicas <= "
         "self.replicas\"}]},\"data\":{\"type\":\"object\",\"additionalProperties\":{\"type\":"
         "\"string\"}},\"status\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":"
         "true}}}";
}

std::string plural(long i) { return "things" + std::to_string(i); }

std::string definition(long i, const std::string& openapi) {
  const std::string name = plural(i), kind = "Thing" + std::to_string(i);
  return "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\","
         "\"metadata\":{\"name\":\"" +
         name + ".bench.example.com\"},\"spec\":{\"group\":\"bench.example.com\",\"scope\":" +
         "\"Namespaced\",\"names\":{\"plural\":\"" + name + "\",\"singular\":\"thing" +
         std::to_string(i) + "\",\"kind\":\"" + kind + "\",\"listKind\":\"" + kind +
         "List\"},\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,\"subresources\":"
         "{\"status\":{}},\"schema\":{\"openAPIV3Schema\":" +
         openapi + "}}]}}";
}

std::string things(long i) { return "/apis/bench.example.com/v1/namespaces/default/" + plural(i); }

struct Work {
  const char* what;
  std::string path, head;  // head: the object's first members
};

class Bench {
 public:
  explicit Bench(BenchServer* server) : server_(server) {}

  int ask(WireLoad* one, const WireRequest& r) {
    int status = 0;
    bool sent = false;
    one->run([&](int) { return std::exchange(sent, true) ? WireRequest() : r; },
             [&](int, const WireAnswer& a) { status = a.status; });
    return status;
  }

  // One after the other: from the request that makes it until a list of its objects is answered.
  void install(long n) {
    WireLoad one(*server_, 1);
    const std::string openapi = schema();
    std::vector<double> took;
    memory("before the definitions");
    const double cpu = server_->cpu_seconds();
    for (long i = 0; i < n; ++i) {
      const double start = now_seconds();
      const int made =
          ask(&one, request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                            definition(i, openapi)));
      if (made != 201) {
        printf("  definition %ld is answered %d\n", i, made);
        return;
      }
      while (ask(&one, request("GET", things(i))) != 200 && now_seconds() < start + 10) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      took.push_back(now_seconds() - start);
    }
    std::sort(took.begin(), took.end());
    const size_t last = took.size() - 1;
    print_figure(
        std::to_string(n) + " definitions of " +
            std::to_string(definition(0, openapi).size() / 1000) + " kB: made to served",
        text("median %.1f ms, 99 %% %.1f ms", 1e3 * took[last / 2], 1e3 * took[last * 99 / 100]),
        "100 ms");
    print_figure("  the longest; server CPU each",
                 text("%.1f ms; %.2f ms", 1e3 * took[last],
                      1e3 * (server_->cpu_seconds() - cpu) / static_cast<double>(n)),
                 "100 ms");
    memory("  and what the server holds, at once");
    std::this_thread::sleep_for(std::chrono::seconds(90));
    memory("  and 90 s later");
  }

  void measure(WireLoad* load, const std::string& name, const char* goal, long n,
               const std::function<WireRequest(long)>& make) {
    const double cpu = server_->cpu_seconds(), start = now_seconds(),
                 count = static_cast<double>(n);
    run_all(load, n, make);
    print_figure(name,
                 text("%.0f/s, %.4f ms", count / (now_seconds() - start),
                      1e3 * (server_->cpu_seconds() - cpu) / count),
                 goal);
  }

  void objects(const Work& w, const char* create_goal, const char* list_goal) {
    const std::string what = w.what;
    WireLoad load(*server_, kConnections);  // the server ends connections that were idle for long
    auto body = [&w](long i, const std::string& more) {
      return "{" + w.head + ",\"metadata\":{\"name\":\"o-" + std::to_string(i) + "\"},\"data\":{" +
             more + "\"key\":\"" + std::string(600, 'x') + "\"}}";
    };
    auto path = [&w](long i) { return w.path + "/o-" + std::to_string(i); };
    measure(&load, "create a " + what, create_goal, kObjects,
            [&](long i) { return request("POST", w.path, body(i, "")); });
    measure(&load, "  merge patch", "-", kObjects, [&](long i) {
      WireRequest r = request("PATCH", path(i), "{\"data\":{\"patched\":\"1\"}}");
      r.content_type = "application/merge-patch+json";
      return r;
    });
    measure(&load, "  get", "-", kObjects, [&](long i) { return request("GET", path(i)); });
    WireLoad one(*server_, 1);
    run_all(&one, 3, [&](long) { return request("GET", w.path); });
    constexpr long kTimes = 40;
    const double cpu = server_->cpu_seconds();
    run_all(&one, kTimes, [&](long) { return request("GET", w.path); });
    print_figure("  list 5,000, server CPU",
                 text("%.2f ms", 1e3 * (server_->cpu_seconds() - cpu) / kTimes), list_goal);
    measure(&load, "  delete", "-", kObjects, [&](long i) { return request("DELETE", path(i)); });
  }

  void memory(const std::string& name) {
    print_figure(
        name, text("%.0f MB resident, %.0f MB PSS", server_->resident_mb(), server_->memory_mb()),
        "100 MB more");
  }

 private:
  BenchServer* server_;
};

}  // namespace
}  // namespace keles::bench

int main(int argc, char** argv) {
  using namespace keles::bench;
  const long n = argc > 1 ? std::max(1L, atol(argv[1])) : 1'000;
  BenchServer server(argv[0], {});
  Bench bench(&server);
  bench.install(n);
  const Work built_in{"ConfigMap", "/api/v1/namespaces/default/configmaps",
                      "\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\""};
  const Work custom{"custom resource", things(0),
                    "\"apiVersion\":\"bench.example.com/v1\",\"kind\":\"Thing0\",\"spec\":"
                    "{\"replicas\":3}"};
  for (int round = 0; round < 2; ++round) {
    bench.objects(built_in, "0.06 ms", "2 ms");
    bench.objects(custom, "0.06 ms", "1.3 times a ConfigMap's");
  }
}
