#include "server/registry/service_pools.h"

#include "api/networking_v1.h"
#include "base/ip.h"
#include "server/objects/keys.h"

namespace keles::registry {

using api::networking_v1::ServiceCIDR;

namespace {

// "True", "False", "Unknown" or "".
std::string_view readiness(const ServiceCIDR& cidr) {
  for (auto c : cidr.status().conditions()) {
    if (c.type() == "Ready") return c.status();
  }
  return "";
}

}  // namespace

ServicePool ServicePool::parse(std::string_view cidr) {
  ServicePool out;
  auto range = IpPrefix::parse(cidr);
  if (!range || range->v6() || range->length < 8 || range->length > 30) return out;
  out.base = range->network().base.v4_value();
  out.size = uint64_t{1} << (32 - range->length);
  out.text = cidr;
  return out;
}

std::vector<ServicePool> service_pools(const StoreSnapshot& snapshot, const ServicePool& own) {
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
      ServicePool pool = ServicePool::parse(text);
      if (pool.size > 0) (is_default ? first : others).push_back(std::move(pool));
    }
    return true;
  });
  if (!has_default) first.push_back(own);
  first.insert(first.end(), others.begin(), others.end());
  return first;
}

}  // namespace keles::registry
