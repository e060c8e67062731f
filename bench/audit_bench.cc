// audit_bench [ROUNDS]: what auditing adds to a write. Three servers, without a policy, with one at
// Metadata and with one at RequestResponse (to a log file), are sent the same creates and patches
// of ConfigMaps in turns; the server's CPU of each, beside the first's. Goal: at most 1.5 times at
// RequestResponse, once without a policy.
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "bench/wire_load.h"

namespace keles::bench {
namespace {

constexpr int kConnections = 16, kWrites = 2000;
constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";

struct Audited {
  const char* level;  // null: no policy
  std::unique_ptr<BenchServer> server;
  std::unique_ptr<WireLoad> load;
  double create = 1e9, patch = 1e9;  // the least ms of CPU of a round
};

std::string policy(const char* level) {
  return std::string("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: ") + level +
         "}]\n";
}

WireRequest write(bool patch, int round, int i) {
  WireRequest r;
  const std::string name = "m" + std::to_string(round) + "-" + std::to_string(i);
  r.method = patch ? "PATCH" : "POST";
  r.path = patch ? std::string(kMaps) + "/" + name : kMaps;
  const std::string data = R"("data":{"k":")" + std::string(500, patch ? 'y' : 'x') + "\"}}";
  r.body = patch ? "{" + data : R"({"metadata":{"name":")" + name + "\"}," + data;
  if (patch) r.content_type = "application/merge-patch+json";
  return r;
}

// Milliseconds of the server's CPU for each.
double measure(Audited& a, bool patch, int round) {
  const double before = a.server->cpu_seconds();
  int next = 0;
  a.load->run([&](int) { return next < kWrites ? write(patch, round, next++) : WireRequest(); },
              [](int, const WireAnswer& answer) {
                if (answer.status < 300) return;
                fprintf(stderr, "status %d: %s\n", answer.status, answer.text.c_str());
                exit(1);
              });
  return (a.server->cpu_seconds() - before) * 1e3 / kWrites;
}

}  // namespace
}  // namespace keles::bench

int main(int argc, char** argv) {
  using namespace keles::bench;
  const int rounds = argc > 1 ? atoi(argv[1]) : 4;
  const keles::TemporaryDirectory directory = *keles::TemporaryDirectory::make("keles-audit");
  std::vector<Audited> all;
  for (const char* level : {(const char*)nullptr, "Metadata", "RequestResponse"}) {
    std::vector<std::string> flags;
    if (level) {
      const std::string file = directory.path() + "/" + level;
      if (!keles::write_file(file + ".yaml", policy(level)).ok()) return 1;
      flags = {"--audit-policy-file=" + file + ".yaml", "--audit-log-path=" + file + ".log"};
    }
    Audited a;
    a.level = level;
    a.server = std::make_unique<BenchServer>(argv[0], flags);
    a.load = std::make_unique<WireLoad>(*a.server, kConnections);
    all.push_back(std::move(a));
  }
  for (int round = 0; round < rounds; ++round) {
    for (Audited& a : all) a.create = std::min(a.create, measure(a, false, round));
    for (Audited& a : all) a.patch = std::min(a.patch, measure(a, true, round));
  }
  for (const Audited& a : all) {
    printf("%-16s create %.3f ms (%.2f)   patch %.3f ms (%.2f)\n",
           a.level ? a.level : "not audited", a.create, a.create / all[0].create, a.patch,
           a.patch / all[0].patch);
  }
  return 0;
}
