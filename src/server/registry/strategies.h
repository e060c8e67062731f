// Every kind with hooks. To add one: write its file, name its strategy here and in table.cc.
#pragma once

#include "machinery/validation.h"
#include "server/registry/strategy.h"

namespace keles::registry {

extern const Strategy kJobStrategy;
extern const Strategy kCronJobStrategy;
extern const Strategy kComponentStatusStrategy;
extern const Strategy kNodeStrategy;
extern const Strategy kNamespaceStrategy;
extern const Strategy kLeaseStrategy;
extern const Strategy kEventStrategy;
extern const Strategy kEventsEventStrategy;
extern const Strategy kConfigMapStrategy;
extern const Strategy kRuntimeClassStrategy;
extern const Strategy kSecretStrategy;
extern const Strategy kServiceAccountStrategy;
extern const Strategy kResourceQuotaStrategy;
extern const Strategy kEndpointsStrategy;
extern const Strategy kEndpointSliceStrategy;
extern const Strategy kIngressStrategy;
extern const Strategy kIngressClassStrategy;
extern const Strategy kNetworkPolicyStrategy;
extern const Strategy kServiceCidrStrategy;
extern const Strategy kIpAddressStrategy;
extern const Strategy kPodStrategy;
extern const Strategy kPodTemplateStrategy;
extern const Strategy kPodDisruptionBudgetStrategy;
extern const Strategy kHorizontalPodAutoscalerStrategy;
extern const Strategy kFlowSchemaStrategy;
extern const Strategy kPriorityLevelStrategy;
extern const Strategy kResourceClaimStrategy;
extern const Strategy kRoleStrategy;
extern const Strategy kClusterRoleStrategy;
extern const Strategy kRoleBindingStrategy;
extern const Strategy kClusterRoleBindingStrategy;
extern const Strategy kPriorityClassStrategy;
extern const Strategy kCsrStrategy;
extern const Strategy kMutatingWebhooksStrategy;
extern const Strategy kValidatingWebhooksStrategy;
extern const Strategy kValidatingPolicyStrategy;
extern const Strategy kMutatingPolicyStrategy;
extern const Strategy kValidatingPolicyBindingStrategy;
extern const Strategy kMutatingPolicyBindingStrategy;
extern const Strategy kApiServiceStrategy;
extern const Strategy kServiceStrategy;
extern const Strategy kPersistentVolumeStrategy;
extern const Strategy kPersistentVolumeClaimStrategy;
extern const Strategy kStorageClassStrategy;
extern const Strategy kCsiNodeStrategy;
extern const Strategy kCsiDriverStrategy;
extern const Strategy kCsiStorageCapacityStrategy;
extern const Strategy kResourceSliceStrategy;
extern const Strategy kDeploymentStrategy;
extern const Strategy kReplicaSetStrategy;
extern const Strategy kReplicationControllerStrategy;
extern const Strategy kStatefulSetStrategy;
extern const Strategy kDaemonSetStrategy;
extern const Strategy kControllerRevisionStrategy;
extern const Strategy kCustomResourceDefinitionStrategy;

}  // namespace keles::registry
