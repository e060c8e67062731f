// What a crash, a torn write and a failed fsync leave behind.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <map>
#include <optional>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/temporary_directory.h"
#include "store/rocks_log.h"
#include "store/sim/sim_store.h"
#include "store/store.h"
#include "store/test_objects.h"

namespace keles {
namespace {

using namespace store_test;

// Runs store_crash_writer on `directory` until it is killed; what it acknowledged, line by line.
std::string acknowledged_until_killed(const std::string& directory, int round, int after_ms) {
  int fds[2];
  EXPECT_EQ(pipe(fds), 0);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(fds[1], 1);
    std::string number = std::to_string(round);
    execl(KELES_CRASH_WRITER, KELES_CRASH_WRITER, directory.c_str(), number.c_str(), nullptr);
    _exit(127);
  }
  close(fds[1]);
  std::thread killer;
  std::string out;
  char buffer[65536];
  for (;;) {
    ssize_t n = ::read(fds[0], buffer, sizeof buffer);
    if (n <= 0) break;
    out.append(buffer, static_cast<size_t>(n));
    if (!killer.joinable()) {  // it has opened the store and speaks: its time runs from now
      killer = std::thread([pid, after_ms] {
        std::this_thread::sleep_for(std::chrono::milliseconds(after_ms));
        kill(pid, SIGKILL);
      });
    }
  }
  close(fds[0]);
  if (killer.joinable()) killer.join();
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself: " << status;
  return out;
}

TEST(Durability, KilledAtAnyMomentLosesNoAcknowledgedWrite) {
  TemporaryDirectory dir = *TemporaryDirectory::make("keles-store");
  Random random(static_cast<uint64_t>(getpid()));
  struct Ack {
    char operation;
    int64_t revision;
    bool deleted_next;
  };
  std::map<std::string, Ack> acks;
  int64_t last_revision = 0;
  size_t total = 0;
  for (int round = 0; round < 20; ++round) {
    std::string text =
        acknowledged_until_killed(dir.path(), round, static_cast<int>(random.below(60)));
    text.resize(text.rfind('\n') + 1);
    std::istringstream lines(text);
    char operation;
    std::string name;
    int64_t revision;
    bool deleted_next;
    while (lines >> operation >> name >> revision >> deleted_next) {
      if (operation == 's') continue;
      acks[name] = {operation, revision, deleted_next};
      last_revision = std::max(last_revision, revision);
      ++total;
    }
    auto store = open_embedded_store({dir.path(), "", 100'000, 32u << 20});
    ASSERT_TRUE(store.ok()) << store.status().to_string();
    EXPECT_GE((*store)->revision(), last_revision);
    auto snapshot = (*store)->snapshot();
    for (auto& [key, ack] : acks) {
      ObjectPtr o = snapshot->get(config_map_key("ns", key));
      if (ack.operation == 'd') {
        EXPECT_EQ(o, nullptr) << key << " came back";
      } else if (o) {
        EXPECT_GE(o->revision(), ack.revision) << key << " went back";
      } else {
        EXPECT_TRUE(ack.deleted_next) << key << " was lost (" << ack.operation << ")";
      }
    }
  }
  EXPECT_GT(total, 500u);  // the test has really tested something
}

TEST(Durability, SecondOpenerIsRefusedByName) {
  TemporaryDirectory dir = *TemporaryDirectory::make("keles-store");
  auto first = open_embedded_store({dir.path(), "", 100'000, 32u << 20});
  ASSERT_TRUE(first.ok());
  auto second = open_embedded_store({dir.path(), "", 100'000, 32u << 20});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(),
            "store directory " + dir.path() + " is in use by another keles (process " +
                std::to_string(getpid()) + "): stop it first, or choose another directory");
  first->reset();
  EXPECT_TRUE(open_embedded_store({dir.path(), "", 100'000, 32u << 20}).ok());
}

// A failed sync leaves one write in doubt and stops writes; reads go on, health says so, and once
// the disk works again the store heals by itself, with the doubtful write or without it.
TEST(Durability, FailedSyncIsInDoubtAndHealsByItself) {
  log::set_output(-1);
  SimLoop loop(3);
  Context ctx = Context::root(loop);
  SimDisk disk(loop);
  auto store = std::move(*open_sim_store(disk));
  ASSERT_TRUE(run_to_end(loop, store->write(ctx, create("ns", "a", "1"))).ok());
  EXPECT_TRUE(store->writable().ok());
  disk.faults.fail_sync = 1;
  auto r = run_to_end(loop, store->write(ctx, create("ns", "b", "1")));
  EXPECT_TRUE(r.status().is(Reason::kOutcomeUnknown)) << r.status().to_string();
  EXPECT_EQ(store->snapshot()->get(config_map_key("ns", "b")), nullptr);
  EXPECT_EQ(store->revision(), 2);
  loop.advance(10s);  // still broken
  r = run_to_end(loop, store->write(ctx, create("ns", "c", "1")));
  EXPECT_TRUE(r.status().is(Reason::kServiceUnavailable)) << r.status().to_string();
  EXPECT_TRUE(store->writable().is(Reason::kServiceUnavailable));
  EXPECT_NE(store->snapshot()->get(config_map_key("ns", "a")), nullptr);
  auto watch = store->watch(loop, "/registry/", 2);
  ASSERT_TRUE(watch.ok());
  disk.faults.fail_sync = 0;
  loop.advance(2s);
  EXPECT_TRUE(store->writable().ok());
  r = run_to_end(loop, store->write(ctx, create("ns", "c", "1")));
  ASSERT_TRUE(r.ok()) << r.status().to_string();
  // The simulated disk held the doubtful write: it came back, and watchers were told.
  EXPECT_NE(store->snapshot()->get(config_map_key("ns", "b")), nullptr);
  EXPECT_EQ((*r)->revision(), 4);
  auto events = run_to_end(loop, (*watch)->next(ctx, 10));
  ASSERT_TRUE(events.ok());
  ASSERT_FALSE(events->empty());
  EXPECT_EQ((*events)[0]->revision, 3);
  log::set_output(2);
}

// Before any thread (RocksDB's outlive a test): what the tests mount is seen by this program alone.
const bool own_mounts = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;

// A loop on a thread of its own, and writes that are waited for.
class Writer {
 public:
  Writer() : thread_([this] { loop_->run(); }) {}
  ~Writer() {
    loop_->stop();
    thread_.join();
  }
  Result<ObjectPtr> write(Store& store, StoreWrite w) {
    auto job = std::make_shared<Job>(Job{&store, std::move(w), {}});
    auto result = job->result.get_future();
    loop_->post([this, job] { spawn(*loop_, run(job, Context::root(*loop_))); });
    return result.get();
  }
  Status purge(Store& store, const std::string& key) {
    std::promise<Status> result;
    loop_->post([&] { spawn(*loop_, remove(&store, key, &result, Context::root(*loop_))); });
    return result.get_future().get();
  }

 private:
  static Task<void> remove(Store* store, std::string key, std::promise<Status>* result,
                           Context ctx) {
    Status s = co_await store->remove_unreadable(ctx, key);
    result->set_value(std::move(s));
  }
  struct Job {
    Store* store;
    StoreWrite w;
    std::promise<Result<ObjectPtr>> result;
  };
  static Task<void> run(std::shared_ptr<Job> job, Context ctx) {
    auto r = co_await job->store->write(ctx, std::move(job->w));
    job->result.set_value(std::move(r));
  }
  std::unique_ptr<RealLoop> loop_ = make_real_loop();
  std::thread thread_;
};

// On a real file system that is full: a tmpfs of our own.
class FullDisk : public testing::Test {
 protected:
  void SetUp() override {
    if (!own_mounts) GTEST_SKIP() << "mounting a small file system takes root";
    ASSERT_EQ(mount("tmpfs", dir_.path().c_str(), "tmpfs", 0, "size=24m"), 0);
    log::set_output(-1);
  }
  void TearDown() override {
    log::set_output(2);
    umount2(dir_.path().c_str(), MNT_DETACH);
  }
  void fill() {
    int fd = open(ballast().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    std::string block(64 << 10, 'x');
    while (::write(fd, block.data(), block.size()) > 0) continue;
    while (::write(fd, block.data(), 1) > 0) continue;
    close(fd);
  }
  void empty() { unlink(ballast().c_str()); }
  std::string ballast() const { return dir_.path() + "/ballast"; }
  std::unique_ptr<Store> opened() {
    auto store = open_embedded_store({dir_.path(), "", 100, 1 << 20});
    EXPECT_TRUE(store.ok()) << store.status().to_string();
    return store.ok() ? std::move(*store) : nullptr;
  }
  // Writes until one fails; how many were acknowledged.
  int write_until_refused(Store& store, const std::string& prefix) {
    for (int i = 0; i < 1000; ++i)
      if (!writer_.write(store, big(prefix + std::to_string(i))).ok()) return i;
    ADD_FAILURE() << "a full disk takes everything";
    return 0;
  }
  static StoreWrite big(const std::string& name) {
    return create("ns", name, std::string(100'000, 'v'));
  }
  bool wait_writable(Store& store) {
    for (int i = 0; i < 300 && !store.writable().ok(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return store.writable().ok();
  }
  TemporaryDirectory dir_ = *TemporaryDirectory::make("keles-store");
  Writer writer_;
};

TEST_F(FullDisk, WritesGoOnOnceThereIsRoomAgain) {
  auto store = opened();
  ASSERT_TRUE(store);
  ASSERT_TRUE(writer_.write(*store, create("ns", "first", "1")).ok());
  fill();
  int before = write_until_refused(*store, "full-");
  EXPECT_TRUE(store->writable().is(Reason::kServiceUnavailable)) << store->writable().to_string();
  EXPECT_NE(store->snapshot()->get(config_map_key("ns", "first")), nullptr);
  EXPECT_FALSE(std::filesystem::exists(dir_.path() + "/db/LOG"));  // writing it would abort
  empty();
  ASSERT_TRUE(wait_writable(*store)) << store->writable().to_string();
  ASSERT_TRUE(writer_.write(*store, create("ns", "after", "1")).ok());
  int64_t revision = store->revision();
  store.reset();
  store = opened();
  ASSERT_TRUE(store);
  EXPECT_EQ(store->revision(), revision);
  for (int i = 0; i < before; ++i)
    EXPECT_NE(store->snapshot()->get(config_map_key("ns", "full-" + std::to_string(i))), nullptr);
  EXPECT_NE(store->snapshot()->get(config_map_key("ns", "after")), nullptr);
}

TEST_F(FullDisk, AStartServesReads) {
  auto store = opened();
  ASSERT_TRUE(store);
  int written = 0;
  for (; written < 20; ++written)
    ASSERT_TRUE(writer_.write(*store, big(std::to_string(written))).ok());
  store.reset();
  fill();
  store = opened();
  ASSERT_TRUE(store);
  for (int i = 0; i < written; ++i)
    EXPECT_NE(store->snapshot()->get(config_map_key("ns", std::to_string(i))), nullptr);
  (void)write_until_refused(*store, "more-");
  EXPECT_FALSE(store->writable().ok());
  empty();
  ASSERT_TRUE(wait_writable(*store)) << store->writable().to_string();
  EXPECT_TRUE(writer_.write(*store, create("ns", "after", "1")).ok());
}

// What an operator's mistake or a repair of the file system does to a closed store.
class Damage : public testing::Test {
 protected:
  void SetUp() override {
    auto store = open_embedded_store(options());
    ASSERT_TRUE(store.ok()) << store.status().to_string();
    Writer writer;
    for (int i = 0; i < 93; ++i)
      ASSERT_TRUE(writer.write(**store, create("ns", std::to_string(i), "1")).ok());
  }
  EmbeddedOptions options() const {
    EmbeddedOptions o;
    o.directory = dir_.path() + "/store";
    o.identity_file = dir_.path() + "/store-identity";
    return o;
  }
  std::vector<std::string> logs() const {
    std::vector<std::string> out;
    for (const std::string& n : list_directory(options().directory + "/db").value_or({}))
      if (n.ends_with(".log")) out.push_back(options().directory + "/db/" + n);
    return out;
  }
  std::string refusal() const { return open_embedded_store(options()).status().message(); }
  TemporaryDirectory dir_ = *TemporaryDirectory::make("keles-store");
};

TEST_F(Damage, ACutLogIsRefusedWithTheRemedy) {
  ASSERT_FALSE(logs().empty());
  for (const std::string& log : logs()) {
    struct stat st;
    ASSERT_EQ(stat(log.c_str(), &st), 0);
    ASSERT_EQ(truncate(log.c_str(), st.st_size / 2), 0);
  }
  EXPECT_THAT(refusal(), testing::HasSubstr("was acknowledged: its write-ahead log"));
  EXPECT_THAT(refusal(), testing::HasSubstr("`keles store repair --data-dir " + dir_.path() + "`"));
}

TEST_F(Damage, AMissingLogIsRefused) {
  for (const std::string& log : logs()) ASSERT_EQ(unlink(log.c_str()), 0);
  EXPECT_THAT(refusal(), testing::HasSubstr("was acknowledged: its write-ahead log"));
}

// A record that cannot be read is told of, cannot be overwritten, and goes by its key alone.
TEST_F(Damage, AnUnreadableRecordIsToldOfAndRemovable) {
  const std::string key = config_map_key("ns", "broken");
  {
    auto opened = open_rocks_log(options().directory);
    ASSERT_TRUE(opened.ok());
    Change r;
    r.key = std::make_shared<const std::string>(key);
    r.stored = std::make_shared<const std::string>("no envelope");
    r.revision = r.create_revision = opened->contents.revision + 1;
    r.version = 1;
    std::promise<Status> done;
    const std::vector<Change> batch{r};
    opened->log->append(batch, [&](Status s) { done.set_value(std::move(s)); });
    ASSERT_TRUE(done.get_future().get().ok());
  }
  log::set_output(-1);
  auto store = std::move(*open_embedded_store(options()));
  log::set_output(2);
  auto found = store->unreadable("/registry/configmaps/");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].key, key);
  EXPECT_THAT(found[0].reason, testing::HasSubstr("stored object has no envelope"));
  EXPECT_TRUE(store->unreadable("/registry/secrets/").empty());
  Writer writer;
  EXPECT_THAT(writer.write(*store, create("ns", "broken", "1")).status().message(),
              testing::HasSubstr("cannot be read"));
  EXPECT_TRUE(writer.purge(*store, config_map_key("ns", "1")).is(Reason::kNotFound));
  EXPECT_TRUE(writer.purge(*store, key).ok());
  EXPECT_TRUE(store->unreadable("").empty());
  EXPECT_TRUE(writer.write(*store, create("ns", "broken", "1")).ok());
  store.reset();
  store = std::move(*open_embedded_store(options()));
  EXPECT_TRUE(store->unreadable("").empty());
}

TEST_F(Damage, AStoreGoneBesideItsClusterIsRefused) {
  ASSERT_TRUE(remove_tree(options().directory).ok());
  EXPECT_THAT(refusal(), testing::HasSubstr("there is no store in " + options().directory));
  EXPECT_THAT(refusal(), testing::HasSubstr("remove " + options().identity_file));
  EXPECT_FALSE(path_exists(options().directory + "/db"));  // nothing was begun
  EmbeddedOptions other = options();
  other.identity_file.clear();
  ASSERT_TRUE(open_embedded_store(other).ok());  // somebody else's store in its place
  EXPECT_THAT(refusal(), testing::HasSubstr("another cluster's store"));
}

// Writers on a disk that crashes, tears and lies: what was acknowledged is there after each crash.
struct Crashes {
  SimLoop loop;
  SimDisk disk{loop};
  std::unique_ptr<Store> store;
  std::map<std::string, int64_t> acknowledged;
  int running = 0;
  bool stop = false;
  explicit Crashes(uint64_t seed) : loop(seed) {}
};

Task<void> crash_writer(Crashes* c, Context ctx, int id, int round) {
  ++c->running;
  for (int i = 0; !c->stop; ++i) {
    std::string name = std::to_string(round) + "-" + std::to_string(id) + "-" + std::to_string(i);
    auto r = co_await c->store->write(ctx, create("ns", name, "1"));
    if (!r.ok()) break;
    c->acknowledged[name] = (*r)->revision();
  }
  --c->running;
}

TEST(Durability, SimulatedDiskKeepsAcknowledgedWrites) {
  log::set_output(-1);
  size_t total = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Crashes c(seed);
    Context ctx = Context::root(c.loop);
    for (int round = 0; round < 8; ++round) {
      c.store = std::move(*open_sim_store(c.disk));
      auto s = c.store->snapshot();
      for (auto& [name, revision] : c.acknowledged) {
        ObjectPtr o = s->get(config_map_key("ns", name));
        ASSERT_TRUE(o && o->revision() == revision) << "seed " << seed << " lost " << name;
      }
      c.stop = false;
      c.disk.faults.fail_sync = round % 2 ? 0.02 : 0;
      c.disk.faults.lost_reply = round % 3 ? 0 : 0.02;
      for (int i = 0; i < 5; ++i) spawn(c.loop, crash_writer(&c, ctx, i, round));
      c.loop.advance(Duration(c.loop.random().between(0, 60'000'000)));
      c.stop = true;
      auto dying = std::move(c.store);
      dying.reset();
      c.loop.run_ready();
      ASSERT_EQ(c.running, 0);
      c.disk.crash();
    }
    total += c.acknowledged.size();
  }
  EXPECT_GT(total, 1000u);
  log::set_output(2);
}

TEST(Durability, DamagedValuesAreRefusedNotRead) {
  Random random(5);
  Change r;
  r.stored = config_map("ns", "a", "1");
  r.revision = 7;
  r.create_revision = 3;
  r.version = 2;
  std::string good = encode_record_value(r);
  auto back = decode_record_value(good);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back->stored, *r.stored);
  EXPECT_EQ(back->create_revision, 3);
  EXPECT_EQ(back->version, 2);
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good.substr(0, random.below(good.size()));
    for (size_t n = random.below(4); n > 0 && !bad.empty(); --n)
      bad[random.below(bad.size())] = static_cast<char>(random.next());
    auto decoded = decode_record_value(bad);
    if (decoded.ok()) (void)stored_kind(*decoded->stored);
  }
}

}  // namespace
}  // namespace keles
