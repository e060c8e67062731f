// What slices mirror Endpoints that somebody wrote.
#include <gmock/gmock.h>

#include "controllers/endpointslice_mirroring.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using api::core_v1::Endpoints;
using api::discovery_v1::EndpointSlice;
using api::discovery_v1::EndpointSliceEdit;

Ref<Endpoints> endpoints(const std::string& subsets) {
  return parse<Endpoints>(
      "metadata: {name: e, namespace: work, uid: u, labels: {a: b}, annotations: {keep: it, "
      "kubectl.kubernetes.io/last-applied-configuration: x}}\nsubsets: [" +
      subsets + "]\n");
}

// "IPv4 a=80,b=81: 10.0.0.1 !10.0.0.2"; ! is not ready.
std::string told(const EndpointSlice& s) {
  std::string out(s.address_type());
  for (auto p : s.ports()) out += " " + std::string(p.name()) + "=" + std::to_string(p.port());
  out += ":";
  for (auto e : s.endpoints()) {
    out += std::string(" ") + (e.conditions().ready() ? "" : "!") + std::string(e.addresses()[0]);
  }
  return out;
}

std::string told(const MirrorPlan& plan) {
  std::string out;
  for (const auto& s : plan.create) out += "+" + told(*s) + "; ";
  for (const auto& s : plan.update) out += "~" + told(*s) + "; ";
  for (const auto& s : plan.remove) out += "-" + told(*s) + "; ";
  if (plan.invalid > 0) out += std::to_string(plan.invalid) + " invalid; ";
  if (plan.skipped > 0) out += std::to_string(plan.skipped) + " skipped; ";
  return out;
}

// What the API server would hold then.
std::vector<Ref<EndpointSlice>> made(MirrorPlan plan) {
  std::vector<Ref<EndpointSlice>> out;
  for (auto* list : {&plan.create, &plan.update}) {
    for (auto& s : *list) out.emplace_back(std::make_shared<const Document>(s.take()));
  }
  return out;
}

TEST(PlanMirror, HasASliceForEachFamilyAndSetOfPorts) {
  struct Case {
    const char *subsets, *expected;
  };
  const Case cases[] = {
      {"", ""},
      {"{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}", "+IPv4 =80: 10.0.0.1; "},
      {"{addresses: [{ip: 10.0.0.1}], notReadyAddresses: [{ip: 10.0.0.2}], ports: [{name: a, "
       "port: 80}]}",
       "+IPv4 a=80: 10.0.0.1 !10.0.0.2; "},
      {"{addresses: [{ip: 'fd00::0:1'}, {ip: 10.0.0.1}], ports: [{name: a, port: 80}]}",
       "+IPv4 a=80: 10.0.0.1; +IPv6 a=80: fd00::1; "},
      // One address, ports of two subsets: one slice.
      {"{addresses: [{ip: 10.0.0.1}], ports: [{name: a, port: 80}]}, "
       "{addresses: [{ip: 10.0.0.1}], ports: [{name: b, port: 81}]}",
       "+IPv4 a=80 b=81: 10.0.0.1; "},
      {"{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], ports: [{name: a, port: 80}]}, "
       "{addresses: [{ip: 10.0.0.1}], ports: [{name: b, port: 81}]}",
       "+IPv4 a=80: 10.0.0.1 10.0.0.2; +IPv4 b=81: 10.0.0.1; "},
      // Not ready where any says so.
      {"{addresses: [{ip: 10.0.0.1}], ports: [{name: a, port: 80}]}, "
       "{notReadyAddresses: [{ip: 10.0.0.1}], ports: [{name: a, port: 80}]}",
       "+IPv4 a=80: !10.0.0.1; "},
      {"{addresses: [{ip: 10.0.0.1}]}", "+IPv4: 10.0.0.1; "},
      {"{addresses: [{ip: 1.x}, {ip: 10.0.0.1}, {ip: 10.0.0.2}, {ip: 10.0.0.3}], ports: [{port: "
       "80}]}",
       "+IPv4 =80: 10.0.0.1 10.0.0.2; 1 invalid; 2 skipped; "},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(told(plan_mirror(*endpoints(c.subsets), {}, 2)), c.expected) << c.subsets;
  }
}

TEST(PlanMirror, WritesWhatChangesAndNothingElse) {
  auto e = endpoints("{addresses: [{ip: 10.0.0.1}], ports: [{name: a, port: 80}]}");
  auto slices = made(plan_mirror(*e, {}, 10));
  ASSERT_EQ(slices.size(), 1u);
  auto meta = slices[0]->metadata();
  EXPECT_EQ(meta.generate_name(), "e-");
  EXPECT_EQ(meta.labels().get("a"), "b");
  EXPECT_EQ(meta.labels().get("kubernetes.io/service-name"), "e");
  EXPECT_EQ(meta.labels().get("endpointslice.kubernetes.io/managed-by"),
            "endpointslicemirroring-controller.k8s.io");
  EXPECT_EQ(meta.annotations().size(), 1u);
  EXPECT_EQ(meta.owner_references()[0].kind(), "Endpoints");
  EXPECT_EQ(told(plan_mirror(*e, slices, 10)), "");
  // A slice is kept for other ports, and those too many go.
  auto moved = endpoints("{addresses: [{ip: 10.0.0.2}], ports: [{name: a, port: 81}]}");
  EXPECT_EQ(told(plan_mirror(*moved, slices, 10)), "~IPv4 a=81: 10.0.0.2; ");
  EXPECT_EQ(told(plan_mirror(*e, {slices[0], slices[0]}, 10)), "-IPv4 a=80: 10.0.0.1; ");
  EXPECT_EQ(told(plan_mirror(*endpoints(""), slices, 10)), "-IPv4 a=80: 10.0.0.1; ");
  // Endpoints made anew own their slice anew.
  auto anew = parse<Endpoints>(
      "metadata: {name: e, namespace: work, uid: u2, labels: {a: b}, annotations: {keep: it}}\n"
      "subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{name: a, port: 80}]}]\n");
  EXPECT_EQ(told(plan_mirror(*anew, slices, 10)), "~IPv4 a=80: 10.0.0.1; ");
}

}  // namespace
}  // namespace keles::controllers
