// The least object of each kind: for tests that go through all of them.
#pragma once

#include <map>
#include <string>

#include "machinery/schema.h"

namespace keles::server {

// The least that each kind accepts, besides its name. `signing_request`: PEM in base64.
inline std::map<std::string, std::string> least_bodies(const std::string& signing_request) {
  const std::string pod = R"({"containers":[{"name":"c","image":"i"}]})";
  const std::string never = R"({"containers":[{"name":"c","image":"i"}],"restartPolicy":"Never"})";
  const std::string selected =
      R"("selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":)" +
      pod + "}";
  const std::string rule =
      R"("matchConstraints":{"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"]}]})";
  const std::string hook =
      R"("webhooks":[{"name":"a.example.com","admissionReviewVersions":["v1"],"sideEffects":"None","clientConfig":{"url":"https://example.com/x"},"rules":[]}])";
  return {
      {"Pod", R"("spec":)" + pod},
      {"Deployment", R"("spec":{)" + selected + "}"},
      {"ReplicaSet", R"("spec":{)" + selected + "}"},
      {"DaemonSet", R"("spec":{)" + selected + "}"},
      {"StatefulSet", R"("spec":{"serviceName":"s",)" + selected + "}"},
      {"ReplicationController",
       R"("spec":{"selector":{"a":"b"},"template":{"metadata":{"labels":{"a":"b"}},"spec":)" + pod +
           "}}"},
      {"PodTemplate", R"("template":{"metadata":{"labels":{"a":"b"}},"spec":)" + pod + "}"},
      {"ControllerRevision", R"("revision":1,"data":{"a":1})"},
      {"Job", R"("spec":{"template":{"spec":)" + never + "}}"},
      {"CronJob", R"("spec":{"schedule":"* * * * *","jobTemplate":{"spec":{"template":{"spec":)" +
                      never + "}}}}"},
      {"Service", R"("spec":{"ports":[{"port":80}]})"},
      {"Endpoints", R"("subsets":[{"addresses":[{"ip":"10.1.1.1"}],"ports":[{"port":80}]}])"},
      {"EndpointSlice",
       R"("addressType":"IPv4","endpoints":[{"addresses":["10.1.1.1"]}],"ports":[{"port":80,"name":"p","protocol":"TCP"}])"},
      {"Event", R"("involvedObject":{"namespace":"default","name":"p","kind":"Pod"},"reason":"r")"},
      {"events.k8s.io/Event",
       R"("regarding":{"namespace":"default","name":"p","kind":"Pod"},"reason":"r","action":"a","reportingController":"x.io/y","reportingInstance":"i","type":"Normal","eventTime":"2024-01-01T00:00:00.000000Z")"},
      {"LimitRange", R"("spec":{"limits":[{"type":"Container"}]})"},
      {"ResourceQuota", R"("spec":{"hard":{"pods":"5"}})"},
      {"PersistentVolume",
       R"("spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/tmp"}})"},
      {"PersistentVolumeClaim",
       R"("spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}})"},
      {"HorizontalPodAutoscaler",
       R"("spec":{"maxReplicas":3,"scaleTargetRef":{"kind":"Deployment","name":"d","apiVersion":"apps/v1"}})"},
      {"CertificateSigningRequest",
       R"("spec":{"signerName":"kubernetes.io/kube-apiserver-client","usages":["client auth"],"request":")" +
           signing_request + "\"}"},
      {"Ingress", R"("spec":{"defaultBackend":{"service":{"name":"s","port":{"number":80}}}})"},
      {"IngressClass", R"("spec":{"controller":"example.com/c"})"},
      {"NetworkPolicy", R"("spec":{"podSelector":{}})"},
      {"IPAddress",
       R"("spec":{"parentRef":{"resource":"services","namespace":"default","name":"s"}})"},
      {"ServiceCIDR", R"("spec":{"cidrs":["10.200.0.0/24"]})"},
      {"RuntimeClass", R"("handler":"runc")"},
      {"PodDisruptionBudget", R"("spec":{"minAvailable":1,"selector":{"matchLabels":{"a":"b"}}})"},
      {"ClusterRoleBinding",
       R"("roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"r"})"},
      {"RoleBinding",
       R"("roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"})"},
      {"PriorityClass", R"("value":5)"},
      {"StorageClass", R"("provisioner":"example.com/p")"},
      {"CSIDriver", ""},
      {"CSINode", R"("spec":{"drivers":[]})"},
      {"CSIStorageCapacity", R"("storageClassName":"s")"},
      {"VolumeAttachment",
       R"("spec":{"attacher":"a.example.com","nodeName":"n","source":{"persistentVolumeName":"pv"}})"},
      {"VolumeAttributesClass", R"("driverName":"example.com","parameters":{"a":"b"})"},
      {"FlowSchema",
       R"("spec":{"priorityLevelConfiguration":{"name":"catch-all"},"matchingPrecedence":500})"},
      {"PriorityLevelConfiguration",
       R"("spec":{"type":"Limited","limited":{"nominalConcurrencyShares":5,"limitResponse":{"type":"Reject"}}})"},
      {"DeviceClass", R"("spec":{})"},
      {"ResourceClaim", R"("spec":{})"},
      {"ResourceClaimTemplate", R"("spec":{"spec":{}})"},
      {"ResourceSlice",
       R"("spec":{"driver":"example.com","nodeName":"n","pool":{"name":"p","generation":1,"resourceSliceCount":1}})"},
      {"MutatingWebhookConfiguration", hook},
      {"ValidatingWebhookConfiguration", hook},
      {"ValidatingAdmissionPolicy",
       R"("spec":{)" + rule + R"(,"validations":[{"expression":"true"}]})"},
      {"ValidatingAdmissionPolicyBinding",
       R"("spec":{"policyName":"p","validationActions":["Deny"]})"},
      {"MutatingAdmissionPolicy",
       R"("spec":{)" + rule +
           R"(,"reinvocationPolicy":"Never","failurePolicy":"Fail","mutations":[{"patchType":"ApplyConfiguration","applyConfiguration":{"expression":"Object{}"}}]})"},
      {"MutatingAdmissionPolicyBinding", R"("spec":{"policyName":"p"})"},
      {"CustomResourceDefinition",
       R"("spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"things","kind":"Thing"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]})"},
      {"APIService",
       R"("spec":{"group":"example.com","version":"v1","groupPriorityMinimum":100,"versionPriority":10,"service":{"namespace":"default","name":"s"}})"},
  };
}

// A name that the kind takes.
inline std::string least_name(const KindDesc& k) {
  if (k.kind == "IPAddress") return "10.96.7.7";
  if (k.kind == "CustomResourceDefinition") return "things.example.com";
  if (k.kind == "APIService") return "v1.example.com";
  return "every";
}

inline std::string least_object(const std::map<std::string, std::string>& bodies,
                                const KindDesc& k) {
  auto found =
      bodies.find(k.group == "events.k8s.io" ? "events.k8s.io/Event" : std::string(k.kind));
  const std::string body = found == bodies.end() ? "" : found->second;
  return R"({"metadata":{"name":")" + least_name(k) + "\"}" + (body.empty() ? "" : "," + body) +
         "}";
}

}  // namespace keles::server
