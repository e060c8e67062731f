#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dns/message.h"

// Any bytes, as a reply and as a query: refused, or read and answered within the limit.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto said = keles::dns::parse_answer({reinterpret_cast<const char*>(data), size});
  if (said.ok() && said->answers.size() > 64) std::abort();
  auto q = keles::dns::parse_query({reinterpret_cast<const char*>(data), size});
  if (!q.ok()) return 0;
  keles::dns::Answer a;
  for (int i = 0; i < 40; ++i) a.answers.push_back({q->name, keles::dns::kA, 30, "10.0.0.1"});
  size_t limit = keles::dns::udp_limit(*q);
  if (keles::dns::write_answer(*q, a, "cluster.local", limit).size() > limit) std::abort();
  return 0;
}
