// The Pod Security Standards: our own table, and the pods of ../shared/oracles where they are.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/testing.h"
#include "machinery/codec_yaml.h"
#include "server/admission/pod_security_policy.h"

namespace keles::admission {
namespace {

PodSecurity wanted(std::string_view level, std::string_view version = "latest") {
  return {*parse_pod_security_level(level), *parse_pod_security_version(version)};
}

std::string verdict(const PodSecurity& p, std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml;
  return details_of(check_pod_security(p, d->root["metadata"], d->root["spec"]));
}

// A pod that keeps the strictest level, but for what is put in.
std::string strict(std::string_view container = "", std::string_view spec = "",
                   std::string_view pod_context = "") {
  return "spec: {securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}" +
         std::string(pod_context) + "}, containers: [{name: c, image: i" +
         (container.empty() ? ", securityContext: {allowPrivilegeEscalation: false, capabilities: "
                              "{drop: [ALL]}}"
                            : ", " + std::string(container)) +
         "}]" + std::string(spec) + "}";
}

TEST(PodSecurity, ReadsLevelsAndVersions) {
  EXPECT_EQ(wanted("restricted", "v1.24").text(), "restricted:v1.24");
  EXPECT_EQ(wanted("baseline").text(), "baseline:latest");
  for (const char* bad : {"", "v1", "v1.", "v1.x", "v1.024", "v2.1", "1.24", "v1.-1", "Latest"}) {
    EXPECT_FALSE(parse_pod_security_version(bad)) << bad;
  }
  EXPECT_FALSE(parse_pod_security_level("Restricted"));
}

TEST(PodSecurity, SaysWhatALevelForbids) {
  struct Case {
    const char* level;
    const char* version;
    std::string pod;
    const char* verdict;
  };
  const Case cases[] = {
      {"restricted", "latest", strict(), ""},
      {"privileged", "latest", "spec: {hostNetwork: true}", ""},
      {"baseline", "latest", "spec: {hostNetwork: true, hostPID: true}",
       "host namespaces (hostNetwork=true, hostPID=true)"},
      {"baseline", "v1.0",
       "spec: {initContainers: [{name: a, securityContext: {privileged: true}}], containers: "
       "[{name: b, securityContext: {privileged: true}}]}",
       "privileged (containers \"a\", \"b\" must not set securityContext.privileged=true)"},
      {"baseline", "latest", "spec: {containers: [{name: c, ports: [{hostPort: 80}]}]}",
       "hostPort (container \"c\" uses hostPort 80)"},
      {"baseline", "latest", "spec: {volumes: [{name: v, hostPath: {path: /}}]}",
       "hostPath volumes (volume \"v\")"},
      // One check of the stricter level takes the place of the laxer one.
      {"restricted", "latest", strict("", ", volumes: [{name: v, hostPath: {path: /}}]"),
       "restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")"},
      {"restricted", "latest", strict("", ", volumes: [{name: v, image: {reference: r}}]"), ""},
      {"baseline", "latest", strict("livenessProbe: {httpGet: {host: 10.0.0.1, port: 80}}"),
       "probe or lifecycle host (container \"c\" uses probe or lifecycle host \"10.0.0.1\")"},
      {"baseline", "v1.33", strict("livenessProbe: {httpGet: {host: 10.0.0.1, port: 80}}"), ""},
      {"baseline", "v1.31", strict("", "", ", sysctls: [{name: net.ipv4.tcp_rmem, value: '1'}]"),
       "forbidden sysctls (net.ipv4.tcp_rmem)"},
      {"baseline", "v1.32", strict("", "", ", sysctls: [{name: net.ipv4.tcp_rmem, value: '1'}]"),
       ""},
      {"baseline", "v1.30", strict("", "", ", seLinuxOptions: {type: container_engine_t, user: u}"),
       "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "
       "\"container_engine_t\"; user may not be set)"},
      {"baseline", "v1.31", strict("", "", ", seLinuxOptions: {type: container_engine_t}"), ""},
      {"baseline", "v1.18",
       "metadata: {annotations: {seccomp.security.alpha.kubernetes.io/pod: unconfined}}\n"
       "spec: {containers: [{name: c}]}",
       "seccompProfile (forbidden annotation "
       "seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")"},
      {"restricted", "v1.34", strict("", ", hostUsers: false", ", runAsUser: 0"),
       "runAsUser=0 (pod must not set runAsUser=0)"},
      {"restricted", "v1.35", strict("", ", hostUsers: false", ", runAsUser: 0"), ""},
      {"baseline", "latest", strict("securityContext: {procMount: Unmasked}", ", hostUsers: false"),
       ""},
      {"restricted", "v1.7", "spec: {containers: [{name: c, image: i}]}",
       "runAsNonRoot != true (pod or container \"c\" must set "
       "securityContext.runAsNonRoot=true)"},
      {"restricted", "latest", "spec: {containers: [{name: c, image: i}]}",
       "allowPrivilegeEscalation != false (container \"c\" must set "
       "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "
       "\"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or "
       "container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or "
       "container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or "
       "\"Localhost\")"},
      {"restricted", "latest",
       "spec: {os: {name: windows}, securityContext: {runAsNonRoot: true}, containers: [{name: "
       "c}]}",
       ""},
      {"restricted", "latest",
       strict("",
              ", ephemeralContainers: [{name: e, securityContext: {allowPrivilegeEscalation: "
              "false, capabilities: {drop: [ALL], add: [NET_RAW]}}}]"),
       "unrestricted capabilities (container \"e\" must not include \"NET_RAW\" in "
       "securityContext.capabilities.add)"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(verdict(wanted(c.level, c.version), c.pod), c.verdict)
        << c.level << c.version << c.pod;
  }
}

TEST(PodSecurity, DecidesEveryPodOfTheOracle) {
  std::filesystem::path oracle = shared_dir() / "oracles/pod-security";
  if (!std::filesystem::exists(oracle)) GTEST_SKIP() << "no oracle in this checkout";
  size_t looked_at = 0;
  for (const char* level : {"baseline", "restricted"}) {
    for (const char* way : {"pass", "fail"}) {
      for (const auto& file : std::filesystem::directory_iterator(oracle / level / way)) {
        auto text = read_file(file.path().string());
        ASSERT_TRUE(text.ok());
        std::string found = verdict(wanted(level), *text);
        EXPECT_EQ(found.empty(), std::string_view(way) == "pass") << file.path() << ": " << found;
        ++looked_at;
      }
    }
  }
  EXPECT_GT(looked_at, 100u);
}

}  // namespace
}  // namespace keles::admission
