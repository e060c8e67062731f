#include "node/pods/admission.h"

#include <gtest/gtest.h>

#include "node/testing.h"

namespace keles::node {
namespace {

std::string pod_json(const std::string& spec, const std::string& meta = "") {
  return R"({"metadata":{"name":"p","namespace":"default","uid":"u")" + meta + R"(},"spec":{)" +
         spec + "}}";
}

std::string one(const std::string& rest) { return R"("containers":[{"name":"a",)" + rest + "}]"; }

class Admission : public testing::Test {
 protected:
  Admission() {
    put_node(R"({"metadata":{"name":"n1","labels":{"disk":"ssd"}},"status":{"allocatable":{
        "cpu":"2","memory":"1Gi","pods":"3","ephemeral-storage":"10Gi","example.com/foo":"2"}}})");
    sysctls_ = SysctlAllowlist::safe("6.1.0-13-amd64");
  }
  void put_node(const std::string& json) {
    auto doc = parse_json(json);
    node_.set_node(api::core_v1::Node(doc->root));
  }
  void other(const std::string& spec) {
    node_.add_pod(scheduler::extract_pod(*pod_from(
        R"({"metadata":{"name":"o","namespace":"default","uid":"o"},"spec":{)" + spec + "}}")));
  }
  std::string ask(const std::string& json) {
    Ref<api::core_v1::Pod> pod = pod_from(json);
    AdmissionInput in;
    in.pod = &*pod;
    in.info = scheduler::extract_pod(*pod);
    in.node = &node_;
    in.sysctls = &sysctls_;
    in.apparmor = apparmor_;
    in.strict_groups = strict_groups_;
    last_ = admit(in);
    return last_.admit ? "" : last_.reason + ": " + last_.message;
  }
  scheduler::NodeInfo node_;
  SysctlAllowlist sysctls_;
  bool apparmor_ = false, strict_groups_ = false;
  Verdict last_;
};

TEST_F(Admission, Resources) {
  EXPECT_EQ(ask(pod_json(one(R"("resources":{"requests":{"cpu":"2","memory":"1Gi"}})"))), "");
  EXPECT_EQ(
      ask(pod_json(one(R"("resources":{"requests":{"cpu":"1000000000000"}})"))),
      "OutOfcpu: Node didn't have enough resource: cpu, requested: 1000000000000000, used: 0, "
      "capacity: 2000");
  other(one(R"("resources":{"requests":{"cpu":"1500m","memory":"1000Mi"}})"));
  EXPECT_EQ(ask(pod_json(one(R"("resources":{"requests":{"cpu":"1"}})"))),
            "OutOfcpu: Node didn't have enough resource: cpu, requested: 1000, used: 1500, "
            "capacity: 2000");
  EXPECT_EQ(ask(pod_json(one(R"("resources":{"requests":{"memory":"100Mi"}})"))),
            "OutOfmemory: Node didn't have enough resource: memory, requested: 104857600, used: "
            "1048576000, capacity: 1073741824");
  EXPECT_EQ(ask(pod_json(one(R"("resources":{"requests":{"ephemeral-storage":"11Gi"}})"))),
            "OutOfephemeral-storage: Node didn't have enough resource: ephemeral-storage, "
            "requested: 11811160064, used: 0, capacity: 10737418240");
  EXPECT_EQ(ask(pod_json(one(R"("resources":{"requests":{"example.com/foo":"3"}})"))),
            "OutOfexample.com/foo: Node didn't have enough resource: example.com/foo, requested: "
            "3, used: 0, capacity: 2");
  // One that this node does not have is somebody else's to count.
  EXPECT_EQ(ask(pod_json(one(R"("resources":{"requests":{"example.com/bar":"3"}})"))), "");
  EXPECT_EQ(ask(pod_json(R"("overhead":{"cpu":"600m"},)" + one(R"("image":"i")"))),
            "OutOfcpu: Node didn't have enough resource: cpu, requested: 600, used: 1500, "
            "capacity: 2000");
  other(one(R"("image":"i")"));
  other(one(R"("image":"i")"));
  EXPECT_EQ(ask(pod_json(one(R"("image":"i")"))),
            "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: "
            "3");
}

TEST_F(Admission, PortsOfTheHost) {
  other(one(R"("ports":[{"containerPort":80,"hostPort":8080,"protocol":"TCP"}])"));
  const std::string taken =
      "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod "
      "ports";
  auto port = [](const std::string& rest) {
    return pod_json(one(R"("ports":[{"containerPort":80,"hostPort":8080)" + rest + "}]"));
  };
  EXPECT_EQ(ask(port("")), taken);
  EXPECT_EQ(ask(port(R"(,"hostIP":"127.0.0.1")")), taken);
  EXPECT_EQ(ask(port(R"(,"protocol":"UDP")")), "");
}

TEST_F(Admission, NodesLabels) {
  EXPECT_EQ(ask(pod_json(R"("nodeSelector":{"disk":"ssd"},)" + one(R"("image":"i")"))), "");
  const std::string wrong =
      "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node "
      "affinity/selector";
  EXPECT_EQ(ask(pod_json(R"("nodeSelector":{"disk":"hdd"},)" + one(R"("image":"i")"))), wrong);
  EXPECT_TRUE(last_.affinity_only);
  EXPECT_EQ(
      ask(pod_json(R"("affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
      {"nodeSelectorTerms":[{"matchExpressions":[{"key":"disk","operator":"NotIn",
      "values":["ssd"]}]}]}}},)" +
                   one(R"("image":"i")"))),
      wrong);
  EXPECT_EQ(ask(pod_json(R"("nodeName":"n2",)" + one(R"("image":"i")"))),
            "NodeName: Predicate NodeName failed: node(s) didn't match the requested node name");
  EXPECT_FALSE(last_.affinity_only);
}

TEST_F(Admission, OnlyTaintsThatEvict) {
  put_node(R"({"metadata":{"name":"n1"},"spec":{"taints":[{"key":"k","effect":"NoSchedule"}]},
      "status":{"allocatable":{"pods":"3"}}})");
  EXPECT_EQ(ask(pod_json(one(R"("image":"i")"))), "");
  put_node(R"({"metadata":{"name":"n1"},"spec":{"taints":[{"key":"k","effect":"NoExecute"}]},
      "status":{"allocatable":{"pods":"3"}}})");
  EXPECT_EQ(ask(pod_json(one(R"("image":"i")"))),
            "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod "
            "didn't tolerate");
  EXPECT_EQ(ask(pod_json(R"("tolerations":[{"operator":"Exists"}],)" + one(R"("image":"i")"))), "");
}

TEST_F(Admission, OperatingSystem) {
  EXPECT_EQ(ask(pod_json(R"("os":{"name":"linux"},)" + one(R"("image":"i")"))), "");
  EXPECT_EQ(ask(pod_json(R"("os":{"name":"windows"},)" + one(R"("image":"i")"))),
            "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS");
  EXPECT_EQ(ask(pod_json(one(R"("image":"i")"), R"(,"labels":{"kubernetes.io/os":"windows"})")),
            "PodOSSelectorNodeLabelDoesNotMatch: Failed to admit pod as the `kubernetes.io/os` "
            "label doesn't match node label");
}

TEST_F(Admission, Sysctls) {
  auto with = [](const std::string& name, const std::string& rest = "") {
    return pod_json(R"("securityContext":{"sysctls":[{"name":")" + name + R"(","value":"1"}]},)" +
                    rest + one(R"("image":"i")"));
  };
  struct Case {
    const char *name, *rest, *want;
  };
  const Case cases[] = {
      {"kernel.shm_rmid_forced", "", ""},
      {"net/ipv4/tcp_syncookies", "", ""},
      {"net.ipv4.tcp_rmem", "", ""},
      {"kernel.msgmax", "", "\"kernel.msgmax\" not allowlisted"},
      {"net.ipv4.ip_forward", "", "\"net.ipv4.ip_forward\" not allowlisted"},
      {"net.ipv4.tcp_rmem", "\"hostNetwork\":true,",
       "\"net.ipv4.tcp_rmem\" not allowed with host Net enabled"},
      {"kernel.shm_rmid_forced", "\"hostIPC\":true,",
       "\"kernel.shm_rmid_forced\" not allowed with host IPC enabled"},
  };
  for (const Case& c : cases) {
    std::string want = c.want;
    if (!want.empty()) want = "SysctlForbidden: forbidden sysctl: " + want;
    EXPECT_EQ(ask(with(c.name, c.rest)), want) << c.name;
  }
  ASSERT_TRUE(sysctls_.allow("kernel.msg*").ok());
  ASSERT_TRUE(sysctls_.allow("net.ipv4.ip_forward").ok());
  EXPECT_EQ(ask(with("kernel.msgmax")), "");
  EXPECT_EQ(ask(with("net.ipv4.ip_forward")), "");
  EXPECT_EQ(ask(with("kernel.msgmax", "\"hostIPC\":true,")),
            "SysctlForbidden: forbidden sysctl: \"kernel.msgmax\" not allowed with host IPC "
            "enabled");
  EXPECT_EQ(sysctls_.allow("vm.swappiness").message(),
            "the sysctls \"vm.swappiness\" are not known to be namespaced");
  for (const char* bad : {"", "a b", "net.*.x", "NET.x"}) EXPECT_FALSE(sysctls_.allow(bad).ok());
}

TEST_F(Admission, OldKernelsHaveFewerSafeSysctls) {
  sysctls_ = SysctlAllowlist::safe("4.4.0");
  EXPECT_EQ(sysctls_.objection("net.ipv4.tcp_rmem", false, false),
            "\"net.ipv4.tcp_rmem\" not allowlisted");
  EXPECT_EQ(sysctls_.objection("net.ipv4.tcp_syncookies", false, false), "");
}

TEST_F(Admission, WhatTheNodeCannotEnforce) {
  const char* profile = R"("securityContext":{"appArmorProfile":{"type":"RuntimeDefault"}})";
  const std::string no = "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host";
  EXPECT_EQ(ask(pod_json(one(profile))), no);
  EXPECT_EQ(ask(pod_json(one(R"("image":"i")"),
                         R"(,"annotations":{"container.apparmor.security.beta.kubernetes.io/a":
                         "runtime/default"})")),
            no);
  EXPECT_EQ(ask(pod_json(one(R"("securityContext":{"appArmorProfile":{"type":"Unconfined"}})"))),
            "");
  apparmor_ = true;
  EXPECT_EQ(ask(pod_json(one(profile))), "");
  const std::string strict = pod_json(
      R"("securityContext":{"supplementalGroupsPolicy":"Strict"},)" + one(R"("image":"i")"));
  EXPECT_EQ(ask(strict),
            "SupplementalGroupsPolicyNotSupported: SupplementalGroupsPolicy=Strict is not "
            "supported in this node");
  strict_groups_ = true;
  EXPECT_EQ(ask(strict), "");
}

}  // namespace
}  // namespace keles::node
