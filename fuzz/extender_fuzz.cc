// What a scheduler's extender answers.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/extenders/extender.h"
#include "scheduler/extenders/wire.h"
#include "seeds.h"

using namespace keles::scheduler;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)extender_wire::read_filtered(text);
  (void)extender_wire::read_priorities(text);
  (void)extender_wire::read_preemption(text);
  (void)extender_wire::read_binding(text);
  const auto place = read_extender_url(std::string(text));
  if (place.ok() && (place->host.empty() || place->path.ends_with('/'))) __builtin_trap();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {R"({"NodeNames":["a","b"],"FailedNodes":{"c":"no"},"Error":"x"})",
          R"({"nodes":{"items":[{"metadata":{"name":"a"}}]},"FailedAndUnresolvableNodes":null})",
          R"([{"Host":"a","Score":10},{"host":"b","score":-1}])",
          R"({"NodeNameToMetaVictims":{"a":{"Pods":[{"UID":"u"}],"NumPDBViolations":1}}})",
          "https://[::1]:8443/extender/",
          "http://a.example.com"};
}
