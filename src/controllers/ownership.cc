#include "controllers/ownership.h"

#include <charconv>

#include "machinery/intstr.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::meta_v1::ObjectMeta;
using api::meta_v1::ObjectMetaEdit;
using api::meta_v1::OwnerReference;

int64_t revision_of(const ObjectMeta& meta) {
  const std::string_view text = meta.resource_version();
  int64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

OwnerReference controller_of(const ObjectMeta& meta) {
  for (OwnerReference r : meta.owner_references()) {
    if (r.controller()) return r;
  }
  return {};
}

bool is_controlled_by(const ObjectMeta& meta, std::string_view uid) {
  OwnerReference r = controller_of(meta);
  return r && r.uid() == uid;
}

std::string controller_uid(const ObjectPtr& object) {
  DocumentPtr tree = object->metadata();
  return std::string(controller_of(ObjectMeta(tree->root["metadata"])).uid());
}

std::string orphan_key(std::string_view ns) { return "orphan/" + std::string(ns); }

std::string key_of(const ObjectMeta& m) {
  return std::string(m.namespace_()) + "/" + std::string(m.name());
}

void index_by_controller(InformerBase& informer) {
  informer.add_index(std::string(kControllerIndex),
                     [](const ObjectPtr& o) -> std::vector<std::string> {
                       std::string uid = controller_uid(o);
                       if (uid.empty()) return {orphan_key(o->namespace_())};
                       return {std::move(uid)};
                     });
}

void index_by_node(InformerBase& pods) {
  pods.add_index(std::string(kNodeIndex), [](const ObjectPtr& o) -> std::vector<std::string> {
    auto pod = read<Pod>(o);
    if (pod->spec().node_name().empty()) return {};
    return {std::string(pod->spec().node_name())};
  });
}

void set_controller_reference(ObjectMetaEdit meta, const KindDesc& owner_kind,
                              const ObjectMeta& owner) {
  auto ref = meta.edit_owner_references().add();
  ref.set_api_version(owner_kind.api_version());
  ref.set_kind(owner_kind.kind);
  ref.set_name(owner.name());
  ref.set_uid(owner.uid());
  ref.set_controller(true);
  ref.set_block_owner_deletion(true);
}

namespace {

Value text(Document& d, std::string_view s) { return Value::string(d.arena.copy(s)); }

Value& metadata_patch(Document& d, std::string_view uid, Value** refs) {
  d.root = Value::map();
  Value& meta = d.root.set(d.arena, "metadata", Value::map());
  meta.set(d.arena, "uid", text(d, uid));
  *refs = &meta.set(d.arena, "ownerReferences", Value::list());
  return meta;
}

}  // namespace

Document adoption_patch(const KindDesc& owner_kind, std::string_view owner_name,
                        std::string_view owner_uid, std::string_view uid) {
  Document d;
  Value* refs = nullptr;
  metadata_patch(d, uid, &refs);
  Value& r = refs->append(d.arena, Value::map());
  r.set(d.arena, "apiVersion", text(d, owner_kind.api_version()));
  r.set(d.arena, "kind", text(d, owner_kind.kind));
  r.set(d.arena, "name", text(d, owner_name));
  r.set(d.arena, "uid", text(d, owner_uid));
  r.set(d.arena, "controller", Value(true));
  r.set(d.arena, "blockOwnerDeletion", Value(true));
  return d;
}

Document release_patch(std::string_view owner_uid, std::string_view uid) {
  Document d;
  Value* refs = nullptr;
  metadata_patch(d, uid, &refs);
  Value& r = refs->append(d.arena, Value::map());
  r.set(d.arena, "$patch", Value::string("delete"));
  r.set(d.arena, "uid", text(d, owner_uid));
  return d;
}

PodCondition pod_condition(const Pod& pod, std::string_view type) {
  for (PodCondition c : pod.status().conditions()) {
    if (c.type() == type) return c;
  }
  return {};
}

bool pod_is_ready(const Pod& pod) { return pod_condition(pod, "Ready").status() == "True"; }

bool pod_is_available(const Pod& pod, int64_t min_ready_seconds, WallTime now) {
  PodCondition ready = pod_condition(pod, "Ready");
  if (ready.status() != "True") return false;
  if (min_ready_seconds == 0) return true;
  WallTime since = time_or_none(ready.last_transition_time());
  return since != kNone && since + std::chrono::seconds(min_ready_seconds) <= now;
}

Duration until_next_available(const std::vector<Ref<Pod>>& pods, int64_t min_ready_seconds,
                              WallTime now) {
  Duration next{0};
  if (min_ready_seconds <= 0) return next;
  for (const Ref<Pod>& pod : pods) {
    PodCondition ready = pod_condition(*pod, "Ready");
    if (ready.status() != "True" || !pod->metadata().deletion_timestamp().empty()) continue;
    WallTime since = time_or_none(ready.last_transition_time());
    if (since == kNone) continue;
    Duration left = since + std::chrono::seconds(min_ready_seconds) - now;
    if (left > Duration(0) && (next == Duration(0) || left < next)) next = left;
  }
  return next;
}

bool pod_has_finished(const Pod& pod) {
  std::string_view phase = pod.status().phase();
  return phase == "Succeeded" || phase == "Failed";
}

bool pod_is_active(const Pod& pod) {
  return !pod_has_finished(pod) && pod.metadata().deletion_timestamp().empty();
}

int64_t scaled_value(const Value& v, int64_t total, bool round_up, int64_t fallback) {
  if (v.is_null()) return fallback;
  auto r = scaled_int_or_percent(v, total, round_up);
  return r.ok() ? *r : fallback;
}

Draft<PodEdit> pod_from_template(const PodTemplateSpec& from, const KindDesc& owner_kind,
                                 const ObjectMeta& owner) {
  Draft<PodEdit> pod;
  ObjectMetaEdit meta = pod->edit_metadata();
  meta.set_namespace_(owner.namespace_());
  meta.set_generate_name(std::string(owner.name()) + "-");
  for (auto [k, v] : from.metadata().labels()) meta.edit_labels().set(k, v);
  for (auto [k, v] : from.metadata().annotations()) meta.edit_annotations().set(k, v);
  for (std::string_view f : from.metadata().finalizers()) meta.edit_finalizers().add(f);
  set_controller_reference(meta, owner_kind, owner);
  pod->set_spec(from.spec());
  return pod;
}

WallTime time_or_none(std::string_view text) {
  if (text.empty()) return kNone;
  auto t = parse_time(text);
  return t.ok() ? *t : kNone;
}

}  // namespace keles::controllers
