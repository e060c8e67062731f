// Which request is recorded how, rule by rule.
#include "server/audit/policy.h"

#include <gtest/gtest.h>

namespace keles::audit {
namespace {

const std::string kHead = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";

Policy must(const std::string& rules) {
  auto p = Policy::parse("policy", kHead + rules);
  EXPECT_TRUE(p.ok()) << p.status().message();
  return std::move(*p);
}

struct Request {
  std::string user = "tim", verb = "get", group, resource, subresource, ns, name, path;
  std::vector<std::string> groups = {"people", "system:authenticated"};
};

Decision decide(const Policy& p, const Request& r) {
  Question q;
  q.user = r.user;
  q.groups = &r.groups;
  q.verb = r.verb;
  q.is_resource = r.path.empty();
  q.group = r.group;
  q.resource = r.resource;
  q.subresource = r.subresource;
  q.ns = r.ns;
  q.name = r.name;
  q.path = r.path;
  return p.decide(q);
}

Request resource(std::string group, std::string name_of_resource, std::string sub = "",
                 std::string ns = "default", std::string name = "busybox") {
  Request r;
  r.group = std::move(group);
  r.resource = std::move(name_of_resource);
  r.subresource = std::move(sub);
  r.ns = std::move(ns);
  r.name = std::move(name);
  return r;
}
Request path(std::string p) {
  Request r;
  r.path = std::move(p);
  return r;
}

TEST(AuditPolicy, RulesMatchWhatTheySay) {
  const Request pod = resource("", "pods"), log = resource("", "pods", "log"),
                node = resource("", "nodes", "", "", "n1"),
                deployment = resource("apps", "deployments"),
                status = resource("apps", "deployments", "status"), healthz = path("/healthz"),
                etcd = path("/healthz/etcd"), root = path("/");
  Request nobody = pod;
  nobody.user = "";
  nobody.groups.clear();
  struct Case {
    const char* rule;  // that of a Request level
    const Request& request;
    bool matches;
  };
  const Case cases[] = {
      {"{}", pod, true},
      {"{}", healthz, true},
      {"{users: [tim]}", pod, true},
      {"{users: [tom]}", pod, false},
      {"{users: [tom, tim]}", healthz, true},
      {"{users: [tim]}", nobody, false},
      {"{users: ['']}", nobody, true},
      {"{userGroups: [people]}", pod, true},
      {"{userGroups: [others]}", pod, false},
      {"{userGroups: [others, 'system:authenticated']}", pod, true},
      {"{userGroups: [people]}", nobody, false},
      {"{users: [tim], userGroups: [others]}", pod, false},
      {"{verbs: [get]}", pod, true},
      {"{verbs: [list, watch]}", pod, false},
      {"{verbs: [get]}", healthz, true},
      {"{namespaces: [default]}", pod, true},
      {"{namespaces: [kube-system]}", pod, false},
      {"{namespaces: ['']}", node, true},
      {"{namespaces: ['']}", pod, false},
      {"{namespaces: [default, '']}", healthz, false},
      {"{resources: [{}]}", pod, true},
      {"{resources: [{}]}", deployment, false},
      {"{resources: [{group: ''}]}", log, true},
      {"{resources: [{group: apps}]}", deployment, true},
      {"{resources: [{group: apps}]}", pod, false},
      {"{resources: [{group: '*'}]}", deployment, true},
      {"{resources: [{group: '*'}]}", healthz, false},
      {"{resources: [{resources: [pods]}]}", pod, true},
      {"{resources: [{resources: [pods]}]}", log, false},
      {"{resources: [{resources: [pods/log]}]}", log, true},
      {"{resources: [{resources: [pods/log]}]}", pod, false},
      {"{resources: [{resources: [pods/*]}]}", log, true},
      {"{resources: [{resources: [pods/*]}]}", pod, true},
      {"{resources: [{resources: ['*/log']}]}", log, true},
      {"{resources: [{resources: ['*/log']}]}", pod, false},
      {"{resources: [{resources: ['*/status']}]}", status, false},
      {"{resources: [{group: apps, resources: ['*/status']}]}", status, true},
      {"{resources: [{resources: ['*']}]}", log, true},
      {"{resources: [{resources: [nodes, secrets]}]}", pod, false},
      {"{resources: [{resources: [nodes]}, {resources: [pods]}]}", pod, true},
      {"{resources: [{resources: [pods], resourceNames: [busybox]}]}", pod, true},
      {"{resources: [{resources: [pods], resourceNames: [other]}]}", pod, false},
      {"{resources: [{resources: [pods], resourceNames: [other]}, {resources: [pods]}]}", pod,
       true},
      {"{resources: [{resources: [pods]}], namespaces: [kube-system]}", pod, false},
      {"{resources: [{resources: [pods]}], verbs: [list]}", pod, false},
      {"{nonResourceURLs: ['*']}", healthz, true},
      {"{nonResourceURLs: ['*']}", pod, false},
      {"{nonResourceURLs: [/healthz]}", healthz, true},
      {"{nonResourceURLs: [/healthz]}", etcd, false},
      {"{nonResourceURLs: ['/healthz*']}", etcd, true},
      {"{nonResourceURLs: ['/healthz/*']}", etcd, true},
      {"{nonResourceURLs: ['/healthz/*']}", healthz, false},
      {"{nonResourceURLs: ['/livez*', /]}", root, true},
      {"{nonResourceURLs: ['/*']}", healthz, true},
  };
  for (const Case& c : cases) {
    std::string rule = c.rule;
    rule.insert(1, rule == "{}" ? "level: Request" : "level: Request, ");
    Decision d = decide(must("rules: [" + rule + "]\n"), c.request);
    EXPECT_EQ(d.level, c.matches ? Level::kRequest : Level::kNone) << c.rule;
  }
}

TEST(AuditPolicy, TheFirstThatMatchesDecides) {
  const Policy p = must(
      "omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n"
      "- {level: None, users: [tim]}\n"
      "- {level: Metadata, verbs: [get], omitStages: [ResponseStarted], omitManagedFields: false}\n"
      "- {level: RequestResponse, resources: [{resources: [pods]}]}\n");
  Request r = resource("", "pods");
  EXPECT_EQ(decide(p, r).level, Level::kNone);
  r.user = "ann";
  Decision d = decide(p, r);
  EXPECT_EQ(d.level, Level::kMetadata);
  EXPECT_TRUE(d.omits(Stage::kRequestReceived));
  EXPECT_TRUE(d.omits(Stage::kResponseStarted));
  EXPECT_FALSE(d.omits(Stage::kResponseComplete));
  EXPECT_FALSE(d.omit_managed_fields);
  r.verb = "create";
  d = decide(p, r);
  EXPECT_EQ(d.level, Level::kRequestResponse);
  EXPECT_FALSE(d.omits(Stage::kResponseStarted));
  EXPECT_TRUE(d.omit_managed_fields);
  r.resource = "nodes";
  EXPECT_EQ(decide(p, r).level, Level::kNone);
}

TEST(AuditPolicy, WhatIsWrongIsRefusedByName) {
  struct Case {
    const char* rules;
    const char* message;
  };
  const Case cases[] = {
      {"rules: []\n", "p:3: rules: Required value: a policy has at least one rule"},
      {"rules: [{}]\n", "p:3: rules[0].level: Required value"},
      {"rules:\n- level: Everything\n",
       "p:4: rules[0].level: Unsupported value: \"Everything\": supported values: \"None\", "
       "\"Metadata\", \"Request\", \"RequestResponse\""},
      {"rules:\n- level: None\n  omitStages: [Never]\n",
       "p:5: rules[0].omitStages[0]: Invalid value: \"Never\": allowed stages are "
       "RequestReceived,ResponseStarted,ResponseComplete,Panic"},
      {"omitStages: [X]\nrules: [{level: None}]\n",
       "p:3: omitStages[0]: Invalid value: \"X\": allowed stages are "
       "RequestReceived,ResponseStarted,ResponseComplete,Panic"},
      {"rules: [{level: None, nonResourceURLs: [logs]}]\n",
       "p:3: rules[0].nonResourceURLs[0]: Invalid value: \"logs\": non-resource URL rules must "
       "begin with a '/' character"},
      {"rules: [{level: None, nonResourceURLs: ['/a*b']}]\n",
       "p:3: rules[0].nonResourceURLs[0]: Invalid value: \"/a*b\": non-resource URL wildcards '*' "
       "must be the final character of the rule"},
      {"rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]\n",
       "p:3: rules[0].nonResourceURLs: Invalid value: [\"/a\"]: rules cannot apply to both regular "
       "resources and non-resource URLs"},
      {"rules: [{level: None, resources: [{resourceNames: [a]}]}]\n",
       "p:3: rules[0].resources[0].resourceNames: Invalid value: [\"a\"]: using resourceNames "
       "requires at least one resource"},
      {"rules: [{level: None, userGroup: [a]}]\n", "p:3: rules[0].userGroup: unknown field"},
  };
  for (const Case& c : cases) {
    auto p = Policy::parse("p", kHead + c.rules);
    ASSERT_FALSE(p.ok()) << c.rules;
    EXPECT_EQ(p.status().message(), c.message);
  }
  auto group = Policy::parse("p", kHead + "rules: [{level: None, resources: [{group: a/v1}]}]\n");
  ASSERT_FALSE(group.ok());
  EXPECT_NE(group.status().message().find("p:3: rules[0].resources[0].group: Invalid value"),
            std::string::npos);
}

}  // namespace
}  // namespace keles::audit
