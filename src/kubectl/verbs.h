// The commands, one file each; commands.cc is their table.
#pragma once

#include "kubectl/command.h"

namespace keles::kubectl {

Status annotate(Invocation& in);
Status api_resources(Invocation& in);
Status api_versions(Invocation& in);
Status apply(Invocation& in);
Status apply_set_last_applied(Invocation& in);
Status apply_view_last_applied(Invocation& in);
Status auth_can_i(Invocation& in);
Status auth_whoami(Invocation& in);
Status cluster_info(Invocation& in);
Status config_current_context(Invocation& in);
Status config_delete_cluster(Invocation& in);
Status config_delete_context(Invocation& in);
Status config_delete_user(Invocation& in);
Status config_get_clusters(Invocation& in);
Status config_get_contexts(Invocation& in);
Status config_get_users(Invocation& in);
Status config_rename_context(Invocation& in);
Status config_set_cluster(Invocation& in);
Status config_set_context(Invocation& in);
Status config_set_credentials(Invocation& in);
Status config_unset(Invocation& in);
Status config_use_context(Invocation& in);
Status config_view(Invocation& in);
Status cordon(Invocation& in);
Status cp(Invocation& in);
Status create(Invocation& in);
Status create_clusterrole(Invocation& in);
Status create_clusterrolebinding(Invocation& in);
Status create_configmap(Invocation& in);
Status create_cronjob(Invocation& in);
Status create_deployment(Invocation& in);
Status create_job(Invocation& in);
Status create_namespace(Invocation& in);
Status create_pdb(Invocation& in);
Status create_priorityclass(Invocation& in);
Status create_quota(Invocation& in);
Status create_role(Invocation& in);
Status create_rolebinding(Invocation& in);
Status create_secret_docker_registry(Invocation& in);
Status create_secret_generic(Invocation& in);
Status create_secret_tls(Invocation& in);
Status create_service_account(Invocation& in);
Status create_service_clusterip(Invocation& in);
Status create_service_externalname(Invocation& in);
Status create_service_loadbalancer(Invocation& in);
Status create_service_nodeport(Invocation& in);
Status create_token(Invocation& in);
Status debug(Invocation& in);
Status describe(Invocation& in);
Status diff(Invocation& in);
Status drain(Invocation& in);
Status edit(Invocation& in);
Status attach(Invocation& in);
Status autoscale(Invocation& in);
Status certificate_approve(Invocation& in);
Status certificate_deny(Invocation& in);
Status cluster_info_dump(Invocation& in);
Status create_ingress(Invocation& in);
Status events(Invocation& in);
Status exec(Invocation& in);
Status explain(Invocation& in);
Status expose(Invocation& in);
Status get(Invocation& in);
Status label(Invocation& in);
Status logs(Invocation& in);
Status options(Invocation& in);
Status patch(Invocation& in);
Status plugin_list(Invocation& in);
Status port_forward(Invocation& in);
Status proxy(Invocation& in);
Status remove(Invocation& in);  // delete
Status replace(Invocation& in);
Status rollout_history(Invocation& in);
Status rollout_pause(Invocation& in);
Status rollout_restart(Invocation& in);
Status rollout_resume(Invocation& in);
Status rollout_status(Invocation& in);
Status rollout_undo(Invocation& in);
Status run_pod(Invocation& in);  // run
Status scale(Invocation& in);
Status set_env(Invocation& in);
Status set_image(Invocation& in);
Status set_resources(Invocation& in);
Status set_selector(Invocation& in);
Status set_service_account(Invocation& in);
Status set_subject(Invocation& in);
Status taint(Invocation& in);
Status top_node(Invocation& in);
Status top_pod(Invocation& in);
Status uncordon(Invocation& in);
Status version(Invocation& in);
Status wait(Invocation& in);

}  // namespace keles::kubectl
