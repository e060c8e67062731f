// Whether a write fits, by a table: quotas, write, what is said or charged. Words are upstream's.
#include "machinery/quota/check.h"

#include <gtest/gtest.h>

#include "machinery/catalog.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"

namespace keles::quota {
namespace {

Document doc(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml << d.status().message();
  return std::move(*d);
}

// As the server has it.
Document object_of(std::string_view kind, std::string_view yaml) {
  auto d = decode_body(*find_kind("v1", kind), to_json(doc(yaml).root));
  EXPECT_TRUE(d.ok()) << yaml << d.status().message();
  return std::move(*d);
}
std::string_view kind_of(std::string_view resource) {
  return resource == "pods"       ? "Pod"
         : resource == "services" ? "Service"
         : resource == "secrets"  ? "Secret"
                                  : "PersistentVolumeClaim";
}

// Each quota: "spec: ..., status: ..." (names q0, q1, ...). The answer is the refusal, or what each
// charged quota says it uses.
struct Case {
  std::vector<std::string> quotas;
  std::string object, before = "", subresource = "", resource = "pods", limits = "";
};

std::string answer(const Case& c) {
  std::vector<Standing> standings;
  for (size_t i = 0; i < c.quotas.size(); ++i) {
    standings.push_back(read_standing("q" + std::to_string(i),
                                      object_of("ResourceQuota", "{" + c.quotas[i] + "}").root));
  }
  const std::string_view kind = kind_of(c.resource);
  Document object = object_of(kind, c.object);
  Document before = object_of(kind, c.before.empty() ? "{}" : c.before);
  Ask ask{"", c.resource, c.subresource, Write::kCreate, &object.root, nullptr};
  if (!c.before.empty()) {
    ask.write = Write::kUpdate;
    ask.before = &before.root;
  }
  Limits limits;
  if (!c.limits.empty()) {
    limits = *read_limits(
        doc("{apiVersion: apiserver.config.k8s.io/v1, kind: ResourceQuotaConfiguration, "
            "limitedResources: [{" +
            c.limits + "}]}")
            .root);
  }
  Verdict v = charge(&standings, ask, *evaluator_of("", c.resource), limits, Around());
  if (!v.refused.empty()) return (v.unclassed ? "500 " : "") + v.refused;
  std::string out;
  for (size_t i : v.charged) {
    out += (out.empty() ? "" : "; ") + standings[i].name + ": " + text_of(standings[i].used);
  }
  return out;
}

const char* kPod = "spec: {containers: [{name: c, resources: {requests: {cpu: 100m}}}]}";

TEST(QuotaCheck, CreatesAreCharged) {
  EXPECT_EQ(answer({{"status: {hard: {pods: 2}, used: {pods: 1}}"}, kPod}), "q0: pods=2");
  EXPECT_EQ(answer({{"status: {hard: {pods: 1}, used: {pods: 1}}"}, kPod}),
            "exceeded quota: q0, requested: pods=1, used: pods=1, limited: pods=1");
  // Only what is exceeded is named, in the order of names.
  EXPECT_EQ(
      answer({{"status: {hard: {pods: 5, requests.cpu: 50m, cpu: 50m}, used: {pods: 1, "
               "requests.cpu: 0, cpu: 0}}"},
              kPod}),
      "exceeded quota: q0, requested: cpu=100m,requests.cpu=100m, used: cpu=0,requests.cpu=0, "
      "limited: cpu=50m,requests.cpu=50m");
  // All or none: the second quota refuses, and nothing is charged.
  EXPECT_EQ(answer({{"status: {hard: {pods: 2}, used: {pods: 1}}",
                     "status: {hard: {count/pods: 1}, used: {count/pods: 1}}"},
                    kPod}),
            "exceeded quota: q1, requested: count/pods=1, used: count/pods=1, limited: "
            "count/pods=1");
  EXPECT_EQ(answer({{"status: {hard: {pods: 2}, used: {pods: 1}}",
                     "status: {hard: {count/pods: 9, secrets: 1}, used: {count/pods: 1, secrets: "
                     "1}}"},
                    kPod}),
            "q0: pods=2; q1: count/pods=2,secrets=1");
  EXPECT_EQ(answer({{"status: {hard: {secrets: 0}, used: {secrets: 0}}"}, kPod}), "");
  EXPECT_EQ(answer({{"status: {hard: {secrets: 0}, used: {secrets: 0}}"}, "{}", "", "", "secrets"}),
            "exceeded quota: q0, requested: secrets=1, used: secrets=0, limited: secrets=0");
}

TEST(QuotaCheck, WhatIsNotKnownYetIsRefused) {
  EXPECT_EQ(answer({{"status: {hard: {pods: 2, requests.cpu: 1}, used: {pods: 1}}"}, kPod}),
            "status unknown for quota: q0, resources: pods,requests.cpu");
  // Without a status the quota limits nothing yet.
  EXPECT_EQ(answer({{"spec: {hard: {pods: 0}}"}, kPod}), "");
}

TEST(QuotaCheck, ContainersSayWhatIsLimited) {
  const std::string hard =
      "status: {hard: {limits.cpu: 1, requests.memory: 1Gi, requests.ephemeral-storage: 1}, used: "
      "{limits.cpu: 0, requests.memory: 0, requests.ephemeral-storage: 0}}";
  EXPECT_EQ(
      answer({{hard},
              "spec: {initContainers: [{name: i}], containers: [{name: b, resources: {limits: "
              "{cpu: 1}}}, {name: a}]}"}),
      "failed quota: q0: must specify limits.cpu for: a,i; requests.memory for: a,b,i");
  EXPECT_EQ(answer({{"status: {hard: {limits.cpu: 1}, used: {limits.cpu: 0}}"},
                    "spec: {resources: {limits: {cpu: 500m}}, containers: [{name: a}]}"}),
            "q0: limits.cpu=500m");
}

TEST(QuotaCheck, ScopesChooseTheObjects) {
  const std::string best =
      "spec: {scopes: [BestEffort]}, status: {hard: {pods: 1}, used: {pods: 1}}";
  EXPECT_EQ(answer({{best}, kPod}), "");
  EXPECT_EQ(answer({{best}, "spec: {containers: [{name: c}]}"}),
            "exceeded quota: q0, requested: pods=1, used: pods=1, limited: pods=1");
  const std::string classes =
      "spec: {scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: "
      "[high]}]}}, status: {hard: {pods: 1}, used: {pods: 0}}";
  EXPECT_EQ(answer({{classes}, "spec: {priorityClassName: high}"}), "q0: pods=1");
  EXPECT_EQ(answer({{classes}, "spec: {priorityClassName: low}"}), "");
}

TEST(QuotaCheck, UpdatesAreChargedTheDifference) {
  const std::string hard =
      "status: {hard: {services: 1, services.nodeports: 2, "
      "services.loadbalancers: 0}, used: {services: 1, services.nodeports: 1, "
      "services.loadbalancers: 0}}";
  const std::string one = "spec: {type: NodePort, ports: [{port: 1}]}",
                    two = "spec: {type: NodePort, ports: [{port: 1}, {port: 2}]}",
                    four =
                        "spec: {type: NodePort, ports: [{port: 1}, {port: 2}, {port: 3}, {port: "
                        "4}]}",
                    balanced = "spec: {type: LoadBalancer, ports: [{port: 1}]}";
  EXPECT_EQ(answer({{hard}, two, one, "", "services"}),
            "q0: services=1,services.loadbalancers=0,services.nodeports=2");
  EXPECT_EQ(answer({{hard}, four, one, "", "services"}),
            "exceeded quota: q0, requested: services.nodeports=3, used: services.nodeports=1, "
            "limited: services.nodeports=2");
  EXPECT_EQ(answer({{hard}, balanced, one, "", "services"}),
            "exceeded quota: q0, requested: services.loadbalancers=1, used: "
            "services.loadbalancers=0, limited: services.loadbalancers=0");
  EXPECT_EQ(answer({{hard}, one, two, "", "services"}), "");  // the refund is the controller's
  // A pod that comes into a scope is charged whole; a resize what it adds.
  const std::string ends =
      "spec: {scopes: [Terminating]}, status: {hard: {pods: 1}, used: {pods: "
      "0}}";
  EXPECT_EQ(answer({{ends}, "spec: {activeDeadlineSeconds: 5}", "spec: {}"}), "q0: pods=1");
  EXPECT_EQ(
      answer({{ends}, "spec: {activeDeadlineSeconds: 5}", "spec: {activeDeadlineSeconds: 9}"}), "");
  EXPECT_EQ(answer({{"status: {hard: {requests.cpu: 1}, used: {requests.cpu: 100m}}"},
                    "spec: {containers: [{name: c, resources: {requests: {cpu: 300m}}}]}",
                    kPod,
                    "resize"}),
            "q0: requests.cpu=300m");
  // A status is charged for and never refused.
  EXPECT_EQ(answer({{"status: {hard: {requests.storage: 1Gi}, used: {requests.storage: 1Gi}}"},
                    "{spec: {resources: {requests: {storage: 1Gi}}}, status: {allocatedResources: "
                    "{storage: 2Gi}}}",
                    "spec: {resources: {requests: {storage: 1Gi}}}",
                    "status",
                    "persistentvolumeclaims"}),
            "q0: requests.storage=2Gi");
}

TEST(QuotaCheck, LimitedResourcesWantACoveringQuota) {
  const std::string cpu = "resource: pods, matchContains: [cpu]";
  EXPECT_EQ(answer({{}, kPod, "", "", "pods", cpu}),
            "insufficient quota to consume: cpu,requests.cpu");
  EXPECT_EQ(answer({{"status: {hard: {requests.cpu: 1}, used: {requests.cpu: 0}}"},
                    kPod,
                    "",
                    "",
                    "pods",
                    cpu}),
            "insufficient quota to consume: cpu");
  EXPECT_EQ(answer({{"status: {hard: {requests.cpu: 1, cpu: 1}, used: {requests.cpu: 0, cpu: 0}}"},
                    kPod,
                    "",
                    "",
                    "pods",
                    cpu}),
            "q0: cpu=100m,requests.cpu=100m");
  EXPECT_EQ(answer({{}, "{}", "", "", "secrets", cpu}), "");
  const std::string high =
      "resource: pods, matchScopes: [{scopeName: PriorityClass, operator: In, values: [high]}]";
  EXPECT_EQ(answer({{}, "spec: {priorityClassName: high}", "", "", "pods", high}),
            "500 insufficient quota to match these scopes: [{PriorityClass In [high]}]");
  EXPECT_EQ(answer({{}, "spec: {priorityClassName: low}", "", "", "pods", high}), "");
  EXPECT_EQ(
      answer({{"spec: {scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: "
               "Exists}]}}, status: {hard: {pods: 1}, used: {pods: 0}}"},
              "spec: {priorityClassName: high}",
              "",
              "",
              "pods",
              high}),
      "q0: pods=1");
}

TEST(QuotaCheck, ConfigurationIsStrict) {
  auto why = [](std::string_view yaml) { return read_limits(doc(yaml).root).status().message(); };
  const std::string head =
      "apiVersion: apiserver.config.k8s.io/v1\nkind: "
      "ResourceQuotaConfiguration\n";
  EXPECT_EQ(why(head), "");
  EXPECT_EQ(why("kind: X"), "expected a ResourceQuotaConfiguration of apiserver.config.k8s.io/v1");
  EXPECT_EQ(why(head + "more: 1"), "ResourceQuotaConfiguration: unknown field \"more\"");
  EXPECT_EQ(why(head + "limitedResources: [{apiGroup: x}]"),
            "limitedResources[0].resource: Required value");
  EXPECT_EQ(why(head + "limitedResources: [{resource: pods, matchContains: [1]}]"),
            "limitedResources[0].matchContains: expected a list of strings");
  EXPECT_EQ(why(head + "limitedResources: [{resource: pods, matchScopes: [{scope: a}]}]"),
            "limitedResources[0].matchScopes[0]: unknown field \"scope\"");
}

}  // namespace
}  // namespace keles::quota
