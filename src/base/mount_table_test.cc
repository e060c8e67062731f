#include "base/mount_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keles {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kTable =
    "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "22 21 0:5 / /proc rw,nosuid - proc proc rw\n"
    "40 21 7:3 / /k/plugins/mounts/v ro,relatime - ext4 /dev/loop3 ro\n"
    "41 21 7:3 / /k/pods/u/volumes/v rw - ext4 /dev/loop3 rw\n"
    "42 21 7:3 /a\\040b /k/pods/u/sub\\134path rw - ext4 /dev/loop3 rw\n"
    "43 21 8:1 /mnt/disk /k/pods/w/volumes/d rw - ext4 /dev/sda1 rw\n"
    "44 21\n"
    "no line\n";

TEST(MountTable, IsRead) {
  const auto mounts = parse_mount_table(kTable);
  ASSERT_EQ(mounts.size(), 6u);
  EXPECT_EQ(mounts[2].id, 40);
  EXPECT_EQ(mounts[2].device, "7:3");
  EXPECT_TRUE(mounts[2].read_only());
  EXPECT_FALSE(mounts[3].read_only());
  EXPECT_EQ(mounts[4].root, "/a b");
  EXPECT_EQ(mounts[4].place, "/k/pods/u/sub\\path");
  EXPECT_EQ(parse_mount_table("1 1 0:1 /\\9 / rw").at(0).root, "/\\9");
}

TEST(MountTable, TheSameElsewhere) {
  const auto mounts = parse_mount_table(kTable);
  EXPECT_THAT(same_elsewhere(mounts, "/k/plugins/mounts/v"), ElementsAre("/k/pods/u/volumes/v"));
  EXPECT_THAT(same_elsewhere(mounts, "/mnt/disk"), ElementsAre("/k/pods/w/volumes/d"));
  EXPECT_THAT(same_elsewhere(mounts, "/mnt/disk/below"), IsEmpty());
  EXPECT_THAT(same_elsewhere(mounts, "/mnt"), IsEmpty());
}

}  // namespace
}  // namespace keles
