// What an etcd member stores, and the parts of messages that are made of it. Keys of the disk, and
// the values under 'k', are etcd's own (mvccpb.KeyValue under revisions), so that a snapshot is
// etcd's, and so is the hash over it:
//   'k' main '_' sub ['t']   a key's state from that revision on; 't': it was deleted
//   'l' id                   leasepb.Lease
//   'm' name                 facts of the member: "compacted", "revision", "identity", "alarm"
// Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/wire_by_number.h"

namespace keles::etcdserver {

// A transaction's revision, and a change's place in it.
struct Revision {
  int64_t main = 0;
  int64_t sub = 0;
  friend auto operator<=>(const Revision&, const Revision&) = default;
};

// mvccpb.KeyValue
struct KeyValue {
  std::string_view key, value;
  int64_t create_revision = 0, mod_revision = 0, version = 0, lease = 0;
};
std::string encode(const KeyValue& kv);
Result<KeyValue> decode(std::string_view bytes);  // views into `bytes`

inline constexpr std::string_view kKeys = "k", kLeases = "l", kFacts = "m";
std::string revision_key(Revision at, bool deleted);  // with its 'k'
struct StoredRevision {
  Revision at;
  bool deleted = false;
};
std::optional<StoredRevision> parse_revision_key(std::string_view key);

std::string lease_key(int64_t id);
std::optional<int64_t> parse_lease_key(std::string_view key);
std::string encode_lease(int64_t id, int64_t ttl);
Result<int64_t> decode_lease_ttl(std::string_view bytes);

void put_big_endian(std::string& out, int64_t v);  // 8 bytes

using wire::put_bytes;
using wire::put_int;
// A message inside another; an empty one is there.
void put_message(std::string& out, uint32_t field, std::string_view v);

}  // namespace keles::etcdserver
