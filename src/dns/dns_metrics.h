// CoreDNS' metrics, under its names and labels. One loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/metrics.h"

namespace keles::dns {

// One question and what became of it.
struct Asked {
  std::string_view zone;  // of the server block; "" the root, kNoZone for none
  bool tcp = false, v6 = false;
  uint16_t type = 0;
  uint8_t rcode = 0;
  std::string_view plugin;  // who answered
  size_t request_bytes = 0, reply_bytes = 0;
  Duration took{};
};
inline constexpr std::string_view kNoZone = "dropped";

std::string type_text(uint16_t type);   // "A", ...; "TYPE65" for those without a name here
std::string rcode_text(uint8_t rcode);  // "NOERROR", ...

class DnsMetrics {
 public:
  void count(const Asked& asked);
  void cache(bool hit, std::string_view zone);
  void cache_entries(size_t n, std::string_view zone);
  static void forwarded(const std::string& to, std::string_view rcode, Duration took);
  static void too_many_forwards();
  static void reload_failed();

 private:
  // What a question of this sort counts in: looked up once.
  struct Sort {
    metrics::Value *requests, *responses;
    metrics::Buckets *seconds, *request_bytes, *reply_bytes;
  };
  // zone, plugin and what else differs, packed.
  std::map<std::pair<std::string, uint64_t>, Sort, std::less<>> sorts_;
  Sort& sort_of(const Asked& asked);
};

}  // namespace keles::dns
