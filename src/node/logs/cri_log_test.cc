#include "node/logs/cri_log.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/temporary_directory.h"

namespace keles::node {
namespace {

TEST(CriLog, Entries) {
  auto e = parse_log_entry("2026-01-02T03:04:05.123456789Z stderr F hello there");
  ASSERT_TRUE(e.has_value());
  EXPECT_TRUE(e->is_stderr);
  EXPECT_FALSE(e->partial);
  EXPECT_EQ(e->text, "hello there");
  EXPECT_TRUE(parse_log_entry("2026-01-02T03:04:05.123456789Z stdout P:x ab")->partial);
  EXPECT_EQ(parse_log_entry("2026-01-02T03:04:05.123456789Z stdout F ")->text, "");
  for (const char* bad : {"", "x", "2026-01-02T03:04:05.123456789Z stdin F x",
                          "2026-01-02T03:04:05.123456789Z stdout Q x"})
    EXPECT_FALSE(parse_log_entry(bad).has_value()) << bad;
}

std::string filtered(LogOptions o, std::initializer_list<const char*> lines) {
  LogFilter f(std::move(o));
  std::string out;
  for (const char* l : lines)
    if (!f.line(l, out)) break;
  return out;
}

TEST(CriLog, PartsAreJoined) {
  LogOptions o;
  EXPECT_EQ(filtered(o, {"2026-01-02T03:04:05.000000001Z stdout P ab",
                         "2026-01-02T03:04:05.000000002Z stdout F cd"}),
            "abcd\n");
  o.timestamps = true;
  EXPECT_EQ(filtered(o, {"2026-01-02T03:04:05.000000001Z stdout P ab",
                         "2026-01-02T03:04:05.000000002Z stdout F cd"}),
            "2026-01-02T03:04:05.000000001Z abcd\n");
}

TEST(CriLog, SinceAndLimit) {
  LogOptions o;
  o.since = "2026-01-02T03:04:05.000000002Z";
  EXPECT_EQ(filtered(o, {"2026-01-02T03:04:05.000000001Z stdout F ab",
                         "2026-01-02T03:04:05.000000002Z stdout F cd"}),
            "cd\n");
  LogOptions limited;
  limited.limit_bytes = 4;
  EXPECT_EQ(filtered(limited, {"2026-01-02T03:04:05.000000001Z stdout F ab",
                               "2026-01-02T03:04:05.000000002Z stdout F cd"}),
            "ab\nc");
}

TEST(CriLog, TailAndRotation) {
  TemporaryDirectory directory = *TemporaryDirectory::make();
  const std::string dir = directory.path() + "/pod/container";
  ASSERT_TRUE(make_directories(dir).ok());
  std::string path = dir + "/0.log";
  ASSERT_TRUE(write_file(path, "one\ntwo\nthree\n").ok());
  EXPECT_EQ(*tail_offset(path, 1), 8);
  EXPECT_EQ(*tail_offset(path, 2), 4);
  EXPECT_EQ(*tail_offset(path, 9), 0);
  EXPECT_EQ(*tail_offset(path, 0), 14);
  EXPECT_FALSE(*rotate_log(path, 100, 3, "t0"));
  for (const char* t : {"t1", "t2", "t3"}) {
    ASSERT_TRUE(write_file(path, "one\ntwo\nthree\n").ok());
    EXPECT_TRUE(*rotate_log(path, 10, 3, t));
  }
  EXPECT_EQ(*list_directory(dir), (std::vector<std::string>{"0.log.t2", "0.log.t3"}));
}

// Who ships logs can write beside them: nothing else of the node is read, moved or removed for it.
TEST(CriLog, LinksAreNotLogs) {
  TemporaryDirectory directory = *TemporaryDirectory::make();
  std::string d = directory.path(), logs = d + "/logs";
  ASSERT_TRUE(make_directories(d + "/outside/c").ok());
  for (const char* n : {"0.log", "0.log.1", "0.log.2"})
    ASSERT_TRUE(write_file(d + "/outside/c/" + n, "secret\n").ok());
  ASSERT_TRUE(make_directories(logs).ok());
  ASSERT_TRUE(make_log_directory(logs, "pod/c").ok());
  ASSERT_EQ(symlink((d + "/outside/c/0.log").c_str(), (logs + "/pod/c/0.log").c_str()), 0);
  ASSERT_EQ(symlink((d + "/outside/c").c_str(), (logs + "/pod/link").c_str()), 0);
  ASSERT_EQ(symlink((d + "/outside").c_str(), (logs + "/pod2").c_str()), 0);
  ASSERT_EQ(mkfifo((logs + "/pod/c/1.log").c_str(), 0666), 0);
  for (const char* path : {"/pod/c/0.log", "/pod/link/0.log", "/pod2/c/0.log", "/pod/c/1.log"}) {
    EXPECT_FALSE(tail_offset(logs + path, 1).ok()) << path;
    EXPECT_FALSE(rotate_log(logs + path, 1, 1, "t").value_or(false)) << path;
  }
  EXPECT_FALSE(remove_log(logs + "/pod/link/0.log").ok());
  EXPECT_FALSE(make_log_directory(logs, "pod2/new").ok());
  EXPECT_TRUE(remove_log(logs + "/pod/c/0.log").ok());  // the link itself
  EXPECT_TRUE(remove_log(logs + "/none/c/0.log").ok());
  EXPECT_EQ(*list_directory(d + "/outside"), std::vector<std::string>{"c"});
  EXPECT_EQ(list_directory(d + "/outside/c")->size(), 3u);
  EXPECT_TRUE(tail_offset(d + "/outside/c/0.log", 1).ok());
}

}  // namespace
}  // namespace keles::node
