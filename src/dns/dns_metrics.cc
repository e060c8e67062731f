#include "dns/dns_metrics.h"

#include <algorithm>
#include <chrono>

#include "dns/message.h"

namespace keles::dns {
namespace {

constexpr const char* kServer = "dns://:53";

struct Families {
  metrics::Counter& requests = metrics::counter(
      "coredns_dns_requests_total", "Counter of DNS requests made per zone, protocol and family.",
      {"server", "zone", "view", "proto", "family", "type"});
  metrics::Counter& responses =
      metrics::counter("coredns_dns_responses_total", "Counter of response status codes.",
                       {"server", "zone", "view", "rcode", "plugin"});
  metrics::Histogram& seconds = metrics::histogram(
      "coredns_dns_request_duration_seconds",
      "Histogram of the time (in seconds) each request took per zone.", {"server", "zone", "view"},
      {0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024,
       2.048, 4.096, 8.192});
  metrics::Histogram& request_bytes =
      metrics::histogram("coredns_dns_request_size_bytes",
                         "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and "
                         "protocol.",
                         {"server", "zone", "view", "proto"}, sizes());
  metrics::Histogram& reply_bytes = metrics::histogram(
      "coredns_dns_response_size_bytes", "Size of the returned response in bytes.",
      {"server", "zone", "view", "proto"}, sizes());
  metrics::Counter& cache_hits = metrics::counter(
      "coredns_cache_hits_total", "The count of cache hits.", {"server", "type", "zones", "view"});
  metrics::Counter& cache_misses = metrics::counter(
      "coredns_cache_misses_total",
      "The count of cache misses. Deprecated, derive misses from cache hits/requests "
      "counters.",
      {"server", "zones", "view"});
  metrics::Counter& cache_requests = metrics::counter(
      "coredns_cache_requests_total", "The count of cache requests.", {"server", "zones", "view"});
  metrics::Gauge& cache_entries =
      metrics::gauge("coredns_cache_entries", "The number of elements in the cache.",
                     {"server", "type", "zones", "view"});
  metrics::Histogram& forwards =
      metrics::histogram("coredns_proxy_request_duration_seconds",
                         "Histogram of the time each request took.", {"proxy_name", "to", "rcode"},
                         {0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
                          0.256, 0.512, 1.024, 2.048, 4.096, 8.192});
  metrics::Counter& rejects = metrics::counter(
      "coredns_forward_max_concurrent_rejects_total",
      "Counter of the number of queries rejected because the concurrent queries were at maximum.");
  metrics::Counter& reload_failed = metrics::counter(
      "coredns_reload_failed_total", "Counter of the number of failed reload attempts.");

  static std::vector<double> sizes() {
    return {0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3};
  }
};
Families& families() {
  static Families f;
  return f;
}

double seconds_of(Duration d) { return std::chrono::duration<double>(d).count(); }

std::string shown(std::string_view zone) {
  if (zone == kNoZone) return std::string(zone);
  return std::string(zone) + ".";
}

}  // namespace

std::string type_text(uint16_t type) {
  switch (type) {
    case kA:
      return "A";
    case kNs:
      return "NS";
    case kCname:
      return "CNAME";
    case kSoa:
      return "SOA";
    case kPtr:
      return "PTR";
    case 13:
      return "HINFO";
    case 15:
      return "MX";
    case kTxt:
      return "TXT";
    case kAaaa:
      return "AAAA";
    case kSrv:
      return "SRV";
    case 35:
      return "NAPTR";
    case 43:
      return "DS";
    case 48:
      return "DNSKEY";
    case 64:
      return "SVCB";
    case 65:
      return "HTTPS";
    case kAny:
      return "ANY";
    default:
      return "TYPE" + std::to_string(type);
  }
}

std::string rcode_text(uint8_t rcode) {
  constexpr const char* kNames[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                    "NXDOMAIN", "NOTIMP",  "REFUSED"};
  return rcode < std::size(kNames) ? kNames[rcode] : "RCODE" + std::to_string(rcode);
}

DnsMetrics::Sort& DnsMetrics::sort_of(const Asked& a) {
  const uint64_t plugin = a.plugin.empty() ? 0 : static_cast<uint8_t>(a.plugin.front());
  const uint64_t packed = plugin << 32 | uint64_t{a.rcode} << 24 | uint64_t{a.type} << 8 |
                          uint64_t{a.tcp} << 1 | uint64_t{a.v6};
  auto key = std::make_pair(std::string(a.zone), packed);
  auto it = sorts_.find(key);
  if (it != sorts_.end()) return it->second;
  Families& f = families();
  const std::string zone = shown(a.zone), proto = a.tcp ? "tcp" : "udp";
  std::string type = type_text(a.type);
  if (type.starts_with("TYPE")) type = "other";
  Sort s{};
  s.requests = &f.requests.with({kServer, zone, "", proto, a.v6 ? "2" : "1", type});
  s.responses = &f.responses.with({kServer, zone, "", rcode_text(a.rcode), std::string(a.plugin)});
  s.seconds = &f.seconds.with({kServer, zone, ""});
  s.request_bytes = &f.request_bytes.with({kServer, zone, "", proto});
  s.reply_bytes = &f.reply_bytes.with({kServer, zone, "", proto});
  return sorts_.emplace(std::move(key), s).first->second;
}

void DnsMetrics::count(const Asked& a) {
  Asked known = a;
  // Types that nobody has named are one: a client must not be able to fill the memory.
  if (type_text(a.type).starts_with("TYPE")) known.type = 0;
  Sort& s = sort_of(known);
  s.requests->add();
  s.responses->add();
  s.seconds->observe(seconds_of(a.took));
  s.request_bytes->observe(static_cast<double>(a.request_bytes));
  s.reply_bytes->observe(static_cast<double>(a.reply_bytes));
}

void DnsMetrics::cache(bool hit, std::string_view zone) {
  Families& f = families();
  f.cache_requests.with({kServer, shown(zone), ""}).add();
  if (hit) {
    f.cache_hits.with({kServer, "success", shown(zone), ""}).add();
  } else {
    f.cache_misses.with({kServer, shown(zone), ""}).add();
  }
}

void DnsMetrics::cache_entries(size_t n, std::string_view zone) {
  families().cache_entries.with({kServer, "success", shown(zone), ""}).set(static_cast<double>(n));
}

void DnsMetrics::forwarded(const std::string& to, std::string_view rcode, Duration took) {
  families().forwards.with({"forward", to, std::string(rcode)}).observe(seconds_of(took));
}

void DnsMetrics::too_many_forwards() { families().rejects.add(); }
void DnsMetrics::reload_failed() { families().reload_failed.add(); }

}  // namespace keles::dns
