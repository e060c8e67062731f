// Admission configurations, API services, RuntimeClasses.
#include <algorithm>
#include <set>

#include "machinery/validation.h"
#include "server/registry/cells.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");

// --- admission configurations, API services -----------------------------------------------------

void webhook_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).number("Webhooks", static_cast<int64_t>(o["webhooks"].size()));
}

// A fully qualified name: three parts at least, as example.kubernetes.io has.
void validate_qualified_domain(FieldErrors& e, const FieldPath& p, std::string_view name) {
  if (name.empty()) {
    field::required(e, p);
    return;
  }
  auto bad = check_dns1123_subdomain(name);
  if (!bad.empty()) {
    field::invalid_each(e, p, name, std::move(bad));
  } else if (std::count(name.begin(), name.end(), '.') < 2) {
    field::invalid(e, p, name, "should be a domain with at least three segments separated by dots");
  }
}

void validate_webhooks(const HookContext&, const Value& now, FieldErrors& e) {
  std::set<std::string_view> names;
  size_t i = 0;
  for (const Value& h : now["webhooks"].items()) {
    FieldPath at = FieldPath("webhooks")[i++];
    std::string_view name = h["name"].as_string();
    if (h.find("name")) validate_qualified_domain(e, at["name"], name);
    if (!names.insert(name).second) field::duplicate(e, at["name"], name);
    if (h["admissionReviewVersions"].empty()) {
      field::required(e, at["admissionReviewVersions"], "must specify one of v1, v1beta1");
    }
    std::string_view effects = h["sideEffects"].as_string();
    if (!effects.empty() && effects != "None" && effects != "NoneOnDryRun") {
      field::not_supported(e, at["sideEffects"], effects, {"None", "NoneOnDryRun"});
    }
    const Value& client = h["clientConfig"];
    bool url = !client["url"].is_null(), service = !client["service"].is_null();
    if (url == service) {
      field::required(e, at["clientConfig"], "exactly one of url or service is required");
    } else if (url && client["url"].as_string().substr(0, 8) != "https://") {
      field::invalid(e, at["clientConfig"]["url"], client["url"],
                     "'https' is the only allowed URL scheme; desired format: "
                     "https://host[/path]");
    }
  }
}

void policy_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  w.number("Validations", static_cast<int64_t>(spec["validations"].size()));
  w.number("Mutations", static_cast<int64_t>(spec["mutations"].size()));
  const Value& param = spec["paramKind"];
  w.text("ParamKind", param.is_null() ? "<unset>"
                                      : std::string(param["apiVersion"].as_string()) + "/" +
                                            std::string(param["kind"].as_string()));
}

void policy_binding_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& ref = o["spec"]["paramRef"];
  std::string text = "<unset>";
  if (!ref.is_null()) {
    std::string_view ns = ref["namespace"].as_string(), name = ref["name"].as_string();
    text = !name.empty() ? (ns.empty() ? "" : std::string(ns) + "/") + std::string(name)
                         : selector_text(ref["selector"]);
  }
  CellWriter(ctx, out).text("ParamRef", text);
}

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

void validate_api_service(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  std::string name(spec["version"].as_string());
  if (!spec["group"].as_string().empty()) name += "." + std::string(spec["group"].as_string());
  std::string_view given = now["metadata"]["name"].as_string();
  if (!given.empty() && given != name) {
    field::invalid(e, FieldPath("metadata")["name"], given,
                   "must be `spec.version+\".\"+spec.group`: " + quoted(name));
  }
  auto priority = [&](std::string_view f, int64_t most) {
    int64_t v = spec[f].as_int();
    if (v <= 0 || v > most) {
      field::invalid(e, kSpec[f], v, "must be positive and less than " + std::to_string(most));
    }
  };
  priority("groupPriorityMinimum", 20000);
  priority("versionPriority", 1000);
}

}  // namespace

extern const Strategy kMutatingWebhooksStrategy{
    .warnings = static_suffix_warnings, .validate = validate_webhooks, .cells = webhook_cells};
extern const Strategy kValidatingWebhooksStrategy{
    .warnings = static_suffix_warnings, .validate = validate_webhooks, .cells = webhook_cells};
extern const Strategy kValidatingPolicyStrategy{.warnings = static_suffix_warnings,
                                                .cells = policy_cells};
extern const Strategy kMutatingPolicyStrategy{.warnings = static_suffix_warnings,
                                              .cells = policy_cells};
extern const Strategy kValidatingPolicyBindingStrategy{.warnings = static_suffix_warnings,
                                                       .cells = policy_binding_cells};
extern const Strategy kMutatingPolicyBindingStrategy{.warnings = static_suffix_warnings,
                                                     .cells = policy_binding_cells};
extern const Strategy kApiServiceStrategy{.validate = validate_api_service,
                                          .cells = api_service_cells};

extern const Strategy kRuntimeClassStrategy{.warnings = runtime_class_warnings};

}  // namespace keles::registry
