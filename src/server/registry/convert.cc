#include "server/registry/convert.h"

#include "server/objects/meta.h"

namespace keles::registry {
namespace {

struct Rename {
  std::string_view core, events;
};
// v1 Event and events.k8s.io/v1 Event hold the same under other names.
constexpr Rename kEventFields[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
    {"reportingComponent", "reportingController"},
};

void convert_event(bool to_core, Document& d) {
  Document out;
  out.root = Value::map();
  for (const Member& m : d.root.members()) {
    std::string_view key = m.key();
    for (const Rename& r : kEventFields) {
      if (key == (to_core ? r.events : r.core)) {
        key = to_core ? r.core : r.events;
        break;
      }
    }
    out.root.set(out.arena, out.arena.copy(key), deep_copy(out.arena, m.value));
  }
  d = std::move(out);
}

// autoscaling/v1 knows one metric: the average CPU utilization.
void convert_scaler(bool to_v2, Document& d) {
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

void convert(const KindDesc& from, const KindDesc& to, Document& doc) {
  if (&from == &to) return;
  if (from.kind == "Event") convert_event(to.group.empty(), doc);
  if (from.kind == "HorizontalPodAutoscaler") convert_scaler(to.version == "v2", doc);
  doc.root.set(doc.arena, "apiVersion", Value::string(to.api_version()));
  doc.root.set(doc.arena, "kind", Value::string(to.kind));
}

ObjectPtr present(const KindDesc& kind, const ObjectPtr& object) {
  if (!object || &object->kind() == &kind) return object;
  Document d = object->tree()->clone();
  convert(object->kind(), kind, d);
  return Object::from_document(kind, std::move(d));
}

}  // namespace keles::registry
