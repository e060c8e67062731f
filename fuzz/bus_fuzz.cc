// Arbitrary bytes as what comes from the system's bus: read within bounds or refused.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "node/shutdown/bus_message.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles::node;
  const std::string in(reinterpret_cast<const char*>(data), size);
  if (auto n = bus_message_size(in); n.ok() && (*n < kBusPrologue || *n > kMostBusMessage))
    std::abort();
  auto m = decode_bus_message(in);
  if (!m.ok()) return 0;
  BusReader body(m->body, m->big_endian);
  for (char type : m->signature) body.skip(type);
  if (body.at() > m->body.size()) std::abort();
  // What was understood is told again.
  BusMessage again = *m;
  again.big_endian = false;
  if (encode(again).size() > kMostBusMessage) return 0;
  if (auto twice = decode_bus_message(encode(again)); !twice.ok() || twice->member != m->member)
    std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  static const std::string signal = [] {
    keles::node::BusMessage m;
    m.type = keles::node::BusMessage::Type::kSignal;
    m.sender = ":1.5";
    m.path = "/org/freedesktop/login1";
    m.interface = "org.freedesktop.login1.Manager";
    m.member = "PrepareForShutdown";
    m.signature = "b";
    m.body = keles::node::BusWriter().number(1).take();
    return encode(m);
  }();
  return {signal, std::string_view("B\x04\x00\x01\x00\x00\x00\x04\x00\x00\x00\x2a\x00\x00\x00\x07"
                                   "\x08\x01g\x00\x01"
                                   "b\x00\x00\x00\x00\x00\x01",
                                   28)};
}
