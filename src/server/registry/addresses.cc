#include "server/registry/addresses.h"

#include <string>

#include "base/ip.h"

namespace keles::registry {
bool validate_ip(FieldErrors& e, const FieldPath& p, std::string_view ip,
                 const Existing& existing) {
  if (existing.contains(ip)) return true;
  auto read = IpAddress::parse_sloppy(ip);
  if (!read) {
    field::invalid(e, p, ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
  } else if (read->leading_zeros) {
    field::invalid(e, p, ip, "must not have leading 0s");
  } else if (read->address.is_v4_mapped()) {
    field::invalid(e, p, ip, "must not be an IPv4-mapped IPv6 address");
  } else {
    return true;
  }
  return false;
}

bool validate_cidr(FieldErrors& e, const FieldPath& p, std::string_view cidr,
                   const Existing& existing) {
  if (existing.contains(cidr)) return true;
  auto read = IpPrefix::parse_sloppy(cidr);
  if (!read) {
    field::invalid(e, p, cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
  } else if (read->leading_zeros) {
    field::invalid(e, p, cidr, "must not have leading 0s in IP or prefix length");
  } else if (read->prefix.base.is_v4_mapped()) {
    field::invalid(e, p, cidr, "must not have an IPv4-mapped IPv6 address");
  } else if (read->prefix.has_host_bits()) {
    field::invalid(e, p, cidr, "must not have bits set beyond the prefix length");
  } else {
    return true;
  }
  return false;
}

void validate_endpoint_ip(FieldErrors& e, const FieldPath& p, std::string_view ip) {
  auto read = IpAddress::parse_sloppy(ip);
  if (!read) {
    field::invalid(e, p, ip, "must be a valid IP address");
    return;
  }
  const IpAddress a = read->address.unmapped();
  if (a.is_unspecified()) {
    field::invalid(e, p, ip, "may not be unspecified (" + std::string(ip) + ")");
  }
  if (a.is_loopback()) {
    field::invalid(e, p, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
  }
  if (a.is_link_local()) {
    field::invalid(e, p, ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  }
  if (a.is_link_local_multicast()) {
    field::invalid(e, p, ip,
                   "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  }
}

bool is_strict_subset(std::string_view inner, std::string_view outer) {
  auto in = IpPrefix::parse_sloppy(inner), out = IpPrefix::parse_sloppy(outer);
  return in && out && out->prefix.length < in->prefix.length && out->prefix.contains(in->prefix);
}

void validate_balancer_ingress(FieldErrors& e, const FieldPath& p, const Value& ingress,
                               const Value& before, bool has_mode) {
  Existing existing;
  for (const Value& i : before.items()) {
    if (!i["ip"].as_string().empty()) existing.insert(i["ip"].as_string());
  }
  size_t n = 0;
  for (const Value& i : ingress.items()) {
    const FieldPath at = p[n++];
    const std::string_view ip = i["ip"].as_string(), hostname = i["hostname"].as_string();
    const std::string_view mode = i["ipMode"].as_string();
    if (!ip.empty()) validate_ip(e, at["ip"], ip, existing);
    if (has_mode) {
      if (i["ipMode"].is_null()) {
        if (!ip.empty()) field::required(e, at["ipMode"], "must be specified when `ip` is set");
      } else if (ip.empty()) {
        field::forbidden(e, at["ipMode"], "may not be specified when `ip` is not set");
      } else if (mode != "VIP" && mode != "Proxy") {
        field::not_supported(e, at["ipMode"], mode, {"Proxy", "VIP"});
      }
    }
    if (hostname.empty()) continue;
    field::invalid_each(e, at["hostname"], hostname, check_dns1123_subdomain(hostname));
    if (IpAddress::parse_sloppy(hostname)) {
      field::invalid(e, at["hostname"], hostname, "must be a DNS name, not an IP address");
    }
  }
}

}  // namespace keles::registry
