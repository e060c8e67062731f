// The service etcdserverpb.KV over Mvcc: ranges, writes and transactions as etcd answers them.
//
// One loop's thread. Answers are encoded messages; errors have etcd's texts (errors.h).
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "etcd/lessor.h"
#include "etcd/mvcc.h"
#include "etcd/requests.h"

namespace keles::etcdserver {

class Kv {
 public:
  struct Options {
    Options() = default;
    size_t max_operations = 128;  // of a transaction
    size_t max_request = 1'572'864;
    // kTooManyRequests ("no space") or OK: asked before anything is added.
    std::function<Status()> room;
  };
  using HeaderOf = std::function<std::string(int64_t revision)>;
  Kv(Loop& loop, Mvcc& mvcc, const Lessor& lessor, Options options, HeaderOf header)
      : loop_(loop),
        mvcc_(mvcc),
        lessor_(lessor),
        options_(std::move(options)),
        header_(std::move(header)) {}
  Kv(const Kv&) = delete;

  // Decided at once; the answer is given when it is durable (Mvcc::settled()).
  Result<std::string> put(const std::string& message);
  Result<std::string> remove(const std::string& message);
  Result<std::string> transaction(const std::string& message);
  // Answers when what it tells is durable, and, when the compaction is to be physical, done.
  Task<Result<std::string>> range(Context ctx, std::string message);
  Task<Result<std::string>> compact(Context ctx, std::string message);

 private:
  // What a range answers with but for the values.
  struct Listed {
    std::vector<std::pair<std::string, Version>> found;
    int64_t count = 0;
    bool more = false, keys_only = false;
  };
  using Path = std::vector<bool>;  // of a transaction and those inside it: which branch

  Status check(const RangeRequest& r) const;
  Status check(const PutRequest& r) const;
  Status check(const TxnRequest& r) const;
  bool holds(const Compare& c) const;
  bool holds(const Compare& c, const Version* v) const;
  void decide(const TxnRequest& r, Path& path) const;
  Status possible(const PutRequest& r) const;
  Status possible(const TxnRequest& r, const Path& path, size_t& at) const;
  bool adds(const TxnRequest& r, const Path& path, size_t& at) const;

  Result<Listed> list(const std::string& message) const;
  Result<Listed> list(const RangeRequest& r, int64_t now) const;
  Status sort_by_value(Listed& l, bool down) const;
  // The message but for its header: the key-values of a stretch, then what follows them.
  Status append(const Listed& l, size_t from, size_t to, std::string& out) const;
  static void append_end(const Listed& l, std::string& out);
  Result<std::string> put_in(Mvcc::Write& w, const PutRequest& r);
  Result<std::string> remove_in(Mvcc::Write& w, const DeleteRequest& r);
  Result<std::string> carry_out(Mvcc::Write& w, const TxnRequest& r, const Path& path, size_t& at);

  Loop& loop_;
  Mvcc& mvcc_;
  const Lessor& lessor_;
  const Options options_;
  const HeaderOf header_;
};

}  // namespace keles::etcdserver
