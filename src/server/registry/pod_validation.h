// Checks of a pod's spec, shared by every kind that holds a pod template. Messages are upstream's
// (k8s.io/kubernetes/pkg/apis/core/validation). What the description says (required fields, lists
// of words) is checked elsewhere, for every kind.
#pragma once

#include "machinery/validation.h"

namespace keles::registry {

struct PodValidation {
  bool ephemeral_allowed = false;  // ephemeralContainers come only through their subresource
};

void validate_pod_spec(FieldErrors& e, const FieldPath& p, const Value& spec,
                       const PodValidation& options = {});
// Annotations of a pod that mean something; and on every kind of update (`before`), that nobody
// makes a mirror pod of it or the reverse.
void validate_pod_annotations(FieldErrors& e, const Value& pod);
void validate_pod_annotation_update(FieldErrors& e, const Value& now, const Value& before);
// metadata's labels and annotations, and the spec.
void validate_pod_template(FieldErrors& e, const FieldPath& p, const Value& tmpl);

void validate_node_selector(FieldErrors& e, const FieldPath& p, const Value& selector);
void validate_taints(FieldErrors& e, const FieldPath& p, const Value& taints);
// Volumes, apart from pod_validation.cc for its length. Names that mounts may use go to `names`.
void validate_volumes(FieldErrors& e, const FieldPath& p, const Value& volumes,
                      std::vector<std::string_view>* names);
// Affinity, tolerations, topology spread.
void validate_placement(FieldErrors& e, const FieldPath& p, const Value& spec);
// securityContext.sysctls.
void validate_sysctls(FieldErrors& e, const FieldPath& p, const Value& spec);
// limits and requests; `fits` says which resources containers may name.
void validate_resources(FieldErrors& e, const FieldPath& p, const Value& resources);
void validate_quantity(FieldErrors& e, const FieldPath& p, const Value& quantity);

}  // namespace keles::registry
