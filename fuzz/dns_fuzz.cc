// A Corefile and DNS from any bytes, as a reply and as a query: refused, or read; and the query
// answered within the client's limit, the answer well formed.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "dns/corefile.h"
#include "dns/message.h"
#include "seeds.h"

using namespace std::string_view_literals;
using namespace keles::dns;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view message(reinterpret_cast<const char*>(data), size);
  (void)parse_corefile(message, "cluster.local");
  auto said = parse_answer(message);
  if (said.ok() && said->answers.size() > 64) std::abort();
  auto ttls = ttl_offsets(message);
  if (ttls.ok()) {
    for (size_t at : *ttls) {
      if (at + 4 > size) std::abort();
    }
  }
  auto q = parse_query(message);
  if (!q.ok()) return 0;
  Answer a;
  for (int i = 0; i < 40; ++i) a.answers.push_back({q->name, kA, 30, "10.0.0.1"});
  size_t limit = udp_limit(*q);
  std::string out = write_answer(*q, a, "cluster.local", limit);
  if (out.size() > limit) std::abort();
  out[2] &= 0x7f;  // as if asked: the question stands in the answer as it came
  auto echo = parse_query(out);
  if (!echo.ok() || echo->name_as_asked != q->name_as_asked || echo->type != q->type) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      ".:53 {\n hosts { 1.2.3.4 a\n fallthrough }\n health :1 { lameduck 5s }\n forward . [::1]:53\n}"sv,
      "\0\1\x81\x80\0\1\0\1\0\0\0\0\1a\1b\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\1"sv,
      "\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x0akubernetes\7default\3svc\7cluster\5local\0\0\1\0\1"sv,
      "\0\1\1\x20\0\1\0\0\0\0\0\1\3Web\7Default\3svc\7cluster\5local\0\0\x1c\0\1\0\0\x29\4\xd0\0\0\0\0\0\0"sv,
      "\0\2\0\0\0\1\0\0\0\0\0\0\0011\0010\00296\00210\7in-addr\4arpa\0\0\x0c\0\1"sv,
      "\0\3\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\x21\0\1"sv,
  };
}
