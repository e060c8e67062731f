#include "controllers/manager.h"

#include <algorithm>

#include "base/sync.h"
#include "controllers/bootstrap_tokens.h"
#include "controllers/certificates.h"
#include "controllers/cluster_role_aggregation.h"
#include "controllers/cronjob.h"
#include "controllers/daemonset.h"
#include "controllers/deployment.h"
#include "controllers/disruption.h"
#include "controllers/endpoints.h"
#include "controllers/endpointslice.h"
#include "controllers/endpointslice_mirroring.h"
#include "controllers/garbage_collector.h"
#include "controllers/job.h"
#include "controllers/legacy_tokens.h"
#include "controllers/namespace.h"
#include "controllers/node_ipam.h"
#include "controllers/node_lifecycle.h"
#include "controllers/pod_gc.h"
#include "controllers/policy_types.h"
#include "controllers/replicas.h"
#include "controllers/resource_quota.h"
#include "controllers/service_account.h"
#include "controllers/statefulset.h"
#include "controllers/storage_protection.h"
#include "controllers/taint_eviction.h"
#include "controllers/token_secrets.h"

namespace keles::controllers {

template <class C>
void Manager::add(std::string_view name) {
  const auto& off = options_.disabled;
  if (std::find(off.begin(), off.end(), name) != off.end()) return;
  controllers_.push_back(std::make_unique<C>(Deps{client_, informers_, options_}));
}

// The names are those of kube-controller-manager's --controllers.
Manager::Manager(Client& client, Options options)
    : client_(client), options_(std::move(options)), informers_(client) {
  add<ServiceAccountController>("serviceaccount-controller");
  if (options_.sign_token) add<TokenSecretsController>("serviceaccount-token-controller");
  add<RootCaPublisher>("root-ca-certificate-publisher-controller");
  if (options_.sign_csr) add<CsrSigningController>("certificatesigningrequest-signing-controller");
  add<CsrApprovingController>("certificatesigningrequest-approving-controller");
  add<CsrCleanerController>("certificatesigningrequest-cleaner-controller");
  add<LegacyTokenCleaner>("legacy-serviceaccount-token-cleaner-controller");
  add<BootstrapSigner>("bootstrap-signer-controller");
  add<TokenCleaner>("token-cleaner-controller");
  add<ClusterRoleAggregation>("clusterrole-aggregation-controller");
  add<NamespaceController>("namespace-controller");
  if (options_.allocate_node_cidrs) add<NodeIpamController>("node-ipam-controller");
  add<NodeLifecycleController>("node-lifecycle-controller");
  add<TaintEvictionController>("taint-eviction-controller");
  add<DeploymentController>("deployment-controller");
  add<ReplicaSetController>("replicaset-controller");
  add<ReplicationManager>("replicationcontroller-controller");
  add<StatefulSetController>("statefulset-controller");
  add<DaemonSetController>("daemonset-controller");
  add<JobController>("job-controller");
  add<CronJobController>("cronjob-controller");
  add<EndpointSliceController>("endpointslice-controller");
  add<EndpointSliceMirroring>("endpointslice-mirroring-controller");
  add<EndpointsController>("endpoints-controller");
  add<DisruptionController>("disruption-controller");
  add<ResourceQuotaController>("resourcequota-controller");
  add<ClaimProtection>("persistentvolumeclaim-protection-controller");
  add<VolumeProtection>("persistentvolume-protection-controller");
  add<AttributesClassProtection>("volumeattributesclass-protection-controller");
  add<PodGcController>("pod-garbage-collector-controller");
  add<PolicyTypesController>("validatingadmissionpolicy-status-controller");
  add<GarbageCollector>("garbage-collector-controller");
}

Manager::~Manager() = default;

namespace {

Task<void> run_one(Context ctx, Controller* c) { co_await c->run(ctx); }

}  // namespace

Task<void> Manager::run(Context ctx) {
  informers_.start(ctx);
  TaskGroup group(client_.loop());
  for (const auto& c : controllers_) group.spawn(run_one(ctx, c.get()));
  co_await group.join();
  co_await informers_.join();
}

}  // namespace keles::controllers
