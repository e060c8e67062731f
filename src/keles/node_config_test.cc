// What configuration files of a node say, as flags.
#include "keles/node_config.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "machinery/config_file.h"

namespace keles {
namespace {

class NodeConfig : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = dir_.path() + "/" + name;
    EXPECT_TRUE(write_file(path, text).ok());
    return path;
  }
  Result<std::vector<std::string>> flags(const std::vector<std::string>& args,
                                         const std::string& kubelet, const std::string& proxy) {
    Flags f("");
    std::string text;
    std::vector<std::string> list;
    for (const char* name : {"port", "max-pods", "cluster-domain", "authorization-mode"}) {
      f.add(name, &text, "");
    }
    f.add("cluster-dns", &list, "");
    EXPECT_TRUE(f.parse(args).ok());
    return with_node_config(f, args, kubelet, proxy);
  }
  static bool has(const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  }
  TemporaryDirectory dir_ = *TemporaryDirectory::make();
};

const std::string kKubelet =
    "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
const std::string kProxy =
    "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

TEST_F(NodeConfig, PeriodsOfAShutdown) {
  auto all = flags({},
                   write("whole", kKubelet + "shutdownGracePeriod: 30s\n"
                                             "shutdownGracePeriodCriticalPods: 10s\n"),
                   "");
  ASSERT_TRUE(all.ok()) << all.status().message();
  EXPECT_TRUE(has(*all, "--shutdown-grace-period=30s"));
  EXPECT_TRUE(has(*all, "--shutdown-grace-period-critical-pods=10s"));
  const std::string list = kKubelet + "shutdownGracePeriodByPodPriority: ";
  all = flags({},
              write("list", list + "[{priority: 1000, shutdownGracePeriodSeconds: 20}, "
                                   "{shutdownGracePeriodSeconds: 60}]\n"),
              "");
  ASSERT_TRUE(all.ok()) << all.status().message();
  EXPECT_TRUE(has(*all, "--shutdown-grace-period-by-pod-priority=1000:20,0:60"));
  all = flags({}, write("wrong", list + "[{priority: 1, seconds: 20}]\n"), "");
  EXPECT_NE(all.status().message().find("seconds: unknown field"), std::string::npos)
      << all.status().message();
}

TEST_F(NodeConfig, FieldsBecomeFlagsThatFlagsOverrule) {
  const std::string file =
      write("kubelet", kKubelet +
                           "maxPods: 42\nport: 1234\nclusterDNS: [10.96.0.10, 10.96.0.11]\n"
                           "authentication: {anonymous: {enabled: true}}\n"
                           "registerWithTaints: [{key: a, value: b, effect: NoSchedule}]\n");
  auto all = flags({"--port=7"}, file, "");
  ASSERT_TRUE(all.ok()) << all.status().message();
  EXPECT_TRUE(has(*all, "--max-pods=42"));
  EXPECT_TRUE(has(*all, "--cluster-dns=10.96.0.10,10.96.0.11"));
  EXPECT_TRUE(has(*all, "--anonymous-auth=true"));
  EXPECT_TRUE(has(*all, "--authorization-mode=Webhook"));
  EXPECT_TRUE(has(*all, "--authentication-token-webhook-cache-ttl=2m0s"));
  EXPECT_TRUE(has(*all, "--register-with-taints=a=b:NoSchedule"));
  EXPECT_FALSE(has(*all, "--port=1234"));
  EXPECT_EQ(all->back(), "--port=7");
}

TEST_F(NodeConfig, TheProxysToo) {
  const std::string file =
      write("proxy", kProxy +
                         "clusterCIDR: 10.0.0.0/8\nmetricsBindAddress: 127.0.0.1:99\n"
                         "conntrack: {tcpEstablishedTimeout: 1h}\n");
  auto all = flags({}, "", file);
  ASSERT_TRUE(all.ok()) << all.status().message();
  EXPECT_TRUE(has(*all, "--cluster-cidr=10.0.0.0/8"));
  EXPECT_TRUE(has(*all, "--proxy-metrics-port=99"));
  EXPECT_TRUE(has(*all, "--proxy-healthz-port=10256"));
  EXPECT_TRUE(has(*all, "--conntrack-tcp-timeout-established=1h0m0s"));
  const std::string elsewhere = write("elsewhere", kProxy + "metricsBindAddress: 1.2.3.4:99\n");
  EXPECT_EQ(flags({}, "", elsewhere).status().message(),
            elsewhere + ":3: metricsBindAddress: want 127.0.0.1:PORT: it is served nowhere else");
}

TEST_F(NodeConfig, WhatIsWrongIsNamed) {
  const std::string file = write("kubelet", kKubelet + "maxPods: many\nmaxPod: 3\n");
  EXPECT_EQ(
      flags({}, file, "").status().message(),
      file + ":3: maxPods: want an integer, got a text\n" + file + ":4: maxPod: unknown field");
  const std::string mode = write("proxy", kProxy + "mode: ipvs\n");
  EXPECT_EQ(flags({}, "", mode).status().message(),
            mode + ":3: mode: Unsupported value: \"ipvs\": supported values: \"\", \"nftables\"");
}

// Fields that nothing acts on are warned of, unless they ask for what happens anyway.
TEST_F(NodeConfig, WhatNothingActsOnIsWarnedOf) {
  auto file = ConfigFile::parse("f", kKubelet + "runOnce: true\nfailSwapOn: true\n",
                                {"kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"});
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_EQ(file->warnings().size(), 1u);
  EXPECT_EQ(file->warnings()[0], "f:3: runOnce: nothing acts on this field here");
}

TEST_F(NodeConfig, DefaultsAreFilesThatAreReadWithoutAWord) {
  for (const ConfigKind& kind :
       {ConfigKind{"kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"},
        ConfigKind{"kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"}}) {
    auto text = default_config(kind);
    ASSERT_TRUE(text.ok());
    auto file = ConfigFile::parse("f", *text, kind);
    ASSERT_TRUE(file.ok()) << file.status().message();
    EXPECT_TRUE(file->warnings().empty()) << file->warnings()[0];
  }
}

}  // namespace
}  // namespace keles
