// Backend: what makes writes durable and decides their order. It alone judges conditions and gives
// revisions; a Replica (replica.h) keeps its state in memory by following its stream of changes,
// and never decides anything itself. So a backend may as well be shared by several processes.
//
// Backends: LocalBackend (local_backend.h) over a disk of this process: RocksDB (rocks_log.h) or
// the simulated one (store/sim); an etcd cluster (store/etcd). The store's conformance suite also
// runs on one that is shared by several replicas and tells its changes late, in virtual time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/object.h"

namespace keles {

using KeyPtr = std::shared_ptr<const std::string>;

// What the committer of a change had prepared; a backend only hands it back.
struct Origin {
  virtual ~Origin() = default;
};

// One key's change, and, in Contents, one key's state. Revisions as etcd counts them:
// `create_revision` is that of the write that made the key, `version` the number of writes since
// then, itself included.
struct Change {
  KeyPtr key;
  Bytes stored;  // null: the key is deleted
  int64_t revision = 0;
  int64_t create_revision = 0;
  int64_t version = 0;
  // Of the transaction, when this process committed it and its answer is still to come; else null.
  std::shared_ptr<Origin> origin;
};

// What a backend cannot decode at all. Its key is taken: kAbsent does not hold for it.
struct DamagedRecord {
  std::string key, value, reason;
};

// A whole state, in key order.
struct Contents {
  std::vector<Change> records;
  std::vector<DamagedRecord> damaged;  // in no record
  int64_t revision = 1;                // as etcd, which starts at 1
  // Made with the store: tells it from another cluster's. "" while it could not be written.
  std::string identity;
  // Of a running store's: counts what is held in its budget, as long as it is held.
  std::shared_ptr<const void> held;
};

// Follows a backend's stream. Called by one thread at a time, never from inside commit's caller
// once it is suspended.
class Follower {
 public:
  virtual ~Follower() = default;
  // The whole state: at the beginning, and again when changes in between could not be told.
  virtual void restart(Contents contents) = 0;
  // What changed up to `revision`, in revision order, each change once; nothing else did. Perhaps
  // nothing.
  virtual void apply(std::vector<Change> changes, int64_t revision) = 0;
};

struct Transaction {
  enum class If : uint8_t {
    kAbsent,    // there is no such key
    kRevision,  // its last change is that of `revision`
    kPresent    // there is one, of whatever revision, readable or not
  };
  std::string key;
  If condition = If::kAbsent;
  int64_t revision = 0;
  Bytes stored;  // null: delete
  // Whoever commits it gains nothing from an answer within a few milliseconds: it may wait that
  // long for others to share what making it durable costs. A backend need not make use of it.
  bool patient = false;
  std::shared_ptr<Origin> origin;
};

struct Committed {
  enum class Verdict : uint8_t { kDone, kExists, kMissing, kChanged };
  Verdict verdict = Verdict::kDone;
  // Done: the change's. Else one at which the condition did not hold: who has followed to it sees
  // why.
  int64_t revision = 0;
  // Of a deletion that the stream has not told yet: what was there.
  Bytes previous;
};

// Threads: every member from any thread; coroutines resume on ctx.loop().
class Backend {
 public:
  virtual ~Backend() = default;  // the follower is not called after this
  // Once, before anything else: tells the follower the state, now or soon, then every change.
  virtual void watch(Follower& follower) = 0;
  // Durable when it answers. kOutcomeUnknown: it may or may not have been carried out; if it was,
  // the stream tells it. Other errors: it was not.
  virtual Task<Result<Committed>> commit(Context ctx, Transaction t) = 0;
  // A revision that is not before any write acknowledged until now, by whichever process.
  virtual Task<Result<int64_t>> read(Context ctx) = 0;
  // Whether others commit too, so that a replica may be behind what anybody was told. Never
  // changes.
  virtual bool shared() const { return false; }
  // OK, or why commits are refused for now.
  virtual Status writable() const = 0;
  // Lets what is under way end, flushes and stops; further commits fail.
  virtual Task<Status> close(Context ctx) = 0;
};

}  // namespace keles
