// The few messages of etcd's v3 protocol (etcdserverpb, described in api/etcd) that a store says
// and hears for each write and each change, by field number, so that a stored value is copied once
// and never put into words. A test holds them against the description. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles::etcd {

// --- requests ---

// Keys from `from` to `to` ("" : `from` alone; "\0": to the end). revision 0: the newest state.
struct RangeQuery {
  std::string_view from, to;
  int64_t limit = 0, revision = 0;
  bool keys_only = false, count_only = false;
};
std::string range_request(const RangeQuery& query);

// What a key must be for a transaction to be carried out: its `what` equals `value`.
struct Condition {
  enum class What : uint8_t { kVersion = 0, kCreateRevision = 1, kModRevision = 2 };
  enum class Is : uint8_t { kEqual = 0, kGreater = 1 };
  What what = What::kVersion;
  Is is = Is::kEqual;
  int64_t value = 0;
};
// On one key: if `condition` holds, `value` is put (null: the key is deleted and what was there is
// told); else what is there is told.
std::string write_request(std::string_view key, Condition condition, const std::string* value,
                          int64_t lease = 0);

// Changes of keys from `from` to `to`, from `revision` on.
std::string watch_request(std::string_view from, std::string_view to, int64_t revision);

std::string compact_request(int64_t revision);

// A lease of etcd's own choice of number.
std::string lease_request(int64_t seconds);

// --- answers: views into the message, which outlives them ---

struct Header {
  uint64_t cluster_id = 0;
  int64_t revision = 0;
};

struct KeyValue {
  std::string_view key, value;
  int64_t create_revision = 0, mod_revision = 0, version = 0, lease = 0;
};

struct RangeAnswer {
  Header header;
  std::vector<KeyValue> kvs;
  bool more = false;
  int64_t count = 0;
};
Result<RangeAnswer> parse_range(std::string_view message);

struct WriteAnswer {
  Header header;
  bool succeeded = false;
  std::vector<KeyValue> there;  // what was deleted, or what was there instead
};
Result<WriteAnswer> parse_write(std::string_view message);

// The granted lease's number.
Result<int64_t> parse_lease(std::string_view message);

struct WatchEvent {
  bool deleted = false;
  KeyValue kv;
};
struct WatchAnswer {
  Header header;
  bool created = false, canceled = false;
  int64_t compact_revision = 0;  // not 0: what was asked for is gone
  std::string_view cancel_reason;
  bool fragment = false;  // more of the same revision follows
  std::vector<WatchEvent> events;
};
Result<WatchAnswer> parse_watch(std::string_view message);

}  // namespace keles::etcd
