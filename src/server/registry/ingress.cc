// Ingresses and IngressClasses.
#include "api/networking_v1.h"
#include "base/ip.h"
#include "server/registry/addresses.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

using api::networking_v1::HTTPIngressPath;
using api::networking_v1::Ingress;
using api::networking_v1::IngressBackend;
using api::networking_v1::IngressClass;
using api::networking_v1::IngressRule;
using api::networking_v1::IngressSpec;

const FieldPath kSpec("spec");

void check_segment(FieldErrors& e, const FieldPath& p, std::string_view name) {
  check_name(e, p, name, check_path_segment_name);
}

// --- Ingress ------------------------------------------------------------------------------------

void validate_service_backend(FieldErrors& e, const FieldPath& p, const IngressBackend& backend) {
  const auto service = backend.service();
  described(e, p["service"], service, "name");
  const std::string_view name = service.port().name();
  const int64_t number = service.port().number();
  const FieldPath port = p["service"]["port"];
  if (!name.empty() && number != 0) {
    field::invalid(e, p, "", "cannot set both port name & port number");
  } else if (!name.empty()) {
    field::invalid_each(e, port["name"], name, check_port_name(name));
  } else if (number != 0) {
    for (auto& m : check_port_number(number)) field::invalid(e, port["number"], number, m);
  } else {
    field::required(e, p, "port name or number is required");
  }
}

void validate_backend(FieldErrors& e, const FieldPath& p, const IngressBackend& backend) {
  if (backend.has_resource() && backend.has_service()) {
    field::invalid(e, p, "", "cannot set both resource and service backends");
  } else if (backend.has_resource()) {
    const auto ref = backend.resource();
    if (ref.has_api_group()) {
      field::invalid_each(e, p["resource"]["apiGroup"], ref.api_group(),
                          check_dns1123_subdomain(ref.api_group()));
    }
    check_segment(e, p["resource"]["kind"], ref.kind());
    check_segment(e, p["resource"]["name"], ref.name());
  } else if (backend.has_service()) {
    validate_service_backend(e, p, backend);
  } else {
    field::invalid(e, p, "", "resource or service backend is required");
  }
}

bool ends_with(std::string_view s, std::string_view end) {
  return s.size() >= end.size() && s.substr(s.size() - end.size()) == end;
}

void validate_path(FieldErrors& e, const FieldPath& p, const HTTPIngressPath& path) {
  if (!path.has_path_type()) {
    return field::required(e, p["pathType"], "pathType must be specified");
  }
  const std::string_view type = path.path_type(), text = path.path();
  const bool exact = type == "Exact" || type == "Prefix";
  const bool absolute = !text.empty() && text[0] == '/';
  if (exact || type == "ImplementationSpecific") {
    if (!absolute && (exact || !text.empty())) {
      field::invalid(e, p["path"], text, "must be an absolute path");
    }
  } else {
    field::not_supported(e, p["pathType"], type, {"Exact", "ImplementationSpecific", "Prefix"});
  }
  if (exact) {
    for (std::string_view part : {"//", "/./", "/../", "%2f", "%2F"}) {
      if (text.find(part) == text.npos) continue;
      field::invalid(e, p["path"], text, "must not contain '" + std::string(part) + "'");
    }
    for (std::string_view end : {"/..", "/."}) {
      if (!ends_with(text, end)) continue;
      field::invalid(e, p["path"], text, "cannot end with '" + std::string(end) + "'");
    }
  }
  validate_backend(e, p["backend"], path.backend());
}

void validate_paths(FieldErrors& e, const FieldPath& p, const IngressRule& rule) {
  if (!rule.has_http()) return;
  const auto paths = rule.http().paths();
  const FieldPath at = p["http"]["paths"];
  if (paths.empty()) field::required(e, at);
  size_t i = 0;
  for (const HTTPIngressPath& path : paths) validate_path(e, at[i++], path);
}

bool is_wildcard(std::string_view host) { return host.find('*') != host.npos; }

Messages check_host(std::string_view host) {
  return is_wildcard(host) ? check_wildcard_dns1123_subdomain(host) : check_dns1123_subdomain(host);
}

// What an older version let through and is stored is let through.
struct Tolerance {
  bool secret_names = false, wildcard_rules = false;
  explicit Tolerance(const IngressSpec& old) {
    for (const auto& tls : old.tls()) {
      if (!tls.secret_name().empty() && !check_dns1123_subdomain(tls.secret_name()).empty()) {
        secret_names = true;
      }
    }
    for (const IngressRule& rule : old.rules()) {
      FieldErrors ill;
      if (is_wildcard(rule.host())) validate_paths(ill, FieldPath(), rule);
      if (!ill.empty()) wildcard_rules = true;
    }
  }
};

void validate_rules(FieldErrors& e, const IngressSpec& spec, const Tolerance& tolerance) {
  size_t i = 0;
  for (const IngressRule& rule : spec.rules()) {
    const FieldPath at = kSpec["rules"][i++];
    const std::string_view host = rule.host();
    if (!host.empty()) {
      if (IpAddress::parse_sloppy(host)) {
        field::invalid(e, at["host"], host, "must be a DNS name, not an IP address");
      }
      field::invalid_each(e, at["host"], host, check_host(host));
    }
    if (!is_wildcard(host) || !tolerance.wildcard_rules) validate_paths(e, at, rule);
  }
}

void validate_tls(FieldErrors& e, const IngressSpec& spec, const Tolerance& tolerance) {
  size_t i = 0;
  for (const auto& tls : spec.tls()) {
    const FieldPath at = kSpec["tls"][i++];
    size_t j = 0;
    for (std::string_view host : tls.hosts()) {
      field::invalid_each(e, at["hosts"][j++], host, check_host(host));
    }
    if (!tolerance.secret_names) described(e, at, tls, "secretName");
  }
}

void validate_spec(FieldErrors& e, const IngressSpec& spec, const Tolerance& tolerance) {
  if (spec.rules().empty() && !spec.has_default_backend()) {
    invalid_as(e, kSpec, "null", "either `defaultBackend` or `rules` must be specified");
  }
  if (spec.has_default_backend()) {
    validate_backend(e, kSpec["defaultBackend"], spec.default_backend());
  }
  validate_rules(e, spec, tolerance);
  validate_tls(e, spec, tolerance);
  described(e, kSpec, spec, "ingressClassName");
}

void validate_ingress(const HookContext&, const Value& now, FieldErrors& e) {
  constexpr std::string_view kClass = "kubernetes.io/ingress.class";
  const Ingress ingress(now);
  validate_spec(e, ingress.spec(), Tolerance(IngressSpec()));
  const auto annotations = ingress.metadata().annotations();
  if (!annotations.contains(kClass) || !ingress.spec().has_ingress_class_name()) return;
  if (annotations.get(kClass) == ingress.spec().ingress_class_name()) return;
  field::invalid(e, FieldPath("annotations")[kClass], annotations.get(kClass),
                 "must match `ingressClassName` when both are specified");
}

void validate_ingress_update(const HookContext&, const Value& now, const Value& before,
                             FieldErrors& e) {
  validate_spec(e, Ingress(now).spec(), Tolerance(Ingress(before).spec()));
}

void validate_ingress_status(const HookContext&, const Value& now, const Value& before,
                             FieldErrors& e) {
  validate_balancer_ingress(e, FieldPath("status")["loadBalancer"]["ingress"],
                            now["status"]["loadBalancer"]["ingress"],
                            before["status"]["loadBalancer"]["ingress"], false);
}

// --- IngressClass -------------------------------------------------------------------------------

void validate_parameters(FieldErrors& e, const FieldPath& p,
                         const api::networking_v1::IngressClassParametersReference& ref) {
  for (const char* f : {"apiGroup", "kind", "name"}) described(e, p, ref, f);
  if (!ref.has_scope()) return field::required(e, p["scope"]);
  const std::string_view scope = ref.scope();
  if (scope == "Namespace") {
    described(e, p, ref, "namespace");
    if (!ref.has_namespace_()) {
      field::required(e, p["namespace"], "`parameters.scope` is set to 'Namespace'");
    }
  } else if (scope == "Cluster") {
    if (ref.has_namespace_()) {
      field::forbidden(e, p["namespace"], "`parameters.scope` is set to 'Cluster'");
    }
  } else {
    field::not_supported(e, p["scope"], scope, {"Cluster", "Namespace"});
  }
}

void validate_class(const HookContext&, const Value& now, FieldErrors& e) {
  const auto spec = IngressClass(now).spec();
  const FieldPath at = kSpec["controller"];
  described(e, kSpec, spec, "controller");
  check_domain_path(e, at, spec.controller());
  if (spec.has_parameters()) validate_parameters(e, kSpec["parameters"], spec.parameters());
}

void validate_class_update(const HookContext& ctx, const Value& now, const Value& before,
                           FieldErrors& e) {
  described_kept(e, kSpec, IngressClass(now).spec(), IngressClass(before).spec(), "controller");
  validate_object_meta(e, now["metadata"], false, name_is_dns_subdomain);
  validate_class(ctx, now, e);
}

void ingress_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  std::vector<std::string> hosts;
  for (const Value& r : spec["rules"].items()) {
    if (!r["host"].as_string().empty()) hosts.emplace_back(r["host"].as_string());
  }
  w.text("Class", or_none(spec["ingressClassName"].as_string()));
  w.text("Hosts", or_else(joined_some(hosts, 3), "*"));
  w.text("Address", load_balancer_text(o["status"]["loadBalancer"]));
  w.text("Ports", spec["tls"].empty() ? "80" : "80, 443");
}

void ingress_class_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& p = o["spec"]["parameters"];
  std::string text = "<none>";
  if (!p.is_null()) {
    text = std::string(p["kind"].as_string());
    if (!p["apiGroup"].as_string().empty()) text += "." + std::string(p["apiGroup"].as_string());
    text += "/" + std::string(p["name"].as_string());
  }
  CellWriter(ctx, out).text("Parameters", text);
}

}  // namespace

extern const Strategy kIngressStrategy{.warnings = ingress_warnings,
                                       .status_warnings = load_balancer_status_warnings,
                                       .validate = validate_ingress,
                                       .validate_update = validate_ingress_update,
                                       .validate_status_update = validate_ingress_status,
                                       .validates_update_whole = true,
                                       .described = false,
                                       .metadata_again = MetadataAgain::kChangeThenWhole,
                                       .status_metadata_again = MetadataAgain::kChange,
                                       .cells = ingress_cells};
extern const Strategy kIngressClassStrategy{.validate = validate_class,
                                            .validate_update = validate_class_update,
                                            .validates_update_whole = true,
                                            .described = false,
                                            .metadata_again = MetadataAgain::kChange,
                                            .cells = ingress_class_cells};

}  // namespace keles::registry
