// HorizontalPodAutoscalers, of both versions. Stored is the second. Messages and order of what is
// refused are upstream's (k8s.io/kubernetes/pkg/apis/autoscaling/validation).
#include "api/autoscaling_v2.h"
#include "machinery/quantity.h"
#include "machinery/validation.h"
#include "server/registry/autoscaler_versions.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/typed_hooks.h"

namespace keles::registry {
namespace {

namespace autoscaling = api::autoscaling_v2;

const FieldPath kSpec("spec");
constexpr int64_t kLongestWindow = 3600, kLongestPeriod = 1800;

struct PolicyDefault {
  const char* type;
  int64_t value;
};

// What a behaviour leaves open: the greatest change, up by four or twice as many every 15 s, down
// at once. (Since when it is steady on the way down is the controller's to say.)
void default_rules(Arena& a, Value& behavior, std::string_view member, bool window,
                   std::initializer_list<PolicyDefault> policies) {
  Value& rules = behavior.get_or_add(a, member);
  if (rules.is_null()) rules = Value::map();
  if (!rules.is_map()) return;
  if (window && rules["stabilizationWindowSeconds"].is_null()) {
    rules.set(a, "stabilizationWindowSeconds", Value(int64_t{0}));
  }
  if (rules["selectPolicy"].is_null()) rules.set(a, "selectPolicy", Value::string("Max"));
  if (!rules["policies"].is_null()) return;
  Value list = Value::list();
  for (const PolicyDefault& p : policies) {
    Value& one = list.append(a, Value::map());
    one.set(a, "type", Value::string(p.type));
    one.set(a, "value", Value(p.value));
    one.set(a, "periodSeconds", Value(int64_t{15}));
  }
  rules.set(a, "policies", list);
}

// Without metrics, 80 % of the requested CPU is the aim (autoscaling/v2).
void default_metrics(Arena& a, Value* spec) {
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

void default_autoscaler(const HookContext& c, Document& now) {
  if (c.kind->version != "v2") return;
  Value* spec = now.root.find("spec");
  if (!spec || !spec->is_map()) return;
  if ((*spec)["metrics"].empty()) default_metrics(now.arena, spec);
  Value* behavior = spec->find("behavior");
  if (!behavior || !behavior->is_map()) return;
  default_rules(now.arena, *behavior, "scaleUp", true, {{"Pods", 4}, {"Percent", 100}});
  default_rules(now.arena, *behavior, "scaleDown", false, {{"Percent", 100}});
}

// --- validation ---------------------------------------------------------------------------------

struct ReferenceOptions {
  bool no_group = false, any_version = false;
};

std::string bad_version(std::string_view version, const ReferenceOptions& options) {
  if (options.any_version) return {};
  const size_t slash = version.find('/');
  if (slash != version.npos && version.find('/', slash + 1) != version.npos) {
    return "unexpected GroupVersion string: " + std::string(version);
  }
  const bool core = slash == version.npos || slash == 0;
  return core && !options.no_group ? "apiVersion must specify API group" : "";
}

void check_reference(FieldErrors& e, const FieldPath& p,
                     const autoscaling::CrossVersionObjectReference& ref,
                     const ReferenceOptions& options) {
  described(e, p, ref, "kind");
  described(e, p, ref, "name");
  if (std::string why = bad_version(ref.api_version(), options); !why.empty()) {
    field::invalid(e, p["apiVersion"], ref.api_version(), why);
  }
}

void check_metric(FieldErrors& e, const FieldPath& p, const autoscaling::MetricIdentifier& metric) {
  if (metric.name().empty()) {
    field::required(e, p["name"], "must specify a metric name");
  } else {
    field::invalid_each(e, p["name"], metric.name(), check_path_segment_name(metric.name()));
  }
}

void check_target(FieldErrors& e, const FieldPath& p, const autoscaling::MetricTarget& target) {
  const std::string_view type = target.type();
  if (type.empty()) field::required(e, p["type"], "must specify a metric target type");
  if (!is_one_of(type, {"Utilization", "Value", "AverageValue"})) {
    field::invalid(e, p["type"], type, "must be either Utilization, Value, or AverageValue");
  }
  for (std::string_view f : {"value", "averageValue"}) {
    const Value& v = static_cast<const View&>(target).value()[f];
    if (!v.is_null() && Quantity::parse_or_zero(v.as_string()).sign() != 1) {
      field::invalid(e, p[f], v.as_string(), "must be positive");
    }
  }
  if (target.has_average_utilization() && target.average_utilization() < 1) {
    field::invalid(e, p["averageUtilization"], target.average_utilization(),
                   "must be greater than 0");
  }
}

void check_object(FieldErrors& e, const FieldPath& p, const autoscaling::ObjectMetricSource& source,
                  const ReferenceOptions& options) {
  check_reference(e, p["describedObject"], source.described_object(), options);
  check_metric(e, p["metric"], source.metric());
  check_target(e, p["target"], source.target());
  if (!source.target().has_value() && !source.target().has_average_value()) {
    field::required(e, p["target"]["averageValue"],
                    "must set either a target value or averageValue");
  }
}

void check_external(FieldErrors& e, const FieldPath& p,
                    const autoscaling::ExternalMetricSource& source) {
  check_metric(e, p["metric"], source.metric());
  check_target(e, p["target"], source.target());
  const bool value = source.target().has_value(), average = source.target().has_average_value();
  if (!value && !average) {
    field::required(e, p["target"]["averageValue"],
                    "must set either a target value for metric or a per-pod target");
  }
  if (value && average) {
    field::forbidden(e, p["target"]["value"],
                     "may not set both a target value for metric and a per-pod target");
  }
}

void check_pods(FieldErrors& e, const FieldPath& p, const autoscaling::PodsMetricSource& source) {
  check_metric(e, p["metric"], source.metric());
  check_target(e, p["target"], source.target());
  if (!source.target().has_average_value()) {
    field::required(e, p["target"]["averageValue"], "must specify a positive target averageValue");
  }
}

void check_resource_target(FieldErrors& e, const FieldPath& p,
                           const autoscaling::MetricTarget& target) {
  check_target(e, p, target);
  const bool use = target.has_average_utilization(), value = target.has_average_value();
  if (!use && !value) {
    field::required(e, p["averageUtilization"],
                    "must set either a target raw value or a target utilization");
  }
  if (use && value) {
    field::forbidden(e, p["averageValue"],
                     "may not set both a target raw value and a target utilization");
  }
}

void check_container_resource(FieldErrors& e, const FieldPath& p,
                              const autoscaling::ContainerResourceMetricSource& source) {
  if (source.name().empty()) {
    field::required(e, p["name"], "must specify a resource name");
  } else {
    validate_container_resource_name(e, p["name"], source.name());
  }
  if (source.container().empty()) {
    field::required(e, p["container"], "must specify a container");
  } else {
    field::invalid_each(e, p["container"], source.container(),
                        check_dns1123_label(source.container()));
  }
  check_resource_target(e, p["target"], source.target());
}

const Words kSources = {"ContainerResource", "External", "Object", "Pods", "Resource"};
constexpr std::pair<std::string_view, std::string_view> kMembers[] = {
    {"Object", "object"},
    {"External", "external"},
    {"Pods", "pods"},
    {"Resource", "resource"},
    {"ContainerResource", "containerResource"}};

void check_source(FieldErrors& e, const FieldPath& p, const autoscaling::MetricSpec& spec,
                  std::string_view member, const ReferenceOptions& objects) {
  if (member == "object") check_object(e, p, spec.object(), objects);
  if (member == "external") check_external(e, p, spec.external());
  if (member == "pods") check_pods(e, p, spec.pods());
  if (member == "resource") {
    if (spec.resource().name().empty()) {
      field::required(e, p["name"], "must specify a resource name");
    }
    check_resource_target(e, p["target"], spec.resource().target());
  }
  if (member == "containerResource") check_container_resource(e, p, spec.container_resource());
}

void check_metric_spec(FieldErrors& e, const FieldPath& p, const autoscaling::MetricSpec& spec,
                       const ReferenceOptions& objects) {
  const std::string_view type = spec.type();
  if (type.empty()) field::required(e, p["type"], "must specify a metric source type");
  check_known(e, p["type"], type, kSources);
  std::vector<std::string_view> present;
  std::string_view wanted;
  for (const auto& [name, member] : kMembers) {
    if (name == type) wanted = member;
    if (spec.value()[member].is_null()) continue;
    present.push_back(member);
    if (present.size() == 1) check_source(e, p[member], spec, member, objects);
  }
  if (wanted.empty()) {
    check_known(e, p["type"], type, kSources);  // said twice, as upstream
  } else if (spec.value()[wanted].is_null()) {
    field::required(e, p[wanted], "must populate information for the given metric source");
  }
  if (present.size() == 1) return;
  for (std::string_view member : present) {
    if (member == wanted) continue;
    field::forbidden(e, p[member], "must populate the given metric source only");
  }
}

void check_policy(FieldErrors& e, const FieldPath& p, const autoscaling::HPAScalingPolicy& policy) {
  const int64_t value = static_cast<const View&>(policy).value()["value"].as_int(),
                period = policy.period_seconds();
  check_known(e, p["type"], policy.type(), {"Percent", "Pods"});
  if (value <= 0) field::invalid(e, p["value"], value, "must be greater than zero");
  if (period <= 0) field::invalid(e, p["periodSeconds"], period, "must be greater than zero");
  if (period > kLongestPeriod) {
    field::invalid(e, p["periodSeconds"], period, "must be less than or equal to 1800");
  }
}

void check_rules(FieldErrors& e, const FieldPath& p, const autoscaling::HPAScalingRules& rules) {
  if (!rules) return;
  const FieldPath window = p["stabilizationWindowSeconds"];
  const int64_t seconds = rules.stabilization_window_seconds();
  if (seconds < 0) {
    field::invalid(e, window, seconds, "must be greater than or equal to zero");
  }
  if (seconds > kLongestWindow) {
    field::invalid(e, window, seconds, "must be less than or equal to 3600");
  }
  described(e, p, rules, "selectPolicy");
  if (rules.policies().empty()) {
    field::required(e, p["policies"], "must specify at least one Policy");
  }
  size_t i = 0;
  for (autoscaling::HPAScalingPolicy policy : rules.policies()) {
    check_policy(e, p["policies"][i++], policy);
  }
  if (rules.has_tolerance()) nonnegative_quantity(e, p["tolerance"], rules.tolerance());
}

void check_counts(FieldErrors& e, const autoscaling::HorizontalPodAutoscalerSpec& spec,
                  int64_t least_allowed) {
  const int64_t most = spec.max_replicas(), least = spec.min_replicas();
  if (spec.has_min_replicas() && least < least_allowed) {
    field::invalid(e, kSpec["minReplicas"], least,
                   "must be greater than or equal to " + std::to_string(least_allowed));
  }
  if (most == 0) {
    field::required(e, kSpec["maxReplicas"], "must be set and greater than 0");
  } else if (most < 0) {
    field::invalid(e, kSpec["maxReplicas"], most, "must be greater than or equal to 1");
  }
  if (spec.has_min_replicas() && most < least) {
    field::invalid(e, kSpec["maxReplicas"], most, "must be greater than or equal to `minReplicas`");
  }
}

void check_autoscaler(FieldErrors& e, const autoscaling::HorizontalPodAutoscaler& now,
                      const autoscaling::HorizontalPodAutoscaler* before) {
  const autoscaling::HorizontalPodAutoscalerSpec spec = now.spec();
  const autoscaling::CrossVersionObjectReference ref = spec.scale_target_ref();
  ReferenceOptions target, objects{.no_group = true};
  bool to_zero = false;
  if (before) {
    const autoscaling::HorizontalPodAutoscalerSpec old = before->spec();
    const autoscaling::CrossVersionObjectReference was = old.scale_target_ref();
    to_zero = old.has_min_replicas() && old.min_replicas() == 0;
    target.any_version = was.api_version() == ref.api_version() && was.kind() == ref.kind();
    for (autoscaling::MetricSpec m : old.metrics()) {
      objects.any_version |=
          m.type() == "Object" && m.has_object() &&
          !bad_version(m.object().described_object().api_version(), {.no_group = true}).empty();
    }
  }
  if (!target.any_version) target.no_group = ref.kind() == "ReplicationController";
  check_counts(e, spec, to_zero ? 0 : 1);
  check_reference(e, kSpec["scaleTargetRef"], ref, target);
  bool outside = false;
  size_t i = 0;
  for (autoscaling::MetricSpec m : spec.metrics()) {
    check_metric_spec(e, kSpec["metrics"][i++], m, objects);
    outside |= m.type() == "Object" || m.type() == "External";
  }
  if (spec.has_min_replicas() && spec.min_replicas() == 0 && !outside) {
    field::forbidden(e, kSpec["metrics"],
                     "must specify at least one Object or External metric to support scaling to "
                     "zero replicas");
  }
  check_rules(e, kSpec["behavior"]["scaleUp"], spec.behavior().scale_up());
  check_rules(e, kSpec["behavior"]["scaleDown"], spec.behavior().scale_down());
}

void validate_autoscaler_status(const HookContext&, const Value& now, const Value&,
                                FieldErrors& e) {
  for (std::string_view f : {"currentReplicas", "desiredReplicas"}) {
    described(e, FieldPath("status"), autoscaling::HorizontalPodAutoscaler(now).status(), f);
  }
}

// --- columns ------------------------------------------------------------------------------------

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

}  // namespace

extern const Strategy kHorizontalPodAutoscalerStrategy{
    .set_defaults = default_autoscaler,
    .validate = validate_created<check_autoscaler, autoscaling::HorizontalPodAutoscaler>,
    .validate_update = validate_updated<check_autoscaler, autoscaling::HorizontalPodAutoscaler>,
    .validate_status_update = validate_autoscaler_status,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kChange,
    .status_metadata_again = MetadataAgain::kChange,
    .convert = convert_autoscaler,
    .cells = autoscaler_cells};

}  // namespace keles::registry
