#include "server/registry/service_pools.h"

#include <algorithm>
#include <iterator>

#include "api/networking_v1.h"
#include "base/text_parts.h"
#include "server/objects/keys.h"

namespace keles::registry {

using api::networking_v1::ServiceCIDR;

namespace {

constexpr int kShortestV6 = 64;

// "True", "False", "Unknown" or "".
std::string_view readiness(const ServiceCIDR& cidr) {
  for (auto c : cidr.status().conditions()) {
    if (c.type() == "Ready") return c.status();
  }
  return "";
}

// Nothing where a range has no address to give, or is one that upstream's allocator refuses.
std::optional<ServicePool> make_pool(std::string_view text) {
  const auto range = IpPrefix::parse(text);
  if (!range || range->length >= range->whole()) return std::nullopt;
  if (range->v6() ? range->length < kShortestV6 : range->length > 30) return std::nullopt;
  return ServicePool{range->network()};
}

}  // namespace

uint64_t ServicePool::size() const {
  const int bits = range.whole() - range.length;
  if (bits >= 63) return uint64_t{1} << 63;
  return (uint64_t{1} << bits) - (range.v6() ? 1 : 2);
}

bool ServicePool::has(const IpAddress& a) const {
  if (a.v6() != range.v6() || !range.contains(a) || a == range.base) return false;
  return range.v6() || range.contains(a.plus(1));
}

Result<std::vector<ServicePool>> parse_service_ranges(std::string_view ranges) {
  const std::string flag = "--service-cluster-ip-range";
  std::vector<ServicePool> out;
  for (std::string_view part : split(ranges, ',')) {
    const std::string text(part);
    auto pool = make_pool(text);
    if (pool) {
      out.push_back(*pool);
      continue;
    }
    const auto read = IpPrefix::parse(text);
    if (!read) {
      return Status::bad_request("service-cluster-ip-range[" + std::to_string(out.size()) +
                                 "] is not a valid cidr");
    }
    if (read->v6() && read->length < kShortestV6) {
      return Status::bad_request("shortest allowed prefix length for service CIDR is 64, got " +
                                 std::to_string(read->length));
    }
    return Status::bad_request(flag + ": " + text + " has no address for a service");
  }
  if (out.size() > 2) return Status::bad_request(flag + " must not contain more than two entries");
  if (out.size() == 2 && out[0].range.v6() == out[1].range.v6()) {
    return Status::bad_request(flag + "[0] and " + flag + "[1] must be of different IP family");
  }
  return out;
}

IpFamilies families_of(const std::vector<ServicePool>& own) {
  const bool v6 = own.front().range.v6();
  if (own.size() == 1) return v6 ? IpFamilies::kV6 : IpFamilies::kV4;
  return v6 ? IpFamilies::kV6ThenV4 : IpFamilies::kV4ThenV6;
}

std::vector<ServicePool> service_pools(const StoreSnapshot& snapshot,
                                       const std::vector<ServicePool>& own, bool v6) {
  std::vector<ServicePool> first, others;
  bool has_default = false;
  const std::string prefix = kind_prefix(kind_of<ServiceCIDR>());
  snapshot.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    const Ref<ServiceCIDR> cidr = read<ServiceCIDR>(o);
    const bool is_default = o->name() == kDefaultServiceCidr;
    has_default = has_default || is_default;
    if (!cidr->metadata().deletion_timestamp().empty()) return true;
    const std::string_view ready = readiness(*cidr);
    // One that nobody has judged yet counts as ready, as upstream's allocator takes it.
    if (!ready.empty() && ready != "True") return true;
    for (std::string_view text : cidr->spec().cidrs()) {
      auto pool = make_pool(text);
      if (pool && pool->range.v6() == v6) (is_default ? first : others).push_back(*pool);
    }
    return true;
  });
  if (!has_default) {
    std::copy_if(own.begin(), own.end(), std::back_inserter(first),
                 [v6](const ServicePool& p) { return p.range.v6() == v6; });
  }
  first.insert(first.end(), others.begin(), others.end());
  return first;
}

}  // namespace keles::registry
