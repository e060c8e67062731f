#include "node/volumes/atomic_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/file.h"
#include "base/temporary_directory.h"

namespace keles::node {
namespace {

class AtomicWriter : public testing::Test {
 protected:
  void SetUp() override {
    d_ = root_ + "/volume";
    ASSERT_TRUE(make_directories(d_).ok());
    ASSERT_TRUE(make_directories(root_ + "/outside/..9").ok());
    ASSERT_TRUE(write_file(root_ + "/outside/secret", "s").ok());
    dir_ = std::move(*open_directory(d_));
  }

  Result<bool> write(const Payload& p, std::optional<gid_t> group = {}) {
    return write_payload(dir_, p, group);
  }
  void replace(const std::string& name, const std::string& target) {
    ASSERT_TRUE(remove_tree(d_ + "/" + name).ok());
    ASSERT_EQ(symlink(target.c_str(), (d_ + "/" + name).c_str()), 0);
  }
  void expect_outside_untouched() {
    EXPECT_EQ(read_file(root_ + "/outside/secret").value_or("gone"), "s");
    EXPECT_THAT(*list_directory(root_ + "/outside"), testing::ElementsAre("..9", "secret"));
  }
  std::string text(const std::string& name) {
    return read_file(d_ + "/" + name).value_or("(none)");
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  const std::string root_ = directory_.path();
  std::string d_;
  Fd dir_;
};

TEST_F(AtomicWriter, ReplacesAllAtOnce) {
  Payload p;
  p["a"] = {"1", 0644, -1};
  p["sub//b"] = {"2", 0600, -1};
  EXPECT_TRUE(*write(p));
  EXPECT_FALSE(*write(p));
  EXPECT_EQ(text("a"), "1");
  EXPECT_EQ(text("sub/b"), "2");
  p.erase("sub//b");
  p["a"].data = "3";
  p["c"] = {"4", 0644, -1};
  EXPECT_TRUE(*write(p));
  EXPECT_EQ(text("a"), "3");
  EXPECT_EQ(text("c"), "4");
  EXPECT_FALSE(path_exists(d_ + "/sub"));
  EXPECT_THAT(*list_directory(d_), testing::ElementsAre("..2", "..data", "a", "c"));
  p["a"].mode = 0600;
  EXPECT_TRUE(*write(p));
  Payload bad;
  bad["../x"] = {"1", 0644, -1};
  EXPECT_FALSE(write(bad).ok());
  EXPECT_EQ(text("a"), "3");
}

TEST_F(AtomicWriter, AGroupCanReadAndNothingIsWrittenTwice) {
  Payload p;
  p["sub/key"] = {"1", 0400, -1};
  EXPECT_TRUE(*write(p, getegid()));
  EXPECT_FALSE(*write(p, getegid()));
  struct stat st {};
  ASSERT_EQ(stat((d_ + "/sub/key").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0440u);
  ASSERT_EQ(stat((d_ + "/sub").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 02755u);
}

TEST_F(AtomicWriter, WhatWasLeftBehindIsRepaired) {
  Payload p;
  p["a"] = {"1", 0644, -1};
  ASSERT_TRUE(make_directories(d_ + "/..7/x").ok());  // a crash before the change
  ASSERT_TRUE(make_directories(d_ + "/..data_tmp").ok());
  ASSERT_TRUE(make_directories(d_ + "/a-mount").ok());
  EXPECT_TRUE(*write(p));
  EXPECT_THAT(*list_directory(d_), testing::ElementsAre("..8", "..data", "a", "a-mount"));
  ASSERT_EQ(unlink((d_ + "/a").c_str()), 0);
  EXPECT_FALSE(*write(p));
  EXPECT_EQ(text("a"), "1");
}

// The attack: whoever could write in the volume names what the writer would remove.
TEST_F(AtomicWriter, LinksOfOthersAreNotTrusted) {
  Payload p;
  p["a"] = {"0", 0644, -1};
  ASSERT_TRUE(write(p).ok());
  int n = 0;
  for (const std::string target : {"../outside", "..", ".", "/", "../outside/..9", "..1/..",
                                   "..data", "..0", "..01", "..1x", "..99"}) {
    replace("..data", target);
    p["a"].data = std::to_string(++n);
    EXPECT_TRUE(write(p).ok()) << target;
    EXPECT_EQ(text("a"), std::to_string(n)) << target;
    expect_outside_untouched();
  }
  // A directory of ours that was changed for a link.
  std::string current = *read_link(dir_, "..data");
  replace(current, "../outside");
  p["a"].data = "x";
  EXPECT_TRUE(write(p).ok());
  replace("a", "../outside/secret");
  replace("..data_tmp", "../outside");
  p["a"].data = "y";
  EXPECT_TRUE(write(p).ok());
  EXPECT_EQ(text("a"), "y");
  expect_outside_untouched();
  // A directory in place of the link.
  ASSERT_TRUE(remove_tree(d_ + "/..data").ok());
  ASSERT_TRUE(make_directories(d_ + "/..data/deep").ok());
  EXPECT_TRUE(write(p).ok());
  EXPECT_EQ(text("a"), "y");
}

TEST_F(AtomicWriter, LinksThatChangeMeanwhileLeadNowhere) {
  Payload p;
  p["sub/a"] = {"0", 0644, -1};
  ASSERT_TRUE(write(p).ok());
  ASSERT_EQ(symlink("../outside", (d_ + "/swap").c_str()), 0);
  std::atomic<bool> done = false;
  std::thread racer([&] {
    std::string swap = d_ + "/swap";
    for (unsigned i = 0; !done; ++i) {
      std::string name = d_ + "/" + (i % 3 == 0 ? "..data" : ".." + std::to_string(i / 3 % 400));
      ::syscall(SYS_renameat2, AT_FDCWD, name.c_str(), AT_FDCWD, swap.c_str(), RENAME_EXCHANGE);
    }
  });
  for (int i = 0; i < 300; ++i) {
    p["sub/a"].data = std::to_string(i);
    (void)write(p).ok();  // it may fail, and must not go astray
  }
  done = true;
  racer.join();
  expect_outside_untouched();
}

TEST(AtomicWriterPaths, AreRelativeAndStayBelow) {
  for (const char* good : {"a/b", "a", "a//b", "./a", "a..b"})
    EXPECT_TRUE(valid_projected_path(good)) << good;
  for (const char* bad : {"", "/a", "..", "..a", "a/../b", ".", "./"})
    EXPECT_FALSE(valid_projected_path(bad)) << bad;
  EXPECT_FALSE(valid_projected_path(std::string(300, 'x')));
}

}  // namespace
}  // namespace keles::node
