// What a machine has left, on files like the kernel's and trees on the real disk.
#include "node/eviction/meter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/temporary_directory.h"

namespace keles::node {
namespace {

class Meter : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    std::string whole = root_ + path;
    ASSERT_TRUE(make_directories(whole.substr(0, whole.rfind('/'))).ok());
    ASSERT_TRUE(write_file(whole, text).ok());
  }
  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  const std::string root_ = directory_.path();
};

TEST_F(Meter, SignalsOfTheKernelsFiles) {
  put("/meminfo",
      "MemTotal:       1000 kB\nMemFree:         300 kB\nInactive(anon):  9 kB\n"
      "Inactive(file):  100 kB\n");
  put("/loadavg", "0.00 0.01 0.05 2/345 6789\n");
  put("/sys/kernel/pid_max", "32768\n");
  put("/sys/kernel/threads-max", "1000\n");
  auto stat = [](const std::string& path) -> std::optional<FileSystem> {
    if (path == "/root") return FileSystem{1, 10, 100, 5, 50};
    if (path == "/images") return FileSystem{2, 20, 200, 0, 0};  // counts no inodes
    return std::nullopt;
  };
  auto meter = make_node_meter(root_, stat);
  MeterRequest r;
  r.root = "/root";
  Observations o = meter->observe(r);
  auto text = [&](Signal s) {
    auto it = o.find(s);
    if (it == o.end()) return std::string("none");
    return std::to_string(it->second.available) + "/" + std::to_string(it->second.capacity);
  };
  EXPECT_EQ(text(Signal::kMemoryAvailable), "409600/1024000");
  EXPECT_EQ(text(Signal::kAllocatableMemory), "none");
  EXPECT_EQ(text(Signal::kNodeFsAvailable), "10/100");
  EXPECT_EQ(text(Signal::kImageFsAvailable), "10/100");
  EXPECT_EQ(text(Signal::kContainerFsInodes), "5/50");
  EXPECT_EQ(text(Signal::kPidAvailable), "655/1000");
  EXPECT_FALSE(meter->layout(r).image_fs);
  r.images = "/images";
  r.node_working_set_bytes = 1000;
  r.pods_working_set_bytes = 300;
  r.allocatable_memory_bytes = 500;
  o = meter->observe(r);
  EXPECT_EQ(text(Signal::kMemoryAvailable), "1023000/1024000");
  EXPECT_EQ(text(Signal::kAllocatableMemory), "200/500");
  EXPECT_EQ(text(Signal::kContainerFsAvailable), "20/200");
  EXPECT_EQ(text(Signal::kImageFsInodes), "none");
  EXPECT_TRUE(meter->layout(r).image_fs);
  EXPECT_FALSE(meter->layout(r).container_fs);
}

TEST_F(Meter, FilesThatAreNotThereTellNothing) {
  put("/loadavg", "nonsense");
  put("/sys/kernel/pid_max", "many");
  auto meter = make_node_meter(root_);
  EXPECT_TRUE(meter->observe({}).empty());
}

uint64_t blocks(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(lstat(path.c_str(), &st), 0) << path;
  return static_cast<uint64_t>(st.st_blocks) * 512;
}

TEST_F(Meter, ATreeIsCountedOnceAndNotLeft) {
  auto meter = make_node_meter();
  put("/t/a/b/file", std::string(300'000, 'x'));
  put("/outside", std::string(900'000, 'x'));
  ASSERT_EQ(link((root_ + "/t/a/b/file").c_str(), (root_ + "/t/again").c_str()), 0);
  ASSERT_EQ(symlink((root_ + "/outside").c_str(), (root_ + "/t/away").c_str()), 0);
  ASSERT_EQ(symlink("..", (root_ + "/t/a/up").c_str()), 0);
  DiskUse use = meter->disk_use(root_ + "/t");
  uint64_t want = 0;
  for (const char* p : {"/t", "/t/a", "/t/a/b", "/t/a/b/file", "/t/away", "/t/a/up"})
    want += blocks(root_ + p);
  EXPECT_EQ(use.bytes, want);
  EXPECT_EQ(use.inodes, 6u);
  EXPECT_EQ(meter->disk_use(root_ + "/nowhere").inodes, 0u);
}

// Deeper than a path can be written, and than there are descriptors.
TEST_F(Meter, DepthIsNoHidingPlace) {
  auto meter = make_node_meter();
  int fd = open(root_.c_str(), O_RDONLY | O_DIRECTORY);
  constexpr int kDepth = 3000;
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(mkdirat(fd, "d", 0700), 0);
    int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
    close(fd);
    fd = next;
  }
  close(fd);
  EXPECT_EQ(meter->disk_use(root_).inodes, kDepth + 1u);
}

}  // namespace
}  // namespace keles::node
