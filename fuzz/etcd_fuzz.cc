// Arbitrary bytes as answers of etcd, as requests to one and as what one has stored; arbitrary text
// as a list of its members and as a definition in v1beta1. What is read of a message lies in it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "etcd/records.h"
#include "etcd/requests.h"
#include "machinery/codec_json.h"
#include "machinery/older_versions.h"
#include "net/http.h"
#include "seeds.h"
#include "store/etcd/client.h"
#include "store/etcd/messages.h"

namespace {
void lies_in(std::string_view part, std::string_view whole) {
  if (part.empty()) return;
  if (part.data() < whole.data() || part.data() + part.size() > whole.data() + whole.size())
    std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles;
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  if (auto r = etcd::parse_range(in); r.ok()) {
    for (const auto& kv : r->kvs) lies_in(kv.key, in), lies_in(kv.value, in);
  }
  if (auto r = etcd::parse_write(in); r.ok()) {
    for (const auto& kv : r->there) lies_in(kv.key, in), lies_in(kv.value, in);
  }
  if (auto r = etcd::parse_watch(in); r.ok()) {
    lies_in(r->cancel_reason, in);
    for (const auto& e : r->events) lies_in(e.kv.key, in), lies_in(e.kv.value, in);
  }
  if (auto r = etcdserver::parse_range(in); r.ok())
    lies_in(r->keys.from, in), lies_in(r->keys.to, in);
  if (auto r = etcdserver::parse_put(in); r.ok()) lies_in(r->key, in), lies_in(r->value, in);
  if (auto r = etcdserver::parse_delete(in); r.ok()) lies_in(r->keys.from, in);
  if (auto r = etcdserver::parse_watch(in); r.ok()) lies_in(r->keys.from, in);
  if (auto r = etcdserver::parse_txn(in); r.ok()) {
    for (const auto& c : r->compare) lies_in(c.keys.from, in), lies_in(c.value, in);
    for (const auto& op : r->success) lies_in(op.put.value, in), lies_in(op.remove.keys.from, in);
  }
  if (auto kv = etcdserver::decode(in); kv.ok()) {
    lies_in(kv->key, in), lies_in(kv->value, in);
    auto again = etcdserver::decode(etcdserver::encode(*kv));
    if (!again.ok() || again->lease != kv->lease) std::abort();
  }
  (void)etcdserver::decode_lease_ttl(in);
  if (auto at = etcdserver::parse_revision_key(in);
      at && etcdserver::revision_key(at->at, at->deleted) != in)
    std::abort();
  if (auto r = etcd::parse_members({std::string(in)}, net::ClientTls()); r.ok()) {
    if (r->size() != 1 || r->front().host.empty() || r->front().port == 0) std::abort();
  }
  if (auto doc = parse_json(in); doc.ok() && doc->root.is_map()) {
    to_served_version(*doc);
    (void)to_json(doc->root);
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "\x0a\x08\x10\x02\x1a\x01k\x30\x05\x12\x08\x12\x06\x0a\x01k\x12\x01v\x1a\x05\x0a\x03\x0a\x01"
      "k",
      "\x0a\x0b\x0a\x01a\x12\x01z\x18\x07\x2a\x01\x01",
      "\x0a\x02\x18\x07\x12\x0a\x0a\x01k\x10\x02\x18\x03\x2a\x01v",
      "\x0a\x02\x18\x07\x10\x01\x1a\x0b\x1a\x09\x1a\x07\x0a\x01k\x2a\x02vv",
      "\x18\x01\x5a\x0a\x08\x01\x12\x06\x0a\x01k\x18\x09\x20\x01",
      "https://[::1]:2379/",
      R"({"spec":{"version":"v1","validation":{},"conversion":{"webhookClientConfig":{}}}})"};
}
