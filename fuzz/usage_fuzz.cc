// Any bytes as a kubelet's metrics: read or refused, and what is read of it tells rates that are
// numbers.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "seeds.h"
#include "server/usage/samples.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  auto sample = keles::usage::read_sample(text, 5000);
  if (!sample.ok()) return 0;
  keles::usage::Point before;
  before.has_cpu = true;
  for (const auto& [pod, containers] : sample->pods) {
    for (const auto& [name, point] : containers) {
      auto u = keles::usage::used(&before, point);
      if (u && (!std::isfinite(u->cores) || u->cores < 0 || u->window.count() <= 0)) std::abort();
    }
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "container_cpu_usage_seconds_total{container=\"a\",namespace=\"n\",pod=\"p\"} 2.5 3000\n"
      "container_memory_working_set_bytes{container=\"a\",namespace=\"n\",pod=\"p\"} 7\n"
      "container_start_time_seconds{container=\"a\",namespace=\"n\",pod=\"p\"} 1.5e3\n",
      "# HELP x y\nnode_cpu_usage_seconds_total 1\r\nx{a=\"\\\\\\\"\\n\",} +Inf -1\n",
  };
}
