// Warnings: what is accepted, and yet will not do what its author thinks. The strategies' hooks
// `warnings` and `status_warnings`, one for each kind that has any. Texts, paths and their order
// are upstream's, which scripts and linters match (k8s.io/kubernetes/pkg/api/*/warnings.go, and the
// WarningsOnCreate and WarningsOnUpdate of its strategies). Pure functions of the validated object;
// `before` is null on a create.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "machinery/validation.h"
#include "server/registry/strategy.h"

namespace keles::registry {

using Warnings = std::vector<std::string>;

// --- shared parts -------------------------------------------------------------------------------

// "spec.x: text".
void warn(Warnings& out, const FieldPath& p, std::string_view text);
// Addresses in a form that other readers take differently, or that is not RFC 5952's. Nothing for
// what is no address.
void warn_of_ip(Warnings& out, const FieldPath& p, std::string_view ip);
void warn_of_cidr(Warnings& out, const FieldPath& p, std::string_view cidr);
// Why a label of nodes should no longer be used; null: it may be.
const char* deprecated_node_label(std::string_view key);
// "[a b]", as Go prints a list of texts.
std::string listed(const std::vector<std::string>& texts);
// One term of a node selector; of a preferred one, values that no label can have too.
void warn_of_node_term(Warnings& out, const FieldPath& p, const Value& term, bool check_values);
// `resources[list][name]` in parts of a byte.
void warn_of_fraction(Warnings& out, const FieldPath& p, const Value& quantities,
                      std::string_view name);
void warn_of_claim_spec(Warnings& out, const FieldPath& p, const Value& spec);

// A pod's spec and metadata below `p`. `is_template`: not of a pod itself.
void warn_of_pod(Warnings& out, const FieldPath& p, const Value& pod, bool is_template);
// Files of one volume that would lie in one another's place.
void warn_of_overlapping_paths(Warnings& out, const Value& volumes);

// Keeps the first of equal owner references and warns of the others (format of upstream's handlers:
// before mutating admission, or after it).
void drop_duplicate_owners(Document& object, bool after_admission, Warnings* out);

// --- hooks --------------------------------------------------------------------------------------

using WarningHook = void(const HookContext&, const Value& now, const Value* before, Warnings& out);

WarningHook pod_warnings, pod_status_warnings, pod_template_warnings;
WarningHook deployment_warnings, replica_set_warnings, replication_controller_warnings,
    stateful_set_warnings, daemon_set_warnings, job_warnings, cron_job_warnings;
WarningHook service_warnings, load_balancer_status_warnings, endpoints_warnings,
    endpoint_slice_warnings, ingress_warnings, network_policy_warnings;
WarningHook node_warnings, secret_warnings, service_account_warnings, resource_quota_warnings;
WarningHook persistent_volume_warnings, persistent_volume_claim_warnings, storage_class_warnings,
    csi_driver_warnings, csi_storage_capacity_warnings;
WarningHook runtime_class_warnings, resource_slice_warnings, static_suffix_warnings;

}  // namespace keles::registry
