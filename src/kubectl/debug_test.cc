// What the profiles of debug allow, and what a copy keeps.
#include "kubectl/debug.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

Document pod() {
  return *parse_json(R"({"metadata":{"labels":{"a":"b"},"annotations":{"c":"d"}},
      "spec":{"initContainers":[{"name":"first"}],
      "containers":[{"name":"app","livenessProbe":{},"readinessProbe":{},"startupProbe":{}},
      {"name":"debugger","securityContext":{"runAsUser":5}}]}})");
}

std::string with(const char* profile, DebugStyle style, const KeepFlags& keep = {}) {
  Document d = pod();
  apply_profile(profile, style, keep, d, "debugger");
  return to_json(d.root["spec"]["containers"].at(1)["securityContext"]) + " " +
         (d.root["spec"]["hostPID"].as_bool() ? "host" : "own") + " " +
         to_json(d.root["spec"]["containers"].at(1)["volumeMounts"]);
}

TEST(DebugTest, Profiles) {
  constexpr DebugStyle kEphemeral = DebugStyle::kEphemeral, kNode = DebugStyle::kNode;
  const std::string mount = R"([{"name":"host-root","mountPath":"/host"}])";
  EXPECT_EQ(with("legacy", kEphemeral), R"({"runAsUser":5} own null)");
  EXPECT_EQ(with("legacy", kNode), R"({"runAsUser":5} host )" + mount);
  EXPECT_EQ(with("general", kEphemeral),
            R"({"runAsUser":5,"capabilities":{"add":["SYS_PTRACE"]}} own null)");
  EXPECT_EQ(with("general", kNode), "null host " + mount);
  EXPECT_EQ(with("baseline", kNode), "null own null");
  EXPECT_EQ(with("restricted", kEphemeral),
            R"({"runAsNonRoot":true,"capabilities":{"drop":["ALL"]},)"
            R"("allowPrivilegeEscalation":false,"seccompProfile":{"type":"RuntimeDefault"}})"
            " own null");
  EXPECT_EQ(with("netadmin", kNode),
            R"({"runAsUser":5,"capabilities":{"add":["NET_ADMIN","NET_RAW"]}} host null)");
  EXPECT_EQ(with("sysadmin", kNode), R"({"runAsUser":5,"privileged":true} host )" + mount);
  EXPECT_EQ(check_profile("nope").message(), "unknown profile: nope");
}

TEST(DebugTest, WhatACopyKeeps) {
  Document d = pod();
  apply_profile("general", DebugStyle::kPodCopy, {}, d, "debugger");
  EXPECT_EQ(to_json(d.root["metadata"]), "{}");
  EXPECT_EQ(to_json(d.root["spec"]["containers"].at(0)), R"({"name":"app"})");
  EXPECT_TRUE(d.root["spec"]["shareProcessNamespace"].as_bool());
  EXPECT_EQ(d.root["spec"]["initContainers"].items().size(), 1u);
  KeepFlags keep;
  keep.labels = keep.liveness = true;
  keep.init_containers = false;
  Document kept = pod();
  apply_profile("baseline", DebugStyle::kPodCopy, keep, kept, "debugger");
  EXPECT_EQ(to_json(kept.root["metadata"]), R"({"labels":{"a":"b"}})");
  EXPECT_EQ(to_json(kept.root["spec"]["containers"].at(0)), R"({"name":"app","livenessProbe":{}})");
  EXPECT_TRUE(kept.root["spec"]["initContainers"].is_null());
}

}  // namespace
}  // namespace keles::kubectl
