// Who owns whom: controller references, adoption and release, and the small questions
// about pods that several controllers ask. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "api/meta_v1.h"
#include "client/client.h"
#include "client/informer.h"

namespace keles::controllers {

// The store's revision that an object is of; 0: its text is no number.
int64_t revision_of(const api::meta_v1::ObjectMeta& meta);
// The owner reference that says `controller: true`; false in bool context when there is none.
api::meta_v1::OwnerReference controller_of(const api::meta_v1::ObjectMeta& meta);
bool is_controlled_by(const api::meta_v1::ObjectMeta& meta, std::string_view uid);
// The uid of the controller, "" when there is none: the index under which owners find their own.
std::string controller_uid(const ObjectPtr& object);
// "ns/name".
std::string key_of(const api::meta_v1::ObjectMeta& meta);
// Registers controller_uid as index "controller" (orphans are under "orphan/NAMESPACE").
void index_by_controller(InformerBase& informer);
inline constexpr std::string_view kControllerIndex = "controller";
std::string orphan_key(std::string_view ns);
// Registers the node that a pod is bound to as index "node".
void index_by_node(InformerBase& pods);
inline constexpr std::string_view kNodeIndex = "node";

// Appends {controller: true, blockOwnerDeletion: true} for `owner`.
void set_controller_reference(api::meta_v1::ObjectMetaEdit meta, const KindDesc& owner_kind,
                              const api::meta_v1::ObjectMeta& owner);
// The strategic merge patches by which a controller adopts an orphan, or releases what is no longer
// its own (`uid`: the object's).
Document adoption_patch(const KindDesc& owner_kind, std::string_view owner_name,
                        std::string_view owner_uid, std::string_view uid);
Document release_patch(std::string_view owner_uid, std::string_view uid);

// The condition of that type; false in bool context when there is none.
api::core_v1::PodCondition pod_condition(const api::core_v1::Pod& pod, std::string_view type);
bool pod_is_ready(const api::core_v1::Pod& pod);
// Ready for at least `min_ready_seconds`.
bool pod_is_available(const api::core_v1::Pod& pod, int64_t min_ready_seconds, WallTime now);
// How long until the next of those that are ready becomes available too; 0 when none will.
Duration until_next_available(const std::vector<Ref<api::core_v1::Pod>>& pods,
                              int64_t min_ready_seconds, WallTime now);
// Neither finished nor being deleted.
bool pod_is_active(const api::core_v1::Pod& pod);
bool pod_has_finished(const api::core_v1::Pod& pod);

// An int, or a percentage of `total`; `fallback` when absent.
int64_t scaled_value(const Value& int_or_percent, int64_t total, bool round_up, int64_t fallback);

// A new pod from a template: labels, annotations, finalizers and spec, generateName "PREFIX-", and
// the controller reference.
Draft<api::core_v1::PodEdit> pod_from_template(const api::core_v1::PodTemplateSpec& pod_template,
                                               const KindDesc& owner_kind,
                                               const api::meta_v1::ObjectMeta& owner);

// Deletion and creation times; kNone when absent or not a time.
inline constexpr WallTime kNone{INT64_MIN};
WallTime time_or_none(std::string_view text);

}  // namespace keles::controllers
