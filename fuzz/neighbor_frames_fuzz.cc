// Frames of whoever is on a node's link: nothing, or a question whose answer goes to one asker or
// to the group of all nodes, about what was asked.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "proxy/announce/frames.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles::announce;
  const std::string_view frame(reinterpret_cast<const char*>(data), size);
  const auto q = read_question(frame);
  const auto claim = read_claim(frame);
  if (claim && size > kLongestFrame) std::abort();
  // Who asks without an address of his own would take what he asks for.
  if (q && q->from.is_unspecified() && (!claim || claim->address != q->target)) std::abort();
  if (!q) return 0;
  if (size > kLongestFrame || (q->from_mac[0] & 1) != 0) std::abort();
  if (q->target.v6() != q->from.v6()) std::abort();
  const keles::NetMac own = {2, 0, 0, 0, 0, 1};
  const std::string said = answer(*q, own);
  if (said.size() != (q->target.v6() ? 86u : 42u)) std::abort();
  if (read_question(said)) std::abort();  // no answer is a question
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  using namespace std::string_view_literals;
  return {
      "\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x0b\x08\x06\0\x01\x08\0\x06\x04\0\x01\x02\0\0\0\0\x0b"
      "\x0a\0\0\x0b\0\0\0\0\0\0\x0a\0\0\x10"sv,
      "\x33\x33\xff\0\0\x10\x02\0\0\0\0\x0b\x86\xdd\x60\0\0\0\0\x20\x3a\xff\xfd\0\0\0\0\0\0\0\0\0\0"
      "\0\0\0\0\x0b\xff\x02\0\0\0\0\0\0\0\0\0\x01\xff\0\0\x10\x87\0\x7d\x67\0\0\0\0\xfd\0\0\0\0\0\0"
      "\0\0\0\0\0\0\0\0\x10\x01\x01\x02\0\0\0\0\x0b"sv};
}
