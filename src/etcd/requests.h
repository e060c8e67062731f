// The requests that carry keys and values, as views into their message, which outlives them: bytes
// are neither copied nor put into words. Described in api/etcd, which a test holds them against.
// Pure functions, any thread. kBadRequest: the message cannot be read.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "etcd/key_index.h"

namespace keles::etcdserver {

struct RangeRequest {
  KeyRange keys;
  int64_t limit = 0, revision = 0;
  enum class Order : uint8_t { kNone, kAscend, kDescend };
  enum class Target : uint8_t { kKey, kVersion, kCreate, kMod, kValue };
  Order order = Order::kNone;
  Target target = Target::kKey;
  bool keys_only = false, count_only = false;
  int64_t min_mod = 0, max_mod = 0, min_create = 0, max_create = 0;
};

struct PutRequest {
  std::string_view key, value;
  int64_t lease = 0;
  bool previous = false, ignore_value = false, ignore_lease = false;
};

struct DeleteRequest {
  KeyRange keys;
  bool previous = false;
};

struct Compare {
  enum class Is : uint8_t { kEqual, kGreater, kLess, kNotEqual };
  enum class What : uint8_t { kVersion, kCreate, kMod, kValue, kLease };
  Is is = Is::kEqual;
  What what = What::kVersion;
  KeyRange keys;
  int64_t number = 0;
  std::string_view value;
};

struct TxnRequest;
struct Operation {
  enum class Kind : uint8_t { kNone, kRange, kPut, kDelete, kTxn };
  Kind kind = Kind::kNone;
  RangeRequest range;
  PutRequest put;
  DeleteRequest remove;
  std::shared_ptr<TxnRequest> txn;
};
struct TxnRequest {
  std::vector<Compare> compare;
  std::vector<Operation> success, failure;
  const std::vector<Operation>& branch(bool yes) const { return yes ? success : failure; }
};

struct WatchRequest {
  enum class Kind : uint8_t { kNone, kCreate, kCancel, kProgress };
  Kind kind = Kind::kNone;
  KeyRange keys;
  int64_t id = 0, start = 0;
  bool progress = false, previous = false, fragments = false, no_put = false, no_delete = false;
};

Result<RangeRequest> parse_range(std::string_view message);
Result<PutRequest> parse_put(std::string_view message);
Result<DeleteRequest> parse_delete(std::string_view message);
Result<TxnRequest> parse_txn(std::string_view message);
Result<WatchRequest> parse_watch(std::string_view message);

}  // namespace keles::etcdserver
