// The messages that are written and read by field number, against the description of the protocol.
#include "store/etcd/messages.h"

#include <gtest/gtest.h>

#include "api/etcd_v3.h"
#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"

namespace keles::etcd {
namespace {

namespace v3 = api::etcd_v3;

// What the description makes of the bytes.
template <class T>
std::string read_as(std::string_view message) {
  auto doc = decode_protobuf(T::descriptor(), message);
  if (!doc.ok()) return doc.status().message();
  return to_json(doc->root);
}
// The bytes that it makes of JSON.
template <class T>
std::string written_as(std::string_view json) {
  auto doc = parse_json(json);
  EXPECT_TRUE(doc.ok()) << doc.status().message();
  return encode_protobuf(T::descriptor(), doc->root);
}

TEST(EtcdMessages, Range) {
  RangeQuery query;
  query.from = "a";
  query.to = std::string_view("\0", 1);
  query.limit = 500;
  query.revision = 7;
  query.keys_only = true;
  EXPECT_EQ(read_as<v3::RangeRequest>(range_request(query)),
            R"({"key":"YQ==","range_end":"AA==","limit":500,"revision":7,"keys_only":true})");
  query = RangeQuery();
  query.from = "a";
  query.count_only = true;
  EXPECT_EQ(read_as<v3::RangeRequest>(range_request(query)), R"({"key":"YQ==","count_only":true})");
}

TEST(EtcdMessages, Writes) {
  const std::string value = "v";
  Condition c;
  c.what = Condition::What::kModRevision;
  c.value = 5;
  EXPECT_EQ(read_as<v3::TxnRequest>(write_request("k", c, &value, 9)),
            R"({"compare":[{"target":"MOD","key":"aw==","mod_revision":5}],)"
            R"("success":[{"request_put":{"key":"aw==","value":"dg==","lease":9}}],)"
            R"("failure":[{"request_range":{"key":"aw=="}}]})");
  c = Condition();
  c.is = Condition::Is::kGreater;
  const std::string removal = write_request("k", c, nullptr);
  EXPECT_EQ(read_as<v3::TxnRequest>(removal),
            R"({"compare":[{"result":"GREATER","key":"aw==","version":0}],)"
            R"("success":[{"request_delete_range":{"key":"aw==","prev_kv":true}}],)"
            R"("failure":[{"request_range":{"key":"aw=="}}]})");
}

TEST(EtcdMessages, WatchAndCompaction) {
  EXPECT_EQ(
      read_as<v3::WatchRequest>(watch_request("a", "b", 3)),
      R"({"create_request":{"key":"YQ==","range_end":"Yg==","start_revision":3,"fragment":true}})");
  EXPECT_EQ(read_as<v3::CompactionRequest>(compact_request(12)), R"({"revision":12})");
}

TEST(EtcdMessages, Answers) {
  const std::string range = written_as<v3::RangeResponse>(
      R"({"header":{"cluster_id":9223372036854775807,"member_id":2,"revision":40,"raft_term":3},)"
      R"("kvs":[{"key":"aw==","create_revision":4,"mod_revision":6,"version":2,"value":"dg==","lease":8}],)"
      R"("more":true,"count":17})");
  auto r = parse_range(range);
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(r->header.cluster_id, uint64_t{INT64_MAX});
  EXPECT_EQ(r->header.revision, 40);
  EXPECT_TRUE(r->more);
  EXPECT_EQ(r->count, 17);
  ASSERT_EQ(r->kvs.size(), 1u);
  EXPECT_EQ(r->kvs[0].key, "k");
  EXPECT_EQ(r->kvs[0].value, "v");
  EXPECT_EQ(r->kvs[0].create_revision, 4);
  EXPECT_EQ(r->kvs[0].mod_revision, 6);
  EXPECT_EQ(r->kvs[0].version, 2);
  EXPECT_EQ(r->kvs[0].lease, 8);

  const std::string removed = written_as<v3::TxnResponse>(
      R"({"header":{"revision":41},"succeeded":true,)"
      R"("responses":[{"response_delete_range":{"deleted":1,"prev_kvs":[{"key":"aw==","value":"dg=="}]}}]})");
  auto w = parse_write(removed);
  ASSERT_TRUE(w.ok());
  EXPECT_TRUE(w->succeeded);
  EXPECT_EQ(w->header.revision, 41);
  ASSERT_EQ(w->there.size(), 1u);
  EXPECT_EQ(w->there[0].value, "v");
  const std::string refused = written_as<v3::TxnResponse>(
      R"({"header":{"revision":41},"responses":[{"response_range":{"kvs":[{"key":"aw==","mod_revision":3}],"count":1}}]})");
  w = parse_write(refused);
  ASSERT_TRUE(w.ok());
  EXPECT_FALSE(w->succeeded);
  ASSERT_EQ(w->there.size(), 1u);
  EXPECT_EQ(w->there[0].mod_revision, 3);

  const std::string news = written_as<v3::WatchResponse>(
      R"({"header":{"revision":50},"watch_id":1,"events":[{"kv":{"key":"aw==","mod_revision":49,"version":1}},)"
      R"({"type":"DELETE","kv":{"key":"bA==","mod_revision":50}}]})");
  auto n = parse_watch(news);
  ASSERT_TRUE(n.ok());
  ASSERT_EQ(n->events.size(), 2u);
  EXPECT_FALSE(n->events[0].deleted);
  EXPECT_EQ(n->events[0].kv.mod_revision, 49);
  EXPECT_TRUE(n->events[1].deleted);
  EXPECT_EQ(n->events[1].kv.key, "l");
  const std::string over = written_as<v3::WatchResponse>(
      R"({"created":true,"canceled":true,"compact_revision":30,"cancel_reason":"gone","fragment":true})");
  n = parse_watch(over);
  ASSERT_TRUE(n.ok());
  EXPECT_TRUE(n->created && n->canceled && n->fragment);
  EXPECT_EQ(n->compact_revision, 30);
  EXPECT_EQ(n->cancel_reason, "gone");
}

TEST(EtcdMessages, Lease) {
  EXPECT_EQ(read_as<v3::LeaseGrantRequest>(lease_request(3660)), R"({"TTL":3660})");
  auto id = parse_lease(
      written_as<v3::LeaseGrantResponse>(R"({"header":{"revision":4},"ID":7587,"TTL":3660})"));
  ASSERT_TRUE(id.ok()) << id.status().message();
  EXPECT_EQ(*id, 7587);
  auto refused = parse_lease(written_as<v3::LeaseGrantResponse>(R"({"error":"too many"})"));
  EXPECT_NE(refused.status().message().find("etcd: too many"), std::string::npos);
  EXPECT_FALSE(parse_lease("").ok());
}

TEST(EtcdMessages, WhatIsCutShortOrOfAnotherShapeIsRefused) {
  const std::string whole = written_as<v3::RangeResponse>(
      R"({"header":{"revision":40},"kvs":[{"key":"aw==","value":"dg=="}],"count":1})");
  size_t fine = 0;
  for (size_t n = 0; n <= whole.size(); ++n) fine += parse_range(whole.substr(0, n)).ok();
  EXPECT_LE(fine, 4u);                         // between the fields
  EXPECT_FALSE(parse_range("\x10\x01").ok());  // a number where a message belongs
  EXPECT_FALSE(parse_watch("\x5a\x05").ok());
  EXPECT_TRUE(parse_watch("\xfa\x01\x01x").ok());  // a field of a later version
}

}  // namespace
}  // namespace keles::etcd
