#include "keles/kubelet_configz.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "keles/flag_values.h"
#include "keles/node_config.h"
#include "machinery/codec_json.h"

namespace keles {
namespace {

TEST(KubeletConfigz, IsTheFileWithItsDefaultsAndTheFlagsOverIt) {
  int64_t port = 10250, pods = 110;
  bool anonymous = false;
  Duration ttl = 2min;
  std::vector<std::string> dns;
  const auto told = [&](const std::string& file, const std::vector<std::string>& args) {
    Flags flags("usage\n");
    flags.add("port", &port, "port");
    flags.add("max-pods", &pods, "pods");
    flags.add("anonymous-auth", &anonymous, "anybody");
    flags.add("authentication-token-webhook-cache-ttl", &ttl, "how long");
    flags.add("cluster-dns", &dns, "addresses");
    EXPECT_TRUE(flags.parse(args).ok());
    auto text = kubelet_configz(file, flags, flag_values(flags, args));
    EXPECT_TRUE(text.ok()) << text.status().message();
    return *parse_json(*text);
  };
  const Document plain = told("", {});
  EXPECT_EQ(plain.root["kind"].as_string(), "KubeletConfiguration");
  EXPECT_EQ(plain.root["maxPods"].as_int(), 110);
  EXPECT_EQ(plain.root["authentication"]["webhook"]["cacheTTL"].as_string(), "2m0s");
  const TemporaryDirectory files = *TemporaryDirectory::make();
  const std::string file = files.path() + "/kubelet.yaml";
  ASSERT_TRUE(write_file(file,
                         "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
                         "maxPods: 20\nport: 10\nstaticPodURL: http://x\n"
                         "staticPodURLHeader: {Authorization: [Bearer secret]}\n")
                  .ok());
  const Document doc =
      told(file, {"--port=11", "--anonymous-auth", "--cluster-dns=10.0.0.1,10.0.0.2",
                  "--authentication-token-webhook-cache-ttl=90s"});
  EXPECT_EQ(doc.root["maxPods"].as_int(), 20);
  EXPECT_EQ(doc.root["port"].as_int(), 11);
  EXPECT_TRUE(doc.root["authentication"]["anonymous"]["enabled"].as_bool());
  EXPECT_EQ(doc.root["authentication"]["webhook"]["cacheTTL"].as_string(), "1m30s");
  EXPECT_EQ(to_json(doc.root["clusterDNS"]), R"(["10.0.0.1","10.0.0.2"])");
  EXPECT_EQ(to_json(doc.root["staticPodURLHeader"]), R"({"Authorization":["\u003cmasked\u003e"]})");
}

// A field of the file that acts, acts by its flag: /configz tells what the flag says.
TEST(KubeletConfigz, KnowsEveryFlagThatTheFileSets) {
  const TemporaryDirectory files = *TemporaryDirectory::make();
  const std::string file = files.path() + "/kubelet-all.yaml";
  ASSERT_TRUE(
      write_file(
          file,
          "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
          "registerWithTaints: [{key: a, value: b, effect: NoSchedule}]\n"
          "evictionSoft: {memory.available: 1Gi}\nevictionSoftGracePeriod: "
          "{memory.available: 1m}\nevictionMinimumReclaim: {memory.available: 1Mi}\n"
          "shutdownGracePeriodByPodPriority: [{priority: 5, shutdownGracePeriodSeconds: 9}]\n"
          "clusterDNS: [10.0.0.1]\nallowedUnsafeSysctls: [kernel.msg*]\n")
          .ok());
  const Flags none("usage\n");
  auto args = with_node_config(none, {}, file, "");
  ASSERT_TRUE(args.ok()) << args.status().message();
  EXPECT_GT(args->size(), 20U);
  for (const std::string& a : *args) {
    EXPECT_TRUE(configz_knows(a.substr(2, a.find('=') - 2))) << a;
  }
  std::string taints, hard, shutdown;
  Flags flags("usage\n");
  std::vector<std::string> list;
  flags.add("register-with-taints", &list, "taints");
  flags.add("eviction-hard", &hard, "when");
  flags.add("shutdown-grace-period-by-pod-priority", &shutdown, "how long");
  const std::vector<std::string> given = {"--register-with-taints=a=b:NoSchedule,c:NoExecute",
                                          "--eviction-hard=memory.available<5%,pid.available<1",
                                          "--shutdown-grace-period-by-pod-priority=0:60,7:10"};
  ASSERT_TRUE(flags.parse(given).ok());
  const Document doc = *parse_json(*kubelet_configz("", flags, flag_values(flags, given)));
  EXPECT_EQ(to_json(doc.root["registerWithTaints"]),
            R"([{"key":"a","value":"b","effect":"NoSchedule"},{"key":"c","effect":"NoExecute"}])");
  EXPECT_EQ(
      to_json(doc.root["shutdownGracePeriodByPodPriority"]),
      R"([{"priority":0,"shutdownGracePeriodSeconds":60},{"priority":7,"shutdownGracePeriodSeconds":10}])");
  EXPECT_EQ(to_json(doc.root["evictionHard"]), R"({"memory.available":"5%","pid.available":"1"})");
}

}  // namespace
}  // namespace keles
