#include "server/registry/autoscaler_versions.h"

#include <cctype>
#include <span>
#include <string>

#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "machinery/dotted_path.h"
#include "machinery/quantity.h"
#include "server/objects/meta.h"

namespace keles::registry {
namespace {

constexpr std::string_view kMetrics = "autoscaling.alpha.kubernetes.io/metrics",
                           kStatuses = "autoscaling.alpha.kubernetes.io/current-metrics",
                           kConditions = "autoscaling.alpha.kubernetes.io/conditions",
                           kBehavior = "autoscaling.alpha.kubernetes.io/behavior";
constexpr std::string_view kAnnotations[] = {kMetrics,
                                             kStatuses,
                                             kConditions,
                                             kBehavior,
                                             "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
                                             "autoscaling.alpha.kubernetes.io/scale-up-tolerance"};

// A field of a metric in both versions, in v1's order; `always`: v1 has no way to leave it out.
struct FieldRow {
  std::string_view v2, v1;
  bool always = false;
};
constexpr FieldRow kObject[] = {{"describedObject", "target"},
                                {"metric.name", "metricName"},
                                {"target.value", "targetValue", true},
                                {"metric.selector", "selector"},
                                {"target.averageValue", "averageValue"}};
constexpr FieldRow kPods[] = {{"metric.name", "metricName"},
                              {"target.averageValue", "targetAverageValue", true},
                              {"metric.selector", "selector"}};
constexpr FieldRow kResource[] = {{"name", "name"},
                                  {"target.averageUtilization", "targetAverageUtilization"},
                                  {"target.averageValue", "targetAverageValue"}};
constexpr FieldRow kContainer[] = {{"name", "name"},
                                   {"target.averageUtilization", "targetAverageUtilization"},
                                   {"target.averageValue", "targetAverageValue"},
                                   {"container", "container"}};
constexpr FieldRow kExternal[] = {{"metric.name", "metricName"},
                                  {"metric.selector", "metricSelector"},
                                  {"target.value", "targetValue"},
                                  {"target.averageValue", "targetAverageValue"}};
constexpr FieldRow kObjectStatus[] = {{"describedObject", "target"},
                                      {"metric.name", "metricName"},
                                      {"current.value", "currentValue", true},
                                      {"metric.selector", "selector"},
                                      {"current.averageValue", "averageValue"}};
constexpr FieldRow kPodsStatus[] = {{"metric.name", "metricName"},
                                    {"current.averageValue", "currentAverageValue", true},
                                    {"metric.selector", "selector"}};
constexpr FieldRow kResourceStatus[] = {{"name", "name"},
                                        {"current.averageUtilization", "currentAverageUtilization"},
                                        {"current.averageValue", "currentAverageValue", true}};
constexpr FieldRow kContainerStatus[] = {
    {"name", "name"},
    {"current.averageUtilization", "currentAverageUtilization"},
    {"current.averageValue", "currentAverageValue", true},
    {"container", "container"}};
constexpr FieldRow kExternalStatus[] = {{"metric.name", "metricName"},
                                        {"metric.selector", "metricSelector"},
                                        {"current.value", "currentValue", true},
                                        {"current.averageValue", "currentAverageValue"}};
struct SourceRow {
  std::string_view member;
  std::span<const FieldRow> spec, status;
};
constexpr SourceRow kSources[] = {{"object", kObject, kObjectStatus},
                                  {"pods", kPods, kPodsStatus},
                                  {"resource", kResource, kResourceStatus},
                                  {"containerResource", kContainer, kContainerStatus},
                                  {"external", kExternal, kExternalStatus}};

// --- v2 to v1 -----------------------------------------------------------------------------------

bool is_cpu_utilization(const Value& metric) {
  const Value& resource = metric["resource"];
  return metric["type"].as_string() == "Resource" && resource["name"].as_string() == "cpu" &&
         !resource["target"]["averageUtilization"].is_null();
}

Value metric_as_v1(Arena& a, const Value& metric, bool status) {
  Value out = Value::map();
  out.set(a, "type", metric["type"].is_null() ? Value::string("") : metric["type"]);
  for (const SourceRow& row : kSources) {
    const Value& from = metric[row.member];
    if (from.is_null()) continue;
    Value to = Value::map();
    for (const FieldRow& f : status ? row.status : row.spec) {
      const Value& v = value_at(from, f.v2);
      if (!v.is_null()) to.set(a, f.v1, v);
      if (v.is_null() && f.always) to.set(a, f.v1, Value::string("0"));
    }
    out.set(a, row.member, to);
  }
  return out;
}

// "scaleUp" and "ScaleUp": upstream writes the behaviour with its Go names.
std::string with_first(std::string_view name, int (*change)(int)) {
  std::string out(name);
  if (!out.empty()) out[0] = static_cast<char>(change(static_cast<unsigned char>(out[0])));
  return out;
}

Value rules_as_go(Arena& a, const Value& rules) {
  if (rules.is_null()) return Value();
  Value out = Value::map();
  for (std::string_view name :
       {"stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"}) {
    Value v = rules[name];
    if (name == "policies" && !v.is_null()) {
      Value policies = Value::list();
      for (const Value& p : rules[name].items()) {
        Value& one = policies.append(a, Value::map());
        for (std::string_view f : {"type", "value", "periodSeconds"}) {
          one.set(a, a.copy(with_first(f, std::toupper)), p[f]);
        }
      }
      v = policies;
    }
    out.set(a, a.copy(with_first(name, std::toupper)), v);
  }
  return out;
}

void annotate(Document& d, std::string_view key, const Value& v) {
  Value& annotations = edit_map(d, edit_metadata(d), "annotations");
  set_text(d, annotations, key, to_json(v));
}

void drop_annotations(Document& d) {
  Value* meta = d.root.find("metadata");
  Value* annotations = meta ? meta->find("annotations") : nullptr;
  if (!annotations || !annotations->is_map()) return;
  for (std::string_view key : kAnnotations) annotations->erase(key);
  if (annotations->empty()) meta->erase("annotations");
}

void to_v1(Document& d) {
  edit_metadata(d);  // it is there from here on: references to what is beside it stay good
  drop_annotations(d);
  Arena& a = d.arena;
  Value& spec = edit_map(d, d.root, "spec");
  Value others = Value::list();
  bool cpu = false;
  for (const Value& m : spec["metrics"].items()) {
    if (!is_cpu_utilization(m)) {
      others.append(a, metric_as_v1(a, m, false));
    } else if (!cpu) {
      cpu = true;
      const Value percent = m["resource"]["target"]["averageUtilization"];
      spec.set(a, "targetCPUUtilizationPercentage", percent);
    }
  }
  if (!others.empty()) annotate(d, kMetrics, others);
  if (const Value behavior = spec["behavior"]; !behavior.is_null()) {
    Value shown = Value::map();
    shown.set(a, "ScaleUp", rules_as_go(a, behavior["scaleUp"]));
    shown.set(a, "ScaleDown", rules_as_go(a, behavior["scaleDown"]));
    annotate(d, kBehavior, shown);
  }
  Value* kept = d.root.find("spec");
  kept->erase("metrics");
  kept->erase("behavior");
  Value* status = d.root.find("status");
  if (!status || !status->is_map()) return;
  const Value metrics = (*status)["currentMetrics"], conditions = (*status)["conditions"];
  for (const Value& m : metrics.items()) {
    const Value& percent = m["resource"]["current"]["averageUtilization"];
    const bool is_cpu = m["type"].as_string() == "Resource" &&
                        m["resource"]["name"].as_string() == "cpu" && !percent.is_null();
    if (is_cpu) status->set(a, "currentCPUUtilizationPercentage", percent);
  }
  status->erase("currentMetrics");
  status->erase("conditions");
  if (!metrics.empty()) {
    Value all = Value::list();
    for (const Value& m : metrics.items()) all.append(a, metric_as_v1(a, m, true));
    annotate(d, kStatuses, all);
  }
  if (!conditions.empty()) annotate(d, kConditions, conditions);
}

// --- v1 to v2 -----------------------------------------------------------------------------------

Value cpu_metric(Arena& a, std::string_view target, int64_t percent) {
  Value how = Value::map();
  if (target == "target") how.set(a, "type", Value::string("Utilization"));
  how.set(a, "averageUtilization", Value(percent));
  Value resource = Value::map();
  resource.set(a, "name", Value::string("cpu"));
  resource.set(a, target, how);
  Value metric = Value::map();
  metric.set(a, "type", Value::string("Resource"));
  metric.set(a, "resource", resource);
  return metric;
}

std::string_view target_type(std::string_view member, const Value& target) {
  if (member == "resource" || member == "containerResource") {
    return target["averageUtilization"].is_null() ? "AverageValue" : "Utilization";
  }
  if (member == "external") return target["value"].is_null() ? "AverageValue" : "Value";
  if (member == "object") return target["averageValue"].is_null() ? "Value" : "AverageValue";
  return "AverageValue";
}

Value metric_as_v2(Arena& a, const Value& metric, bool status) {
  Value out = Value::map();
  out.set(a, "type", metric["type"]);
  for (const SourceRow& row : kSources) {
    const Value& from = metric[row.member];
    if (!from.is_map()) continue;
    Document d;
    d.root = Value::map();
    for (const FieldRow& f : status ? row.status : row.spec) {
      if (!from[f.v1].is_null()) put_at(d, f.v2, from[f.v1]);
    }
    if (!status) {
      Value& target = edit_map(d, d.root, "target");
      // A value of nothing is v1's way to say none, beside an average.
      if (row.member == "object" && !target["averageValue"].is_null() &&
          Quantity::parse_or_zero(target["value"].as_string()).is_zero()) {
        target.erase("value");
      }
      set_text(d, target, "type", target_type(row.member, target));
    }
    out.set(a, row.member, deep_copy(a, d.root));
  }
  return out;
}

// What an annotation holds, if it is what it should be; null else: it was written by anybody.
Value annotated(Document& d, std::string_view key, std::string_view type, bool status,
                Value (*make)(Arena&, const Value&, bool)) {
  const std::string text(d.root["metadata"]["annotations"][key].as_string());
  if (text.empty()) return Value();
  auto parsed = parse_json(text);
  if (!parsed.ok() || !parsed->root.is_list()) return Value();
  Value out = Value::list();
  for (const Value& one : parsed->root.items()) {
    Document made;
    made.root = make(made.arena, one, status);
    if (!one.is_map() || !normalize(*find_type(type), made).ok()) return Value();
    out.append(d.arena, deep_copy(d.arena, made.root));
  }
  return out;
}

Value lowered(Arena& a, const Value& v) {
  if (v.is_list()) {
    Value out = Value::list();
    for (const Value& item : v.items()) out.append(a, lowered(a, item));
    return out;
  }
  if (!v.is_map()) return deep_copy(a, v);
  Value out = Value::map();
  for (const Member& m : v.members()) {
    if (m.value.is_null()) continue;
    out.set(a, a.copy(with_first(m.key(), std::tolower)), lowered(a, m.value));
  }
  return out;
}

Value annotated_behavior(Document& d) {
  auto parsed = parse_json(d.root["metadata"]["annotations"][kBehavior].as_string());
  if (!parsed.ok() || !parsed->root.is_map()) return Value();
  Document made;
  made.root = lowered(made.arena, parsed->root);
  const TypeDesc* type = find_type("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior");
  if (made.root.empty() || !normalize(*type, made).ok()) return Value();
  return deep_copy(d.arena, made.root);
}

void to_v2(Document& d) {
  Arena& a = d.arena;
  Value metrics =
      annotated(d, kMetrics, "io.k8s.api.autoscaling.v2.MetricSpec", false, metric_as_v2);
  const Value statuses =
      annotated(d, kStatuses, "io.k8s.api.autoscaling.v2.MetricStatus", true, metric_as_v2);
  const Value conditions =
      annotated(d, kConditions, "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerCondition", false,
                [](Arena& arena, const Value& c, bool) { return deep_copy(arena, c); });
  const Value behavior = annotated_behavior(d);
  drop_annotations(d);
  Value& spec = edit_map(d, d.root, "spec");
  const Value percent = spec["targetCPUUtilizationPercentage"];
  if (!metrics.is_list()) metrics = Value::list();
  if (!percent.is_null()) metrics.append(a, cpu_metric(a, "target", percent.as_int()));
  if (metrics.empty()) metrics.append(a, cpu_metric(a, "target", 80));
  spec.erase("targetCPUUtilizationPercentage");
  spec.set(a, "metrics", metrics);
  if (!behavior.is_null()) spec.set(a, "behavior", behavior);
  Value* status = d.root.find("status");
  const bool more = !statuses.is_null() || !conditions.is_null();
  if (!status && more) status = &edit_map(d, d.root, "status");
  if (!status || !status->is_map()) return;
  const Value current = (*status)["currentCPUUtilizationPercentage"];
  status->erase("currentCPUUtilizationPercentage");
  if (!statuses.is_null()) {
    status->set(a, "currentMetrics", statuses);
  } else if (!current.is_null()) {
    Value list = Value::list();
    list.append(a, cpu_metric(a, "current", current.as_int()));
    status->set(a, "currentMetrics", list);
  }
  if (!conditions.is_null()) status->set(a, "conditions", conditions);
}

}  // namespace

void convert_autoscaler(const KindDesc&, const KindDesc& to, Document& doc) {
  if (to.version == "v2") {
    to_v2(doc);
  } else {
    to_v1(doc);
  }
}

}  // namespace keles::registry
