// Defaults that are more than a constant, by the names that the description gives them
// (`hook:` of a type). Each runs on one value of its type, after the constants, innermost first.
#pragma once

#include "machinery/value.h"

namespace keles::tables {

void default_container(EditTarget);
void default_volume(EditTarget);
void default_pod_spec(EditTarget);
void default_pod(EditTarget);
void default_service(EditTarget);
void default_namespace(EditTarget);
void default_node(EditTarget);
void default_limit_range_item(EditTarget);
void default_labels_from_template(EditTarget);
void default_deployment(EditTarget);
void default_daemon_set(EditTarget);
void default_stateful_set(EditTarget);
void default_job(EditTarget);
void default_network_policy(EditTarget);
void default_rbac_subject(EditTarget);
void default_custom_resource_definition(EditTarget);
void default_device_count(EditTarget);

}  // namespace keles::tables
