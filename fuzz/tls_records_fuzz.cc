// What a peer says in sealed records (TLS 1.3): no crash, and the same text and end however the
// bytes are cut and read. The input is a list of records (type, length of the text, text), which
// are sealed first: what is not sealed is one failure of few kinds. A type above 127 is put in as
// it is.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/tls_records.h"
#include "seeds.h"

using namespace keles::net;

static std::string sealed(std::string_view data) {
  RecordCipher key(TrafficSecret(std::string(32, 'k')), true);
  std::string out;
  while (data.size() >= 2) {
    const auto type = static_cast<uint8_t>(data[0]);
    const size_t n = std::min<size_t>(static_cast<uint8_t>(data[1]), data.size() - 2);
    std::string_view text = data.substr(2, n);
    data.remove_prefix(2 + n);
    if (type > 127) {
      out += text;
      continue;
    }
    iovec v{const_cast<char*>(text.data()), n};
    Pieces from{&v, 1};
    std::string record(n + kRecordMore, '\0');
    if (!key.seal(static_cast<RecordType>(type), &from, n, record.data())) std::abort();
    out += record;
    if (type == 22 && text.starts_with(kKeyUpdate.substr(0, 4))) key.next();
  }
  return out;
}

struct Heard {
  std::string text, error;
  bool ended = false;
  bool operator==(const Heard&) const = default;
};

static Heard hear(const std::string& wire, size_t step, size_t room) {
  RecordReader reader{TrafficSecret(std::string(32, 'k'))};
  Heard out;
  std::string rest, to(room, '\0');
  for (size_t at = 0; at < wire.size(); at += step) {
    rest.append(wire, at, step);
    while (reader.ready(rest) && !reader.failed() && !reader.ended()) {
      size_t used = 0;
      const size_t n = reader.take(rest, to.data(), room, &used);
      if (n > room || used > rest.size() || (n == 0 && used == 0 && !reader.failed())) std::abort();
      out.text.append(to, 0, n);
      rest.erase(0, used);
    }
  }
  out.error = reader.error();
  out.ended = reader.ended();
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string wire = sealed({reinterpret_cast<const char*>(bytes), size});
  const Heard whole = hear(wire, wire.size() + 1, 65536);
  if (hear(wire, 1, 65536) != whole || hear(wire, 50, 3) != whole) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      std::string_view("\x17\x05hello\x17\x00\x16\x05\x18\x00\x00\x01\x01\x17\x05later\x15\x02\x01"
                       "\x00",
                       32),
      std::string_view("\x16\x02\x18\x00\x16\x03\x00\x01\x00\x17\x01x", 12),
      std::string_view("\x17\x03"
                       "abc\x80\x06\x14\x03\x03\x00\x01\x01",
                       13),
  };
}
