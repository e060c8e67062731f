#include "controllers/manager.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "base/metrics.h"
#include "base/sync.h"
#include "controllers/autoscaling/horizontal_pod_autoscaler.h"
#include "controllers/bootstrap_tokens.h"
#include "controllers/certificates.h"
#include "controllers/cluster_role_aggregation.h"
#include "controllers/cronjob.h"
#include "controllers/daemonset.h"
#include "controllers/deployment.h"
#include "controllers/device_taint_eviction.h"
#include "controllers/disruption.h"
#include "controllers/endpoints.h"
#include "controllers/endpointslice.h"
#include "controllers/endpointslice_mirroring.h"
#include "controllers/garbage_collector.h"
#include "controllers/job.h"
#include "controllers/legacy_tokens.h"
#include "controllers/load_balancer.h"
#include "controllers/namespace.h"
#include "controllers/node_ipam.h"
#include "controllers/node_lifecycle.h"
#include "controllers/pod_gc.h"
#include "controllers/policy_types.h"
#include "controllers/replicas.h"
#include "controllers/resource_claims.h"
#include "controllers/resource_quota.h"
#include "controllers/service_account.h"
#include "controllers/service_cidr.h"
#include "controllers/statefulset.h"
#include "controllers/storage/attach_detach.h"
#include "controllers/storage/binder.h"
#include "controllers/storage/ephemeral.h"
#include "controllers/storage/expander.h"
#include "controllers/storage/local_path.h"
#include "controllers/storage_protection.h"
#include "controllers/taint_eviction.h"
#include "controllers/token_secrets.h"
#include "controllers/ttl.h"
#include "controllers/ttl_after_finished.h"

namespace keles::controllers {

namespace {

template <class C>
std::unique_ptr<Controller> make(Deps deps, const AutoscalingOptions& autoscaling) {
  if constexpr (std::is_constructible_v<C, Deps, const AutoscalingOptions&>) {
    return std::make_unique<C>(deps, autoscaling);
  } else {
    return std::make_unique<C>(deps);
  }
}

struct Entry {
  ControllerName name;
  std::unique_ptr<Controller> (*make)(Deps, const AutoscalingOptions&);
  // Whether it has what it works with; null: always.
  bool (*possible)(const Options&) = nullptr;
};

// The names are those of kube-controller-manager.
const Entry kControllers[] = {
    {{"serviceaccount-controller", "serviceaccount", true, "", 1}, make<ServiceAccountController>},
    {{"serviceaccount-token-controller", "serviceaccount-token", true,
      "concurrent-serviceaccount-token-syncs", 5},
     make<TokenSecretsController>,
     [](const Options& o) { return static_cast<bool>(o.sign_token); }},
    {{"root-ca-certificate-publisher-controller", "root-ca-cert-publisher", true, "", 1},
     make<RootCaPublisher>},
    {{"certificatesigningrequest-signing-controller", "csrsigning", true, "", 5},
     make<CsrSigningController>,
     [](const Options& o) { return static_cast<bool>(o.sign_csr); }},
    {{"certificatesigningrequest-approving-controller", "csrapproving", true, "", 5},
     make<CsrApprovingController>},
    {{"certificatesigningrequest-cleaner-controller", "csrcleaner", true, "", 1},
     make<CsrCleanerController>},
    {{"legacy-serviceaccount-token-cleaner-controller", "legacy-service-account-token-cleaner",
      true, "", 1},
     make<LegacyTokenCleaner>},
    {{"bootstrap-signer-controller", "bootstrapsigner", false, "", 1}, make<BootstrapSigner>},
    {{"token-cleaner-controller", "tokencleaner", false, "", 1}, make<TokenCleaner>},
    {{"clusterrole-aggregation-controller", "clusterrole-aggregation", true, "", 1},
     make<ClusterRoleAggregation>},
    {{"namespace-controller", "namespace", true, "concurrent-namespace-syncs", 10},
     make<NamespaceController>},
    {{"node-ipam-controller", "nodeipam", true, "", 1},
     make<NodeIpamController>,
     [](const Options& o) { return o.allocate_node_cidrs; }},
    {{"node-lifecycle-controller", "nodelifecycle", true, "", 4}, make<NodeLifecycleController>},
    {{"taint-eviction-controller", "", true, "", 8}, make<TaintEvictionController>},
    {{"device-taint-eviction-controller", "", true, "concurrent-device-taint-eviction-syncs", 8},
     make<DeviceTaintEvictionController>},
    {{"ttl-controller", "ttl", true, "", 5}, make<TtlController>},
    {{"service-lb-controller", "service", true, "concurrent-service-syncs", 1},
     make<LoadBalancerController>,
     [](const Options& o) {
       return o.load_balancers || o.local_load_balancers || !o.load_balancer_pool.empty();
     }},
    {{"service-cidr-controller", "", true, "", 5}, make<ServiceCidrController>},
    {{"deployment-controller", "deployment", true, "concurrent-deployment-syncs", 5},
     make<DeploymentController>},
    {{"replicaset-controller", "replicaset", true, "concurrent-replicaset-syncs", 5},
     make<ReplicaSetController>},
    {{"replicationcontroller-controller", "replicationcontroller", true, "concurrent-rc-syncs", 5},
     make<ReplicationManager>},
    {{"statefulset-controller", "statefulset", true, "concurrent-statefulset-syncs", 5},
     make<StatefulSetController>},
    {{"daemonset-controller", "daemonset", true, "concurrent-daemonset-syncs", 2},
     make<DaemonSetController>},
    {{"job-controller", "job", true, "concurrent-job-syncs", 5}, make<JobController>},
    {{"ttl-after-finished-controller", "ttl-after-finished", true,
      "concurrent-ttl-after-finished-syncs", 5},
     make<TtlAfterFinished>},
    {{"cronjob-controller", "cronjob", true, "concurrent-cron-job-syncs", 5},
     make<CronJobController>},
    {{"endpointslice-controller", "endpointslice", true, "concurrent-service-endpoint-syncs", 5},
     make<EndpointSliceController>},
    {{"endpointslice-mirroring-controller", "endpointslicemirroring", true,
      "mirroring-concurrent-service-endpoint-syncs", 5},
     make<EndpointSliceMirroring>},
    {{"endpoints-controller", "endpoint", true, "concurrent-endpoint-syncs", 5},
     make<EndpointsController>},
    {{"horizontal-pod-autoscaler-controller", "horizontalpodautoscaling", true,
      "concurrent-horizontal-pod-autoscaler-syncs", 5},
     make<HorizontalPodAutoscalerController>},
    {{"resourceclaim-controller", "resource-claim-controller", true,
      "concurrent-resourceclaim-syncs", 50},
     make<ResourceClaimController>},
    {{"disruption-controller", "disruption", true, "", 1}, make<DisruptionController>},
    {{"resourcequota-controller", "resourcequota", true, "concurrent-resource-quota-syncs", 5},
     make<ResourceQuotaController>},
    {{"persistentvolume-binder-controller", "persistentvolume-binder", true, "", 1},
     make<VolumeBinder>},
    {{"persistentvolume-attach-detach-controller", "attachdetach", true, "", 4},
     make<AttachDetach>},
    {{"persistentvolume-expander-controller", "persistentvolume-expander", true, "", 10},
     make<VolumeExpander>},
    {{"ephemeral-volume-controller", "ephemeral-volume", true, "concurrent-ephemeralvolume-syncs",
      5},
     make<EphemeralVolumes>},
    {{"local-path-provisioner", "", true, "", 2},
     make<LocalPathProvisioner>,
     [](const Options& o) { return !o.storage.local_path_directory.empty(); }},
    {{"persistentvolumeclaim-protection-controller", "pvc-protection", true, "", 1},
     make<ClaimProtection>},
    {{"persistentvolume-protection-controller", "pv-protection", true, "", 1},
     make<VolumeProtection>},
    {{"volumeattributesclass-protection-controller", "", true, "", 1},
     make<AttributesClassProtection>},
    {{"pod-garbage-collector-controller", "podgc", true, "", 1}, make<PodGcController>},
    {{"validatingadmissionpolicy-status-controller", "", true,
      "concurrent-validating-admission-policy-status-syncs", 5},
     make<PolicyTypesController>},
    {{"garbage-collector-controller", "garbagecollector", true, "concurrent-gc-syncs", 20},
     make<GarbageCollector>},
};

// The service account as which a controller asks, where each has its own
// (--use-service-account-credentials): upstream's, whose roles every cluster has.
std::string_view account_of(std::string_view controller) {
  constexpr std::pair<std::string_view, std::string_view> kNamed[] = {
      {"serviceaccount-controller", "service-account-controller"},
      {"root-ca-certificate-publisher-controller", "root-ca-cert-publisher"},
      {"certificatesigningrequest-signing-controller", "certificate-controller"},
      {"certificatesigningrequest-approving-controller", "certificate-controller"},
      {"certificatesigningrequest-cleaner-controller", "certificate-controller"},
      {"legacy-serviceaccount-token-cleaner-controller", "legacy-service-account-token-cleaner"},
      {"bootstrap-signer-controller", "bootstrap-signer"},
      {"token-cleaner-controller", "token-cleaner"},
      {"node-ipam-controller", "node-controller"},
      {"node-lifecycle-controller", "node-controller"},
      {"taint-eviction-controller", "node-controller"},
      {"service-lb-controller", "service-controller"},
      {"service-cidr-controller", "service-cidrs-controller"},
      {"replicationcontroller-controller", "replication-controller"},
      {"daemonset-controller", "daemon-set-controller"},
      {"endpointslice-mirroring-controller", "endpointslicemirroring-controller"},
      {"endpoints-controller", "endpoint-controller"},
      {"horizontal-pod-autoscaler-controller", "horizontal-pod-autoscaler"},
      {"resourceclaim-controller", "resource-claim-controller"},
      {"persistentvolume-binder-controller", "persistent-volume-binder"},
      {"persistentvolume-attach-detach-controller", "attachdetach-controller"},
      {"persistentvolume-expander-controller", "expand-controller"},
      {"persistentvolumeclaim-protection-controller", "pvc-protection-controller"},
      {"persistentvolume-protection-controller", "pv-protection-controller"},
      {"pod-garbage-collector-controller", "pod-garbage-collector"},
      {"garbage-collector-controller", "generic-garbage-collector"},
  };
  for (const auto& [name, account] : kNamed) {
    if (name == controller) return account;
  }
  return controller;
}

bool means(std::string_view said, const ControllerName& c) {
  return !said.empty() && (said == c.name || said == c.alias);
}

}  // namespace

std::vector<ControllerName> known_controllers() {
  std::vector<ControllerName> out;
  for (const Entry& e : kControllers) out.push_back(e.name);
  return out;
}

bool wants_controller(const std::vector<std::string>& chosen, const ControllerName& controller) {
  bool all = false;
  for (std::string_view said : chosen) {
    if (means(said, controller)) return true;
    if (said.starts_with('-') && means(said.substr(1), controller)) return false;
    all = all || said == "*";
  }
  return all && controller.on_by_default;
}

Status check_controllers(const std::vector<std::string>& chosen) {
  for (std::string_view said : chosen) {
    if (said == "*") continue;
    if (said.starts_with('-')) said.remove_prefix(1);
    const bool known = std::any_of(std::begin(kControllers), std::end(kControllers),
                                   [&](const Entry& e) { return means(said, e.name); });
    if (!known) {
      return Status::bad_request("\"" + std::string(said) +
                                 "\" is not in the list of known controllers");
    }
  }
  return {};
}

Manager::Manager(Client& client, Options options, AutoscalingOptions autoscaling, ClientOf own)
    : client_(client), options_(std::move(options)), informers_(client) {
  for (const Entry& e : kControllers) {
    if (!wants_controller(options_.controllers, e.name)) continue;
    if (e.possible && !e.possible(options_)) continue;
    // Upstream's tokens controller has no account either: it makes what others are known by.
    const bool has_account = own && e.name.name != "serviceaccount-token-controller";
    Client& asks = has_account ? own(account_of(e.name.name)) : client_;
    controllers_.push_back(e.make(Deps{asks, informers_, options_}, autoscaling));
    names_.push_back(e.name.name);
    auto told = options_.syncs.find(e.name.syncs_flag);
    controllers_.back()->set_workers(told == options_.syncs.end() ? e.name.syncs : told->second);
  }
}

Manager::~Manager() = default;

namespace {

Task<void> run_one(Context ctx, Controller* c, std::string name) {
  static metrics::Gauge& running =
      metrics::gauge("running_managed_controllers",
                     "Whether the controller of that name runs here.", {"name", "manager"});
  metrics::Value& here = running.with({name, "kube-controller-manager"});
  here.set(1);
  co_await c->run(ctx);
  here.set(0);
}

}  // namespace

Task<void> Manager::run(Context ctx) {
  informers_.start(ctx);
  TaskGroup group(client_.loop());
  for (size_t i = 0; i < controllers_.size(); ++i) {
    std::string name(names_[i]);
    group.spawn(run_one(ctx, controllers_[i].get(), std::move(name)));
  }
  co_await group.join();
  co_await informers_.join();
}

}  // namespace keles::controllers
