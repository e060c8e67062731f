#include "node/server/log_query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "node/server/answers.h"

namespace keles::node {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct LogQueries : testing::Test {
  const TemporaryDirectory files = *TemporaryDirectory::make("log-query");
  std::string root = files.path();
  LogQueries() {
    EXPECT_TRUE(make_directories(root + "/dir").ok());
    EXPECT_TRUE(write_file(root + "/foo.log", "x").ok());
    EXPECT_EQ(symlink("/etc/passwd", (root + "/link").c_str()), 0);
  }
  // What is said of it; "" when it may be asked.
  std::string said(std::string_view query) {
    auto q = read_log_query(parse_query(query));
    if (!q.ok()) return "400 " + q.status().message();
    Status s = check_log_query(*q, root);
    return s.ok() ? "" : "406 " + s.message();
  }
};

TEST_F(LogQueries, WhatMayBeAsked) {
  struct Case {
    const char *query, *said;
  };
  const Case kCases[] = {
      {"", ""},
      {"query=kubelet", ""},
      {"query=kubelet&query=foo&unit=bar", ""},
      {"query=/foo.log", ""},
      {"query=dir/..\\foo.log", "406 query: Invalid value"},
      {"query=kubelet&sinceTime=2026-11-26T20:00:00Z&tailLines=100&boot=-1&pattern=x", ""},
      {"query=kubelet&since=-1d&until=%2B5m&output=json", ""},
      {"query=kubelet&since=2026-1-2%2015:4:5", ""},
      {"query=", "400 unit: Invalid value: \"\": unit cannot be empty"},
      {"unit=%20%20", "400 unit: Invalid value: \"  \": unit cannot be empty"},
      {"query=a&sinceTime=yesterday",
       "400 sinceTime: Invalid value: \"yesterday\": invalid time format"},
      {"query=a&boot=x",
       "400 boot: Invalid value: \"x\": strconv.Atoi: parsing \"x\": invalid syntax"},
      {"query=a&boot=1", "406 boot: Invalid value: 1: must be less than 1"},
      {"query=a&tailLines=-1",
       "406 tailLines: Invalid value: -1: must be between 0 and 100000, inclusive"},
      {"query=a;reboot",
       "406 query: Invalid value: \"a;reboot\": input contains unsupported characters"},
      {"query=a$(reboot)", "406 query: Invalid value"},
      {"query=a&query=b&query=c&query=d&query=e", "406 query: Too many: 5: must have at most 4"},
      {"query=/foo.log&query=a",
       "406 query: Invalid value: \"/foo.log\": cannot specify a file and"},
      {"query=/foo.log&query=/b",
       "406 query: Invalid value: \"/foo.log\": cannot specify more than"},
      {"query=/foo.log&tailLines=1", "406 query: Invalid value: \"/foo.log\": cannot specify file"},
      {"query=/none", "406 query: Invalid value: \"/none\": no such file or directory"},
      {"query=/link", "406 query: Invalid value"},
      {"query=/../etc/passwd", "406 query: Invalid value"},
      {"query=a&sinceTime=2026-11-26T20:00:00Z&untilTime=2026-11-26T19:00:00Z",
       "406 untilTime: Invalid value: \"2026-11-26T19:00:00Z\": must be after `sinceTime`"},
      {"query=a&sinceTime=2026-11-26T20:00:00Z&since=-1d", "406 sinceTime: Forbidden"},
      {"query=a&since=tomorrow", "406 since: Invalid value: \"tomorrow\""},
      {"query=a&output=xml", "406 output: Unsupported value: \"xml\""},
      {"query=a&boot=1&tailLines=-1",
       "406 [boot: Invalid value: 1: must be less than 1, tailLines"},
  };
  for (const Case& c : kCases) {
    if (*c.said) {
      EXPECT_THAT(said(c.query), HasSubstr(c.said)) << c.query;
    } else {
      EXPECT_EQ(said(c.query), "") << c.query;
    }
  }
}

TEST_F(LogQueries, TheJournalIsToldInWordsOfItsOwn) {
  auto q = read_log_query(
      parse_query("query=kubelet&sinceTime=2026-11-26T20:15:04Z&untilTime=2026-11-26T21:00:00Z&"
                  "tailLines=5&pattern=%20x;y&boot=-1"));
  ASSERT_TRUE(q.ok());
  EXPECT_THAT(journal_arguments(*q, {"kubelet"}),
              ElementsAre("--utc", "--no-pager", "--since=2026-11-26 20:15:04",
                          "--until=2026-11-26 21:00:00", "--pager-end", "--lines=5",
                          "--unit=kubelet", "--grep= x;y", "--case-sensitive=false", "--boot", "-1",
                          "--output=short-precise"));
}

}  // namespace
}  // namespace keles::node
