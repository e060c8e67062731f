// Backups, and stores that were damaged: what is told, what is saved, what is refused.
#include "store/maintenance.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "base/temporary_directory.h"
#include "store/backup.h"
#include "store/rocks_directory.h"
#include "store/test_objects.h"

namespace keles {
namespace {

using namespace store_test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

constexpr int kObjects = 400;

class Maintenance : public testing::Test {
 protected:
  Maintenance() {
    log::set_output(-1);
    EXPECT_TRUE(make_directories(data_dir_ + "/pki", 0700).ok());
    place_ = store_in(data_dir_);
  }
  ~Maintenance() override { log::set_output(2); }

  Result<std::unique_ptr<Store>> open() {
    EmbeddedOptions o;
    o.directory = place_.directory;
    o.identity_file = place_.identity_file;
    return open_embedded_store(o);
  }
  Result<ObjectPtr> write(Store& store, StoreWrite w) {
    return run_to_end(*loop_, store.write(ctx_, std::move(w)));
  }
  // Some that stay, one that was changed, one that was deleted.
  void fill() {
    auto store = std::move(*open());
    for (int i = 0; i < kObjects; ++i)
      ASSERT_TRUE(write(*store, create("ns", std::to_string(i), std::string(500, 'v'))).ok());
    ASSERT_TRUE(write(*store, update("ns", "1", "changed", 3)).ok());
    ASSERT_TRUE(write(*store, remove("ns", "2", 4)).ok());
    revision_ = store->revision();
  }
  // Opening moves what the write-ahead log holds into table files; closing leaves it there.
  void flush() {
    auto db = open_database(place_.directory);
    ASSERT_TRUE(db.ok());
    ASSERT_TRUE(close_database(*db).ok());
  }
  void put_record(const std::string& key, const std::string& stored) {
    auto db = open_database(place_.directory);
    ASSERT_TRUE(db.ok());
    Change c;
    c.key = std::make_shared<const std::string>(key);
    c.stored = std::make_shared<const std::string>(stored);
    c.revision = c.create_revision = ++revision_;
    c.version = 1;
    ASSERT_TRUE(write_batch(**db, {c}).ok());
    ASSERT_TRUE(close_database(*db).ok());
  }
  std::vector<std::string> files(const std::string& ending) {
    std::vector<std::string> out;
    const std::vector<std::string> names = *list_directory(place_.directory + "/db");
    for (const std::string& n : names)
      if (n.ends_with(ending)) out.push_back(place_.directory + "/db/" + n);
    return out;
  }
  // Path -> content, the lock's apart.
  std::map<std::string, std::string> everything() {
    std::map<std::string, std::string> out;
    for (const auto& e : fs::recursive_directory_iterator(data_dir_)) {
      if (e.is_regular_file() && e.path().filename() != "lock")
        out[e.path().string()] = *read_file(e.path().string());
    }
    return out;
  }
  std::vector<std::string> problems() {
    auto before = everything();
    auto report = check_store(place_);
    EXPECT_TRUE(report.ok()) << report.status().to_string();
    EXPECT_TRUE(before == everything()) << "a check changes nothing";
    return report.ok() ? report->problems : std::vector<std::string>();
  }
  // First only told, then carried out.
  StoreRepair repair() {
    auto before = everything();
    auto told = repair_store(place_, false);
    EXPECT_TRUE(told.ok()) << told.status().to_string();
    EXPECT_TRUE(before == everything()) << "nothing was to change yet";
    auto done = repair_store(place_, true);
    EXPECT_TRUE(done.ok()) << done.status().to_string();
    if (!told.ok() || !done.ok()) return {};
    EXPECT_EQ(told->dropped, done->dropped);
    EXPECT_TRUE(path_exists(done->kept_at + "/db")) << "the old store is kept";
    EXPECT_THAT(problems(), IsEmpty());
    return *done;
  }
  size_t objects_served() {
    auto store = open();
    EXPECT_TRUE(store.ok()) << store.status().to_string();
    if (!store.ok()) return 0;
    EXPECT_TRUE((*store)->unreadable("").empty());
    EXPECT_TRUE(write(**store, create("ns", "after", "1")).ok());
    return (*store)->snapshot()->count("/registry/") - 1;
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::make("keles-store");
  const std::string data_dir_ = directory_.path();
  StorePlace place_;
  int64_t revision_ = 0;
  std::unique_ptr<RealLoop> loop_ = make_real_loop();
  Context ctx_ = Context::root(*loop_);
};

TEST_F(Maintenance, AWholeStoreHasNoProblems) {
  EXPECT_TRUE(check_store(place_).status().is(Reason::kNotFound));
  fill();
  auto report = check_store(place_);
  ASSERT_TRUE(report.ok());
  EXPECT_THAT(problems(), IsEmpty());
  EXPECT_EQ(report->objects, size_t{kObjects - 1});
  EXPECT_EQ(report->revision, revision_);
  EXPECT_EQ(report->acknowledged, revision_);
  EXPECT_FALSE(report->identity.empty());
  auto repaired = repair_store(place_, true);
  ASSERT_TRUE(repaired.ok());
  EXPECT_EQ(repaired->kept_at, "");  // nothing was done
}

TEST_F(Maintenance, UnderARunningServerNothingIsTouched) {
  fill();
  auto store = std::move(*open());
  EXPECT_THAT(check_store(place_).status().message(), HasSubstr("is in use by another keles"));
  EXPECT_THAT(repair_store(place_, true).status().message(), HasSubstr("is in use"));
  EXPECT_THAT(read_store(place_).status().message(), HasSubstr("is in use"));
  EXPECT_THAT(restore_store(place_, store->contents()).message(), HasSubstr("replaces nothing"));
}

TEST_F(Maintenance, ABackupOfARunningStoreIsRestored) {
  fill();
  const std::string file = data_dir_ + "/backup";
  auto store = std::move(*open());
  ASSERT_TRUE(write_backup_file(file, store->contents()).ok());
  EXPECT_THAT(write_backup_file(file, {}).message(), HasSubstr("is there already"));
  struct stat st;
  ASSERT_EQ(stat(file.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);  // it holds secrets
  ASSERT_TRUE(write(*store, create("ns", "too late", "1")).ok());
  store.reset();
  ASSERT_TRUE(remove_tree(place_.directory).ok());
  ASSERT_TRUE(restore_store(place_, *read_backup_file(file)).ok());
  EXPECT_THAT(problems(), IsEmpty());
  store = std::move(*open());
  EXPECT_EQ(store->revision(), revision_ + kRevisionLeap);
  auto s = store->snapshot();
  EXPECT_EQ(s->count("/registry/"), size_t{kObjects - 1});
  EXPECT_EQ(value_of(s->get(config_map_key("ns", "1"))), "changed");
  EXPECT_EQ(s->get(config_map_key("ns", "1"))->revision(), kObjects + 2);
  EXPECT_EQ(s->get(config_map_key("ns", "2")), nullptr);
  // Whoever saw the write that is gone must not be served as if it had not been.
  EXPECT_TRUE(store->watch(*loop_, "/registry/", revision_ + 1).status().is(Reason::kExpired));
  ASSERT_TRUE(write(*store, update("ns", "1", "again", kObjects + 2)).ok());
  // A second restore replaces nothing.
  store.reset();
  EXPECT_THAT(restore_store(place_, *read_backup_file(file)).message(),
              HasSubstr("replaces nothing"));
}

TEST_F(Maintenance, ABackupGoesOnlyToItsOwnCluster) {
  fill();
  auto contents = read_store(place_);
  ASSERT_TRUE(contents.ok());
  ASSERT_TRUE(remove_tree(place_.directory).ok());
  ASSERT_TRUE(write_file(place_.identity_file, "another\n").ok());
  EXPECT_THAT(restore_store(place_, *contents).message(), HasSubstr("does not belong here"));
  EXPECT_FALSE(path_exists(place_.directory));
  ASSERT_EQ(unlink(place_.identity_file.c_str()), 0);  // a new machine, before its first start
  ASSERT_TRUE(restore_store(place_, *contents).ok());
  EXPECT_EQ(objects_served(), size_t{kObjects - 1});
  EXPECT_EQ(*read_file(place_.identity_file), contents->identity + "\n");
}

TEST_F(Maintenance, WhatCannotBeReadIsInTheBackup) {
  fill();
  put_record("/registry/configmaps/ns/broken", "no envelope");
  auto store = std::move(*open());
  ASSERT_EQ(store->unreadable("").size(), 1u);
  Contents c = store->contents();
  c.damaged.push_back({"/registry/configmaps/ns/worse", "\x07garbage", ""});
  store.reset();
  ASSERT_TRUE(remove_tree(place_.directory).ok());
  const std::string file = data_dir_ + "/backup";
  ASSERT_TRUE(write_backup_file(file, c).ok());
  ASSERT_TRUE(restore_store(place_, *read_backup_file(file)).ok());
  store = std::move(*open());
  EXPECT_EQ(store->unreadable("").size(), 2u);
}

TEST(Backup, IsTakenInPiecesAndRefusedWhenItIsNotWhole) {
  Contents c;
  c.revision = 9;
  c.identity = "name";
  for (int i = 0; i < 600; ++i) {
    Change r;
    r.key = std::make_shared<const std::string>(config_map_key("ns", std::to_string(i)));
    r.stored = config_map("ns", std::to_string(i), std::string(400, 'x'));
    r.revision = r.create_revision = 5;
    c.records.push_back(std::move(r));
  }
  std::string good;
  BackupWriter writer(c);
  while (!writer.done()) good += writer.next();
  auto read = [](std::string_view bytes, size_t piece) {
    BackupReader r(true);
    Status s;
    for (; s.ok() && !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
      s = r.take(bytes.substr(0, piece));
    return s.ok() ? r.finish() : s;
  };
  for (size_t piece : {size_t{1}, size_t{7}, size_t{4096}, good.size()})
    EXPECT_TRUE(read(good, piece).ok()) << piece;
  EXPECT_FALSE(read(good + ".", 4096).ok());
  EXPECT_FALSE(read(good + good, 4096).ok());
  EXPECT_FALSE(read("", 1).ok());
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    const size_t at = random.below(good.size());
    EXPECT_FALSE(read(std::string_view(good).substr(0, at), 4096).ok()) << "cut at " << at;
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << random.below(8)));
    EXPECT_FALSE(read(bad, 4096).ok()) << "damaged at " << at;
  }
}

TEST_F(Maintenance, ACutLogIsToldOfAndLeapedOver) {
  fill();
  for (const std::string& log : files(".log")) {
    struct stat st;
    ASSERT_EQ(stat(log.c_str(), &st), 0);
    ASSERT_EQ(truncate(log.c_str(), st.st_size / 2), 0);
  }
  EXPECT_THAT(open().status().message(),
              HasSubstr("`keles store repair --data-dir " + data_dir_ + "`"));
  ASSERT_EQ(problems().size(), 1u);
  EXPECT_THAT(problems()[0], HasSubstr("writes that were acknowledged, of the revisions"));
  EXPECT_THAT(read_store(place_).status().message(), HasSubstr("not whole"));
  auto done = repair();
  EXPECT_EQ(done.dropped.size(), 1u);
  EXPECT_GT(objects_served(), 10u);
  auto store = std::move(*open());
  EXPECT_GT(store->revision(), revision_ + kRevisionLeap);  // no revision is given twice
}

TEST_F(Maintenance, RecordsThatAreNoObjectsAreDroppedAndUnknownKindsKept) {
  fill();
  put_record("/registry/configmaps/ns/broken", "no envelope");
  std::string stranger = *config_map("ns", "x", "1");
  stranger.replace(stranger.find("ConfigMap"), 9, "Unheardof");
  put_record("/registry/unheardof/ns/x", stranger);
  EXPECT_THAT(problems(), ElementsAre(HasSubstr("/registry/configmaps/ns/broken")));
  auto done = repair();
  EXPECT_THAT(done.dropped, ElementsAre(HasSubstr("/registry/configmaps/ns/broken")));
  EXPECT_THAT(done.found.remarks, ElementsAre(HasSubstr("Unheardof")));
  auto store = std::move(*open());
  ASSERT_EQ(store->unreadable("").size(), 1u);
  EXPECT_EQ(store->unreadable("")[0].key, "/registry/unheardof/ns/x");
  EXPECT_GT(store->revision(), revision_ + kRevisionLeap - 1);  // watchers list anew
}

TEST_F(Maintenance, ADamagedBlockCostsWhatLiesInIt) {
  fill();
  flush();
  ASSERT_FALSE(files(".sst").empty());
  const std::string table = files(".sst").front();
  std::string bytes = *read_file(table);
  ASSERT_GT(bytes.size(), 20'000u);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x55);
  ASSERT_TRUE(write_file(table, bytes).ok());
  EXPECT_THAT(open().status().message(), HasSubstr("`keles store repair"));
  ASSERT_EQ(problems().size(), 1u);
  EXPECT_THAT(problems()[0], HasSubstr("what lay between /registry/configmaps/ns/"));
  auto done = repair();
  EXPECT_EQ(done.dropped.size(), 1u);
  EXPECT_GT(objects_served(), size_t{kObjects - 50});  // a block is 4 KiB
}

TEST_F(Maintenance, FilesThatAreGoneAreWorkedAround) {
  fill();
  flush();
  auto store = std::move(*open());  // more, in another file
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(write(*store, create("ns", "more-" + std::to_string(i), "1")).ok());
  store.reset();
  ASSERT_EQ(unlink((place_.directory + "/db/CURRENT").c_str()), 0);
  EXPECT_THAT(open().status().message(), HasSubstr("`keles store repair"));
  EXPECT_FALSE(path_exists(place_.directory + "/db/CURRENT"));  // nothing was begun
  EXPECT_EQ(problems().size(), 1u);
  auto done = repair();
  ASSERT_EQ(done.dropped.size(), 1u);
  EXPECT_THAT(done.dropped[0], HasSubstr("what the damaged files held"));
  EXPECT_GE(objects_served(), size_t{kObjects - 1 + 50});
}

TEST_F(Maintenance, ADamagedMarkIsMadeAnew) {
  fill();
  ASSERT_TRUE(write_file(place_.directory + "/acknowledged", "what?").ok());
  EXPECT_THAT(open().status().message(), HasSubstr("acknowledged is damaged"));
  EXPECT_THAT(open().status().message(), HasSubstr("`keles store repair"));
  EXPECT_THAT(problems(), ElementsAre(HasSubstr("acknowledged is damaged")));
  repair();
  EXPECT_EQ(objects_served(), size_t{kObjects - 1});
}

TEST_F(Maintenance, AnothersStoreIsNotRepairedIntoOurs) {
  fill();
  ASSERT_TRUE(write_file(place_.identity_file, "another\n").ok());
  EXPECT_THAT(problems(), ElementsAre(HasSubstr("another cluster's store")));
  EXPECT_THAT(repair_store(place_, true).status().message(), HasSubstr("another cluster's store"));
}

}  // namespace
}  // namespace keles
