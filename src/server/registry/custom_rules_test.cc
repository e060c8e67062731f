// Expressions of custom resources in their strategy: on creation, on update, on an update of the
// status, and in the definition itself.
#include <gtest/gtest.h>

#include "machinery/codec_yaml.h"
#include "machinery/custom_kind.h"
#include "machinery/time.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

using Lines = std::vector<std::string>;

constexpr std::string_view kDefinition = R"(
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: scales.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Scale, listKind: ScaleList, plural: scales, singular: scale}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        x-kubernetes-validations:
        - {rule: "!has(self.status) || self.status.ready <= self.spec.replicas", message: more are ready than are wanted}
        properties:
          spec:
            type: object
            required: [replicas]
            x-kubernetes-validations:
            - {rule: self.minReplicas <= self.replicas, fieldPath: .minReplicas}
            properties:
              minReplicas: {type: integer, default: 0}
              replicas: {type: integer}
              color:
                type: string
                x-kubernetes-validations:
                - {rule: self == oldSelf, messageExpression: "'it was ' + oldSelf"}
          status:
            type: object
            properties:
              ready: {type: integer}
status:
  storedVersions: [v1]
  acceptedNames: {kind: Scale, listKind: ScaleList, plural: scales, singular: scale}
)";

DocumentPtr doc(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << d.status().message() << "\n" << yaml;
  return std::make_shared<Document>(std::move(*d));
}

Lines texts(const FieldErrors& errors) {
  Lines out;
  for (const StatusCause& e : errors) out.push_back(e.field + ": " + e.message);
  return out;
}

class CustomRules : public ::testing::Test {
 protected:
  CustomRules() {
    const KindDesc& definitions =
        *find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    auto made = CustomKinds::make(Object::from_document(definitions, *parse_yaml(kDefinition)));
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    if (!made.ok()) return;
    kind_ = *made;
    ctx_.kind = kind_.get();
    ctx_.namespace_ = "default";
    ctx_.now = *parse_time("2026-01-01T01:00:00Z");
    ctx_.warnings = &warnings_;
  }

  DocumentPtr object(std::string_view spec, std::string_view status = "") {
    std::string text =
        "apiVersion: example.com/v1\nkind: Scale\nmetadata: {name: a}\nspec: " + std::string(spec);
    if (!status.empty()) text += "\nstatus: " + std::string(status);
    return doc(text);
  }
  Lines created(std::string_view spec) {
    FieldErrors errors;
    strategy_of(*kind_).validate(ctx_, object(spec)->root, errors);
    return texts(errors);
  }
  Lines updated(std::string_view before, std::string_view now) {
    FieldErrors errors;
    warnings_.clear();
    strategy_of(*kind_).validate_update(ctx_, object(now)->root, object(before)->root, errors);
    return texts(errors);
  }

  KindRef kind_;
  HookContext ctx_;
  Lines warnings_;
};

TEST_F(CustomRules, HoldOnCreation) {
  EXPECT_EQ(created("{minReplicas: 1, replicas: 2, color: red}"), Lines{});
  EXPECT_EQ(created("{minReplicas: 3, replicas: 2}"),
            Lines{"spec.minReplicas: Invalid value: failed rule: self.minReplicas <= "
                  "self.replicas"});
}

TEST_F(CustomRules, WaitForWhatKeepsThemFromBeingAsked) {
  const Lines got = created("{minReplicas: 3, color: red}");
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0], "spec.replicas: Required value");
  EXPECT_EQ(got[1],
            "<nil>: Invalid value: null: some validation rules were not checked because the object "
            "was invalid; correct the existing errors to complete validation");
}

TEST_F(CustomRules, SeeWhatWasBefore) {
  EXPECT_EQ(updated("{minReplicas: 1, replicas: 2, color: red}",
                    "{minReplicas: 1, replicas: 2, color: blue}"),
            Lines{"spec.color: Invalid value: \"blue\": it was red"});
  EXPECT_EQ(updated("{minReplicas: 1, replicas: 2}", "{minReplicas: 1, replicas: 2, color: blue}"),
            Lines{});
}

TEST_F(CustomRules, OnlyWarnOfWhatWasWrongBefore) {
  const Lines wrong{
      "spec.minReplicas: Invalid value: failed rule: self.minReplicas <= self.replicas"};
  EXPECT_EQ(updated("{minReplicas: 3, replicas: 2}", "{minReplicas: 3, replicas: 2}"), Lines{});
  EXPECT_EQ(warnings_, wrong);
  EXPECT_EQ(updated("{minReplicas: 3, replicas: 2}", "{minReplicas: 4, replicas: 2}"), wrong);
  EXPECT_EQ(warnings_, Lines{});
  ctx_.warnings = nullptr;  // nobody to tell: it is let pass all the same
  EXPECT_EQ(updated("{minReplicas: 3, replicas: 2}", "{minReplicas: 3, replicas: 2}"), Lines{});
}

TEST_F(CustomRules, HoldForTheStatus) {
  FieldErrors errors;
  strategy_of(*kind_).validate_status_update(
      ctx_, object("{minReplicas: 1, replicas: 2}", "{ready: 3}")->root,
      object("{minReplicas: 1, replicas: 2}", "{ready: 2}")->root, errors);
  EXPECT_EQ(texts(errors), Lines{"<nil>: Invalid value: more are ready than are wanted"});
}

TEST_F(CustomRules, AreReadWithTheDefinition) {
  std::string text(kDefinition);
  FieldErrors errors;
  const Strategy& strategy =
      strategy_of(*find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
  strategy.validate(ctx_, doc(text)->root, errors);
  EXPECT_EQ(texts(errors), Lines{});
  const std::string_view rule = "self.minReplicas <= self.replicas";
  text.replace(text.find(rule), rule.size(), "self.minimum <= self.replicas");
  strategy.validate(ctx_, doc(text)->root, errors);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].field,
            "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule");
  EXPECT_NE(errors[0].message.find("compilation failed: ERROR: <input>:1:5: undefined field "
                                   "'minimum'\n | self.minimum <= self.replicas\n | ....^"),
            std::string::npos)
      << errors[0].message;
}

}  // namespace
}  // namespace keles::registry
