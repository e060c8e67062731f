// What is found of a server or an agent, and removed.
#include "machines/reset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temporary_directory.h"

namespace keles::machines {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Reset, UnmountsTheDeepestFirst) {
  const std::string mountinfo =
      "21 1 8:1 / / rw - ext4 /dev/a rw\n"
      "30 21 0:5 / /var/lib/kubelet rw - tmpfs t rw\n"
      "31 30 0:6 / /var/lib/kubelet/pods/a/volumes/x rw - tmpfs t rw\n"
      "32 30 0:6 / /var/lib/kubelet/pods/a\\040b rw - tmpfs t rw\n"
      "33 21 0:6 / /var/lib/kubelet2 rw - tmpfs t rw\n"
      "34 31 0:6 / /var/lib/kubelet/pods/a/volumes/x rw - tmpfs t rw\n";
  EXPECT_THAT(mounts_below(mountinfo, {"/var/lib/kubelet", "/run/keles"}),
              ElementsAre("/var/lib/kubelet/pods/a/volumes/x", "/var/lib/kubelet/pods/a/volumes/x",
                          "/var/lib/kubelet/pods/a b", "/var/lib/kubelet"));
  EXPECT_THAT(mounts_below("broken", {"/a"}), IsEmpty());
}

class Processes : public testing::Test {
 protected:
  void put(int pid, const std::string& arguments) const {
    std::string text = arguments;
    for (char& c : text)
      if (c == ' ') c = '\0';
    const std::string at = dir.path() + "/" + std::to_string(pid);
    ASSERT_TRUE(make_directories(at).ok());
    ASSERT_TRUE(write_file(at + "/cmdline", text + '\0').ok());
  }
  TemporaryDirectory dir = *TemporaryDirectory::make();
};

TEST_F(Processes, ThatWouldMakeItAgainAreFound) {
  put(10, "/usr/bin/keles agent --server https://h:1");
  put(11, "/usr/bin/keles kubelet --node-ip=1.2.3.4");
  put(12, "keles kubectl get pods");
  put(13, "/usr/bin/vi agent");
  put(14, "/opt/kubelet --config=/x");
  ASSERT_TRUE(make_directories(dir.path() + "/self").ok());
  std::vector<std::string> found;
  for (const RunningPart& p : running_parts(dir.path()))
    found.push_back(std::to_string(p.pid) + " " + p.what);
  EXPECT_THAT(found,
              testing::UnorderedElementsAre("10 keles agent", "11 keles kubelet", "14 kubelet"));
}

TEST_F(Processes, ShimsAreThoseOfOneRuntime) {
  put(20, "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id a -address /run/keles/c.sock");
  put(21, "/usr/bin/containerd-shim-runc-v2 -namespace moby -id b -address /run/other.sock");
  put(22, "grep -address /run/keles/c.sock");
  EXPECT_THAT(shims_of("/run/keles/c.sock", dir.path()), ElementsAre(20));
}

TEST(Reset, RemovesWhatIsThereAndNothingElse) {
  const TemporaryDirectory dir = *TemporaryDirectory::make();
  NodeTraces t;
  t.netns_dir.clear();
  t.roots = {dir.path() + "/kubelet", dir.path() + "/none"};
  t.files = {dir.path() + "/net.d/10-keles.conflist"};
  EXPECT_THAT(plan_reset(t), IsEmpty());
  ASSERT_TRUE(make_directories(dir.path() + "/kubelet/pods/a").ok());
  ASSERT_TRUE(make_directories(dir.path() + "/net.d").ok());
  ASSERT_TRUE(write_file(t.files[0], "{}").ok());
  ASSERT_TRUE(write_file(dir.path() + "/net.d/20-other.conflist", "{}").ok());
  for (const ResetStep& step : plan_reset(t)) EXPECT_TRUE(step.carry_out().ok()) << step.what;
  EXPECT_THAT(plan_reset(t), IsEmpty());
  EXPECT_FALSE(path_exists(dir.path() + "/kubelet"));
  // Of attachments those to our network, whatever their files are called.
  t.results = dir.path() + "/results";
  t.network = "keles";
  ASSERT_TRUE(make_directories(t.results).ok());
  auto record = [&t](const std::string& file, const std::string& network) {
    return write_file(t.results + "/" + file,
                      R"({"kind":"cniCacheV1","networkName":")" + network + "\"}");
  };
  ASSERT_TRUE(record("keles-0a1b-eth0", "keles").ok());
  ASSERT_TRUE(record("keles-two-0a1b-eth0", "keles-two").ok());
  ASSERT_TRUE(record("bridge-0a1b-eth0", "bridge").ok());
  ASSERT_TRUE(write_file(t.results + "/keles-broken-eth0", "{").ok());
  ASSERT_EQ(plan_reset(t).size(), 1u);
  for (const ResetStep& step : plan_reset(t)) EXPECT_TRUE(step.carry_out().ok()) << step.what;
  EXPECT_THAT(plan_reset(t), IsEmpty());
  auto left = *list_directory(t.results);
  EXPECT_THAT(left, testing::UnorderedElementsAre("keles-two-0a1b-eth0", "bridge-0a1b-eth0",
                                                  "keles-broken-eth0"));
  EXPECT_TRUE(path_exists(dir.path() + "/net.d/20-other.conflist"));
}

}  // namespace
}  // namespace keles::machines
