#include "node/network/leases.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/temporary_directory.h"

namespace keles {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr WallTime kNow{1'700'000'000'000'000'000};

class Leases : public testing::Test {
 protected:
  void give(const std::string& name, const std::string& text, Duration ago) {
    const std::string path = directory() + "/" + name;
    ASSERT_TRUE(write_file(path, text).ok());
    const WallTime at = kNow - ago;
    const timespec when{at.unix_seconds(), 0}, both[2] = {when, when};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), both, 0), 0);
  }
  std::vector<std::string> remove(const std::set<std::string>& sandboxes) {
    auto removed = remove_stale_leases(directory(), sandboxes, kNow - std::chrono::minutes(10));
    EXPECT_TRUE(removed.ok()) << removed.status().message();
    std::vector<std::string> out;
    if (!removed.ok()) return out;
    for (const IpAddress& ip : *removed) out.push_back(ip.text());
    return out;
  }
  const std::string& directory() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_ = std::move(*TemporaryDirectory::make());
};

TEST_F(Leases, OfSandboxesThatAreNoMoreGo) {
  give("10.244.0.2", "alive\r\neth0", std::chrono::hours(5));
  give("10.244.0.3", "gone\r\neth0", std::chrono::hours(5));
  give("fd00::3", "gone\r\neth0", std::chrono::hours(5));
  give("10.244.0.4", "begun\r\neth0", std::chrono::minutes(9));
  give("10.244.0.5", "gone-too", std::chrono::minutes(11));  // as host-local wrote before 0.8
  give("last_reserved_ip.0", "10.244.0.5", std::chrono::hours(5));
  give("010.244.0.6", "gone\r\neth0", std::chrono::hours(5));  // nobody's name for an address
  EXPECT_EQ(lease_holder(directory(), *IpAddress::parse("10.244.0.2")), "alive");
  EXPECT_EQ(lease_holder(directory(), *IpAddress::parse("10.244.0.9")), "");
  EXPECT_THAT(remove({"alive"}), ElementsAre("10.244.0.3", "10.244.0.5", "fd00::3"));
  EXPECT_THAT(list_directory(directory()).value_or({}),
              ElementsAre("010.244.0.6", "10.244.0.2", "10.244.0.4", "last_reserved_ip.0", "lock"));
  EXPECT_THAT(remove({"alive"}), IsEmpty());
}

TEST_F(Leases, AreLeftAloneWhileThePlugInWorks) {
  give("10.244.0.3", "gone\r\neth0", std::chrono::hours(5));
  {
    Fd theirs(::open((directory() + "/lock").c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0750));
    ASSERT_EQ(::flock(theirs.get(), LOCK_EX), 0);
    EXPECT_THAT(remove({}), IsEmpty());
  }
  EXPECT_THAT(remove({}), ElementsAre("10.244.0.3"));
}

TEST_F(Leases, NoDirectoryIsFine) {
  auto removed = remove_stale_leases(directory() + "/none", {}, kNow);
  ASSERT_TRUE(removed.ok());
  EXPECT_THAT(*removed, IsEmpty());
  EXPECT_FALSE(path_exists(directory() + "/none"));
}

}  // namespace
}  // namespace keles
