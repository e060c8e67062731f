#include "store/etcd/messages.h"

#include "machinery/codec_protobuf.h"
#include "machinery/wire_by_number.h"

namespace keles::etcd {
namespace {

using wire::each_field;
using wire::skip;
using wire::take;

Status damaged(std::string_view what) {
  return Status::internal("etcd: an answer that cannot be read (" + std::string(what) + ")");
}

bool read(std::string_view message, Header& out) {
  return each_field(message, [&out](uint32_t field, WireReader& r) {
    if (field == 1 && r.type() == 0) {
      out.cluster_id = r.varint();
      return true;
    }
    return field == 3 ? take(r, out.revision) : skip(r);
  });
}

bool read(std::string_view message, KeyValue& out) {
  return each_field(message, [&out](uint32_t field, WireReader& r) {
    switch (field) {
      case 1:
        return take(r, out.key);
      case 2:
        return take(r, out.create_revision);
      case 3:
        return take(r, out.mod_revision);
      case 4:
        return take(r, out.version);
      case 5:
        return take(r, out.value);
      case 6:
        return take(r, out.lease);
      default:
        return skip(r);
    }
  });
}

bool read(std::string_view message, WatchEvent& out) {
  return each_field(message, [&out](uint32_t field, WireReader& r) {
    if (field == 1) return take(r, out.deleted);
    std::string_view kv;
    return field == 2 ? take(r, kv) && read(kv, out.kv) : skip(r);
  });
}

template <class T>
bool read_into(WireReader& r, T& out) {
  std::string_view part;
  return take(r, part) && read(part, out);
}
template <class T>
bool read_into(WireReader& r, std::vector<T>& out) {
  return read_into(r, out.emplace_back());
}

// Of a transaction's answers: the key-values of a range (its field 2) or a deletion (its field 3).
bool read_operation(std::string_view message, std::vector<KeyValue>& out) {
  return each_field(message, [&out](uint32_t field, WireReader& r) {
    std::string_view answer;
    if (field != 1 && field != 3) return skip(r);
    const uint32_t kvs = field == 1 ? 2 : 3;
    return take(r, answer) && each_field(answer, [&](uint32_t inner, WireReader& i) {
             return inner == kvs ? read_into(i, out) : skip(i);
           });
  });
}

}  // namespace

std::string range_request(const RangeQuery& query) {
  std::string out;
  wire::put_bytes(out, 1, query.from);
  wire::put_bytes(out, 2, query.to);
  wire::put_int(out, 3, query.limit);
  wire::put_int(out, 4, query.revision);
  wire::put_int(out, 8, query.keys_only);
  wire::put_int(out, 9, query.count_only);
  return out;
}

std::string write_request(std::string_view key, Condition condition, const std::string* value,
                          int64_t lease) {
  std::string compare;
  wire::put_int(compare, 1, static_cast<int64_t>(condition.is));
  wire::put_int(compare, 2, static_cast<int64_t>(condition.what));
  wire::put_bytes(compare, 3, key);
  // One of several, which is there even as a zero; their numbers follow those of `what`.
  wire::put_number(compare, 4 + static_cast<uint32_t>(condition.what),
                   static_cast<uint64_t>(condition.value));

  std::string operation;
  wire::put_bytes(operation, 1, key);
  uint32_t kind = 3;  // a deletion
  if (value) {
    kind = 2;
    operation.reserve(key.size() + value->size() + 32);
    wire::put_bytes(operation, 2, *value);
    wire::put_int(operation, 3, lease);
  } else {
    wire::put_number(operation, 3, 1);  // prev_kv
  }
  std::string success, failure;
  append_bytes_field(success, kind, operation);
  std::string range;
  wire::put_bytes(range, 1, key);
  append_bytes_field(failure, 1, range);

  std::string out;
  out.reserve(compare.size() + success.size() + failure.size() + 32);
  append_bytes_field(out, 1, compare);
  append_bytes_field(out, 2, success);
  append_bytes_field(out, 3, failure);
  return out;
}

std::string watch_request(std::string_view from, std::string_view to, int64_t revision) {
  std::string create;
  wire::put_bytes(create, 1, from);
  wire::put_bytes(create, 2, to);
  wire::put_int(create, 3, revision);
  wire::put_number(create, 8, 1);  // fragment: an answer never exceeds what etcd takes as a request
  std::string out;
  append_bytes_field(out, 1, create);
  return out;
}

std::string compact_request(int64_t revision) {
  std::string out;
  wire::put_int(out, 1, revision);
  return out;
}

std::string lease_request(int64_t seconds) {
  std::string out;
  wire::put_int(out, 1, seconds);
  return out;
}

Result<RangeAnswer> parse_range(std::string_view message) {
  RangeAnswer out;
  const bool fine = each_field(message, [&out](uint32_t field, WireReader& r) {
    switch (field) {
      case 1:
        return read_into(r, out.header);
      case 2:
        return read_into(r, out.kvs);
      case 3:
        return take(r, out.more);
      case 4:
        return take(r, out.count);
      default:
        return skip(r);
    }
  });
  if (!fine) return damaged("range");
  return out;
}

Result<WriteAnswer> parse_write(std::string_view message) {
  WriteAnswer out;
  const bool fine = each_field(message, [&out](uint32_t field, WireReader& r) {
    std::string_view part;
    switch (field) {
      case 1:
        return read_into(r, out.header);
      case 2:
        return take(r, out.succeeded);
      case 3:
        return take(r, part) && read_operation(part, out.there);
      default:
        return skip(r);
    }
  });
  if (!fine) return damaged("transaction");
  return out;
}

Result<int64_t> parse_lease(std::string_view message) {
  int64_t id = 0;
  std::string_view error;
  const bool fine = each_field(message, [&](uint32_t field, WireReader& r) {
    if (field == 2) return take(r, id);
    return field == 4 ? take(r, error) : skip(r);
  });
  if (!fine || (id == 0 && error.empty())) return damaged("lease");
  if (!error.empty()) return Status::internal("etcd: " + std::string(error));
  return id;
}

Result<WatchAnswer> parse_watch(std::string_view message) {
  WatchAnswer out;
  const bool fine = each_field(message, [&out](uint32_t field, WireReader& r) {
    switch (field) {
      case 1:
        return read_into(r, out.header);
      case 3:
        return take(r, out.created);
      case 4:
        return take(r, out.canceled);
      case 5:
        return take(r, out.compact_revision);
      case 6:
        return take(r, out.cancel_reason);
      case 7:
        return take(r, out.fragment);
      case 11:
        return read_into(r, out.events);
      default:
        return skip(r);
    }
  });
  if (!fine) return damaged("watch");
  return out;
}

}  // namespace keles::etcd
