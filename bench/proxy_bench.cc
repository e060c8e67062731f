// What the service proxy costs a node: the first transaction of many services, one change beside
// them, memory. The rules go into a network namespace of its own when run as root; else only the
// text is made.
#include <malloc.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "machinery/codec_yaml.h"
#include "proxy/nft.h"
#include "proxy/ruleset.h"
#include "proxy/services.h"

namespace keles::proxy {
namespace {

double cpu() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  auto s = [](timeval t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return s(u.ru_utime) + s(u.ru_stime);
}

double resident_mb() {
  std::ifstream f("/proc/self/statm");
  long pages = 0, resident = 0;
  f >> pages >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

std::string service_yaml(int i) {
  std::string n = std::to_string(i);
  return "metadata: {name: s" + n +
         ", namespace: default, creationTimestamp: '2026-01-01T00:00:00Z'}\n"
         "spec: {clusterIP: 10.96." +
         std::to_string(i / 250) + "." + std::to_string(1 + i % 250) +
         ", ports: [{name: http, port: 80, protocol: TCP}]}";
}

std::string slice_yaml(int i, int endpoints, int shift) {
  std::string n = std::to_string(i), out;
  out = "metadata: {name: s" + n +
        "-1, namespace: default, labels: {kubernetes.io/service-name: s" + n +
        "}}\naddressType: IPv4\nports: [{name: http, port: 8080, protocol: TCP}]\nendpoints:\n";
  for (int e = 0; e < endpoints; ++e) {
    const int at = i * endpoints + e + shift;
    out += "- {addresses: [10." + std::to_string(128 + at / 62500) + "." +
           std::to_string(at / 250 % 250) + "." + std::to_string(1 + at % 250) +
           "], conditions: {ready: true}, nodeName: " + (e == 0 ? "here" : "there") + "}\n";
  }
  return out;
}

class Bench {
 public:
  Bench(int services, int endpoints) : services_(services), endpoints_(endpoints) {
    in_kernel_ = geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
  }
  void run() {
    malloc_trim(0);
    const double before = resident_mb();
    for (int i = 0; i < services_; ++i) set(i, 0);
    double start = cpu();
    rules_.reset();
    std::string text = render();
    std::printf("%d services of %d endpoints: %.1f MB of text in %.2f s of CPU\n", services_,
                endpoints_, static_cast<double>(text.size()) / 1e6, cpu() - start);
    start = cpu();
    apply(text);
    std::printf("  into force%s: %.2f s of CPU\n", in_kernel_ ? "" : " (no kernel)", cpu() - start);
    text = {};
    malloc_trim(0);
    std::printf("  memory that stays: %.1f MB\n", resident_mb() - before);
    std::vector<double> times;
    for (int n = 0; n < 50; ++n) {
      const int i = n * 37 % services_;
      set(i, 100000 + n);
      start = cpu();
      apply(render());
      times.push_back((cpu() - start) * 1e3);
    }
    std::sort(times.begin(), times.end());
    std::printf("  one service changed: median %.2f ms, most %.2f ms of CPU\n",
                times[times.size() / 2], times.back());
  }

 private:
  void set(int i, int shift) {
    table_.set_service(api::core_v1::Service(parse_yaml(service_yaml(i))->root));
    Document slice = *parse_yaml(slice_yaml(i, endpoints_, shift));
    table_.set_slice(api::discovery_v1::EndpointSlice(slice.root));
  }
  std::string render() {
    for (const std::string& service : table_.take_dirty()) {
      rules_.update(service, table_.forwards(service), table_.local_ips(service));
    }
    return rules_.take();
  }
  void apply(const std::string& text) {
    if (!in_kernel_) return;
    Status s = kernel_->apply(text);
    if (!s.ok()) {
      std::fprintf(stderr, "%s\n", s.to_string().c_str());
      std::exit(1);
    }
  }

  int services_, endpoints_;
  bool in_kernel_ = false;
  std::unique_ptr<Kernel> kernel_ = make_kernel();
  ServiceTable table_{"here"};
  Ruleset rules_{RulesetOptions()};
};

}  // namespace
}  // namespace keles::proxy

int main(int argc, char** argv) {
  const int services = argc > 1 ? std::atoi(argv[1]) : 10000;
  for (int n : {services / 100, services / 10, services}) {
    if (n > 0) keles::proxy::Bench(n, argc > 2 ? std::atoi(argv[2]) : 10).run();
  }
}
