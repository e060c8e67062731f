#include "etcd/requests.h"

#include "machinery/wire_by_number.h"

namespace keles::etcdserver {
namespace {

constexpr int kDeepest = 16;  // transactions inside transactions

Status damaged() { return Status::bad_request("grpc: the message cannot be read"); }

using wire::each_field;
using wire::skip;
using wire::take;

// Values that are not known stand for the first.
template <class E>
bool take(WireReader& r, E& out, E last) {
  int64_t v = 0;
  if (!take(r, v)) return false;
  out = v >= 0 && v <= static_cast<int64_t>(last) ? static_cast<E>(v) : E();
  return true;
}

bool read(std::string_view message, RangeRequest& out) {
  return each_field(message, [&out](uint32_t field, WireReader& r) {
    switch (field) {
      case 1:
        return take(r, out.keys.from);
      case 2:
        return take(r, out.keys.to);
      case 3:
        return take(r, out.limit);
      case 4:
        return take(r, out.revision);
      case 5:
        return take(r, out.order, RangeRequest::Order::kDescend);
      case 6:
        return take(r, out.target, RangeRequest::Target::kValue);
      case 8:
        return take(r, out.keys_only);
      case 9:
        return take(r, out.count_only);
      case 10:
        return take(r, out.min_mod);
      case 11:
        return take(r, out.max_mod);
      case 12:
        return take(r, out.min_create);
      case 13:
        return take(r, out.max_create);
      default:
        return skip(r);
    }
  });
}

bool read(std::string_view message, PutRequest& out) {
  return each_field(message, [&out](uint32_t field, WireReader& r) {
    switch (field) {
      case 1:
        return take(r, out.key);
      case 2:
        return take(r, out.value);
      case 3:
        return take(r, out.lease);
      case 4:
        return take(r, out.previous);
      case 5:
        return take(r, out.ignore_value);
      case 6:
        return take(r, out.ignore_lease);
      default:
        return skip(r);
    }
  });
}

bool read(std::string_view message, DeleteRequest& out) {
  return each_field(message, [&out](uint32_t field, WireReader& r) {
    switch (field) {
      case 1:
        return take(r, out.keys.from);
      case 2:
        return take(r, out.keys.to);
      case 3:
        return take(r, out.previous);
      default:
        return skip(r);
    }
  });
}

bool read(std::string_view message, Compare& out) {
  return each_field(message, [&out](uint32_t field, WireReader& r) {
    switch (field) {
      case 1:
        return take(r, out.is, Compare::Is::kNotEqual);
      case 2:
        return take(r, out.what, Compare::What::kLease);
      case 3:
        return take(r, out.keys.from);
      case 4:
      case 5:
      case 6:
      case 8:
        return take(r, out.number);
      case 7:
        return take(r, out.value);
      case 64:
        return take(r, out.keys.to);
      default:
        return skip(r);
    }
  });
}

bool read(std::string_view message, TxnRequest& out, int depth);

bool read(std::string_view message, Operation& out, int depth) {
  return each_field(message, [&out, depth](uint32_t field, WireReader& r) {
    std::string_view part;
    if (field < 1 || field > 4) return skip(r);
    if (!take(r, part)) return false;
    out.kind = static_cast<Operation::Kind>(field);
    switch (out.kind) {
      case Operation::Kind::kRange:
        return read(part, out.range);
      case Operation::Kind::kPut:
        return read(part, out.put);
      case Operation::Kind::kDelete:
        return read(part, out.remove);
      default:
        out.txn = std::make_shared<TxnRequest>();
        return read(part, *out.txn, depth + 1);
    }
  });
}

bool read(std::string_view message, TxnRequest& out, int depth) {
  if (depth > kDeepest) return false;
  return each_field(message, [&out, depth](uint32_t field, WireReader& r) {
    std::string_view part;
    if (field < 1 || field > 3) return skip(r);
    if (!take(r, part)) return false;
    if (field == 1) return read(part, out.compare.emplace_back());
    return read(part, (field == 2 ? out.success : out.failure).emplace_back(), depth);
  });
}

bool read_create(std::string_view message, WatchRequest& out) {
  return each_field(message, [&out](uint32_t field, WireReader& r) {
    switch (field) {
      case 1:
        return take(r, out.keys.from);
      case 2:
        return take(r, out.keys.to);
      case 3:
        return take(r, out.start);
      case 4:
        return take(r, out.progress);
      case 5: {  // filters, one by one or packed
        auto add = [&out](uint64_t filter) {
          if (filter == 0) out.no_put = true;
          if (filter == 1) out.no_delete = true;
        };
        if (r.type() == 0) {
          add(r.varint());
          return true;
        }
        std::string_view packed;
        if (!take(r, packed)) return false;
        for (char c : packed) add(static_cast<unsigned char>(c));
        return true;
      }
      case 6:
        return take(r, out.previous);
      case 7:
        return take(r, out.id);
      case 8:
        return take(r, out.fragments);
      default:
        return skip(r);
    }
  });
}

bool read(std::string_view message, WatchRequest& out) {
  return each_field(message, [&out](uint32_t field, WireReader& r) {
    std::string_view part;
    if (field < 1 || field > 3) return skip(r);
    if (!take(r, part)) return false;
    out.kind = static_cast<WatchRequest::Kind>(field);
    if (out.kind == WatchRequest::Kind::kCreate) return read_create(part, out);
    if (out.kind == WatchRequest::Kind::kProgress) return true;
    return each_field(part, [&out](uint32_t inner, WireReader& i) {
      return inner == 1 ? take(i, out.id) : skip(i);
    });
  });
}

template <class T>
Result<T> parse(std::string_view message) {
  T out;
  if (!read(message, out)) return damaged();
  return out;
}

}  // namespace

Result<RangeRequest> parse_range(std::string_view message) { return parse<RangeRequest>(message); }
Result<PutRequest> parse_put(std::string_view message) { return parse<PutRequest>(message); }
Result<DeleteRequest> parse_delete(std::string_view message) {
  return parse<DeleteRequest>(message);
}
Result<WatchRequest> parse_watch(std::string_view message) { return parse<WatchRequest>(message); }
Result<TxnRequest> parse_txn(std::string_view message) {
  TxnRequest out;
  if (!read(message, out, 0)) return damaged();
  return out;
}

}  // namespace keles::etcdserver
