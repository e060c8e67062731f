// The HTTP/1.1 codec takes any bytes: no crash, no byte consumed twice, and the same body however
// the input is cut.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/http1.h"
#include "seeds.h"

using namespace keles::net;
using namespace keles::net::http1;

static std::string body(Framing framing, std::string_view data, size_t step, bool* bad) {
  BodyReader reader(framing);
  std::string out;
  while (!data.empty() && !reader.done() && !reader.bad()) {
    size_t n = std::min(step, data.size());
    size_t used = reader.feed(data.substr(0, n), &out, SIZE_MAX);
    if (used > n) std::abort();
    data.remove_prefix(used);
    if (used == 0) break;
  }
  *bad = reader.bad();
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string_view data(reinterpret_cast<const char*>(bytes), size);
  for (bool request : {true, false}) {
    Head head;
    size_t used = 0;
    if (parse_head(data, request, &head, &used) != Parse::kDone) continue;
    if (used > size) std::abort();
    Framing framing;
    bool good = request ? request_framing(head, &framing) : response_framing(head, "GET", &framing);
    if (!good) continue;
    bool bad1 = false, bad2 = false;
    std::string whole = body(framing, data.substr(used), SIZE_MAX, &bad1);
    std::string cut = body(framing, data.substr(used), 1, &bad2);
    if (whole != cut || bad1 != bad2) std::abort();
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "GET /api/v1/pods?limit=5 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      "HTTP/1.0 200\r\n\r\nto the end",
  };
}
