// Snapshots by a schedule: which moments, what is kept, what is told of a file.
#include "store/snapshots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/sim_loop.h"
#include "base/temporary_directory.h"
#include "machinery/time.h"
#include "machinery/time_zone.h"
#include "store/backup.h"
#include "store/test_objects.h"

namespace keles {
namespace {

using store_test::config_map;
using store_test::config_map_key;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

SnapshotSchedule schedule(std::string cron, int64_t retention = 5) {
  SnapshotSchedule s;
  s.cron = std::move(cron);
  s.node = "one";
  s.retention = retention;
  return s;
}

Contents state(int64_t revision, size_t objects) {
  Contents out;
  out.revision = revision;
  out.identity = "id";
  for (size_t i = 0; i < objects; ++i) {
    Change c;
    const std::string name = std::to_string(i);
    c.key = std::make_shared<const std::string>(config_map_key("ns", name));
    c.stored = config_map("ns", name, std::string(1000, 'v'));
    c.revision = c.create_revision = revision;
    c.version = 1;
    out.records.push_back(std::move(c));
  }
  return out;
}

// A server on virtual time since the 1st of January 2026, at noon, less ten seconds.
struct Scheduled : testing::Test {
  Scheduled() { log::set_output(-1); }
  ~Scheduled() override {
    ctx.cancel();
    loop.advance(1s);
    log::set_output(2);
  }
  void run(SnapshotSchedule s) {
    s.directory = dir.path() + "/snapshots";
    spawn(loop, keep_snapshots(ctx, std::move(s), [this](Context, std::string path) {
            return save(std::move(path));
          }));
  }
  Task<Status> save(std::string path) {
    ++asked;
    if (full) co_return Status::internal("no space left");
    co_return write_backup_file(path, state(asked, 1));
  }
  // When those that are there were taken.
  std::vector<std::string> there() const {
    std::vector<std::string> out;
    const auto files = list_snapshots(dir.path() + "/snapshots");
    if (!files.ok()) return {files.status().message()};
    for (const SnapshotFile& f : *files) {
      const std::string seconds = f.name.substr(std::string("snapshot-one-").size());
      out.push_back(format_time({std::stoll(seconds) * 1'000'000'000}).substr(5, 11));
    }
    return out;
  }
  static double told(const std::string& result) {
    return metrics::counter("keles_snapshots_total", "", {"result"}).with({result}).get();
  }

  TemporaryDirectory dir = *TemporaryDirectory::make("keles-snapshots");
  SimLoop loop{1, *parse_time("2026-01-01T11:59:50Z")};
  Context ctx = Context::root(loop).child();
  int asked = 0;
  bool full = false;
};

TEST_F(Scheduled, AreTakenAtItsMomentsAndTheNewestAreKept) {
  run(schedule("0 */6 * * *", 3));
  loop.advance(9s);
  EXPECT_EQ(asked, 0);
  loop.advance(2s);
  EXPECT_EQ(asked, 1);
  loop.advance(6h);
  EXPECT_THAT(there(), UnorderedElementsAre("01-01T12:00", "01-01T18:00"));
  loop.advance(24h);
  EXPECT_EQ(asked, 6);
  EXPECT_THAT(there(), UnorderedElementsAre("01-02T06:00", "01-02T12:00", "01-02T18:00"));
}

TEST_F(Scheduled, OneThatFailsIsCountedAndNoneGoesForIt) {
  const double failed = told("error"), good = told("success");
  run(schedule("@hourly", 1));
  loop.advance(11s);
  full = true;
  loop.advance(2h);
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(told("error"), failed + 2);
  EXPECT_THAT(there(), ElementsAre("01-01T12:00"));
  full = false;
  loop.advance(1h);
  EXPECT_EQ(told("success"), good + 2);
  EXPECT_THAT(there(), ElementsAre("01-01T15:00"));
}

// A clock that is set neither makes up for moments nor waits for those it had already.
TEST_F(Scheduled, FollowTheWallClock) {
  run(schedule("@daily"));
  loop.advance(1min);
  loop.jump_wall(72h);
  loop.advance(10min);
  EXPECT_EQ(asked, 1);
  loop.jump_wall(-24h * 30);
  loop.advance(24h);
  EXPECT_EQ(asked, 2);
}

TEST_F(Scheduled, InTheZoneThatIsNamed) {
  if (!has_time_zones()) GTEST_SKIP() << "no time zones";
  run(schedule("TZ=Europe/Berlin 0 6 * * *"));
  loop.advance(24h);
  EXPECT_THAT(there(), ElementsAre("01-02T05:00"));
}

TEST(Snapshots, OthersFilesAreNotTheSchedules) {
  const auto s = schedule("", 1);
  const std::vector<std::string> names = {
      "snapshot-one-100",        "snapshot-one-99",       "snapshot-one-2000",
      "snapshot-one-98.partial", "snapshot-one-5-97",     "snapshot-two-96",
      "snapshot-one-",           "snapshot-one-95.old",   "snapshot-one-9500000000000000000000",
      "before-upgrade",          "before-upgrade.partial"};
  EXPECT_THAT(
      plan_snapshot_removal(names, s),
      UnorderedElementsAre("snapshot-one-99", "snapshot-one-100", "snapshot-one-98.partial"));
  EXPECT_THAT(plan_snapshot_removal(names, schedule("", 0)),
              ElementsAre("snapshot-one-98.partial"));
  EXPECT_THAT(plan_snapshot_removal(names, schedule("", 3)),
              ElementsAre("snapshot-one-98.partial"));
  EXPECT_EQ(snapshot_name("a/b", {1'795'000'000'900'000'000}), "snapshot-a_b-1795000000");
}

TEST(Snapshots, SchedulesAreChecked) {
  EXPECT_TRUE(check_snapshot_schedule(schedule("")).ok());
  EXPECT_TRUE(check_snapshot_schedule(schedule("@every 90m")).ok());
  EXPECT_THAT(check_snapshot_schedule(schedule("0 25 * * *")).message(),
              HasSubstr("--snapshot-schedule-cron"));
  EXPECT_THAT(check_snapshot_schedule(schedule("TZ=Nowhere/At/All 0 1 * * *")).message(),
              HasSubstr("--snapshot-schedule-cron"));
  EXPECT_THAT(check_snapshot_schedule(schedule("@daily", -1)).message(),
              HasSubstr("--snapshot-retention"));
}

TEST(Snapshots, TellWhatTheyHold) {
  TemporaryDirectory dir = *TemporaryDirectory::make("keles-snapshots");
  const std::string a = dir.path() + "/a", b = dir.path() + "/b";
  ASSERT_TRUE(write_backup_file(a, state(7, 300)).ok());
  ASSERT_TRUE(write_backup_file(b, state(7, 300)).ok());
  const auto told = snapshot_status(a);
  ASSERT_TRUE(told.ok()) << told.status().message();
  EXPECT_EQ(told->revision, 7);
  EXPECT_EQ(told->keys, 300u);
  EXPECT_EQ(told->bytes, read_file(a)->size());
  EXPECT_EQ(told->hash.size(), 64u);
  EXPECT_EQ(told->hash, snapshot_status(b)->hash);
  // Of another state; cut; damaged; none at all.
  std::string text = *read_file(a);
  ASSERT_TRUE(write_file(b, text.substr(0, text.size() - 1)).ok());
  EXPECT_THAT(snapshot_status(b).status().message(), HasSubstr("cut off"));
  text[text.size() / 2] ^= 1;
  ASSERT_TRUE(write_file(b, text).ok());
  EXPECT_THAT(snapshot_status(b).status().message(), HasSubstr("damaged"));
  ASSERT_TRUE(write_file(dir.path() + "/other", "text").ok());
  EXPECT_THAT(snapshot_status(dir.path() + "/other").status().message(),
              HasSubstr("no backup of a keles store"));
  EXPECT_TRUE(snapshot_status(dir.path() + "/none").status().is(Reason::kNotFound));
  const auto listed = list_snapshots(dir.path());
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 2u);  // whether one is whole is not looked at
  EXPECT_EQ(listed->front().name, "a");
  EXPECT_EQ(listed->front().revision, 7);
  EXPECT_FALSE(list_snapshots(dir.path() + "/none").ok());
}

}  // namespace
}  // namespace keles
