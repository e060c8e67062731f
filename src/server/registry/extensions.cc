// API services, RuntimeClasses.
#include "api/apiregistration_v1.h"
#include "api/node_v1.h"
#include "base/encoding.h"
#include "server/objects/meta.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/pod_validation.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

using api::apiregistration_v1::APIService;
using api::node_v1::RuntimeClass;

const FieldPath kSpec("spec");

// --- APIService ---------------------------------------------------------------------------------

void api_service_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& service = o["spec"]["service"];
  w.text("Service", service.is_null() ? "Local"
                                      : std::string(service["namespace"].as_string()) + "/" +
                                            std::string(service["name"].as_string()));
  const Value& c = find_condition(o["status"]["conditions"], "Available");
  std::string text = or_else(c["status"].as_string(), service.is_null() ? "True" : "Unknown");
  if (text != "True" && !c["reason"].as_string().empty()) {
    text += " (" + std::string(c["reason"].as_string()) + ")";
  }
  w.text("Available", text);
}

void validate_priority(FieldErrors& e, const char* name, int64_t n, int64_t most) {
  if (n > 0 && n <= most) return;
  field::invalid(e, kSpec[name], n, "must be positive and less than " + std::to_string(most));
}

std::string ports_error(int64_t port) {
  std::string s;
  for (const std::string& m : check_port_number(port)) s += (s.empty() ? "" : ", ") + m;
  return s;
}

// Whether others can be reached is found out (aggregation/); what is served here is there.
void prepare_api_service(const HookContext& ctx, Document& now) {
  now.root.erase("status");
  if (!now.root["spec"]["service"].is_null()) return;
  set_condition(now, "Available", "True", "Local", kLocalApiService, ctx.now);
}

void validate_api_service(const HookContext&, const Value& now, FieldErrors& e) {
  const APIService service(now);
  const auto spec = service.spec();
  const std::string_view group = spec.group(), version = spec.version();
  const std::string name = std::string(version) + "." + std::string(group);
  if (const std::string_view given = service.metadata().name();
      !given.empty() && given != name && check_path_segment_name(given).empty()) {
    field::invalid(e, FieldPath("metadata")["name"], given,
                   "must be `spec.version+\".\"+spec.group`: " + quoted(name));
  }
  if (group.empty()) {
    if (version != "v1") {
      field::required(e, kSpec["group"],
                      "only v1 may have an empty group and it better be legacy kube");
    }
  } else {
    field::invalid_each(e, kSpec["group"], group, check_dns1123_subdomain(group));
  }
  field::invalid_each(e, kSpec["version"], version, check_dns1035_label(version));
  validate_priority(e, "groupPriorityMinimum", spec.group_priority_minimum(), 20000);
  validate_priority(e, "versionPriority", spec.version_priority(), 1000);
  const bool insecure = spec.insecure_skip_tls_verify();
  const FieldPath at_insecure = kSpec["insecureSkipTLSVerify"];
  if (!spec.has_service()) {
    if (!spec.ca_bundle().empty()) {
      const size_t size = base64_decode(spec.ca_bundle()).value_or("").size();
      field::invalid(e, kSpec["caBundle"], std::to_string(size) + " bytes",
                     "local APIServices may not have a caBundle");
    }
    if (insecure) {
      invalid_as(e, at_insecure, "true", "local APIServices may not have insecureSkipTLSVerify");
    }
    return;
  }
  const FieldPath at = kSpec["service"];
  if (spec.service().namespace_().empty()) field::required(e, at["namespace"]);
  if (spec.service().name().empty()) field::required(e, at["name"]);
  if (std::string why = ports_error(spec.service().port()); !why.empty()) {
    field::invalid(e, at["port"], spec.service().port(), "port is not valid: " + why);
  }
  if (insecure && !spec.ca_bundle().empty()) {
    invalid_as(e, at_insecure, "true", "may not be true if caBundle is present");
  }
}

void validate_api_service_status(const HookContext&, const Value& now, const Value&,
                                 FieldErrors& e) {
  size_t i = 0;
  for (const auto& c : APIService(now).status().conditions()) {
    check_known(e, FieldPath("status")["conditions"][i++]["status"], c.status(),
                {"True", "False", "Unknown"});
  }
}

// --- RuntimeClass -------------------------------------------------------------------------------

void validate_runtime_class(const HookContext&, const Value& now, FieldErrors& e) {
  const RuntimeClass c(now);
  if (c.has_overhead()) {
    validate_overhead(e, FieldPath("overhead"), now["overhead"]["podFixed"], {});
  }
  if (c.has_scheduling()) {
    validate_labels(e, FieldPath("scheduling")["nodeSelector"], now["scheduling"]["nodeSelector"]);
  }
}

void validate_runtime_class_update(const HookContext& ctx, const Value& now, const Value& before,
                                   FieldErrors& e) {
  validate_runtime_class(ctx, now, e);
  validate_object_meta_update(e, now["metadata"], before["metadata"], true);
  const std::string_view handler = now["handler"].as_string();
  if (handler != before["handler"].as_string()) {
    field::invalid(e, FieldPath("handler"), handler, "field is immutable");
  }
}

}  // namespace

extern const Strategy kApiServiceStrategy{.prepare_for_create = prepare_api_service,
                                          .prepare_for_status_update = take_only_status,
                                          .validate = validate_api_service,
                                          .validate_status_update = validate_api_service_status,
                                          .described = false,
                                          .any_finalizer = true,
                                          .metadata_again = MetadataAgain::kChangeThenWhole,
                                          .status_metadata_again = MetadataAgain::kChange,
                                          .cells = api_service_cells};
extern const Strategy kRuntimeClassStrategy{.warnings = runtime_class_warnings,
                                            .validate = validate_runtime_class,
                                            .validate_update = validate_runtime_class_update,
                                            .validates_update_whole = true,
                                            .metadata_again = MetadataAgain::kWhole};

}  // namespace keles::registry
