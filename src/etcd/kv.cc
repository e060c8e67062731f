#include "etcd/kv.h"

#include <algorithm>
#include <set>

#include "api/etcd_v3.h"
#include "etcd/errors.h"
#include "machinery/codec_protobuf.h"

namespace keles::etcdserver {
namespace {

constexpr size_t kPiece = 1000;  // values that are read in one turn of the loop

using Op = Operation::Kind;

std::string inner_header(int64_t revision) {
  std::string header, out;
  put_int(header, 3, revision);
  put_message(out, 1, header);
  return out;
}

bool compares(Compare::Is how, int order) {
  switch (how) {
    case Compare::Is::kNotEqual:
      return order != 0;
    case Compare::Is::kGreater:
      return order > 0;
    case Compare::Is::kLess:
      return order < 0;
    default:
      return order == 0;
  }
}
int order(int64_t a, int64_t b) { return a < b ? -1 : a > b ? 1 : 0; }

// What a branch puts and removes.
struct Touched {
  std::set<std::string_view> puts;
  std::vector<KeyRange> removed;
  // As etcd sees it: a range to the end of all keys is not looked at.
  bool removes(std::string_view key) const {
    return std::any_of(removed.begin(), removed.end(),
                       [key](const KeyRange& r) { return !r.open() && r.has(key); });
  }
};
// No key is put twice, or put and removed, by what may be carried out together.
Result<Touched> touched(const std::vector<Operation>& operations) {
  const Status twice = bad("duplicate key given in txn request");
  Touched all;
  for (const Operation& op : operations) {
    if (op.kind == Op::kDelete) all.removed.push_back(op.remove.keys);
  }
  for (const Operation& op : operations) {
    if (op.kind != Op::kTxn) continue;
    TRY_ASSIGN(yes, touched(op.txn->success));
    TRY_ASSIGN(no, touched(op.txn->failure));
    yes.puts.merge(no.puts);  // of two branches one is taken
    for (std::string_view key : yes.puts) {
      if (all.removes(key) || !all.puts.insert(key).second) return twice;
    }
    for (auto* branch : {&yes, &no})
      all.removed.insert(all.removed.end(), branch->removed.begin(), branch->removed.end());
  }
  for (const Operation& op : operations) {
    if (op.kind != Op::kPut) continue;
    if (all.removes(op.put.key) || !all.puts.insert(op.put.key).second) return twice;
  }
  return all;
}

}  // namespace

// --- what is refused before anything is decided ---

Status Kv::check(const RangeRequest& r) const {
  return r.keys.from.empty() ? bad("key is not provided") : Status();
}

Status Kv::check(const PutRequest& r) const {
  if (r.key.empty()) return bad("key is not provided");
  if (r.ignore_value && !r.value.empty()) return bad("value is provided");
  if (r.ignore_lease && r.lease != 0) return bad("lease is provided");
  return Status();
}

Status Kv::check(const TxnRequest& r) const {
  const size_t most = options_.max_operations;
  if (r.compare.size() > most || r.success.size() > most || r.failure.size() > most)
    return bad("too many operations in txn request");
  for (const Compare& c : r.compare) {
    if (c.keys.from.empty()) return bad("key is not provided");
  }
  for (const auto* operations : {&r.success, &r.failure}) {
    for (const Operation& op : *operations) {
      if (op.kind == Op::kRange) TRY(check(op.range));
      if (op.kind == Op::kPut) TRY(check(op.put));
      if (op.kind == Op::kDelete && op.remove.keys.from.empty()) return bad("key is not provided");
      if (op.kind == Op::kTxn) TRY(check(*op.txn));
    }
  }
  return Status();
}

// --- ranges ---

Result<Kv::Listed> Kv::list(const RangeRequest& r, int64_t now) const {
  using Target = RangeRequest::Target;
  const int64_t at = r.revision > 0 ? r.revision : now;
  if (at > now) return future_revision();
  if (at < mvcc_.compacted()) return compacted();
  Listed out;
  out.keys_only = r.keys_only;
  const bool down = r.order == RangeRequest::Order::kDescend;
  const bool sorted = r.target != Target::kKey || down;
  auto fits = [&r](const Version& v) {
    return v.at.main >= r.min_mod && v.create_revision >= r.min_create &&
           (r.max_mod == 0 || v.at.main <= r.max_mod) &&
           (r.max_create == 0 || v.create_revision <= r.max_create);
  };
  const size_t limit = r.limit > 0 ? static_cast<size_t>(r.limit) : SIZE_MAX;
  mvcc_.index().range(r.keys, at, [&](const KeyIndex::Found& f) {
    ++out.count;
    if (r.count_only || !fits(*f.version)) return true;
    if (!sorted && out.found.size() == limit) {
      out.more = true;
    } else {
      out.found.emplace_back(f.key, *f.version);
    }
    return true;
  });
  if (!sorted) return out;
  if (r.target == Target::kValue) {
    TRY(sort_by_value(out, down));
  } else {
    auto figure = [&r](const Version& v) {
      return r.target == Target::kVersion  ? v.version
             : r.target == Target::kCreate ? v.create_revision
             : r.target == Target::kMod    ? v.at.main
                                           : int64_t{0};
    };
    std::stable_sort(out.found.begin(), out.found.end(), [&](const auto& a, const auto& b) {
      return down ? figure(b.second) < figure(a.second) : figure(a.second) < figure(b.second);
    });
  }
  if (down && r.target == Target::kKey) std::reverse(out.found.begin(), out.found.end());
  out.more = out.found.size() > limit;
  if (out.more) out.found.resize(limit);
  return out;
}

Status Kv::sort_by_value(Listed& l, bool down) const {
  std::vector<std::pair<std::string, size_t>> by_value;
  for (size_t i = 0; i < l.found.size(); ++i) {
    TRY_ASSIGN(bytes, mvcc_.stored(l.found[i].second.at));
    TRY_ASSIGN(kv, decode(bytes));
    by_value.emplace_back(std::string(kv.value), i);
  }
  std::stable_sort(by_value.begin(), by_value.end(), [down](const auto& a, const auto& b) {
    return down ? b.first < a.first : a.first < b.first;
  });
  decltype(l.found) in_order;
  for (const auto& [value, i] : by_value) in_order.push_back(std::move(l.found[i]));
  l.found = std::move(in_order);
  return Status();
}

Status Kv::append(const Listed& l, size_t from, size_t to, std::string& out) const {
  for (size_t i = from; i < std::min(to, l.found.size()); ++i) {
    const auto& [key, v] = l.found[i];
    if (l.keys_only) {
      KeyValue kv;
      kv.key = key;
      kv.create_revision = v.create_revision;
      kv.mod_revision = v.at.main;
      kv.version = v.version;
      kv.lease = v.lease;
      put_message(out, 2, encode(kv));
    } else {
      TRY_ASSIGN(stored, mvcc_.stored(v.at));
      put_message(out, 2, stored);
    }
  }
  return Status();
}
void Kv::append_end(const Listed& l, std::string& out) {
  put_int(out, 3, l.more ? 1 : 0);
  put_int(out, 4, l.count);
}

Result<Kv::Listed> Kv::list(const std::string& message) const {
  TRY_ASSIGN(r, parse_range(message));
  TRY(check(r));
  return list(r, mvcc_.revision());
}

Task<Result<std::string>> Kv::range(Context ctx, std::string message) {
  Mvcc::Reading reading(mvcc_);
  auto listed = list(message);
  if (!listed.ok()) co_return listed.status();
  std::string out = header_(mvcc_.revision());
  TRY_CO(mvcc_.settled(ctx));
  for (size_t i = 0; i < listed->found.size(); i += kPiece) {
    if (i != 0) co_await yield_to(loop_);
    Status s = ctx.status();
    if (s.ok()) s = append(*listed, i, i + kPiece, out);
    if (!s.ok()) co_return s;
  }
  append_end(*listed, out);
  co_return out;
}

// --- writes ---

Status Kv::possible(const PutRequest& r) const {
  const Version* there = mvcc_.index().newest(r.key);
  if ((r.ignore_value || r.ignore_lease) && (!there || there->deleted()))
    return bad("key not found");
  if (r.lease != 0 && !lessor_.has(r.lease)) return no_lease();
  return Status();
}

Result<std::string> Kv::put_in(Mvcc::Write& w, const PutRequest& r) {
  const Version* there = mvcc_.index().newest(r.key);
  const bool has = there && !there->deleted();
  std::string previous;
  if (has && (r.previous || r.ignore_value)) {
    TRY_ASSIGN(stored, mvcc_.stored(there->at));
    previous = std::move(stored);
  }
  std::string kept;
  if (has && r.ignore_value) {
    TRY_ASSIGN(kv, decode(previous));
    kept = kv.value;
  }
  const int64_t lease = r.ignore_lease && has ? there->lease : r.lease;
  w.put(r.key, r.ignore_value ? std::string_view(kept) : r.value, lease);
  std::string out;
  if (r.previous && has) put_message(out, 2, previous);
  return out;
}

Result<std::string> Kv::remove_in(Mvcc::Write& w, const DeleteRequest& r) {
  std::string previous;
  if (r.previous) {
    Status broken;
    mvcc_.index().range(r.keys, mvcc_.revision() + 1, [&](const KeyIndex::Found& f) {
      auto stored = mvcc_.stored(f.version->at);
      if (!stored.ok()) broken = stored.status();
      if (stored.ok()) put_message(previous, 3, *stored);
      return broken.ok();
    });
    TRY(broken);
  }
  std::string out;
  put_int(out, 2, w.remove(r.keys));
  out += previous;
  return out;
}

Result<std::string> Kv::put(const std::string& message) {
  TRY_ASSIGN(r, parse_put(message));
  TRY(check(r));
  if (message.size() > options_.max_request) return bad("request is too large");
  TRY(possible(r));
  if (options_.room) TRY(options_.room());
  Mvcc::Write w(mvcc_);
  auto answer = put_in(w, r);
  w.end();
  if (!answer.ok()) return answer.status();
  return header_(mvcc_.revision()) + *answer;
}

Result<std::string> Kv::remove(const std::string& message) {
  TRY_ASSIGN(r, parse_delete(message));
  if (r.keys.from.empty()) return bad("key is not provided");
  Mvcc::Write w(mvcc_);
  auto answer = remove_in(w, r);
  w.end();
  if (!answer.ok()) return answer.status();
  return header_(mvcc_.revision()) + *answer;
}

// --- transactions ---

bool Kv::holds(const Compare& c, const Version* v) const {
  static const Version kNone;
  const Version& x = v ? *v : kNone;
  switch (c.what) {
    case Compare::What::kCreate:
      return compares(c.is, order(x.create_revision, c.number));
    case Compare::What::kMod:
      return compares(c.is, order(x.at.main, c.number));
    case Compare::What::kLease:
      return compares(c.is, order(x.lease, c.number));
    case Compare::What::kValue: {
      if (!v) return false;  // what is not there has no value
      auto stored = mvcc_.stored(x.at);
      if (!stored.ok()) return false;
      auto kv = decode(*stored);
      return kv.ok() && compares(c.is, kv->value.compare(c.value));
    }
    default:
      return compares(c.is, order(x.version, c.number));
  }
}

bool Kv::holds(const Compare& c) const {
  bool all = true, any = false;
  mvcc_.index().range(c.keys, mvcc_.revision(), [&](const KeyIndex::Found& f) {
    any = true;
    all = holds(c, f.version);
    return all;
  });
  return any ? all : holds(c, nullptr);
}

// All comparisons before anything is done.
void Kv::decide(const TxnRequest& r, Path& path) const {
  bool yes = true;
  for (const Compare& c : r.compare) yes = yes && holds(c);
  path.push_back(yes);
  for (const Operation& op : r.branch(yes)) {
    if (op.kind == Op::kTxn) decide(*op.txn, path);
  }
}

Status Kv::possible(const TxnRequest& r, const Path& path, size_t& at) const {
  const bool yes = path[at++];
  for (const Operation& op : r.branch(yes)) {
    if (op.kind == Op::kPut) TRY(possible(op.put));
    if (op.kind == Op::kRange) {
      const int64_t asked = op.range.revision;
      if (asked > mvcc_.revision()) return future_revision();
      if (asked > 0 && asked < mvcc_.compacted()) return compacted();
    }
    if (op.kind == Op::kTxn) TRY(possible(*op.txn, path, at));
  }
  return Status();
}

bool Kv::adds(const TxnRequest& r, const Path& path, size_t& at) const {
  const bool yes = path[at++];
  bool out = false;
  for (const Operation& op : r.branch(yes)) {
    if (op.kind == Op::kPut) out = true;
    if (op.kind == Op::kTxn && adds(*op.txn, path, at)) out = true;
  }
  return out;
}

Result<std::string> Kv::carry_out(Mvcc::Write& w, const TxnRequest& r, const Path& path,
                                  size_t& at) {
  const bool yes = path[at++];
  std::string out;
  put_int(out, 2, yes ? 1 : 0);
  for (const Operation& op : r.branch(yes)) {
    std::string answer;
    uint32_t kind = 0;
    if (op.kind == Op::kRange) {
      TRY_ASSIGN(listed, list(op.range, w.revision()));
      answer = inner_header(w.revision());
      TRY(append(listed, 0, SIZE_MAX, answer));
      append_end(listed, answer);
      kind = 1;
    } else if (op.kind == Op::kPut) {
      TRY_ASSIGN(put, put_in(w, op.put));
      answer = inner_header(w.revision()) + put;
      kind = 2;
    } else if (op.kind == Op::kDelete) {
      TRY_ASSIGN(removed, remove_in(w, op.remove));
      answer = inner_header(w.revision()) + removed;
      kind = 3;
    } else if (op.kind == Op::kTxn) {
      TRY_ASSIGN(inner, carry_out(w, *op.txn, path, at));
      answer = inner_header(0) + inner;
      kind = 4;
    }
    std::string operation;
    if (kind != 0) put_message(operation, kind, answer);
    put_message(out, 3, operation);
  }
  return out;
}

Result<std::string> Kv::transaction(const std::string& message) {
  TRY_ASSIGN(r, parse_txn(message));
  TRY(check(r));
  if (message.size() > options_.max_request) return bad("request is too large");
  for (const auto* operations : {&r.success, &r.failure}) {
    auto each = touched(*operations);
    if (!each.ok()) return each.status();
  }
  Path path;
  decide(r, path);
  size_t at = 0;
  TRY(possible(r, path, at));
  at = 0;
  if (options_.room && adds(r, path, at)) TRY(options_.room());
  at = 0;
  Mvcc::Write w(mvcc_);
  auto answer = carry_out(w, r, path, at);
  w.end();
  if (!answer.ok()) return answer.status();
  return header_(mvcc_.revision()) + *answer;
}

Task<Result<std::string>> Kv::compact(Context ctx, std::string message) {
  auto doc = decode_protobuf(api::etcd_v3::CompactionRequest::descriptor(), message);
  if (!doc.ok()) co_return Status::bad_request("grpc: " + doc.status().message());
  const api::etcd_v3::CompactionRequest r(doc->root);
  Status s = mvcc_.compact(r.revision());
  if (!s.ok()) co_return s;
  std::string out = header_(mvcc_.revision());
  TRY_CO(mvcc_.settled(ctx));
  if (r.physical()) TRY_CO(mvcc_.swept(ctx));
  co_return out;
}

}  // namespace keles::etcdserver
