// PodDisruptionBudgets, HorizontalPodAutoscalers.
#include "machinery/intstr.h"
#include "machinery/validation.h"
#include "server/objects/meta.h"
#include "server/registry/cells.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");

void validate_count(FieldErrors& e, const FieldPath& p, const Value& v) {
  if (v.is_null()) return;
  if (v.is_string()) {
    field::invalid_each(e, p, v.as_string(), check_percent(v.as_string()));
    if (parse_percent(v.as_string()) > 100) {
      field::invalid(e, p, v, "must not be greater than 100%");
    }
  } else {
    field::nonnegative(e, p, v.as_int());
  }
}

void validate_budget(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  if (!spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null()) {
    field::invalid(e, kSpec, spec, "minAvailable and maxUnavailable cannot be both set");
  }
  validate_count(e, kSpec["minAvailable"], spec["minAvailable"]);
  validate_count(e, kSpec["maxUnavailable"], spec["maxUnavailable"]);
  validate_label_selector(e, kSpec["selector"], spec["selector"]);
}

void budget_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  auto text = [](const Value& v) { return v.is_null() ? "N/A" : int_or_string_text(v); };
  w.text("Min Available", text(spec["minAvailable"]));
  w.text("Max Unavailable", text(spec["maxUnavailable"]));
}

// --- HorizontalPodAutoscaler --------------------------------------------------------------------

// Without metrics, 80 % of the requested CPU is the aim (autoscaling/v2).
void default_autoscaler(const HookContext& c, Document& now) {
  if (c.kind->version != "v2") return;
  Value* spec = now.root.find("spec");
  if (!spec || !spec->is_map() || !(*spec)["metrics"].empty()) return;
  Arena& a = now.arena;
  Value target = Value::map();
  target.set(a, "type", Value::string("Utilization"));
  target.set(a, "averageUtilization", Value(int64_t{80}));
  Value resource = Value::map();
  resource.set(a, "name", Value::string("cpu"));
  resource.set(a, "target", target);
  Value metric = Value::map();
  metric.set(a, "type", Value::string("Resource"));
  metric.set(a, "resource", resource);
  Value metrics = Value::list();
  metrics.append(a, metric);
  spec->set(a, "metrics", metrics);
}

void validate_autoscaler(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  int64_t most = spec["maxReplicas"].as_int(), least = spec["minReplicas"].as_int();
  if (!spec["minReplicas"].is_null() && least < 1) {
    field::invalid(e, kSpec["minReplicas"], least, "must be greater than or equal to 1");
  }
  if (most < 1) field::invalid(e, kSpec["maxReplicas"], most, "must be greater than 0");
  if (!spec["minReplicas"].is_null() && most < least) {
    field::invalid(e, kSpec["maxReplicas"], most, "must be greater than or equal to `minReplicas`");
  }
  const Value& ref = spec["scaleTargetRef"];
  for (std::string_view f : {"kind", "name"}) {
    std::string_view v = ref[f].as_string();
    if (v.empty()) {
      if (ref.is_null() || ref.find(f)) field::required(e, kSpec["scaleTargetRef"][f]);
    } else {
      field::invalid_each(e, kSpec["scaleTargetRef"][f], v, check_path_segment_name(v));
    }
  }
}

std::string percent(const Value& v, std::string_view otherwise) {
  return v.is_null() ? std::string(otherwise) : std::to_string(v.as_int()) + "%";
}

std::string metric_text(const Value& metric, const Value& current) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {"Resource", "resource"},
      {"ContainerResource", "containerResource"},
      {"Pods", "pods"},
      {"Object", "object"},
      {"External", "external"}};
  std::string_view type = metric["type"].as_string();
  for (const auto& [name, member] : kTypes) {
    if (name != type) continue;
    const Value &target = metric[member]["target"], &now = current[member]["current"];
    bool resource = type == "Resource" || type == "ContainerResource";
    std::string prefix =
        resource ? std::string(metric[member]["name"].as_string()) + ": " : std::string();
    if (std::string_view average = target["averageValue"].as_string(); !average.empty()) {
      return prefix + or_else(now["averageValue"].as_string(), "<unknown>") + "/" +
             std::string(average) + (resource || type == "Pods" ? "" : " (avg)");
    }
    if (resource) {
      return prefix + percent(now["averageUtilization"], "<unknown>") + "/" +
             percent(target["averageUtilization"], "<auto>");
    }
    return prefix + or_else(now["value"].as_string(), "<unknown>") + "/" +
           std::string(target["value"].as_string());
  }
  return "<unknown type>";
}

void autoscaler_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value &spec = o["spec"], &status = o["status"], &ref = spec["scaleTargetRef"];
  w.text("Reference",
         std::string(ref["kind"].as_string()) + "/" + std::string(ref["name"].as_string()));
  std::vector<std::string> targets;
  size_t i = 0;
  for (const Value& m : spec["metrics"].items()) {
    targets.push_back(metric_text(m, status["currentMetrics"].at(i++)));
  }
  // autoscaling/v1 knows only the processors' load.
  if (const Value& cpu = spec["targetCPUUtilizationPercentage"]; !cpu.is_null()) {
    targets.push_back("cpu: " + percent(status["currentCPUUtilizationPercentage"], "<unknown>") +
                      "/" + percent(cpu, "<auto>"));
  }
  w.text("Targets", or_none(joined_some(targets, 2)));
  w.text("MinPods",
         spec["minReplicas"].is_null() ? "<unset>" : std::to_string(spec["minReplicas"].as_int()));
}

// autoscaling/v1 knows one metric: the average CPU utilization.
void convert_scaler(const KindDesc&, const KindDesc& to, Document& d) {
  const bool to_v2 = to.version == "v2";
  Value& spec = edit_map(d, d.root, "spec");
  if (to_v2) {
    const Value* percent = spec.find("targetCPUUtilizationPercentage");
    if (percent && !percent->is_null() && spec["metrics"].empty()) {
      const int64_t n = percent->as_int();
      Value metrics = Value::list();
      Value& metric = metrics.append(d.arena, Value::map());
      set_text(d, metric, "type", "Resource");
      Value& resource = edit_map(d, metric, "resource");
      set_text(d, resource, "name", "cpu");
      Value& target = edit_map(d, resource, "target");
      set_text(d, target, "type", "Utilization");
      target.set(d.arena, "averageUtilization", Value(n));
      spec.set(d.arena, "metrics", metrics);
    }
    spec.erase("targetCPUUtilizationPercentage");
    if (Value* status = d.root.find("status")) {
      if (status->is_map()) status->erase("currentCPUUtilizationPercentage");
    }
    return;
  }
  for (const Value& m : spec["metrics"].items()) {
    const Value& resource = m["resource"];
    if (resource["name"].as_string() == "cpu" &&
        !resource["target"]["averageUtilization"].is_null()) {
      spec.set(d.arena, "targetCPUUtilizationPercentage",
               Value(resource["target"]["averageUtilization"].as_int()));
      break;
    }
  }
  spec.erase("metrics");
  spec.erase("behavior");
  Value* status = d.root.find("status");
  if (!status || !status->is_map()) return;
  for (const Value& m : (*status)["currentMetrics"].items()) {
    const Value& current = m["resource"]["current"]["averageUtilization"];
    if (m["resource"]["name"].as_string() == "cpu" && !current.is_null()) {
      status->set(d.arena, "currentCPUUtilizationPercentage", Value(current.as_int()));
    }
  }
  status->erase("currentMetrics");
  status->erase("conditions");
}

}  // namespace

extern const Strategy kPodDisruptionBudgetStrategy{.validate = validate_budget,
                                                   .cells = budget_cells};
extern const Strategy kHorizontalPodAutoscalerStrategy{.set_defaults = default_autoscaler,
                                                       .validate = validate_autoscaler,
                                                       .convert = convert_scaler,
                                                       .cells = autoscaler_cells};

}  // namespace keles::registry
