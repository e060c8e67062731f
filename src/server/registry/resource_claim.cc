// ResourceClaims, their templates, DeviceClasses.
#include <map>

#include "base/ip.h"
#include "machinery/validation.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/cells.h"
#include "server/registry/devices.h"
#include "server/registry/node_selector.h"
#include "server/registry/strategy.h"
#include "store/store.h"

namespace keles::registry {
namespace {

using api::resource_v1::AllocatedDeviceStatus;
using api::resource_v1::AllocationResult;
using api::resource_v1::DeviceAllocationConfiguration;
using api::resource_v1::DeviceClaim;
using api::resource_v1::DeviceClaimConfiguration;
using api::resource_v1::DeviceClass;
using api::resource_v1::DeviceConstraint;
using api::resource_v1::DeviceRequest;
using api::resource_v1::DeviceRequestAllocationResult;
using api::resource_v1::DeviceSubRequest;
using api::resource_v1::ExactDeviceRequest;
using api::resource_v1::ResourceClaim;
using api::resource_v1::ResourceClaimConsumerReference;
using api::resource_v1::ResourceClaimSpec;
using api::resource_v1::ResourceClaimTemplate;

const FieldPath kSpec("spec");
const FieldPath kStatus("status");
constexpr size_t kMostRequests = 32, kMostConstraints = 32, kMostConfigs = 32;

std::string own_text(std::string_view s) { return std::string(s); }

// --- requests -----------------------------------------------------------------------------------

// Names of requests, each with those of its alternatives.
using RequestNames = std::map<std::string_view, std::set<std::string_view>>;

RequestNames request_names(const DeviceClaim& claim) {
  RequestNames out;
  for (const DeviceRequest& r : claim.requests()) {
    std::set<std::string_view>& subs = out[r.name()];
    subs.clear();
    for (const DeviceSubRequest& s : r.first_available()) subs.insert(s.name());
  }
  return out;
}

void validate_label_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  field::invalid_each(e, p, name, check_dns1123_label(name));
}

void validate_request_reference(FieldErrors& e, const FieldPath& p, std::string_view name,
                                const RequestNames& names) {
  constexpr const char* kForm =
      "must be the name of a request in the claim or the name of a request and a subrequest "
      "separated by '/'";
  const size_t slash = name.find('/');
  const std::string_view request = name.substr(0, slash),
                         sub = slash == name.npos ? "" : name.substr(slash + 1);
  if (sub.find('/') != sub.npos) return field::invalid(e, p, name, kForm);
  validate_label_name(e, p, request);
  if (slash != name.npos) validate_label_name(e, p, sub);
  auto found = names.find(request);
  const bool known = found != names.end() && (slash == name.npos || found->second.count(sub) != 0);
  if (!known) field::invalid(e, p, name, kForm);
}

void validate_references(FieldErrors& e, const FieldPath& p, const List<std::string_view>& list,
                         const RequestNames& names) {
  validate_distinct(
      e, p, list, kMostRequests,
      [&](const FieldPath& at, std::string_view name) {
        validate_request_reference(e, at, name, names);
      },
      own_text);
}

// What an exact request and an alternative have in common.
template <class Request>
void validate_wanted(FieldErrors& e, const FieldPath& p, const Request& r) {
  check_name(e, p["deviceClassName"], r.device_class_name(), check_dns1123_subdomain);
  validate_selectors(e, p["selectors"], r.selectors());
  const std::string_view mode = r.allocation_mode();
  if (mode == "All") {
    if (r.count() != 0) {
      field::invalid(e, p["count"], r.count(),
                     "must not be specified when allocationMode is 'All'");
    }
  } else if (mode == "ExactCount") {
    if (r.count() <= 0) field::invalid(e, p["count"], r.count(), "must be greater than zero");
  } else {
    field::not_supported(e, p["allocationMode"], mode, {"All", "ExactCount"});
  }
  size_t i = 0;
  for (const auto& t : r.tolerations()) validate_device_toleration(e, p["tolerations"][i++], t);
}

void validate_request(FieldErrors& e, const FieldPath& p, const DeviceRequest& r) {
  constexpr size_t kMostAlternatives = 8;
  validate_label_name(e, p["name"], r.name());
  const bool alternatives = !r.first_available().empty();
  if (alternatives && r.has_exactly()) {
    invalid_as(e, p, "null",
               "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are "
               "set");
  } else if (alternatives) {
    validate_distinct(
        e, p["firstAvailable"], r.first_available(), kMostAlternatives,
        [&](const FieldPath& at, const DeviceSubRequest& s) {
          validate_label_name(e, at["name"], s.name());
          validate_wanted(e, at, s);
        },
        [](const DeviceSubRequest& s) { return s.name(); });
  } else if (r.has_exactly()) {
    validate_wanted(e, p["exactly"], r.exactly());
  } else {
    field::required(e, p, "exactly one of `exactly` or `firstAvailable` is required");
  }
}

void validate_constraint(FieldErrors& e, const FieldPath& p, const DeviceConstraint& c,
                         const RequestNames& names) {
  validate_references(e, p["requests"], c.requests(), names);
  if (c.has_match_attribute()) {
    validate_full_attribute_name(e, p["matchAttribute"], c.match_attribute());
  } else if (c.has_distinct_attribute()) {
    validate_full_attribute_name(e, p["distinctAttribute"], c.distinct_attribute());
  } else {
    field::required(e, p,
                    "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but "
                    "multiple fields are set");
  }
}

void validate_claim_spec(FieldErrors& e, const FieldPath& spec, const ResourceClaimSpec& claim) {
  const DeviceClaim devices = claim.devices();
  const FieldPath p = spec["devices"];
  const RequestNames names = request_names(devices);
  validate_distinct(
      e, p["requests"], devices.requests(), kMostRequests,
      [&](const FieldPath& at, const DeviceRequest& r) { validate_request(e, at, r); },
      [](const DeviceRequest& r) { return r.name(); });
  validate_up_to(e, p["constraints"], devices.constraints(), kMostConstraints,
                 [&](const FieldPath& at, const DeviceConstraint& c) {
                   validate_constraint(e, at, c, names);
                 });
  validate_up_to(e, p["config"], devices.config(), kMostConfigs,
                 [&](const FieldPath& at, const DeviceClaimConfiguration& c) {
                   validate_references(e, at["requests"], c.requests(), names);
                   validate_opaque(e, at["opaque"], c.opaque());
                 });
}

// --- administrators' access ---------------------------------------------------------------------

// Only in a namespace that says so.
void validate_admin_access(const HookContext& ctx, FieldErrors& e, const FieldPath& p) {
  constexpr std::string_view kLabel = "resource.kubernetes.io/admin-access";
  static const KindDesc* const kNamespace = find_kind("", "v1", "Namespace");
  if (!ctx.state) return;
  const ObjectPtr ns = ctx.state->get(object_key(*kNamespace, "", ctx.namespace_));
  if (ns && metadata(ns->tree()->root)["labels"][kLabel].as_string() == "true") return;
  field::forbidden(e, p,
                   "admin access to devices requires the `" + std::string(kLabel) +
                       ": true` label on the containing namespace");
}

void validate_admin_requests(const HookContext& ctx, FieldErrors& e, const DeviceClaim& claim) {
  size_t i = 0;
  for (const DeviceRequest& r : claim.requests()) {
    if (r.exactly().admin_access()) {
      return validate_admin_access(ctx, e, kSpec["devices"]["requests"][i]["adminAccess"]);
    }
    ++i;
  }
}

// --- ResourceClaim ------------------------------------------------------------------------------

void validate_claim(const HookContext& ctx, const Value& now, FieldErrors& e) {
  const ResourceClaimSpec spec = ResourceClaim(now).spec();
  validate_admin_requests(ctx, e, spec.devices());
  validate_claim_spec(e, kSpec, spec);
}

void keep_spec(FieldErrors& e, const Value& now, const Value& before, const std::string& shown) {
  if (!now["spec"].equals(before["spec"])) invalid_as(e, kSpec, shown, "field is immutable");
}

void validate_claim_update(const HookContext&, const Value& now, const Value& before,
                           FieldErrors& e) {
  keep_spec(e, now, before, struct_text(ResourceClaim(now).spec()));
}

void validate_result(FieldErrors& e, const FieldPath& p, const DeviceRequestAllocationResult& r,
                     const RequestNames& names) {
  validate_request_reference(e, p["request"], r.request(), names);
  validate_device_driver(e, p["driver"], r.driver());
  validate_pool_name(e, p["pool"], r.pool());
  validate_label_name(e, p["device"], r.device());
  validate_binding_conditions(e, p, r.binding_conditions(), r.binding_failure_conditions());
  if (r.has_share_id()) validate_share_id(e, p["shareID"], r.share_id());
}

void validate_allocation(FieldErrors& e, const FieldPath& p, const AllocationResult& allocation,
                         const RequestNames& names) {
  const auto devices = allocation.devices();
  const FieldPath at = p["devices"];
  validate_up_to(e, at["results"], devices.results(), kMostRequests,
                 [&](const FieldPath& here, const DeviceRequestAllocationResult& r) {
                   validate_result(e, here, r, names);
                 });
  validate_up_to(e, at["config"], devices.config(), 2 * kMostConfigs,
                 [&](const FieldPath& here, const DeviceAllocationConfiguration& c) {
                   check_word(e, here["source"], c.source(), {"FromClaim", "FromClass"});
                   validate_references(e, here["requests"], c.requests(), names);
                   validate_opaque(e, here["opaque"], c.opaque());
                 });
  if (allocation.has_node_selector()) {
    validate_node_terms(e, p["nodeSelector"], allocation.node_selector());
  }
}

// Driver, pool, device and share, as one text.
template <class Device>
std::string device_id(const Device& d) {
  return "{\"Driver\":" + quoted(d.driver()) + ",\"Pool\":" + quoted(d.pool()) +
         ",\"Device\":" + quoted(d.device()) + ",\"ShareID\":" + quoted(d.share_id()) + "}";
}

// "192.168.1.5/24", in the form that it would be printed.
void validate_interface_address(FieldErrors& e, const FieldPath& p, std::string_view text) {
  auto read = IpPrefix::parse_sloppy(text);
  if (!read) {
    field::invalid(e, p, text,
                   "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
    return;
  }
  const bool mapped = read->prefix.base.is_v4_mapped();
  const int length = read->prefix.length - (mapped ? 96 : 0);
  const std::string canonical = read->prefix.base.unmapped().text() + "/" + std::to_string(length);
  if (canonical != text) {
    field::invalid(e, p, text, "must be in canonical form (" + quoted(canonical) + ")");
  }
}

void validate_device_status(FieldErrors& e, const FieldPath& p, const AllocatedDeviceStatus& d,
                            const std::set<std::string>& allocated) {
  constexpr size_t kMostConditions = 8, kMostData = 10 * 1024, kMostName = 256, kMostHardware = 128,
                   kMostIps = 16;
  validate_device_driver(e, p["driver"], d.driver());
  validate_pool_name(e, p["pool"], d.pool());
  validate_label_name(e, p["device"], d.device());
  if (d.has_share_id()) validate_share_id(e, p["shareID"], d.share_id());
  if (const std::string id = device_id(d); !allocated.count(id)) {
    invalid_as(e, p, id, "must be an allocated device in the claim");
  }
  if (d.conditions().size() > kMostConditions) {
    field::too_many(e, p["conditions"], d.conditions().size(), kMostConditions);
  }
  validate_conditions(e, p["conditions"], d.conditions().value());
  if (!d.data().is_null()) validate_raw_object(e, p["data"], d.data(), kMostData);
  const auto network = d.network_data();
  const FieldPath at = p["networkData"];
  if (network.interface_name().size() > kMostName) {
    field::too_long(e, at["interfaceName"], kMostName);
  }
  if (network.hardware_address().size() > kMostHardware) {
    field::too_long(e, at["hardwareAddress"], kMostHardware);
  }
  validate_distinct(
      e, at["ips"], network.ips(), kMostIps,
      [&](const FieldPath& here, std::string_view ip) { validate_interface_address(e, here, ip); },
      own_text);
}

void validate_reserved(FieldErrors& e, const ResourceClaim& claim, const ResourceClaim& old) {
  const FieldPath p = kStatus["reservedFor"];
  const auto reserved = claim.status().reserved_for();
  if (reserved.empty()) return;
  if (!claim.status().has_allocation()) {
    return field::forbidden(e, p, "may not be specified when `allocated` is not set");
  }
  if (claim.metadata().deletion_timestamp().empty()) return;
  for (const auto& consumer : reserved) {
    bool known = false;
    for (const auto& o : old.status().reserved_for()) {
      known = known || o.value().equals(consumer.value());
    }
    if (known) continue;
    return field::forbidden(e, p,
                            "new entries may not be added while `deallocationRequested` or "
                            "`deletionTimestamp` are set");
  }
}

void validate_claim_status(const HookContext& ctx, const Value& now, const Value& before,
                           FieldErrors& e) {
  constexpr size_t kMostConsumers = 256;
  const ResourceClaim claim(now), old(before);
  const auto status = claim.status();
  const auto results = status.allocation().devices().results();
  auto admin = [](const List<DeviceRequestAllocationResult>& list) {
    size_t i = 0;
    for (const auto& r : list) {
      if (r.admin_access()) return i;
      ++i;
    }
    return std::string::npos;
  };
  if (const size_t at = admin(results);
      at != std::string::npos &&
      admin(old.status().allocation().devices().results()) == std::string::npos) {
    validate_admin_access(ctx, e, kStatus["allocation"]["devices"]["results"][at]["adminAccess"]);
  }
  validate_object_meta_update(e, now["metadata"], before["metadata"], true);
  validate_distinct(
      e, kStatus["reservedFor"], status.reserved_for(), kMostConsumers,
      [&](const FieldPath& at, const ResourceClaimConsumerReference& r) {
        if (r.resource().empty()) field::required(e, at["resource"]);
        if (r.name().empty()) field::required(e, at["name"]);
        if (r.uid().empty()) field::required(e, at["uid"]);
      },
      [](const ResourceClaimConsumerReference& r) { return r.uid(); });
  std::set<std::string> allocated;
  for (const auto& r : results) allocated.insert(device_id(r));
  validate_distinct(
      e, kStatus["devices"], status.devices(), std::string::npos,
      [&](const FieldPath& at, const AllocatedDeviceStatus& d) {
        validate_device_status(e, at, d, allocated);
      },
      [](const AllocatedDeviceStatus& d) { return device_id(d); });
  validate_reserved(e, claim, old);
  if (!status.has_allocation()) return;
  const FieldPath at = kStatus["allocation"];
  if (!old.status().has_allocation()) {
    validate_allocation(e, at, status.allocation(), request_names(claim.spec().devices()));
  } else if (!status.allocation().value().equals(old.status().allocation().value())) {
    invalid_as(e, at, struct_text(status.allocation()), "field is immutable");
  }
}

// What was said of devices that the claim no longer has goes with them.
void prepare_claim_status(const HookContext& ctx, Document& now, const Value& before) {
  take_only_status(ctx, now, before);
  std::set<std::string> gone;
  for (const auto& r : ResourceClaim(before).status().allocation().devices().results()) {
    gone.insert(device_id(r));
  }
  for (const auto& r : ResourceClaim(now.root).status().allocation().devices().results()) {
    gone.erase(device_id(r));
  }
  Value* status = now.root.find("status");
  Value* devices = status ? status->find("devices") : nullptr;
  if (!devices || !devices->is_list() || gone.empty()) return;
  for (size_t i = devices->items().size(); i-- > 0;) {
    if (gone.count(device_id(AllocatedDeviceStatus(devices->items()[i])))) devices->erase_at(i);
  }
  if (devices->empty()) status->erase("devices");
}

// --- ResourceClaimTemplate ----------------------------------------------------------------------

void validate_template(const HookContext& ctx, const Value& now, FieldErrors& e) {
  const auto spec = ResourceClaimTemplate(now).spec();
  validate_admin_requests(ctx, e, spec.spec().devices());
  const Value& meta = now["spec"]["metadata"];
  const FieldPath p = kSpec["metadata"];
  validate_annotations(e, p["annotations"], meta["annotations"]);
  validate_labels(e, p["labels"], meta["labels"]);
  for (const FieldDesc& f : api::meta_v1::ObjectMeta::descriptor().fields) {
    if (f.name == "labels" || f.name == "annotations" || meta[f.name].is_null()) continue;
    field::forbidden(e, p[f.name], "cannot be set");
  }
  validate_claim_spec(e, kSpec["spec"], spec.spec());
}

void validate_template_update(const HookContext&, const Value& now, const Value& before,
                              FieldErrors& e) {
  keep_spec(e, now, before, struct_text(ResourceClaimTemplate(now).spec()));
}

// --- DeviceClass --------------------------------------------------------------------------------

void validate_class(const HookContext&, const Value& now, FieldErrors& e) {
  const auto spec = DeviceClass(now).spec();
  validate_selectors(e, kSpec["selectors"], spec.selectors());
  validate_up_to(
      e, kSpec["config"], spec.config(), kMostConfigs,
      [&](const FieldPath& at, const auto& c) { validate_opaque(e, at["opaque"], c.opaque()); });
  if (spec.has_extended_resource_name() && !is_extended_resource(spec.extended_resource_name())) {
    field::invalid(e, kSpec["extendedResourceName"], spec.extended_resource_name(),
                   "must be a valid extended resource name");
  }
}

void claim_cells(const HookContext& ctx, const Value& o, Cells& out) {
  std::vector<std::string> states;
  if (!o["metadata"]["deletionTimestamp"].is_null()) states.push_back("deleted");
  if (o["status"]["allocation"].is_null()) {
    if (states.empty()) states.push_back("pending");
  } else {
    states.push_back("allocated");
    if (!o["status"]["reservedFor"].empty()) states.push_back("reserved");
  }
  CellWriter(ctx, out).text("State", joined(states));
}

}  // namespace

extern const Strategy kResourceClaimStrategy{.prepare_for_status_update = prepare_claim_status,
                                             .validate = validate_claim,
                                             .validate_update = validate_claim_update,
                                             .validate_status_update = validate_claim_status,
                                             .validates_update_whole = true,
                                             .described = false,
                                             .metadata_again = MetadataAgain::kWholeThenChange,
                                             .cells = claim_cells};
extern const Strategy kResourceClaimTemplateStrategy{
    .validate = validate_template,
    .validate_update = validate_template_update,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kWholeThenChange};
extern const Strategy kDeviceClassStrategy{.validate = validate_class,
                                           .described = false,
                                           .metadata_again = MetadataAgain::kWholeThenChange};

}  // namespace keles::registry
