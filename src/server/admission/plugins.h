// The plugins' functions, one file each; see admission.h for when they run.
#pragma once

#include <initializer_list>

#include "server/admission/admission.h"
#include "server/admission/answer.h"

namespace keles::admission {

// No object is created in a namespace that is absent or being deleted; the system's own namespaces
// are not deleted.
Status namespace_lifecycle(const Attributes& a, Document& object, const Value* before);
Status namespace_lifecycle_validate(const Attributes& a, const Value* object, const Value* before);
// Pods run as a service account that exists, with its token mounted, and with its secrets alone
// when it asks for that (kubernetes.io/enforce-mountable-secrets). Mirror pods have no account and
// no secrets.
Status service_account(const Attributes& a, Document& pod, const Value* before);
Status service_account_validate(const Attributes& a, const Value* pod, const Value* before);
// Pods leave a node that is not ready or unreachable after five minutes, unless they say otherwise.
Status default_toleration_seconds(const Attributes& a, Document& pod, const Value* before);
// Pods get the number of their priority class; one class at most is the global default.
Status priority(const Attributes& a, Document& pod, const Value* before);
Status priority_validate(const Attributes& a, const Value* object, const Value* before);
// Requests and limits that a LimitRange of the namespace gives to containers, and its bounds.
Status limit_ranger(const Attributes& a, Document& pod, const Value* before);
Status limit_ranger_validate(const Attributes& a, const Value* pod, const Value* before);

// A node's agent changes its own Node, Lease and pods, and no others; its mirror pods refer to
// nothing of the API; its labels are its own; its tokens are for pods that it runs.
Status node_restriction(const Attributes& a, Document& object, const Value* before);
Status node_restriction_validate(const Attributes& a, const Value* object, const Value* before);

// Pods keep the Pod Security Standard that their namespace's labels ask for; what would not is
// said.
Status pod_security(const Attributes& a, const Value* object, const Value* before);
// Pods ask for a runtime class that exists, and have its overhead, node selector and tolerations.
Status runtime_class(const Attributes& a, Document& pod, const Value* before);
Status runtime_class_validate(const Attributes& a, const Value* pod, const Value* before);

// Who approves or signs a CertificateSigningRequest has that verb on its signer; nobody asks for a
// client certificate of system:masters.
Status certificate_approval(const Attributes& a, const Value* csr, const Value* before);
Status certificate_signing(const Attributes& a, const Value* csr, const Value* before);
Status certificate_subject_restriction(const Attributes& a, const Value* csr, const Value* before);

// Claims get the default StorageClass, Ingresses the default IngressClass: the newest of several.
Status default_storage_class(const Attributes& a, Document& claim, const Value* before);
Status default_ingress_class(const Attributes& a, Document& ingress, const Value* before);
// Claims grow only when they are bound, of a class that lets them.
Status claim_resize(const Attributes& a, const Value* claim, const Value* before);
// Volumes, claims and their classes stay until they are not in use; the controller lets them go.
Status storage_protection(const Attributes& a, Document& object, const Value* before);

// Nodes begin as not ready. Pods have the zone and region of their node as labels.
Status taint_nodes_by_condition(const Attributes& a, Document& node, const Value* before);
Status pod_topology_labels(const Attributes& a, Document& object, const Value* before);
// A pod on a node changes only as the node can, and grows only as far as the node has room.
Status node_declared_features(const Attributes& a, const Value* pod, const Value* before);
Status pod_resize(const Attributes& a, const Value* pod, const Value* before);

// --- off by default ---
Status namespace_exists(const Attributes& a, const Value* object, const Value* before);
Status limit_anti_affinity(const Attributes& a, const Value* pod, const Value* before);
Status always_pull_images(const Attributes& a, Document& pod, const Value* before);
Status always_pull_images_validate(const Attributes& a, const Value* pod, const Value* before);
Status extended_resource_toleration(const Attributes& a, Document& pod, const Value* before);
// A namespace's annotations, or the configuration, bind its pods to nodes and tolerations.
Status pod_node_selector(const Attributes& a, Document& pod, const Value* before);
Status pod_node_selector_validate(const Attributes& a, const Value* pod, const Value* before);
Status pod_toleration_restriction(const Attributes& a, Document& pod, const Value* before);
Status pod_toleration_restriction_validate(const Attributes& a, const Value* pod,
                                           const Value* before);
Status event_rate_limit(const Attributes& a, const Value* event, const Value* before);
Status owner_references(const Attributes& a, const Value* object, const Value* before);
Status deny_external_ips(const Attributes& a, const Value* service, const Value* before);
Status always_deny(const Attributes& a, const Value* object, const Value* before);

// The kind's object that is marked as the default by one of these annotations; of several the one
// made last, of those the first by name. Null: there is none.
Result<ObjectPtr> newest_default(const Attributes& a, const KindDesc& kind,
                                 std::initializer_list<std::string_view> annotations);
// The plugins that run unless they are switched off.
std::vector<std::string_view> on_by_default();

// The object that the request's snapshot holds; null when absent.
ObjectPtr find(const Attributes& a, std::string_view group, std::string_view version,
               std::string_view kind, std::string_view ns, std::string_view name);
inline bool pod_create(const Attributes& a) {
  return a.operation == Operation::kCreate && a.subresource.empty() && a.is("", "Pod");
}

}  // namespace keles::admission
