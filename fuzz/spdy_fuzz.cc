// SPDY frames and compressed header blocks from any bytes: no crash, and the same frames however
// the input is cut.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/spdy_frames.h"
#include "seeds.h"

using namespace keles::net;
using namespace keles::net::spdy;

static size_t frames(std::string_view data, size_t step, bool* bad) {
  FrameReader reader;
  HeaderDecoder decoder;
  bool headers_good = true;
  size_t count = 0;
  while (!data.empty()) {
    size_t n = std::min(step, data.size());
    reader.append(data.substr(0, n));
    data.remove_prefix(n);
    while (auto f = reader.next()) {
      ++count;
      Headers out;
      if (headers_good && f->type != Type::kData) headers_good = decoder.decode(f->payload, &out);
    }
  }
  *bad = reader.bad();
  return count;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string_view data(reinterpret_cast<const char*>(bytes), size);
  bool bad1 = false, bad2 = false;
  if (frames(data, SIZE_MAX, &bad1) != frames(data, 1, &bad2) || bad1 != bad2) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      std::string_view("\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01", 12),
      std::string_view("\x00\x00\x00\x01\x01\x00\x00\x03"
                       "abc",
                       11),
      std::string_view("\x80\x03\x00\x04\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x07"
                       "\x00\x01\x00\x00",
                       20),
  };
}
