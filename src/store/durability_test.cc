// What a crash, a torn write and a failed fsync leave behind.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "store/sim_store.h"
#include "store/store.h"
#include "store/test_objects.h"

namespace keles {
namespace {

using namespace store_test;

struct TemporaryDirectory {
  TemporaryDirectory() {
    char name[] = "/tmp/keles-store-XXXXXX";
    path = mkdtemp(name);
  }
  ~TemporaryDirectory() { (void)remove_tree(path); }
  std::string path;
};

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
  TemporaryDirectory dir;
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
        acknowledged_until_killed(dir.path, round, static_cast<int>(random.below(60)));
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
    auto store = open_embedded_store({dir.path});
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
  TemporaryDirectory dir;
  auto first = open_embedded_store({dir.path});
  ASSERT_TRUE(first.ok());
  auto second = open_embedded_store({dir.path});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(),
            "store directory " + dir.path + " is in use by another keles (process " +
                std::to_string(getpid()) + "): stop it first, or choose another directory");
  first->reset();
  EXPECT_TRUE(open_embedded_store({dir.path}).ok());
}

TEST(Durability, FailedSyncIsInDoubtAndStopsWrites) {
  log::set_output(-1);
  SimLoop loop(3);
  Context ctx = Context::root(loop);
  SimDisk disk(loop);
  auto store = std::move(*open_sim_store(disk));
  ASSERT_TRUE(run_to_end(loop, store->write(ctx, create("ns", "a", "1"))).ok());
  disk.faults.fail_sync = 1;
  auto r = run_to_end(loop, store->write(ctx, create("ns", "b", "1")));
  EXPECT_TRUE(r.status().is(Reason::kOutcomeUnknown)) << r.status().to_string();
  EXPECT_EQ(store->snapshot()->get(config_map_key("ns", "b")), nullptr);
  EXPECT_EQ(store->revision(), 2);
  disk.faults.fail_sync = 0;
  r = run_to_end(loop, store->write(ctx, create("ns", "c", "1")));
  EXPECT_TRUE(r.status().is(Reason::kServiceUnavailable)) << r.status().to_string();
  store.reset();
  store = std::move(*open_sim_store(disk));
  EXPECT_NE(store->snapshot()->get(config_map_key("ns", "a")), nullptr);
  EXPECT_TRUE(run_to_end(loop, store->write(ctx, create("ns", "c", "1"))).ok());
  log::set_output(2);
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
  LogRecord r;
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
