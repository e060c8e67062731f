#include "server/auth/decisions.h"

#include <gtest/gtest.h>

#include "server/auth/memory_store.h"

namespace keles::auth {
namespace {

constexpr const char* kRoles = R"(
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules:
- {verbs: [get, list], apiGroups: [""], resources: [pods]}
- {verbs: [get], nonResourceURLs: [/metrics]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: one}
rules: [{verbs: [get], apiGroups: [""], resources: [secrets], resourceNames: [mine]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: ones}
subjects: [{kind: User, name: jane}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: one}
)";
constexpr const char* kBinding = R"(
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: dev}
subjects: [{kind: Group, name: devs}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
)";

class Decisions : public testing::Test {
 protected:
  Decisions() { store_.put(kRoles); }
  void rebuild() { index_ = RbacIndex::build(*store_.snapshot()); }
  Decision decide(std::string user, std::vector<std::string> groups, std::string verb,
                  std::string resource, std::string ns, std::string name = "") {
    Caller c;
    c.name = std::move(user);
    c.groups = std::move(groups);
    Access a;
    a.verb = std::move(verb);
    a.resource = std::move(resource);
    a.ns = std::move(ns);
    a.name = std::move(name);
    return decide_by_rbac(index_, c, a);
  }
  bool dev_may_list(std::string ns) {
    return decide("d", {"devs"}, "list", "pods", std::move(ns)).allowed;
  }
  Memory store_;
  std::shared_ptr<const RbacIndex> index_;
};

TEST_F(Decisions, GoWithThePolicyThatTheyWereMadeBy) {
  rebuild();
  EXPECT_FALSE(dev_may_list("dev"));
  EXPECT_FALSE(dev_may_list("dev"));
  store_.put(kBinding);
  rebuild();
  EXPECT_TRUE(dev_may_list("dev"));
  EXPECT_TRUE(dev_may_list("dev"));
  const auto with = index_;
  store_.data.objects.erase("/registry/rolebindings/dev/readers");
  rebuild();
  const auto without = index_;
  // Whichever index is asked: what another one said does not count.
  for (int i = 0; i < 3; ++i) {
    index_ = without;
    EXPECT_FALSE(dev_may_list("dev"));
    index_ = with;
    EXPECT_TRUE(dev_may_list("dev"));
  }
}

TEST_F(Decisions, AreRememberedInTheirWords) {
  store_.put(kBinding);
  rebuild();
  const Decision first = decide("d", {"devs"}, "get", "pods", "dev", "a");
  const size_t known = remembered_decisions();
  const Decision again = decide("d", {"devs"}, "get", "pods", "dev", "b");
  EXPECT_EQ(remembered_decisions(), known);  // another object, the same decision
  EXPECT_EQ(first.reason, again.reason);
  EXPECT_EQ(first.reason,
            "RBAC: allowed by RoleBinding \"readers/dev\" of ClusterRole \"reader\" to "
            "Group \"devs\"");
}

TEST_F(Decisions, EverythingThatCountsTellsThemApart) {
  store_.put(kBinding);
  rebuild();
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(dev_may_list("dev"));
    EXPECT_FALSE(dev_may_list("prod"));
    EXPECT_FALSE(decide("d", {"devs"}, "delete", "pods", "dev").allowed);
    EXPECT_FALSE(decide("d", {"devs"}, "list", "secrets", "dev").allowed);
    EXPECT_FALSE(decide("d", {}, "list", "pods", "dev").allowed);
    EXPECT_FALSE(decide("devs", {}, "list", "pods", "dev").allowed);
    EXPECT_FALSE(decide("d", {"dev", "s"}, "list", "pods", "dev").allowed);
    // Where a rule names objects each is looked at.
    EXPECT_TRUE(decide("jane", {}, "get", "secrets", "dev", "mine").allowed);
    EXPECT_FALSE(decide("jane", {}, "get", "secrets", "dev", "yours").allowed);
    EXPECT_FALSE(decide("jane", {}, "get", "secrets", "dev").allowed);
  }
}

TEST_F(Decisions, AreNotRememberedWithoutEnd) {
  rebuild();
  for (int i = 0; i < 5000; ++i) {
    (void)decide("u" + std::to_string(i), {}, "get", "pods", "dev");
    ASSERT_LT(remembered_decisions(), 1500u);
  }
  const size_t known = remembered_decisions();
  (void)decide(std::string(2000, 'u'), {}, "get", "pods", "dev");
  EXPECT_EQ(remembered_decisions(), known);
}

}  // namespace
}  // namespace keles::auth
