// clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy: four fields that say one thing.
#include "server/registry/service_families.h"

#include <set>

#include "base/ip.h"
#include "server/objects/meta.h"
#include "server/registry/addresses.h"
#include "server/registry/checks.h"

namespace keles::registry {
namespace {

using api::core_v1::Service;
using api::core_v1::ServiceSpec;

const FieldPath kSpec("spec");
const FieldPath kIps = kSpec["clusterIPs"];
const FieldPath kFamilies = kSpec["ipFamilies"];
const FieldPath kPolicy = kSpec["ipFamilyPolicy"];
constexpr std::string_view kNone = "None", kSingle = "SingleStack", kRequire = "RequireDualStack",
                           kPrefer = "PreferDualStack";

bool is_v6(std::string_view ip) {
  auto read = IpAddress::parse_sloppy(ip);
  return read && read->address.v6() && !read->address.is_v4_mapped();
}
std::string_view family_of(std::string_view ip) { return is_v6(ip) ? "IPv6" : "IPv4"; }

bool same(const View& a, const View& b) {
  if (a.value().empty() && b.value().empty()) return true;
  return a.value().equals(b.value());
}

// Nothing that concerns families changed in a Service that takes what the cluster has.
bool keeps_preference(const ServiceSpec& now, const ServiceSpec& old) {
  return now.ip_family_policy() == kPrefer && old.type() == now.type() &&
         (!old.has_ip_family_policy() || old.ip_family_policy() == kPrefer) &&
         now.cluster_ip() == old.cluster_ip() && same(now.cluster_ips(), old.cluster_ips()) &&
         same(now.ip_families(), old.ip_families());
}

// Whether `now` names fewer than `old`; none is no wish.
bool is_reduced(const List<std::string_view>& now, const List<std::string_view>& old) {
  return !now.empty() && now.size() < old.size();
}

// The form of each of the lists; false where an address is none.
bool validate_forms(FieldErrors& e, const ServiceSpec& spec, const ServiceSpec* old) {
  const auto ips = spec.cluster_ips();
  if (!spec.cluster_ip().empty()) {
    if (ips.empty()) {
      field::required(e, kIps);
    } else if (ips[0] != spec.cluster_ip()) {
      field::invalid(e, kIps, ips.value(), "first value must match `clusterIP`");
    }
  } else if (!ips.empty()) {
    field::invalid(e, kIps, ips.value(), "must be empty when `clusterIP` is not specified");
  }
  std::set<std::string_view> seen;
  size_t i = 0;
  for (std::string_view family : spec.ip_families()) {
    const FieldPath at = kFamilies[i++];
    check_known(e, at, family, {"IPv4", "IPv6"});
    if (!seen.insert(family).second) field::duplicate(e, at, family);
  }
  if (spec.has_ip_family_policy()) {
    check_known(e, kPolicy, spec.ip_family_policy(), {kPrefer, kRequire, kSingle});
  }
  Existing existing;
  if (old) {
    for (std::string_view ip : old->cluster_ips()) existing.insert(ip);
  }
  bool fine = true;
  for (i = 0; i < ips.size(); ++i) {
    if (i == 0 && ips[i] == kNone) {
      if (ips.size() == 1) continue;
      field::invalid(e, kIps, ips.value(), "'None' must be the first and only value");
      fine = false;
    } else if (!validate_ip(e, kIps[i], ips[i], existing)) {
      fine = false;
    }
  }
  if (ips.size() > 2) field::invalid(e, kIps, ips.value(), "may only hold up to 2 values");
  return fine;
}

}  // namespace

bool is_headless(const ServiceSpec& spec) {
  return spec.cluster_ips().size() == 1 && spec.cluster_ips()[0] == kNone;
}

void validate_cluster_ips(FieldErrors& e, const ServiceSpec& spec, const ServiceSpec* old) {
  if (spec.type() == "ExternalName") return;
  if (!validate_forms(e, spec, old)) return;
  const auto ips = spec.cluster_ips(), families = spec.ip_families();
  if (ips.size() > 1) {
    bool v4 = false, v6 = false;
    for (std::string_view ip : ips) (is_v6(ip) ? v6 : v4) = true;
    if (!v4 || !v6) {
      field::invalid(e, kIps, ips.value(), "may specify no more than one IP for each IP family");
    }
  }
  if (is_headless(spec)) return;
  for (size_t i = 0; i < ips.size() && i < families.size(); ++i) {
    if ((families[i] == "IPv4" && is_v6(ips[i])) || (families[i] == "IPv6" && !is_v6(ips[i]))) {
      field::invalid(e, kIps[i], ips[i],
                     "expected an " + std::string(families[i]) +
                         " value as indicated by `ipFamilies[" + std::to_string(i) + "]`");
    }
  }
}

void prepare_ip_families(Document& now, const Value* before, IpFamilies families) {
  if (now.root["spec"]["type"].as_string() == "ExternalName") return;
  api::core_v1::ServiceEdit edit(EditTarget{&now.root, &now.arena});
  auto spec = edit.edit_spec();
  if (!before && !spec.cluster_ip().empty() && spec.cluster_ips().empty()) {
    const std::string_view ip = spec.cluster_ip();
    spec.edit_cluster_ips().add(ip);
  }
  const ServiceSpec old = before ? Service(*before).spec() : ServiceSpec();
  if (before && keeps_preference(spec, old)) return;
  const bool free = spec.cluster_ip() == kNone && spec.selector().empty();
  if (!spec.has_ip_family_policy()) {
    const std::string_view policy = before && old.has_ip_family_policy() ? old.ip_family_policy()
                                    : free                               ? kRequire
                                                                         : kSingle;
    spec.set_ip_family_policy(policy);
  }
  FieldErrors ill;
  validate_cluster_ips(ill, spec, before ? &old : nullptr);
  if (!ill.empty()) return;  // told by validation
  if (before && spec.ip_family_policy() == kSingle) {
    // A clear wish: the second of what did not change is given up.
    if (spec.cluster_ips().size() > 1 && same(spec.cluster_ips(), old.cluster_ips())) {
      spec.edit_cluster_ips().erase_at(1);
    }
    if (spec.ip_families().size() > 1 && same(spec.ip_families(), old.ip_families())) {
      spec.edit_ip_families().erase_at(1);
    }
  } else if (before && (is_reduced(spec.cluster_ips(), old.cluster_ips()) ||
                        is_reduced(spec.ip_families(), old.ip_families()))) {
    return;  // told by validation
  }
  for (size_t i = spec.ip_families().size(); i < spec.cluster_ips().size(); ++i) {
    const std::string_view ip = spec.cluster_ips()[i];
    if (ip == kNone) break;
    if (!is_configured(families, family_of(ip))) return;
    spec.edit_ip_families().add(family_of(ip));
  }
  if (spec.ip_families().empty()) spec.edit_ip_families().add(default_family(families));
  // One that leads wherever its endpoints are has both anywhere.
  const bool both = free || is_dual(families);
  if (both && spec.ip_families().size() == 1 && spec.ip_family_policy() != kSingle) {
    const bool v4 = spec.ip_families()[0] == "IPv4";
    spec.edit_ip_families().add(v4 ? "IPv6" : "IPv4");
  }
}

bool validate_families(FieldErrors& e, const ServiceSpec& spec, const ServiceSpec* old,
                       IpFamilies served) {
  if (spec.type() == "ExternalName" || (old && keeps_preference(spec, *old))) return true;
  const size_t had = e.size();
  validate_cluster_ips(e, spec, old);
  if (e.size() != had) return false;
  const auto ips = spec.cluster_ips(), families = spec.ip_families();
  const Value& policy = spec.value()["ipFamilyPolicy"];
  const bool single = spec.ip_family_policy() == kSingle;
  auto refuse = [&](std::string detail) { field::invalid(e, kPolicy, policy, std::move(detail)); };
  if (old && !single) {
    if (is_reduced(ips, old->cluster_ips())) {
      refuse("must be 'SingleStack' to release the secondary cluster IP");
    }
    if (is_reduced(families, old->ip_families())) {
      refuse("must be 'SingleStack' to release the secondary IP family");
    }
  }
  const char* several = "must be 'RequireDualStack' or 'PreferDualStack' when multiple ";
  if (single && ips.size() == 2) refuse(std::string(several) + "cluster IPs are specified");
  if (single && families.size() == 2) refuse(std::string(several) + "IP families are specified");
  for (size_t i = families.size(); i < ips.size() && ips[i] != kNone; ++i) {
    if (is_configured(served, family_of(ips[i]))) continue;
    field::invalid(e, kIps[i], ips.value(),
                   std::string(family_of(ips[i])) + " is not configured on this cluster");
  }
  if (e.size() != had) return false;
  if (spec.cluster_ip() == kNone && spec.selector().empty()) return true;
  if (spec.ip_family_policy() == kRequire && !is_dual(served)) {
    refuse("this cluster is not configured for dual-stack services");
  }
  size_t i = 0;
  for (std::string_view family : families) {
    if (!is_configured(served, family)) {
      field::invalid(e, kFamilies[i], family, "not configured on this cluster");
    }
    ++i;
  }
  return e.size() == had;
}

namespace {

constexpr const char* kKept = "may not change once set";

void validate_ips_change(FieldErrors& e, const ServiceSpec& spec, const ServiceSpec& old) {
  const auto now = spec.cluster_ips(), was = old.cluster_ips();
  auto kept = [&](size_t i) { field::invalid(e, kIps[i], now.value(), kKept); };
  if (was.size() == now.size()) {
    for (size_t i = 0; i < now.size(); ++i) {
      if (was[i] != now[i]) kept(i);
    }
    return;
  }
  if (!was.empty() && !now.empty() && now[0] != was[0]) kept(0);
  if (was.size() < now.size()) return;
  if (now.empty()) {
    field::invalid(e, kIps[0], now.value(), "primary clusterIP can not be unset");
  }
  if (now.size() == 1 && spec.ip_family_policy() != kSingle) {
    field::invalid(e, kPolicy, spec.value()["ipFamilyPolicy"],
                   "must be set to 'SingleStack' when releasing the secondary clusterIP");
  }
}

void validate_families_change(FieldErrors& e, const ServiceSpec& spec, const ServiceSpec& old) {
  const auto now = spec.ip_families(), was = old.ip_families();
  const Value& ips = spec.value()["clusterIPs"];
  if (was.size() == now.size()) {
    for (size_t i = 0; i < now.size(); ++i) {
      if (was[i] != now[i]) field::invalid(e, kFamilies[0], now.value(), kKept);
    }
    return;
  }
  if (was.size() > now.size() && spec.cluster_ips().empty()) {
    field::invalid(e, kFamilies[0], now.value(), "primary ipFamily can not be unset");
  }
  if (!was.empty() && !now.empty() && now[0] != was[0]) {
    field::invalid(e, kFamilies[0], ips, kKept);
  }
  if (was.size() > now.size() && now.size() == 1 && spec.ip_family_policy() != kSingle) {
    field::invalid(e, kPolicy, spec.value()["ipFamilyPolicy"],
                   "must be set to 'SingleStack' when releasing the secondary ipFamily");
  }
}

}  // namespace

void validate_address_change(FieldErrors& e, const ServiceSpec& spec, const ServiceSpec& old) {
  if (spec.type() == "ExternalName" || old.type() == "ExternalName") return;
  const bool is = is_headless(spec), was = is_headless(old);
  if (!is || !was) validate_ips_change(e, spec, old);
  if (!is && !was) validate_families_change(e, spec, old);
}

}  // namespace keles::registry
