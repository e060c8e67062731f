#include "server/registry/convert.h"

#include "machinery/custom_kind.h"
#include "machinery/decode.h"
#include "server/objects/meta.h"
#include "server/registry/machine.h"

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
  if (kind.owner) return Object::as(kind, object);
  Document d = object->tree()->clone();
  convert(object->kind(), kind, d);
  return Object::from_document(kind, std::move(d));
}

bool needs_converter(const KindDesc& kind, const Object& object) {
  if (&object.kind() == &kind) return false;
  const CustomKinds* kinds = custom_kinds(kind);
  return kinds && kinds->converter() && object.kind().version != kind.version;
}

Task<Result<ObjectPtr>> show(Context ctx, const KindDesc* kind, ObjectPtr object) {
  if (!object || !needs_converter(*kind, *object)) co_return present(*kind, object);
  std::vector<ObjectPtr> one(1, std::move(object));
  Status s = co_await show_all(ctx, kind, &one);
  if (!s.ok()) co_return s;
  co_return std::move(one.front());
}

Task<Status> show_all(Context ctx, const KindDesc* kind, std::vector<ObjectPtr>* objects) {
  std::vector<size_t> waiting;
  std::vector<DocumentPtr> trees;
  for (size_t i = 0; i < objects->size(); ++i) {
    ObjectPtr& o = (*objects)[i];
    if (!o || !needs_converter(*kind, *o)) {
      o = present(*kind, o);
    } else if (ObjectPtr seen = Object::seen_as(*kind, o)) {
      o = std::move(seen);
    } else {
      waiting.push_back(i);
      trees.push_back(o->tree());
    }
  }
  if (waiting.empty()) co_return Status();
  KindRef held(kind);
  Converter* converter = custom_kinds(*kind)->converter();
  auto converted = co_await converter->convert(ctx, kind, std::move(trees));
  if (!converted.ok()) co_return converted.status();
  if (converted->size() != waiting.size()) {
    co_return Status::internal("a conversion gave another number of objects");
  }
  for (size_t n = 0; n < waiting.size(); ++n) {
    Document& d = (*converted)[n];
    ObjectPtr& o = (*objects)[waiting[n]];
    hold_kind(d.arena, *kind);
    kind->owner->bind(*kind, d);
    set_meta(d, "resourceVersion", std::to_string(o->revision()));
    ObjectPtr shown = Object::from_document(*kind, std::move(d));
    (void)shown->stored();  // bytes: its tree is the budget's from now on
    Object::show_as(o, shown);
    o = std::move(shown);
  }
  co_return Status();
}

Task<Result<Record>> to_record(Context ctx, const KindDesc* kind, Document tree) {
  Record out;
  out.kind = kind;
  const CustomKinds* kinds = custom_kinds(*kind);
  if (kinds && kind != &kinds->stored()) {
    out.kind = &kinds->stored();
    if (Converter* converter = kinds->converter()) {
      clear_meta(tree, "resourceVersion");
      std::vector<DocumentPtr> one(1, std::make_shared<const Document>(std::move(tree)));
      auto converted = co_await converter->convert(ctx, out.kind, std::move(one));
      if (!converted.ok()) co_return converted.status();
      if (converted->size() != 1) {
        co_return Status::internal("a conversion gave another number of objects");
      }
      tree = std::move(converted->front());
    }
    hold_kind(tree.arena, *out.kind);
    out.kind->owner->bind(*out.kind, tree);
  }
  out.stored = encode_stored(*out.kind, tree);
  out.tree = std::move(tree);
  co_return out;
}

}  // namespace keles::registry
