// Archives, the paths of cp, and what a hostile archive may not do.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "kubectl/cp.h"
#include "kubectl/tar.h"
#include "kubectl/unpack.h"

namespace keles::kubectl {
namespace {

struct Collected final : TarReader::Sink {
  std::vector<TarEntry> entries;
  std::vector<std::string> contents;
  Status begin(const TarEntry& e) override {
    entries.push_back(e);
    contents.emplace_back();
    return Status();
  }
  Status content(std::string_view piece) override {
    contents.back() += piece;
    return Status();
  }
  Status end() override { return Status(); }
};

std::string entry(TarEntry e, std::string_view content = {}) {
  e.size = content.size();
  return tar_header(e) + std::string(content) + tar_padding(content.size());
}

TarEntry named(std::string name, char type = '0', std::string link = {}) {
  TarEntry e;
  e.name = std::move(name);
  e.type = type;
  e.link = std::move(link);
  return e;
}

std::string feed_all(std::string_view bytes, size_t step, Collected* into, bool* ended = nullptr) {
  TarReader reader(*into);
  for (size_t at = 0; at < bytes.size(); at += step) {
    Status s = reader.feed(bytes.substr(at, step));
    if (!s.ok()) return s.message();
  }
  if (ended) *ended = reader.ended();
  return reader.ended() || reader.between_entries() ? "" : "unexpected EOF";
}

TEST(TarTest, WhatIsWrittenIsRead) {
  std::string deep = std::string(80, 'd') + "/" + std::string(90, 'f');
  std::string longest(400, 'n');
  std::string archive = entry(named("a"), "text") + entry(named("empty")) +
                        entry(named("dir/", '5')) + entry(named(deep), std::string(1000, 'x')) +
                        entry(named(longest), std::string(512, 'y')) +
                        entry(named("link", '2', std::string(300, 't'))) + tar_end();
  for (size_t step : {size_t{1}, size_t{511}, size_t{512}, size_t{513}, archive.size()}) {
    Collected got;
    bool ended = false;
    EXPECT_EQ(feed_all(archive + "behind the end", step, &got, &ended), "");
    EXPECT_TRUE(ended);
    ASSERT_EQ(got.entries.size(), 6u);
    EXPECT_EQ(got.contents[0], "text");
    EXPECT_EQ(got.entries[2].type, '5');
    EXPECT_EQ(got.entries[3].name, deep);
    EXPECT_EQ(got.contents[3], std::string(1000, 'x'));
    EXPECT_EQ(got.entries[4].name, longest);
    EXPECT_EQ(got.entries[5].link, std::string(300, 't'));
  }
}

TEST(TarTest, LargeSizesTakeAPaxRecord) {
  TarEntry e = named("huge");
  e.size = 9ull << 30;
  Collected got;
  EXPECT_EQ(feed_all(tar_header(e), 512, &got), "unexpected EOF");
  ASSERT_EQ(got.entries.size(), 1u);
  EXPECT_EQ(got.entries[0].size, 9ull << 30);
}

TEST(TarTest, GnuLongNames) {
  TarEntry l = named("././@LongLink", 'L');
  std::string name(300, 'g');
  Collected got;
  EXPECT_EQ(feed_all(entry(l, name + '\0') + entry(named("short"), "z") + tar_end(), 100, &got),
            "");
  ASSERT_EQ(got.entries.size(), 1u);
  EXPECT_EQ(got.entries[0].name, name);
}

TEST(TarTest, RefusesWhatIsNoArchive) {
  Collected got;
  EXPECT_EQ(feed_all(std::string(512, 'q'), 512, &got), "archive/tar: invalid tar header");
  std::string archive = entry(named("a"), "text");
  archive[0] = 'b';  // the sum does not agree
  EXPECT_EQ(feed_all(archive, 512, &got), "archive/tar: invalid tar header");
  EXPECT_EQ(feed_all(entry(named("a"), "text").substr(0, 700), 512, &got), "unexpected EOF");
  TarEntry l = named("x", 'L');
  l.size = 2u << 20;
  EXPECT_EQ(feed_all(tar_header(l), 512, &got), "archive/tar: header field too long");
  for (const char* records :
       {"9 path=a\nxx", "x path=a\n", "0 a=b\n", "12 size=-100\n", "6 =ab\n"}) {
    EXPECT_EQ(feed_all(entry(named("p", 'x'), records), 512, &got),
              "archive/tar: invalid tar header")
        << records;
  }
}

TEST(TarTest, ATreeOfThisMachine) {
  TemporaryDirectory dir = std::move(*TemporaryDirectory::make());
  const std::string root = dir.path() + "/src";
  ASSERT_TRUE(make_directories(root + "/sub/none").ok());
  ASSERT_TRUE(write_file(root + "/one", std::string(70'000, '1'), 0640).ok());
  ASSERT_TRUE(write_file(root + "/sub/two", "").ok());
  ASSERT_EQ(::symlink("one", (root + "/link").c_str()), 0);
  TarSource source(root, "dest");
  std::string archive;
  for (;;) {
    Result<std::string> piece = source.next();
    ASSERT_TRUE(piece.ok()) << piece.status().message();
    if (piece->empty()) break;
    archive += *piece;
  }
  Collected got;
  EXPECT_EQ(feed_all(archive, 1000, &got), "");
  std::string all;
  for (size_t i = 0; i < got.entries.size(); ++i) {
    all += std::string(1, got.entries[i].type) + got.entries[i].name + got.entries[i].link + ":" +
           std::to_string(got.contents[i].size()) + " ";
  }
  EXPECT_EQ(all, "2dest/linkone:0 0dest/one:70000 5dest/sub/none:0 0dest/sub/two:0 ");
  EXPECT_EQ(got.entries[1].mode, 0640u);
  Result<std::string> missing = TarSource(root + "/nope", "x").next();
  EXPECT_EQ(missing.status().message(), "lstat " + root + "/nope: no such file or directory");
}

TEST(CopyTest, PathsAndSpecs) {
  EXPECT_EQ(clean_path("/a/./b/../c//"), "/a/c");
  EXPECT_EQ(clean_path("../../x"), "../../x");
  EXPECT_EQ(clean_path("/../x"), "/x");
  EXPECT_EQ(clean_path("a/.."), ".");
  EXPECT_EQ(path_directory("/a"), "/");
  EXPECT_EQ(path_directory("a"), ".");
  EXPECT_EQ(path_base("/a/b/"), "b");
  EXPECT_EQ(join_path("/tmp", "x"), "/tmp/x");
  EXPECT_EQ(archive_prefix("/tmp/foo"), "tmp/foo");
  EXPECT_EQ(archive_prefix("../../etc"), "etc");
  EXPECT_EQ(archive_prefix("/"), "");
  EXPECT_EQ(remote_path("C:\\x\\"), "C:/x");
  auto spec = parse_file_spec("ns/pod:/etc/x:y");
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->ns + "|" + spec->pod + "|" + spec->file, "ns|pod|/etc/x:y");
  EXPECT_FALSE(parse_file_spec(":x").ok());
  EXPECT_FALSE(parse_file_spec("a/b/c:x").ok());
  EXPECT_EQ(parse_file_spec("/just/here")->pod, "");
}

// The kind of fault behind kubectl's own CVEs of cp: nothing is written outside the target,
// whatever the archive says and whatever lies in the target already.
TEST(CopyTest, AHostileArchiveStaysInItsTarget) {
  TemporaryDirectory dir = std::move(*TemporaryDirectory::make());
  const std::string target = dir.path() + "/target", other = dir.path() + "/other";
  ASSERT_TRUE(make_directories(target).ok());
  ASSERT_TRUE(make_directories(other).ok());
  ASSERT_TRUE(write_file(other + "/file", "mine").ok());
  ASSERT_EQ(::symlink(other.c_str(), (target + "/old-link").c_str()), 0);
  ASSERT_EQ(::symlink((other + "/file").c_str(), (target + "/old-file").c_str()), 0);
  std::string archive =
      entry(named("p/", '5')) + entry(named("p/../../other/up"), "evil") +
      entry(named("p/sub/../../../other/up"), "evil") + entry(named("p/old-link/new"), "evil") +
      entry(named("p/old-file"), "evil") + entry(named("p/made", '2', other)) +
      entry(named("p/made/inside"), "kept") + entry(named("p/hard", '1', other + "/file")) +
      entry(named("p/..\\..\\other\\up"), "evil") + entry(named("p/ok/deep/file"), "good") +
      tar_end();
  testing::internal::CaptureStderr();
  Unpacker unpacker("p", target, " (hint)");
  TarReader reader(unpacker);
  Status s = reader.feed(archive);
  std::string said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(s.ok()) << s.message();
  EXPECT_TRUE(reader.ended());
  EXPECT_EQ(*list_directory(other), std::vector<std::string>{"file"});
  EXPECT_EQ(*read_file(other + "/file"), "mine");
  EXPECT_EQ(*read_file(target + "/ok/deep/file"), "good");
  EXPECT_EQ(*read_file(target + "/made/inside"), "kept");
  EXPECT_EQ(*read_file(target + "/hard"), "");
  EXPECT_NE(said.find("skipping symlink: \"" + target + "/made\" -> \"" + other + "\" (hint)"),
            said.npos)
      << said;
  EXPECT_NE(said.find("is outside target destination, skipping"), said.npos) << said;
  Unpacker strict("p", target, "");
  TarReader again(strict);
  EXPECT_EQ(again.feed(entry(named("/etc/x"), "evil")).message(), "tar contents corrupted");
}

TEST(CopyTest, OneFileIsTheTarget) {
  TemporaryDirectory dir = std::move(*TemporaryDirectory::make());
  const std::string target = dir.path() + "/new/name";
  Unpacker unpacker("etc/hosts", target, "");
  TarReader reader(unpacker);
  EXPECT_TRUE(reader.feed(entry(named("etc/hosts"), "hosts") + tar_end()).ok());
  EXPECT_EQ(*read_file(target), "hosts");
  Unpacker onto("etc/hosts", dir.path(), "");
  TarReader second(onto);
  EXPECT_EQ(second.feed(entry(named("etc/hosts"), "hosts")).message(),
            "open " + dir.path() + ": is a directory");
}

}  // namespace
}  // namespace keles::kubectl
