// Services: what they fill in of themselves, and what kubectl prints of them. What a Service may
// say is service_validation.cc's; addresses and node ports are allocated elsewhere (services.h).
#include "api/core_v1.h"
#include "machinery/validation.h"
#include "server/objects/meta.h"
#include "server/registry/cells.h"
#include "server/registry/service_validation.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

void prepare_for_create(const HookContext& ctx, Document& now) {
  prepare_ip_families(now, nullptr, ctx.families);
}

// What a load balancer gave is gone with the type.
void prepare_for_update(const HookContext& ctx, Document& now, const Value& before) {
  prepare_ip_families(now, &before, ctx.families);
  if (now.root["spec"]["type"].as_string() == "LoadBalancer") return;
  if (Value* status = now.root.find("status"); status != nullptr && status->find("loadBalancer")) {
    status->set(now.arena, "loadBalancer", Value::map());
  }
}

void validate(const HookContext& ctx, const Value& now, FieldErrors& e) {
  validate_service(e, api::core_v1::Service(now), nullptr, ctx.families);
}

void validate_update(const HookContext& ctx, const Value& now, const Value& before,
                     FieldErrors& e) {
  const api::core_v1::Service old(before);
  validate_service_update(e, api::core_v1::Service(now), old, ctx.families);
}

void validate_status(const HookContext&, const Value& now, const Value& before, FieldErrors& e) {
  validate_service_status(e, api::core_v1::Service(now), api::core_v1::Service(before));
}

std::string external_text(const Value& o) {
  const Value& spec = o["spec"];
  std::string_view type = spec["type"].as_string();
  std::vector<std::string> ips;
  for (const Value& a : spec["externalIPs"].items()) ips.emplace_back(a.as_string());
  if (type == "ClusterIP" || type == "NodePort") return or_none(joined(ips));
  if (type == "ExternalName") return std::string(spec["externalName"].as_string());
  if (type != "LoadBalancer") return "<unknown>";
  std::string balancer = load_balancer_text(o["status"]["loadBalancer"]);
  if (ips.empty()) return or_else(balancer, "<pending>");
  if (!balancer.empty()) ips.insert(ips.begin(), balancer);
  return joined(ips);
}

void cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  std::vector<std::string> ports;
  for (const Value& p : spec["ports"].items()) {
    std::string s = std::to_string(p["port"].as_int());
    if (p["nodePort"].as_int() > 0) s += ":" + std::to_string(p["nodePort"].as_int());
    ports.push_back(s + "/" + std::string(p["protocol"].as_string()));
  }
  std::string_view ip = spec["clusterIPs"].at(0).as_string();
  w.text("Cluster-IP", or_none(ip.empty() ? spec["clusterIP"].as_string() : ip));
  w.text("External-IP", external_text(o));
  w.text("Port(s)", or_none(joined(ports)));
  w.text("Selector", labels_text(spec["selector"]));
}

}  // namespace

extern const Strategy kServiceStrategy{.warnings = service_warnings,
                                       .status_warnings = load_balancer_status_warnings,
                                       .prepare_for_create = prepare_for_create,
                                       .prepare_for_update = prepare_for_update,
                                       .validate = validate,
                                       .validate_update = validate_update,
                                       .validate_status_update = validate_status,
                                       .validates_update_whole = true,
                                       .described = false,
                                       .metadata_again = MetadataAgain::kChange,
                                       .status_metadata_again = MetadataAgain::kChange,
                                       .cells = cells};

}  // namespace keles::registry
