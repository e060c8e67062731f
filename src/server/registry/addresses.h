// Addresses and ranges that users write into network objects, checked as upstream 1.36 does
// (StrictIPCIDRValidation, KEP-4858): no leading zeros, no IPv4 in IPv6's clothes, no host bits in
// a range. What an object already says (`existing`) is never refused.
#pragma once

#include <functional>
#include <set>
#include <string_view>

#include "machinery/validation.h"

namespace keles::registry {

using Existing = std::set<std::string_view, std::less<>>;

// Whether nothing is wrong with the address.
bool validate_ip(FieldErrors& e, const FieldPath& p, std::string_view ip,
                 const Existing& existing = {});
bool validate_cidr(FieldErrors& e, const FieldPath& p, std::string_view cidr,
                   const Existing& existing = {});
// Where traffic is sent for somebody: not unspecified, loopback, link-local or link-local
// multicast. The address is well formed.
void validate_endpoint_ip(FieldErrors& e, const FieldPath& p, std::string_view ip);
// `inner` is a part of `outer` and not all of it. Both are well formed.
bool is_strict_subset(std::string_view inner, std::string_view outer);
// status.loadBalancer.ingress of a Service or an Ingress (whose elements have no ipMode);
// `before` is null on create.
void validate_balancer_ingress(FieldErrors& e, const FieldPath& p, const Value& ingress,
                               const Value& before, bool has_mode);

}  // namespace keles::registry
