// A store over a real etcd: what every store must do, and what only one of several members, or of
// several servers, can go through.
#include "store/etcd/etcd_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/run_task.h"
#include "store/conformance.h"
#include "store/etcd/client.h"
#include "store/etcd/messages.h"
#include "store/etcd/test_etcd.h"

namespace keles::store_test {
namespace {

EtcdOptions options_of(const TestEtcd& etcd) {
  EtcdOptions o;
  o.servers = etcd.urls();
  o.compaction_interval = Duration::zero();
  return o;
}

std::unique_ptr<Store> open(const EtcdOptions& o) {
  auto opened = open_etcd_store(o, ReplicaWindow(), nullptr);
  if (!opened.ok()) {
    ADD_FAILURE() << opened.status().to_string();
    std::abort();
  }
  return std::move(*opened);
}

class Etcd final : public Subject {
 public:
  Etcd() : loop_(make_real_loop()) { reopen(); }
  ~Etcd() override { store_.reset(); }
  Loop& loop() override { return *loop_; }
  void reopen() override {
    store_.reset();
    store_ = open(options_of(etcd_));
  }
  void drive(std::function<bool()> done) override {
    poll(std::move(done));
    loop_->run();
  }

 private:
  void poll(std::function<bool()> done) {
    if (done()) return loop_->stop();
    loop_->schedule(loop_->now() + 100us, [this, done] { poll(done); });
  }
  TestEtcd etcd_;
  std::unique_ptr<RealLoop> loop_;
};

struct Servers : testing::Test {
  void SetUp() override {
    if (etcd_program().empty()) GTEST_SKIP() << "no etcd is installed";
  }
  template <class T>
  T run(Task<T> t) {
    return run_task(*loop, std::move(t));
  }
  Result<ObjectPtr> write(Store& s, StoreWrite w, Duration patience = 30s) {
    Context ctx = Context::root(*loop).with_timeout(patience);
    return run(s.write(ctx, std::move(w)));
  }
  // Whether the store has come to the revision.
  bool sees(Store& s, int64_t revision, Duration patience = 30s) {
    Context ctx = Context::root(*loop).with_timeout(patience);
    return run(s.snapshot_at_least(ctx, revision)).ok();
  }
  std::string value(Store& s, const std::string& name) {
    return value_of(s.snapshot()->get(config_map_key("ns", name)));
  }
  std::unique_ptr<RealLoop> loop = make_real_loop();
};

TEST_F(Servers, SeeWhatTheOthersWriteAndNeverBothWriteOneRevision) {
  TestEtcd etcd;
  auto a = open(options_of(etcd)), b = open(options_of(etcd));
  EXPECT_TRUE(a->shared());
  auto made = write(*a, create("ns", "x", "1"));
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  ASSERT_TRUE(sees(*b, (*made)->revision()));
  EXPECT_EQ(value(*b, "x"), "1");
  auto changed = write(*b, update("ns", "x", "2", (*made)->revision()));
  ASSERT_TRUE(changed.ok()) << changed.status().to_string();
  EXPECT_TRUE(
      write(*a, update("ns", "x", "3", (*made)->revision())).status().is(Reason::kConflict));
  EXPECT_EQ(value(*a, "x"), "2");  // who is refused reads why
  EXPECT_TRUE(write(*a, create("ns", "x", "4")).status().is(Reason::kAlreadyExists));
  auto gone = write(*a, remove("ns", "x", (*changed)->revision()));
  ASSERT_TRUE(gone.ok()) << gone.status().to_string();
  EXPECT_EQ(value_of(*gone), "2");
  EXPECT_TRUE(
      write(*b, update("ns", "x", "5", (*changed)->revision())).status().is(Reason::kNotFound));
  Context ctx = Context::root(*loop).with_timeout(10s);
  auto newest = run(b->newest(ctx));
  ASSERT_TRUE(newest.ok()) << newest.status().to_string();
  EXPECT_GE((*newest)->revision(), (*gone)->revision());
  EXPECT_EQ(a->contents().identity, b->contents().identity);
  EXPECT_EQ(a->contents().identity.size(), 16u);
}

// What somebody else keeps in the same etcd moves the revision and is nobody's object.
TEST_F(Servers, ReadTheNewestThoughItIsNotTheirs) {
  TestEtcd etcd;
  EtcdOptions other = options_of(etcd);
  other.prefix = "/others";
  auto a = open(options_of(etcd)), b = open(other);
  auto made = write(*b, create("ns", "x", "1"));
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  Context ctx = Context::root(*loop).with_timeout(10s);
  auto newest = run(a->newest(ctx));
  ASSERT_TRUE(newest.ok()) << newest.status().to_string();
  EXPECT_EQ((*newest)->revision(), (*made)->revision());
  EXPECT_EQ((*newest)->count("/registry/"), 0u);
  EXPECT_EQ(b->snapshot()->count("/registry/"), 1u);
  b = open(other);
  EXPECT_EQ(value(*b, "x"), "1");
}

// The member that is asked dies, another stands still: two of three go on, and no write that was
// acknowledged is lost.
TEST_F(Servers, GoOnWithoutAMember) {
  TestEtcd etcd(3);
  auto store = open(options_of(etcd));
  int acknowledged = 0;
  std::vector<std::string> there;
  for (int round = 0; round < 3; ++round) {
    const size_t victim = static_cast<size_t>(round) % 3;
    if (round % 2 == 0) {
      etcd.stop(victim);
    } else {
      etcd.freeze(victim);
    }
    for (int i = 0; i < 20; ++i) {
      const std::string name = "n" + std::to_string(round) + "-" + std::to_string(i);
      for (int tries = 0; tries < 20; ++tries) {
        auto made = write(*store, create("ns", name, "1"), 5s);
        if (made.ok() || made.status().is(Reason::kAlreadyExists)) {
          ++acknowledged;
          there.push_back(name);
          break;
        }
      }
    }
    if (round % 2 == 0) {
      etcd.start(victim);
    } else {
      etcd.thaw(victim);
    }
  }
  EXPECT_EQ(acknowledged, 60);
  for (const std::string& name : there) EXPECT_EQ(value(*store, name), "1") << name;
  auto fresh = open(options_of(etcd));
  EXPECT_EQ(fresh->snapshot()->count("/registry/configmaps/"), there.size());
}

// While etcd is away the store says so, serves what it has, and comes back by itself.
TEST_F(Servers, ComeBackWithEtcd) {
  TestEtcd etcd;
  auto store = open(options_of(etcd));
  ASSERT_TRUE(write(*store, create("ns", "x", "1")).ok());
  etcd.stop(0);
  auto refused = write(*store, create("ns", "y", "1"), 2s);
  EXPECT_FALSE(refused.ok());
  EXPECT_EQ(value(*store, "x"), "1");
  for (int i = 0; i < 500 && store->writable().ok(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(store->writable().ok());
  etcd.start(0);
  bool written = false;
  for (int i = 0; i < 30 && !written; ++i) written = write(*store, create("ns", "z", "1"), 5s).ok();
  EXPECT_TRUE(written);
  EXPECT_EQ(value(*store, "z"), "1");
  EXPECT_TRUE(store->writable().ok()) << store->writable().message();
}

// Answers that are too large are asked for in smaller pieces.
TEST_F(Servers, ReadAStateOfLargeObjects) {
  TestEtcd etcd;
  auto a = open(options_of(etcd));
  const std::string large(1'200'000, 'x');
  for (int i = 0; i < 60; ++i) {
    auto made = write(*a, create("ns", "x" + std::to_string(i), large));
    ASSERT_TRUE(made.ok()) << made.status().to_string();
  }
  auto b = open(options_of(etcd));
  EXPECT_EQ(b->snapshot()->count("/registry/"), 60u);
}

// Keys of a sort hang on leases, which several share; when one's time is over they are gone, and
// everybody hears of it. Others stay.
TEST_F(Servers, KeysGoWithTheirLease) {
  TestEtcd etcd;
  EtcdOptions o = options_of(etcd);
  o.lives.push_back({config_map_key("brief", ""), 2s});
  auto a = open(o), b = open(options_of(etcd));
  etcd::Client client(*loop, *etcd::parse_members(etcd.urls(), net::ClientTls()));
  auto lease_of = [&](const std::string& ns, const std::string& name) -> int64_t {
    const std::string key = config_map_key(ns, name);
    etcd::RangeQuery query;
    query.from = key;
    Context ctx = Context::root(*loop).with_timeout(10s);
    auto answer = run(client.read(ctx, "/etcdserverpb.KV/Range", etcd::range_request(query)));
    if (!answer.ok()) return -1;
    auto kvs = etcd::parse_range(*answer);
    return kvs.ok() && kvs->kvs.size() == 1 ? kvs->kvs[0].lease : -1;
  };
  auto x = write(*a, create("brief", "x", "1")), y = write(*a, create("brief", "y", "1"));
  auto z = write(*a, create("long", "z", "1"));
  ASSERT_TRUE(x.ok() && y.ok() && z.ok()) << x.status().to_string();
  const int64_t lease = lease_of("brief", "x");
  EXPECT_GT(lease, 0);
  EXPECT_EQ(lease_of("brief", "y"), lease);
  EXPECT_EQ(lease_of("long", "z"), 0);
  // One that etcd has lost is not used again, and the write is none the worse.
  std::string revoke;
  revoke += '\x08';
  for (uint64_t v = static_cast<uint64_t>(lease);; v >>= 7) {
    revoke += static_cast<char>((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
    if (v <= 0x7f) break;
  }
  Context ctx = Context::root(*loop).with_timeout(10s);
  auto revoked = run(client.read(ctx, "/etcdserverpb.Lease/LeaseRevoke", revoke));
  ASSERT_TRUE(revoked.ok()) << revoked.status().to_string();
  auto again = write(*a, create("brief", "w", "1"));
  ASSERT_TRUE(again.ok()) << again.status().to_string();
  const int64_t other = lease_of("brief", "w");
  EXPECT_GT(other, 0);
  EXPECT_NE(other, lease);
  ASSERT_TRUE(sees(*b, (*again)->revision()));
  auto watch = std::move(*b->watch(*loop, "/registry/", (*again)->revision()));
  bool gone = false;
  while (!gone) {
    Context until = Context::root(*loop).with_timeout(10s);
    auto events = run(watch->next(until, 100));
    ASSERT_TRUE(events.ok()) << events.status().to_string();
    for (auto& e : *events)
      gone |= e->type == StoreEvent::Type::kDeleted && e->key == config_map_key("brief", "w");
  }
  EXPECT_EQ(b->snapshot()->count("/registry/"), 1u);
}

// Servers compact what is old, one of them, and nobody who is up to date notices.
TEST_F(Servers, CompactThePast) {
  TestEtcd etcd;
  EtcdOptions o = options_of(etcd);
  o.compaction_interval = 300ms;
  auto a = open(o), b = open(o);
  auto made = write(*a, create("ns", "x", "0"));
  ASSERT_TRUE(made.ok());
  const int64_t first = (*made)->revision();
  auto watch = std::move(*b->watch(*loop, "/registry/", first));
  int64_t last = first;
  // Until the first revision cannot be asked for any more.
  etcd::Client client(*loop, *etcd::parse_members(etcd.urls(), net::ClientTls()));
  etcd::RangeQuery query;
  query.from = "/registry/";
  query.revision = first;
  bool compacted = false;
  for (int i = 1; i < 100 && !compacted; ++i) {
    auto changed = write(*a, update("ns", "x", std::to_string(i), last));
    ASSERT_TRUE(changed.ok()) << changed.status().to_string();
    last = (*changed)->revision();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    Context ctx = Context::root(*loop).with_timeout(10s);
    auto answer = run(client.read(ctx, "/etcdserverpb.KV/Range", etcd::range_request(query)));
    compacted = answer.status().is(Reason::kExpired);
  }
  EXPECT_TRUE(compacted);
  // Where upstream's servers read up to where: the revision that was compacted, not a later one.
  etcd::RangeQuery mark;
  mark.from = "compact_rev_key";
  Context ctx = Context::root(*loop).with_timeout(10s);
  auto marked = run(client.read(ctx, "/etcdserverpb.KV/Range", etcd::range_request(mark)));
  ASSERT_TRUE(marked.ok());
  auto kvs = etcd::parse_range(*marked);
  ASSERT_TRUE(kvs.ok() && kvs->kvs.size() == 1u);
  EXPECT_LT(std::stoll(std::string(kvs->kvs[0].value)), kvs->header.revision - 1);
  ASSERT_TRUE(sees(*b, last));
  int64_t seen = first;
  while (seen < last) {
    Context ctx = Context::root(*loop).with_timeout(10s);
    auto events = run(watch->next(ctx, 100));
    ASSERT_TRUE(events.ok()) << events.status().to_string();
    for (auto& e : *events) seen = e->revision;
  }
  EXPECT_EQ(seen, last);
}

TEST(EtcdOptions, NameWhatIsWrong) {
  auto refusal = [](std::vector<std::string> servers, std::string prefix = "/registry") {
    EtcdOptions o;
    o.servers = std::move(servers);
    o.prefix = std::move(prefix);
    return open_etcd_backend(o).status().message();
  };
  EXPECT_EQ(refusal({}), "--etcd-servers: no server is named");
  EXPECT_EQ(refusal({"127.0.0.1:2379"}),
            "--etcd-servers: 127.0.0.1:2379: neither http nor https; write http://HOST:PORT or "
            "https://HOST:PORT");
  EXPECT_EQ(
      refusal({"http://127.0.0.1"}),
      "--etcd-servers: http://127.0.0.1: no port; write http://HOST:PORT or https://HOST:PORT");
  EXPECT_EQ(refusal({"http://a/b:1"}),
            "--etcd-servers: http://a/b:1: no host; write http://HOST:PORT or https://HOST:PORT");
  EXPECT_EQ(refusal({"http://a:1"}, "registry/"),
            "--etcd-prefix: registry/ must begin with a slash and not end with one");
}

TEST(EtcdOptions, NobodyThere) {
  EtcdOptions o;
  o.servers = {"http://127.0.0.1:" + std::to_string(free_ports(1)[0])};
  o.start_timeout = 1s;
  auto opened = open_etcd_backend(o);
  ASSERT_FALSE(opened.ok());
  EXPECT_TRUE(opened.status().is(Reason::kServiceUnavailable));
  EXPECT_NE(opened.status().message().find("etcd cannot be reached"), std::string::npos)
      << opened.status().message();
}

std::vector<std::pair<const char*, MakeSubject>> subjects() {
  if (etcd_program().empty()) return {};
  return {{"Etcd", [] { return std::unique_ptr<Subject>(std::make_unique<Etcd>()); }}};
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreConformance);
INSTANTIATE_TEST_SUITE_P(Backends, StoreConformance, testing::ValuesIn(subjects()),
                         [](const auto& info) { return info.param.first; });

}  // namespace
}  // namespace keles::store_test
