// ServiceCIDRs and IPAddresses: what service addresses are taken from, and which are taken.
#include "api/networking_v1.h"
#include "base/ip.h"
#include "server/registry/addresses.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

using api::networking_v1::IPAddress;
using api::networking_v1::ParentReference;
using api::networking_v1::ServiceCIDR;
using api::networking_v1::ServiceCIDRSpec;

const FieldPath kSpec("spec");
const FieldPath kRanges = kSpec["cidrs"];

// --- ServiceCIDR --------------------------------------------------------------------------------

void validate_canonical_cidr(FieldErrors& e, const FieldPath& p, std::string_view cidr) {
  if (!validate_cidr(e, p, cidr)) return;
  const auto read = IpPrefix::parse(cidr);
  if (read && read->text() != cidr) {
    field::invalid(e, p, cidr, "must be in canonical form (" + quoted(read->text()) + ")");
  }
}

void validate_spec(FieldErrors& e, const ServiceCIDRSpec& spec) {
  const auto ranges = spec.cidrs();
  if (ranges.empty()) return field::required(e, kRanges, "at least one CIDR required");
  if (ranges.size() > 2) {
    return invalid_as(e, kRanges, struct_text(spec), "may only hold up to 2 values");
  }
  for (size_t i = 0; i < ranges.size(); ++i) validate_canonical_cidr(e, kRanges[i], ranges[i]);
  if (ranges.size() < 2) return;
  const auto first = IpPrefix::parse_sloppy(ranges[0]), second = IpPrefix::parse_sloppy(ranges[1]);
  if (first && second && first->prefix.v6() == second->prefix.v6()) {
    field::invalid(e, kRanges, ranges.value(),
                   "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
                   "2001:db8::/64");
  }
}

void validate_range(const HookContext&, const Value& now, FieldErrors& e) {
  validate_spec(e, ServiceCIDR(now).spec());
}

// A second range, of the other family, may be added.
void validate_range_update(const HookContext&, const Value& now, const Value& before,
                           FieldErrors& e) {
  constexpr const char* kKept = "field is immutable";
  const ServiceCIDRSpec spec = ServiceCIDR(now).spec();
  const auto is = spec.cidrs(), was = ServiceCIDR(before).spec().cidrs();
  if (is.size() == was.size()) {
    for (size_t i = 0; i < is.size(); ++i) {
      if (is[i] != was[i]) field::invalid(e, kRanges[i], is[i], kKept);
    }
  } else if (was.size() == 1 && is.size() == 2) {
    if (is[0] != was[0]) field::invalid(e, kRanges[0], is[0], kKept);
    validate_spec(e, spec);
  } else {
    field::invalid(e, kRanges, is.value(), kKept);
  }
}

// --- IPAddress ----------------------------------------------------------------------------------

Messages check_address_name(std::string_view name, bool) {
  FieldErrors e;
  if (validate_ip(e, FieldPath(), name)) {
    const auto read = IpAddress::parse(name);
    if (read && read->text() != name) {
      return {"must be in canonical form (" + quoted(read->text()) + ")"};
    }
    return {};
  }
  Messages out;
  for (const StatusCause& c : e) {
    out.push_back(c.message.substr(std::string("Invalid value: : ").size() + quoted(name).size()));
  }
  return out;
}

void validate_parent(FieldErrors& e, const ParentReference& ref) {
  const FieldPath p = kSpec["parentRef"];
  if (!ref) return field::required(e, p);
  for (const char* f : {"group", "resource", "name", "namespace"}) described(e, p, ref, f);
}

void validate_address(const HookContext&, const Value& now, FieldErrors& e) {
  validate_parent(e, IPAddress(now).spec().parent_ref());
}

void validate_address_update(const HookContext& ctx, const Value& now, const Value& before,
                             FieldErrors& e) {
  validate_address(ctx, now, e);
  validate_object_meta_update(e, now["metadata"], before["metadata"], true);
  const auto ref = IPAddress(now).spec().parent_ref();
  if (!ref.value().equals(IPAddress(before).spec().parent_ref().value())) {
    invalid_as(e, kSpec["parentRef"], ref ? struct_text(ref) : "null", "field is immutable");
  }
}

void service_cidr_cells(const HookContext& ctx, const Value& o, Cells& out) {
  std::vector<std::string> cidrs;
  for (const Value& c : o["spec"]["cidrs"].items()) cidrs.emplace_back(c.as_string());
  CellWriter(ctx, out).text("CIDRs", joined(cidrs));
}

void ip_address_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& ref = o["spec"]["parentRef"];
  std::string text = "<none>";
  if (!ref.is_null()) {
    text = std::string(ref["resource"].as_string());
    if (!ref["group"].as_string().empty()) text += "." + std::string(ref["group"].as_string());
    text += "/";
    if (!ref["namespace"].as_string().empty()) {
      text += std::string(ref["namespace"].as_string()) + "/";
    }
    text += std::string(ref["name"].as_string());
  }
  CellWriter(ctx, out).text("ParentRef", text);
}

}  // namespace

extern const Strategy kServiceCidrStrategy{.prepare_for_status_update = take_only_status,
                                           .validate = validate_range,
                                           .validate_update = validate_range_update,
                                           .validates_update_whole = true,
                                           .described = false,
                                           .metadata_again = MetadataAgain::kChange,
                                           .status_metadata_again = MetadataAgain::kChange,
                                           .cells = service_cidr_cells};
extern const Strategy kIpAddressStrategy{.validate = validate_address,
                                         .validate_update = validate_address_update,
                                         .validate_name = check_address_name,
                                         .validates_update_whole = true,
                                         .described = false,
                                         .metadata_again = MetadataAgain::kWhole,
                                         .cells = ip_address_cells};

}  // namespace keles::registry
