// A writer that is not trusted works in the same tree: by links that are already there, and by
// changing directories for links while the functions run.
#include "base/beneath.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "base/testing.h"

namespace keles {
namespace {

class Beneath : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_directories(root_ + "/volume").ok());
    ASSERT_TRUE(make_directories(root_ + "/outside/kept").ok());
    ASSERT_TRUE(write_file(root_ + "/outside/kept/secret", "s").ok());
    auto dir = open_directory(root_ + "/volume");
    ASSERT_TRUE(dir.ok());
    volume_ = std::move(*dir);
  }

  std::string in(const std::string& path) const { return root_ + "/volume/" + path; }
  void link(const std::string& to, const std::string& name) {
    ASSERT_EQ(symlink(to.c_str(), in(name).c_str()), 0);
  }
  // Changes volume/NAME and volume/swap for one another until `done`.
  std::thread swapper(const std::string& name, std::atomic<bool>* done) {
    return std::thread([a = in(name), b = in("swap"), done] {
      while (!*done)
        ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
    });
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  const std::string root_ = directory_.path();
  Fd volume_;
};

TEST_F(Beneath, LinksAreNotFollowed) {
  link("../outside", "out");
  link(root_ + "/outside/kept/secret", "file");
  link("/proc/self/fd/0", "magic");
  EXPECT_TRUE(open_beneath(volume_, "out/kept", O_PATH).status().is(Reason::kForbidden));
  EXPECT_TRUE(open_beneath(volume_, "../outside", O_PATH).status().is(Reason::kForbidden));
  EXPECT_TRUE(open_beneath(volume_, root_, O_PATH).status().is(Reason::kForbidden));
  EXPECT_TRUE(open_beneath(volume_, "magic", O_RDONLY).status().is(Reason::kForbidden));
  EXPECT_TRUE(read_file_beneath(volume_, "file").status().is(Reason::kForbidden));
  EXPECT_FALSE(make_directories_beneath(volume_, "out/new").ok());
  EXPECT_FALSE(make_directories_beneath(volume_, "../new").ok());
  EXPECT_FALSE(create_file_beneath(volume_, "out/new", "x", 0644, getuid(), getgid()).ok());
  EXPECT_FALSE(create_file_beneath(volume_, "file", "x", 0644, getuid(), getgid()).ok());
  EXPECT_FALSE(remove_file_beneath(volume_, "out/kept/secret").ok());
  EXPECT_TRUE(read_file_beneath(volume_, "none").status().is(Reason::kNotFound));
  EXPECT_EQ(read_link(volume_, "out"), "../outside");
  EXPECT_EQ(*read_file(root_ + "/outside/kept/secret"), "s");
  EXPECT_THAT(*list_directory(root_ + "/outside"), testing::ElementsAre("kept"));
  ASSERT_TRUE(remove_tree_beneath(volume_, "out").ok());
  EXPECT_FALSE(remove_tree_beneath(volume_, "../outside").ok());
  EXPECT_FALSE(remove_tree_beneath(volume_, "..").ok());
  EXPECT_EQ(*read_file(root_ + "/outside/kept/secret"), "s");
}

TEST_F(Beneath, AFifoIsNoFileAndNothingWaits) {
  ASSERT_EQ(mkfifo(in("fifo").c_str(), 0666), 0);
  EXPECT_FALSE(read_file_beneath(volume_, "fifo").ok());
}

TEST_F(Beneath, ModesAreSetPastTheUmask) {
  mode_t before = umask(077);
  EXPECT_TRUE(make_directories_beneath(volume_, "a/b", {.mode = 02777, .gid = {}}).ok());
  EXPECT_TRUE(create_file_beneath(volume_, "a/f", "text", 0664, getuid(), getgid()).ok());
  umask(before);
  for (const auto& [path, mode] :
       std::vector<std::pair<std::string, mode_t>>{{"a", 02777}, {"a/b", 02777}, {"a/f", 0664}}) {
    struct stat st {};
    ASSERT_EQ(stat(in(path).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, mode) << path;
  }
  // What is there keeps its mode.
  EXPECT_TRUE(make_directories_beneath(volume_, "a", {.mode = 0700, .gid = {}}).ok());
  struct stat st {};
  ASSERT_EQ(stat(in("a").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 02777u);
}

TEST_F(Beneath, RemovesTreesOfAnyDepthAndSize) {
  ASSERT_EQ(mkdir(in("deep").c_str(), 0755), 0);
  Fd at = std::move(*open_directory(in("deep")));
  for (int i = 0; i < 1500; ++i) {
    ASSERT_EQ(mkdirat(at.get(), "d", 0755), 0);
    at.reset(openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at.open());
  }
  ASSERT_TRUE(make_directories(in("deep/wide")).ok());
  for (int i = 0; i < 1100; ++i)
    ASSERT_TRUE(write_file(in("deep/wide/" + std::to_string(i)), "").ok());
  Status s = remove_tree_beneath(volume_, "deep");
  EXPECT_TRUE(s.ok()) << s.to_string();
  EXPECT_FALSE(path_exists(in("deep")));
}

TEST_F(Beneath, RacingLinksLeadNowhere) {
  ASSERT_EQ(mkdir(in("a").c_str(), 0755), 0);
  link("../outside", "swap");
  std::atomic<bool> done = false;
  std::thread racer = swapper("a", &done);
  for (int i = 0; i < 3000; ++i) {
    (void)make_directories_beneath(volume_, "a/made").ok();
    EXPECT_FALSE(open_beneath(volume_, "a/kept", O_PATH).ok());
    (void)create_file_beneath(volume_, "a/f", "x", 0644, getuid(), getgid()).ok();
    (void)remove_file_beneath(volume_, "a/f").ok();
  }
  done = true;
  racer.join();
  EXPECT_THAT(*list_directory(root_ + "/outside"), testing::ElementsAre("kept"));
  EXPECT_EQ(*read_file(root_ + "/outside/kept/secret"), "s");
}

TEST_F(Beneath, RemovalIsNotLedAstrayByARace) {
  link("../outside", "swap");
  for (int i = 0; i < 40; ++i) {
    for (int k = 0; k < 10; ++k)
      ASSERT_TRUE(make_directories(in("a/" + std::to_string(k) + "/kept")).ok());
    std::atomic<bool> done = false;
    std::thread racer = swapper("a/7", &done);
    (void)remove_tree_beneath(volume_, "a").ok();
    done = true;
    racer.join();
    ASSERT_EQ(*read_file(root_ + "/outside/kept/secret"), "s");
    if (!path_exists(in("swap"))) link("../outside", "swap");
    (void)remove_tree(in("a")).ok();
    struct stat st {};
    if (lstat(in("swap").c_str(), &st) == 0 && S_ISDIR(st.st_mode)) {
      ASSERT_TRUE(remove_tree(in("swap")).ok());
      link("../outside", "swap");
    }
  }
}

// A bind mount is of the same device: only the mount tells.
TEST_F(Beneath, RemovalStopsAtBindMounts) {
  with_mounts([this] {
    volume_ = std::move(*open_directory(root_ + "/volume"));  // as this namespace sees it
    ASSERT_TRUE(make_directories(in("tree/mounted")).ok());
    ASSERT_EQ(
        mount((root_ + "/outside").c_str(), in("tree/mounted").c_str(), nullptr, MS_BIND, nullptr),
        0);
    Status s = remove_tree_beneath(volume_, "tree");
    EXPECT_THAT(s.message(), testing::HasSubstr("it is a mount point: unmount it first"));
    EXPECT_EQ(*read_file(root_ + "/outside/kept/secret"), "s");
    auto at = open_beneath(volume_, "tree/mounted", O_PATH);
    ASSERT_TRUE(at.ok());
    EXPECT_TRUE(is_mount_root(*at));
    EXPECT_FALSE(is_mount_root(volume_));
    EXPECT_EQ(umount2(in("tree/mounted").c_str(), MNT_DETACH), 0);
  });
}

}  // namespace
}  // namespace keles
