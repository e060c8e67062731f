// Websocket frames from any bytes: no crash, and the same frames however the input is cut.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/websocket.h"
#include "seeds.h"

using namespace keles::net::ws;

static std::string frames(std::string_view data, bool masked, size_t step, uint16_t* error) {
  FrameReader reader(masked, 1 << 20);
  std::string out;
  while (!data.empty()) {
    size_t n = std::min(step, data.size());
    reader.append(data.substr(0, n));
    data.remove_prefix(n);
    while (auto f = reader.next()) {
      out += static_cast<char>(f->opcode);
      out += f->payload;
    }
  }
  *error = reader.error();
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string_view data(reinterpret_cast<const char*>(bytes), size);
  for (bool masked : {true, false}) {
    uint16_t e1 = 0, e2 = 0;
    if (frames(data, masked, SIZE_MAX, &e1) != frames(data, masked, 1, &e2) || e1 != e2) {
      std::abort();
    }
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      std::string_view("\x82\x03"
                       "abc\x89\x00\x88\x02\x03\xe8",
                       11),
      std::string_view("\x01\x83mask\x0c\x03\x10\x80\x80mask", 15),
      std::string_view("\x82\x7e\x00\x80"
                       "xxxx",
                       8),
  };
}
