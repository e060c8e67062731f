#include "node/volumes/atomic_writer.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"

namespace keles::node {
namespace {

TEST(AtomicWriter, ReplacesAllAtOnce) {
  char dir[] = "/tmp/keles-volume-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  std::string d = dir;
  Payload p;
  p["a"] = {"1", 0644, -1};
  p["sub/b"] = {"2", 0600, -1};
  EXPECT_TRUE(*write_payload(d, p));
  EXPECT_FALSE(*write_payload(d, p));
  EXPECT_EQ(*read_file(d + "/a"), "1");
  EXPECT_EQ(*read_file(d + "/sub/b"), "2");
  p.erase("sub/b");
  p["a"].data = "3";
  p["c"] = {"4", 0644, -1};
  EXPECT_TRUE(*write_payload(d, p));
  EXPECT_EQ(*read_file(d + "/a"), "3");
  EXPECT_EQ(*read_file(d + "/c"), "4");
  EXPECT_FALSE(path_exists(d + "/sub/b"));
  Payload bad;
  bad["../x"] = {"1", 0644, -1};
  EXPECT_FALSE(write_payload(d, bad).ok());
  EXPECT_EQ(*read_file(d + "/a"), "3");
  ASSERT_TRUE(remove_tree(d).ok());
}

TEST(AtomicWriter, Paths) {
  EXPECT_TRUE(valid_projected_path("a/b"));
  for (const char* bad : {"", "/a", "..", "..a", "a/../b"}) EXPECT_FALSE(valid_projected_path(bad));
}

}  // namespace
}  // namespace keles::node
