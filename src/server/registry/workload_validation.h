// Checks of the kinds that keep pods running: Deployments, ReplicaSets, ReplicationControllers,
// StatefulSets, DaemonSets and ControllerRevisions. Messages and order are upstream's
// (k8s.io/kubernetes/pkg/apis/apps/validation). `before` is null on a create. Pure, any thread.
#pragma once

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "machinery/validation.h"

namespace keles::registry {

void validate_deployment(FieldErrors& e, const api::apps_v1::Deployment& now,
                         const api::apps_v1::Deployment* before);
void validate_deployment_status(FieldErrors& e, const api::apps_v1::Deployment& now,
                                const api::apps_v1::Deployment& before);
void validate_replica_set(FieldErrors& e, const api::apps_v1::ReplicaSet& now,
                          const api::apps_v1::ReplicaSet* before);
void validate_replication_controller(FieldErrors& e, const api::core_v1::ReplicationController& now,
                                     const api::core_v1::ReplicationController* before);
// Of a ReplicaSet or a ReplicationController.
void validate_replicas_status(FieldErrors& e, const Value& status);
void validate_stateful_set(FieldErrors& e, const api::apps_v1::StatefulSet& now,
                           const api::apps_v1::StatefulSet* before);
void validate_stateful_set_status(FieldErrors& e, const api::apps_v1::StatefulSet& now,
                                  const api::apps_v1::StatefulSet& before);
void validate_daemon_set(FieldErrors& e, const api::apps_v1::DaemonSet& now,
                         const api::apps_v1::DaemonSet* before);
void validate_daemon_set_status(FieldErrors& e, const api::apps_v1::DaemonSet& now,
                                const api::apps_v1::DaemonSet& before);
void validate_controller_revision(FieldErrors& e, const api::apps_v1::ControllerRevision& now,
                                  const api::apps_v1::ControllerRevision* before);

// A number or a percentage, none negative; and none of more than all.
void validate_int_or_percent(FieldErrors& e, const FieldPath& p, const Value& v);
void validate_at_most_all(FieldErrors& e, const FieldPath& p, const Value& v);
// Adds "`selector` does not match template `labels`", at the template's path, unless it does. One
// that is absent matches nothing; one that cannot be read is not asked.
void validate_selector_matches(FieldErrors& e, const FieldPath& p, const Value& selector,
                               const Value& labels);

}  // namespace keles::registry
