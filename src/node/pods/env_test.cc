#include "node/pods/env.h"

#include <gtest/gtest.h>

#include "node/pods/container_config.h"
#include "node/pods/env_file.h"
#include "node/testing.h"

namespace keles::node {
namespace {

TEST(Env, Expansion) {
  auto lookup = [](std::string_view n) -> std::optional<std::string> {
    if (n == "A") return "1";
    return std::nullopt;
  };
  EXPECT_EQ(expand("x$(A)y", lookup), "x1y");
  EXPECT_EQ(expand("$(B)", lookup), "$(B)");
  EXPECT_EQ(expand("$$(A)", lookup), "$(A)");
  EXPECT_EQ(expand("$A $(A", lookup), "$A $(A");
  EXPECT_EQ(expand("$", lookup), "$");
}

TEST(Env, FromEverySource) {
  Ref<api::core_v1::Pod> pod = pod_from(R"json({"metadata":{"name":"p","namespace":"n",
    "labels":{"app":"web"}},"spec":{"containers":[{"name":"a",
    "resources":{"limits":{"cpu":"1500m","memory":"64Mi"}},
    "envFrom":[{"prefix":"C_","configMapRef":{"name":"cm"}}],
    "env":[{"name":"ONE","value":"1"},{"name":"TWO","value":"$(ONE)-$(KUBERNETES_SERVICE_HOST)"},
      {"name":"NAME","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},
      {"name":"APP","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['app']"}}},
      {"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},
      {"name":"CPU","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu"}}},
      {"name":"MEM","valueFrom":{"resourceFieldRef":{"resource":"limits.memory","divisor":"1Mi"}}},
      {"name":"KEY","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}},
      {"name":"NO","valueFrom":{"secretKeyRef":{"name":"s","key":"none","optional":true}}}]}]}})json");
  DataLookup data =
      [](bool secret,
         const std::string& name) -> std::optional<std::map<std::string, std::string>> {
    if (secret && name == "s") return std::map<std::string, std::string>{{"k", "v"}};
    if (!secret && name == "cm") return std::map<std::string, std::string>{{"x", "y"}};
    return std::nullopt;
  };
  PodFacts facts;
  facts.pod_ips = {"10.0.0.9", "fd00::9"};
  facts.host_ips = {"172.18.0.3", "fd00::3"};
  auto env = build_environment(*pod, pod->spec().containers()[0],
                               {{"KUBERNETES_SERVICE_HOST", "10.96.0.1"}}, data, facts);
  ASSERT_TRUE(env.ok()) << env.status().to_string();
  Environment want = {{"C_x", "y"},           {"ONE", "1"},
                      {"TWO", "1-10.96.0.1"}, {"NAME", "p"},
                      {"APP", "web"},         {"IP", "10.0.0.9"},
                      {"CPU", "2"},           {"MEM", "64"},
                      {"KEY", "v"},           {"KUBERNETES_SERVICE_HOST", "10.96.0.1"}};
  EXPECT_EQ(*env, want);
}

TEST(Env, MissingObjectsAreNamed) {
  Ref<api::core_v1::Pod> pod = pod_from(R"({"metadata":{"namespace":"n"},"spec":{"containers":[
    {"name":"a","env":[{"name":"K","valueFrom":{"configMapKeyRef":{"name":"cm","key":"k"}}}]}]}})");
  DataLookup none = [](bool, const std::string&) { return std::nullopt; };
  auto env = build_environment(*pod, pod->spec().containers()[0], {}, none, {});
  EXPECT_EQ(env.status().message(), "configmap \"cm\" not found");
}

TEST(Config, DnsOfClusterFirst) {
  Ref<api::core_v1::Pod> pod = pod_from(
      R"({"metadata":{"name":"p","namespace":"n","uid":"u"},"spec":{"dnsPolicy":"ClusterFirst",
          "containers":[{"name":"a","ports":[{"containerPort":80,"hostPort":8080}]}]}})");
  DnsDefaults dns;
  dns.cluster_servers = {"10.96.0.10"};
  dns.host_resolv_conf = "nameserver 9.9.9.9\nsearch example.com\n";
  cri::SandboxConfig c = *make_sandbox_config(*pod, 0, "/var/log/pods", "/kubepods/podu", dns);
  EXPECT_EQ(c.dns_servers, std::vector<std::string>{"10.96.0.10"});
  EXPECT_EQ(c.dns_searches, (std::vector<std::string>{"n.svc.cluster.local", "svc.cluster.local",
                                                      "cluster.local", "example.com"}));
  EXPECT_EQ(c.dns_options, std::vector<std::string>{"ndots:5"});
  EXPECT_EQ(c.hostname, "p");
  ASSERT_EQ(c.ports.size(), 1u);
  EXPECT_EQ(c.ports[0].host_port, 8080);
}

TEST(Config, NonRootIsChecked) {
  Ref<api::core_v1::Pod> pod = pod_from(
      R"({"metadata":{"name":"p","namespace":"n","uid":"u"},"spec":{
          "securityContext":{"runAsNonRoot":true},"containers":[{"name":"a","image":"x"}]}})");
  auto container = pod->spec().containers()[0];
  ContainerInputs in;
  in.pod = &*pod;
  in.container = &container;
  in.image.uid = 0;
  EXPECT_EQ(
      make_container_config(in).status().message(),
      "container has runAsNonRoot and image will run as root (pod: \"p_n(u)\", container: a)");
  in.image.uid = 1000;
  EXPECT_TRUE(make_container_config(in).ok());
}

TEST(SandboxConfig, Hostnames) {
  struct Case {
    const char *name, *spec, *want, *hosts;
  };
  const std::string long_name(40, 'x');
  const Case cases[] = {
      {"p", R"("subdomain":"sub")", "p", "p.sub.ns.svc.cluster.local\tp"},
      {"p", R"("subdomain":"sub","setHostnameAsFQDN":true)", "p.sub.ns.svc.cluster.local",
       "p.sub.ns.svc.cluster.local\tp"},
      {"p", R"("setHostnameAsFQDN":true)", "p", "\tp"},
      {"p", R"("hostname":"h","subdomain":"sub","setHostnameAsFQDN":true)",
       "h.sub.ns.svc.cluster.local", "h.sub.ns.svc.cluster.local\th"},
      {"p", R"("hostnameOverride":"a.b.c","subdomain":"sub")", "a.b.c", "\ta.b.c"},
      {long_name.c_str(), R"("subdomain":"sub","setHostnameAsFQDN":true)",
       "failed to construct FQDN from pod hostname and cluster domain, FQDN "
       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.sub.ns.svc.cluster.local is too long (64 "
       "characters is the max, 65 characters requested)",
       "x"},
  };
  for (const Case& c : cases) {
    auto pod = pod_from(R"({"metadata":{"name":")" + std::string(c.name) +
                        R"(","namespace":"ns"},"spec":{)" + c.spec + "}}");
    DnsDefaults dns;
    auto made = make_sandbox_config(*pod, 0, "/logs", "/c", dns);
    EXPECT_EQ(made.ok() ? made->hostname : made.status().message(), c.want);
    EXPECT_NE(hosts_file(*pod, {"10.0.0.1"}, "cluster.local").find(c.hosts), std::string::npos);
  }
}

TEST(ContainerConfig, SecurityProfiles) {
  auto pod = pod_from(R"({"metadata":{"name":"p","namespace":"ns","annotations":{
      "container.apparmor.security.beta.kubernetes.io/b":"localhost/old"}},
    "spec":{"securityContext":{"supplementalGroupsPolicy":"Strict",
      "appArmorProfile":{"type":"RuntimeDefault"},"seLinuxOptions":{"level":"s0"}},
    "containers":[{"name":"a","securityContext":{
        "appArmorProfile":{"type":"Localhost","localhostProfile":"mine"},
        "seccompProfile":{"type":"Localhost","localhostProfile":"profiles/x.json"},
        "seLinuxOptions":{"type":"t"}}},
      {"name":"b"},{"name":"c"}]}})");
  auto build = [&](size_t i) {
    api::core_v1::Container c = pod->spec().containers()[i];
    ContainerInputs in;
    in.pod = &*pod;
    in.container = &c;
    in.seccomp_root = "/var/lib/kubelet/seccomp";
    return *make_container_config(in);
  };
  cri::ContainerConfig a = build(0), b = build(1), c = build(2);
  EXPECT_EQ(a.apparmor, cri::Seccomp::kLocalhost);
  EXPECT_EQ(a.apparmor_localhost, "mine");
  EXPECT_EQ(a.seccomp_localhost, "/var/lib/kubelet/seccomp/profiles/x.json");
  EXPECT_EQ(a.selinux->type, "t");
  EXPECT_EQ(b.apparmor_localhost, "old");
  EXPECT_EQ(c.apparmor, cri::Seccomp::kRuntimeDefault);
  EXPECT_EQ(c.selinux->level, "s0");
  EXPECT_TRUE(a.strict_groups && b.strict_groups && c.strict_groups);
}

TEST(EnvFile, Values) {
  struct Row {
    const char *text, *key;
    const char* value;  // null: refused
  };
  const Row kRows[] = {
      {"A='1'", "A", "1"},
      {"", "A", ""},
      {"# c\n\n \tB='x y' # why\nA='$B'\n", "A", "$B"},
      {"A='one\ntwo\n'", "A", "one\ntwo\n"},
      {"A='1'\nA='2'", "A", "1"},
      {"A= 'x'", "A", ""},
      {"A= 'x'\nB='y'", "B", "y"},
      {"A='x'\nnonsense", "A", "x"},  // what comes after is not looked at
      {"nonsense\nA='x'", "A", nullptr},
      {"A ='x'", "A", nullptr},
      {"='x'", "A", nullptr},
      {"A=x", "A", nullptr},
      {"A=\"x\"", "A", nullptr},
      {"A='x' y", "A", nullptr},
      {"A='x", "A", nullptr},
  };
  for (const Row& row : kRows) {
    auto got = env_file_value(row.text, row.key);
    EXPECT_EQ(got.ok(), row.value != nullptr) << row.text;
    EXPECT_EQ(got.value_or("refused"), row.value ? row.value : "refused") << row.text;
  }
}

TEST(Environment, OfAFileInAVolume) {
  auto pod = pod_from(R"json({"spec":{"containers":[{"name":"c","env":[
      {"name":"X","valueFrom":{"fileKeyRef":{"volumeName":"v","path":"a/b","key":"A"}}},
      {"name":"Y","valueFrom":{"fileKeyRef":{"volumeName":"v","path":"a/b","key":"N",
       "optional":true}}},{"name":"Z","value":"$(X)"}]}]}})json");
  std::string text = "A='1'";
  FileLookup files = [&](const std::string& volume, const std::string& path) {
    EXPECT_EQ(volume + ":" + path, "v:a/b");
    return Result<std::string>(text);
  };
  DataLookup none = [](bool, const std::string&) { return std::nullopt; };
  auto c = pod->spec().containers()[0];
  auto env = build_environment(*pod, c, {}, none, {}, files);
  ASSERT_TRUE(env.ok()) << env.status().message();
  EXPECT_EQ(*env, (Environment{{"X", "1"}, {"Z", "1"}}));
  text = "B='1'";
  EXPECT_EQ(build_environment(*pod, c, {}, none, {}, files).status().message(),
            "environment variable key \"A\" not found in file \"a/b\"");
  text = "nonsense";
  EXPECT_EQ(build_environment(*pod, c, {}, none, {}, files).status().message(),
            "couldn't parse env file");
}

}  // namespace
}  // namespace keles::node
