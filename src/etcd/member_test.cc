// A member as its clients see it: what the store over an etcd does with it, and, where a real etcd
// is installed, that both answer the same to the same.
#include "etcd/member.h"

#include <gtest/gtest.h>

#include "api/etcd_v3.h"
#include "base/sync.h"
#include "base/temporary_directory.h"
#include "etcd/disk.h"
#include "etcd/mvcc.h"
#include "etcd/test_member.h"
#include "etcd/watches.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "net/grpc.h"
#include "net/grpc_calls.h"
#include "store/conformance.h"
#include "store/etcd/etcd_store.h"
#include "store/etcd/test_etcd.h"

namespace keles::store_test {
namespace {

class OverMember final : public Subject {
 public:
  OverMember() : loop_(make_real_loop()) { reopen(); }
  ~OverMember() override { store_.reset(); }
  Loop& loop() override { return *loop_; }
  void reopen() override {
    store_.reset();
    EtcdOptions o;
    o.servers = {member_.url()};
    o.compaction_interval = Duration::zero();
    auto opened = open_etcd_store(o, ReplicaWindow(), nullptr);
    if (!opened.ok()) {
      ADD_FAILURE() << opened.status().to_string();
      std::abort();
    }
    store_ = std::move(*opened);
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
  etcdserver::TestMember member_;
  std::unique_ptr<RealLoop> loop_;
};

INSTANTIATE_TEST_SUITE_P(
    Backends, StoreConformance,
    testing::Values(std::pair<const char*, MakeSubject>{
        "Member", [] { return std::unique_ptr<Subject>(std::make_unique<OverMember>()); }}),
    [](const auto& info) { return info.param.first; });

}  // namespace
}  // namespace keles::store_test

namespace keles::etcdserver {
namespace {

namespace v3 = api::etcd_v3;

// Answers as JSON, without what is each cluster's own.
struct Client {
  Client(RealLoop& l, uint16_t port) : loop(l) {
    net::Endpoint e;
    e.host = "127.0.0.1";
    e.port = port;
    channel = net::GrpcChannel::create(l, std::move(e));
  }
  template <class Request, class Response>
  std::string call(const std::string& method, const std::string& json) {
    auto doc = parse_json(json);
    EXPECT_TRUE(doc.ok()) << json;
    Context ctx = Context::root(loop).with_timeout(20s);
    auto answer = run_task(loop, channel->unary(ctx, "/etcdserverpb." + method,
                                                encode_protobuf(Request::descriptor(), doc->root)));
    if (!answer.ok()) {
      return std::string("error ") + std::to_string(static_cast<int>(answer.status().reason())) +
             " " + answer.status().message();
    }
    return text<Response>(*answer);
  }
  template <class Response>
  std::string text(const std::string& message) {
    auto decoded = decode_protobuf(Response::descriptor(), message);
    EXPECT_TRUE(decoded.ok()) << decoded.status().message();
    std::string out = to_json(decoded->root);
    // What is each cluster's own, and what etcd says from 3.6 on.
    for (const char* own : {"cluster_id", "member_id", "raft_term", "hash_revision"})
      out = without(std::move(out), own);
    return out;
  }
  static std::string without(std::string json, const std::string& member) {
    for (size_t at; (at = json.find("\"" + member + "\":")) != std::string::npos;) {
      size_t end = json.find_first_of(",}", at);
      if (json[end] == ',')
        ++end;
      else if (json[at - 1] == ',')
        --at;
      json.erase(at, end - at);
    }
    return json;
  }
  // What a watch tells, one answer a line, until there have been as many events.
  std::string watch(const std::string& json, size_t events) {
    auto doc = parse_json(json);
    EXPECT_TRUE(doc.ok()) << json;
    Context ctx = Context::root(loop).with_timeout(20s);
    return run_task(
        loop,
        read_watch(this, ctx, encode_protobuf(v3::WatchRequest::descriptor(), doc->root), events));
  }
  static Task<std::string> read_watch(Client* self, Context ctx, std::string message,
                                      size_t events) {
    std::string out;
    auto stream = co_await self->channel->server_stream(ctx, "/etcdserverpb.Watch/Watch", message);
    if (!stream.ok()) co_return stream.status().message();
    for (size_t seen = 0; seen < events;) {
      auto next = co_await (*stream)->next(ctx);
      if (!next.ok()) co_return out + next.status().message();
      auto doc = decode_protobuf(v3::WatchResponse::descriptor(), *next);
      if (!doc.ok()) co_return out + doc.status().message();
      const v3::WatchResponse answer(doc->root);
      if (answer.canceled()) {
        out += "canceled " + std::to_string(answer.compact_revision()) + " " +
               std::string(answer.cancel_reason()) + "\n";
        break;
      }
      for (auto e : answer.events()) {
        out += to_json(e.value()) + "\n";
        ++seen;
      }
    }
    co_return out;
  }
  RealLoop& loop;
  std::unique_ptr<net::GrpcChannel> channel;
};

// A call of each method, in the order in which both are asked.
struct Asked {
  const char* method;
  const char* json;
};
// Keys and values are base64, as JSON has bytes: YQ== is a, Yg== b, Yw== c, ZA== d, AA== a zero
// byte.
const Asked kAsked[] = {
    {"KV/Range", R"({"key":"YQ=="})"},
    {"KV/Put", R"({"key":"YQ==","value":"MQ=="})"},
    {"Maintenance/HashKV", R"({})"},
    {"KV/Put", R"({"key":"YQ==","value":"Mg==","prev_kv":true})"},
    {"KV/Put", R"({"key":"Yg==","value":"Mw=="})"},
    {"KV/Put", R"({"key":"Yw==","value":"MA=="})"},
    {"KV/Put", R"({"key":"","value":"MA=="})"},
    {"KV/Put", R"({"key":"YQ==","value":"MA==","ignore_value":true})"},
    {"KV/Put", R"({"key":"eA==","ignore_value":true})"},
    {"KV/Put", R"({"key":"eA==","ignore_lease":true,"value":"MA=="})"},
    {"KV/Put", R"({"key":"YQ==","ignore_value":true,"prev_kv":true})"},
    {"KV/Put", R"({"key":"YQ==","value":"MA==","lease":77})"},
    {"KV/Put", R"({"key":"YQ==","value":"MA==","lease":77,"ignore_lease":true})"},
    {"KV/Range", R"({"key":"YQ=="})"},
    {"KV/Range", R"({"key":""})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA=="})"},
    {"KV/Range", R"({"key":"AA==","range_end":"AA==","limit":2})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"Yw==","count_only":true})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA==","keys_only":true})"},
    {"KV/Range", R"({"key":"Yw==","range_end":"YQ=="})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA==","revision":3})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA==","revision":900})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA==","sort_order":"DESCEND"})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA==","sort_target":"VALUE"})"},
    {"KV/Range",
     R"({"key":"YQ==","range_end":"AA==","sort_target":"VALUE","sort_order":"DESCEND","limit":1})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA==","sort_target":"MOD","limit":2})"},
    {"KV/Range",
     R"({"key":"YQ==","range_end":"AA==","sort_target":"VERSION","sort_order":"DESCEND"})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA==","min_mod_revision":4})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA==","max_create_revision":2,"limit":1})"},
    {"KV/Txn",
     R"({"compare":[{"target":"MOD","key":"Yg==","mod_revision":4}],"success":[{"request_put":{"key":"Yg==","value":"NA=="}},{"request_range":{"key":"Yg=="}}],"failure":[{"request_range":{"key":"Yg=="}}]})"},
    {"KV/Txn",
     R"({"compare":[{"target":"MOD","key":"Yg==","mod_revision":4}],"success":[{"request_put":{"key":"Yg==","value":"NQ=="}}],"failure":[{"request_range":{"key":"Yg=="}}]})"},
    {"KV/Txn",
     R"({"compare":[{"target":"VALUE","key":"Yg==","value":"NA=="}],"success":[{"request_delete_range":{"key":"Yg==","prev_kv":true}},{"request_put":{"key":"ZA==","value":"MA=="}}]})"},
    {"KV/Txn",
     R"({"compare":[{"target":"VALUE","result":"NOT_EQUAL","key":"eA==","value":"NA=="}],"success":[{"request_put":{"key":"ZA==","value":"OQ=="}}]})"},
    {"KV/Txn",
     R"({"compare":[{"target":"CREATE","result":"GREATER","key":"YQ==","range_end":"AA==","create_revision":1}],"success":[{"request_range":{"key":"YQ==","range_end":"AA==","count_only":true}}]})"},
    {"KV/Txn", R"({"compare":[{"target":"VERSION","key":"eA==","version":0}]})"},
    {"KV/Txn",
     R"({"compare":[{"target":"LEASE","key":"YQ==","lease":0}],"success":[{"request_put":{"key":"ZQ=="}}]})"},
    {"KV/Txn",
     R"({"success":[{"request_put":{"key":"ZA==","value":"MA=="}},{"request_put":{"key":"ZA==","value":"MQ=="}}]})"},
    {"KV/Txn",
     R"({"success":[{"request_put":{"key":"ZA==","value":"MA=="}},{"request_delete_range":{"key":"YQ==","range_end":"AA=="}}]})"},
    {"KV/Txn",
     R"({"success":[{"request_txn":{"compare":[{"key":"ZA==","version":1}],"success":[{"request_put":{"key":"Zg==","value":"MA=="}}],"failure":[{"request_put":{"key":"Zg==","value":"MQ=="}}]}},{"request_put":{"key":"ZA==","value":"Nw=="}}]})"},
    {"KV/Txn",
     R"({"success":[{"request_txn":{"success":[{"request_put":{"key":"ZA==","value":"MA=="}}]}},{"request_put":{"key":"ZA==","value":"Nw=="}}]})"},
    {"KV/Txn", R"({"success":[{"request_put":{"value":"MA=="}}]})"},
    {"KV/Txn", R"({"success":[{"request_put":{"key":"ZA==","value":"MA==","lease":77}}]})"},
    {"KV/Txn", R"({"success":[{"request_range":{"key":"ZA==","revision":900}}]})"},
    {"KV/Txn", R"({})"},
    {"KV/DeleteRange", R"({"key":"eA=="})"},
    {"KV/DeleteRange", R"({})"},
    {"KV/DeleteRange", R"({"key":"ZA==","range_end":"Zg==","prev_kv":true})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA=="})"},
    {"Lease/LeaseGrant", R"({"ID":7,"TTL":600})"},
    {"Lease/LeaseGrant", R"({"ID":7,"TTL":600})"},
    {"Lease/LeaseGrant", R"({"ID":8,"TTL":9000000001})"},
    {"KV/Put", R"({"key":"bDE=","value":"MA==","lease":7})"},
    {"KV/Put", R"({"key":"bDI=","value":"MA==","lease":7})"},
    {"KV/Put", R"({"key":"bDE=","value":"MQ==","ignore_lease":true})"},
    {"KV/Range", R"({"key":"bDE=","range_end":"bDM="})"},
    {"KV/Txn",
     R"({"compare":[{"target":"LEASE","key":"bDE=","lease":7}],"success":[{"request_put":{"key":"bDE=","value":"Mg=="}}]})"},
    {"Lease/LeaseLeases", R"({})"},
    {"Lease/LeaseTimeToLive", R"({"ID":99,"keys":true})"},
    {"Lease/LeaseRevoke", R"({"ID":99})"},
    {"Lease/LeaseRevoke", R"({"ID":7})"},
    {"KV/Range", R"({"key":"bDE=","range_end":"bDM="})"},
    {"KV/Compact", R"({"revision":900})"},
    {"KV/Compact", R"({"revision":7,"physical":true})"},
    {"KV/Compact", R"({"revision":7})"},
    {"KV/Range", R"({"key":"YQ==","revision":6})"},
    {"KV/Range", R"({"key":"YQ==","range_end":"AA==","revision":7})"},
    {"KV/Txn", R"({"success":[{"request_range":{"key":"ZA==","revision":3}}]})"},
    {"Maintenance/HashKV", R"({})"},
    {"Auth/Authenticate", R"({"name":"a","password":"b"})"},
};
const char* const kWatched[] = {
    R"({"create_request":{"key":"YQ==","range_end":"AA==","start_revision":7,"prev_kv":true}})",
    R"({"create_request":{"key":"YQ==","range_end":"AA==","start_revision":8,"filters":["NOPUT"]}})",
    R"({"create_request":{"key":"bDE=","start_revision":8,"prev_kv":true}})",
    R"({"create_request":{"key":"YQ==","start_revision":3}})",
};
constexpr size_t kWatchedEvents[] = {12, 3, 3, 1};

std::string ask(Client& c, const Asked& a) {
  const std::string m = a.method;
#define KELES_CALL(name, request, response) \
  if (m == name) return c.call<v3::request, v3::response>(m, a.json)
  KELES_CALL("KV/Range", RangeRequest, RangeResponse);
  KELES_CALL("KV/Put", PutRequest, PutResponse);
  KELES_CALL("KV/DeleteRange", DeleteRangeRequest, DeleteRangeResponse);
  KELES_CALL("KV/Txn", TxnRequest, TxnResponse);
  KELES_CALL("KV/Compact", CompactionRequest, CompactionResponse);
  KELES_CALL("Lease/LeaseGrant", LeaseGrantRequest, LeaseGrantResponse);
  KELES_CALL("Lease/LeaseRevoke", LeaseRevokeRequest, LeaseRevokeResponse);
  KELES_CALL("Lease/LeaseTimeToLive", LeaseTimeToLiveRequest, LeaseTimeToLiveResponse);
  KELES_CALL("Lease/LeaseLeases", LeaseLeasesRequest, LeaseLeasesResponse);
  KELES_CALL("Maintenance/Alarm", AlarmRequest, AlarmResponse);
  KELES_CALL("Maintenance/HashKV", HashKVRequest, HashKVResponse);
  KELES_CALL("Auth/Authenticate", AuthenticateRequest, AuthenticateResponse);
#undef KELES_CALL
  return "no such method";
}

TEST(Member, AnswersAsEtcdDoes) {
  if (store_test::etcd_program().empty()) GTEST_SKIP() << "no etcd is installed";
  store_test::TestEtcd etcd;
  TestMember member;
  auto loop = make_real_loop();
  const std::string url = etcd.urls()[0];
  Client theirs(*loop, static_cast<uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
  Client ours(*loop, member.port());
  std::string ready;
  for (int i = 0; i < 200 && ready.find("header") == std::string::npos; ++i) {
    ready = ask(theirs, kAsked[0]);
    if (ready.find("header") == std::string::npos)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  for (const Asked& a : kAsked)
    EXPECT_EQ(ask(ours, a), ask(theirs, a)) << a.method << " " << a.json;
  for (size_t i = 0; i < std::size(kWatched); ++i) {
    EXPECT_EQ(ours.watch(kWatched[i], kWatchedEvents[i]),
              theirs.watch(kWatched[i], kWatchedEvents[i]))
        << kWatched[i];
  }
}

TEST(Member, KeepsWhatItHasAnswered) {
  TestMember member;
  auto loop = make_real_loop();
  Client before(*loop, member.port());
  for (const Asked& a : kAsked) (void)ask(before, a);
  (void)ask(before, {"Lease/LeaseGrant", R"({"ID":12,"TTL":600})"});
  (void)ask(before, {"KV/Put", R"({"key":"bA==","lease":12})"});
  const Asked looked[] = {{"KV/Range", R"({"key":"AA==","range_end":"AA=="})"},
                          {"KV/Range", R"({"key":"AA==","range_end":"AA==","revision":9})"},
                          {"Lease/LeaseLeases", "{}"},
                          {"Maintenance/HashKV", "{}"}};
  std::vector<std::string> answers;
  for (const Asked& a : looked) answers.push_back(ask(before, a));
  before.channel.reset();
  member.stop();
  member.start();
  Client after(*loop, member.port());
  for (size_t i = 0; i < std::size(looked); ++i)
    EXPECT_EQ(ask(after, looked[i]), answers[i]) << looked[i].json;
  // The lease has its key again.
  (void)ask(after, {"Lease/LeaseRevoke", R"({"ID":12})"});
  EXPECT_EQ(ask(after, {"KV/Range", R"({"key":"bA==","count_only":true})"}).find("\"count\""),
            std::string::npos);
}

TEST(Member, EndsALeaseThatNobodyKeepsAlive) {
  TestMember member;
  auto loop = make_real_loop();
  Client c(*loop, member.port());
  EXPECT_NE(ask(c, {"Lease/LeaseGrant", R"({"ID":5,"TTL":4})"}).find("\"TTL\":4"),
            std::string::npos);
  (void)ask(c, {"KV/Put", R"({"key":"YQ==","value":"MA==","lease":5})"});
  EXPECT_EQ(c.watch(R"({"create_request":{"key":"YQ==","start_revision":3}})", 1),
            R"({"type":"DELETE","kv":{"key":"YQ==","mod_revision":3}})"
            "\n");
  EXPECT_NE(ask(c, {"Lease/LeaseTimeToLive", R"({"ID":5})"}).find("\"TTL\":-1"), std::string::npos);
}

TEST(Member, RefusesToGrowBeyondItsQuota) {
  MemberOptions o;
  o.quota_bytes = 1;
  TestMember member(o);
  auto loop = make_real_loop();
  Client c(*loop, member.port());
  EXPECT_NE(ask(c, {"KV/Put", R"({"key":"YQ==","value":"MA=="})"}).find("database space exceeded"),
            std::string::npos);
  EXPECT_NE(ask(c, {"Maintenance/Alarm", R"({"action":"GET"})"}).find("NOSPACE"),
            std::string::npos);
  // What is there can be read, and removed.
  EXPECT_NE(ask(c, {"KV/Range", R"({"key":"YQ=="})"}).find("header"), std::string::npos);
  EXPECT_NE(ask(c, {"KV/DeleteRange", R"({"key":"YQ=="})"}).find("header"), std::string::npos);
}

// Asks for one watch after the other, and reads none of the answers until it is told to.
class GreedyCall final : public net::GrpcCall {
 public:
  const net::Request& request() const override { return request_; }
  Task<Result<std::optional<std::string>>> receive(Context ctx) override {
    if (asked == kWants) {
      keles::Event never;
      co_return co_await never.wait(ctx);
    }
    ++asked;
    auto doc = parse_json(R"({"create_request":{"key":"YQ=="}})");
    co_return std::optional(encode_protobuf(v3::WatchRequest::descriptor(), doc->root));
  }
  Task<Result<std::string>> receive_one(Context) override { co_return Status::internal("none"); }
  Task<Status> send(std::string) override {
    Context always = Context::root(*loop);
    Status s = co_await reads.wait(always);
    ++answered;
    co_return s;
  }
  static constexpr int kWants = 500;
  Loop* loop = nullptr;
  keles::Event reads;
  int asked = 0, answered = 0;

 private:
  net::Request request_;
};

Task<void> ask_greedily(Loop* loop, Watches* watches, GreedyCall* call, int* before) {
  Context ctx = Context::root(*loop).child();
  TaskGroup group(*loop);
  group.spawn([](Watches* w, Context c, GreedyCall* g) -> Task<void> {
    (void)co_await w->serve(c, g);
  }(watches, ctx, call));
  (void)co_await ctx.sleep(50ms);
  *before = call->asked;
  call->reads.set();
  while (call->answered < GreedyCall::kWants) (void)co_await ctx.sleep(1ms);
  ctx.cancel();
  co_await group.join();
}

TEST(Watches, AStreamThatDoesNotReadItsAnswersIsNotListenedTo) {
  auto loop = make_real_loop();
  TemporaryDirectory directory = *TemporaryDirectory::make("keles-watches");
  auto disk = Disk::open(directory.path() + "/d", Disk::Options());
  ASSERT_TRUE(disk.ok()) << disk.status().to_string();
  auto mvcc = Mvcc::open(*loop, **disk, Mvcc::Hooks());
  ASSERT_TRUE(mvcc.ok()) << mvcc.status().to_string();
  Watches watches(**mvcc, **disk, Watches::Options(), [](int64_t) { return std::string(); });
  GreedyCall call;
  call.loop = loop.get();
  int before = 0;
  run_task(*loop, ask_greedily(loop.get(), &watches, &call, &before));
  EXPECT_LE(before, 20) << "answers that nobody reads are kept";
  EXPECT_EQ(call.asked, GreedyCall::kWants);
  run_task(*loop, (*mvcc)->stop());
}

}  // namespace
}  // namespace keles::etcdserver
