// Two controllers that furnish every namespace: the "default" service account, and the cluster's CA
// as the ConfigMap "kube-root-ca.crt" (upstream: pkg/controller/serviceaccount,
// pkg/controller/certificates/rootcacertpublisher).
#pragma once

#include <string>

#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

class ServiceAccountController final : public Controller {
 public:
  explicit ServiceAccountController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a namespace

 private:
  Informer<api::core_v1::Namespace> namespaces_;
  Informer<api::core_v1::ServiceAccount> accounts_;
};

class RootCaPublisher final : public Controller {
 public:
  explicit RootCaPublisher(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a namespace

 private:
  Task<Status> publish(Context ctx, std::string ns);
  Informer<api::core_v1::Namespace> namespaces_;
  Informer<api::core_v1::ConfigMap> maps_;
};

}  // namespace keles::controllers
