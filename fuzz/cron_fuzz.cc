// A schedule that is accepted fires later than it is asked, whatever the zone's file says; a zone
// that is accepted has offsets of less than two days everywhere.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "machinery/cron.h"
#include "machinery/time_zone.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto zone = keles::TimeZone::parse(text);
  if (zone.ok()) {
    for (int64_t t = -5'000'000'000; t < 9'000'000'000; t += 97'777'777) {
      const int64_t offset = zone->offset(t);
      if (offset > 2 * 86400 || offset < -2 * 86400) std::abort();
      (void)zone->first_moment(t);
    }
  }
  const auto schedule = keles::CronSchedule::parse(text);
  if (!schedule.ok()) return 0;
  const keles::WallTime from{1'767'225'600'000'000'000};
  const auto next = schedule->next(from, keles::TimeZone());
  if (next && !(*next > from)) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  static const std::string zone = [] {
    std::string head = std::string("TZif2") + std::string(15, '\0');
    const std::string counts("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4", 24);
    const std::string type("\0\0\x0e\x10\0\0LMT\0", 10);
    return head + counts + type + head + counts + type + "\nCET-1CEST,M3.5.0,M10.5.0/3\n";
  }();
  return {"*/5 0-12/2 1,15 jan-jun 1-5",
          "TZ=UTC 0 0 31 2 *",
          "@every 90m",
          "@weekly",
          "5/10 ? * * sun",
          zone};
}
