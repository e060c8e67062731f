// The canonical form is a fixed point, and names the same amount.
#include <cstdint>
#include <cstdlib>

#include "machinery/quantity.h"
#include "machinery/time.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto q = keles::Quantity::parse(text); q.ok()) {
    auto again = keles::Quantity::parse(q->to_string());
    if (!again.ok() || again->to_string() != q->to_string()) std::abort();
    (void)q->milli_value();
  }
  if (auto t = keles::parse_time(text); t.ok()) {
    auto again = keles::parse_time(keles::format_time(*t));
    if (!again.ok()) std::abort();
  }
  if (auto d = keles::parse_duration(text); d.ok()) {
    auto again = keles::parse_duration(keles::format_duration(*d));
    if (!again.ok() || *again != *d) std::abort();
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"100m",
          "1.5Gi",
          "1e3",
          "-0.000000001",
          "9223372036854775807",
          "12E-3",
          "1h2m3.5s",
          "300ms",
          "2024-02-29T23:59:59.123456Z",
          "2024-01-01T02:00:00+02:00"};
}
