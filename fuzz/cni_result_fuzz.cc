// What the runtime's CNI library keeps of a pod's link: refused, or values from which the packet
// rules' text can be made; no quote, blank or brace of it gets there.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "node/network/pod_links.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto link = keles::read_pod_link(text, "id", "cni0");
  if (!link.ok()) return 0;
  if (link->name.size() > 15 || link->ips.empty()) std::abort();
  const std::string change = keles::pod_link_changes({}, {*link});
  const auto of = [&change](char c) { return std::count(change.begin(), change.end(), c); };
  if (of('{') != of('}') || of('{') > 5 || of('*') || of(';') || of('\n') != of('{')) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {R"({"kind":"cniCacheV1","networkName":"keles","result":{"interfaces":[{"name":"cni0"},)"
          R"({"name":"veth1"},{"name":"eth0","mac":"0a:58:0a:f4:00:05","sandbox":"/n"}],)"
          R"("ips":[{"address":"10.244.0.5/24"},{"address":"fd00::5/64"}]}})",
          R"({"interfaces":[{"name":"v"},{"mac":"0a:58:0a:f4:00:05","sandbox":"n"}],)"
          R"("ips":[{"address":"::/0"}]})"};
}
