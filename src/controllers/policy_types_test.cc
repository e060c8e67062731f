#include "controllers/policy_types.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::controllers {
namespace {

using api::admissionregistration_v1::ValidatingAdmissionPolicy;

std::string planned(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml;
  auto plan = plan_type_checking(ValidatingAdmissionPolicy(d->root), *builtin_catalog());
  return plan ? to_json(plan->root["status"]) : "nothing";
}

std::string policy(const std::string& status, const std::string& expression) {
  return "metadata: {name: p, generation: 2}\nstatus: " + status +
         "\nspec: {matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], "
         "resources: [deployments]}]}, validations: [{expression: \"" +
         expression + "\"}]}";
}

TEST(PolicyTypes, AreCheckedOnceAGeneration) {
  EXPECT_EQ(planned(policy("{}", "object.spec.replicas > 1")),
            R"({"observedGeneration":2,"typeChecking":{}})");
  EXPECT_EQ(
      planned(policy("{observedGeneration: 1}", "object.spec.replicas > '1'")),
      R"({"observedGeneration":2,"typeChecking":{"expressionWarnings":[{"fieldRef":)"
      R"("spec.validations[0].expression","warning":"apps/v1, Kind=Deployment: ERROR: )"
      R"(\u003cinput\u003e:1:22: found no matching overload for '_\u003e_' applied to )"
      R"('(int, string)'\n | object.spec.replicas \u003e '1'\n | .....................^\n"}]}})");
  EXPECT_EQ(planned(policy("{observedGeneration: 2}", "object.none")), "nothing");
}

}  // namespace
}  // namespace keles::controllers
