// For tests: a backend that several replicas share, as they will share an etcd: a server of its own
// in virtual time, which judges and numbers what all of them commit. A commit's answer and the
// stream of changes take different times on the way, so that either may come first; a stream can be
// cut, and begins anew with the whole state.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "base/random.h"
#include "store/backend.h"

namespace keles::store_test {

// Outlives its backends.
class SharedServer {
 public:
  explicit SharedServer(Loop& loop) : loop_(loop) {}

  Committed carry_out(Transaction& t) {
    using enum Committed::Verdict;
    auto at = state_.find(t.key);
    const bool there = at != state_.end();
    if (t.condition == Transaction::If::kAbsent && there) return {kExists, revision_, nullptr};
    if (t.condition != Transaction::If::kAbsent && !there) return {kMissing, revision_, nullptr};
    if (t.condition == Transaction::If::kRevision && at->second.revision != t.revision)
      return {kChanged, revision_, nullptr};
    Bytes previous = there ? at->second.stored : nullptr;
    put(t.key, std::move(t.stored));
    return {kDone, revision_, std::move(previous)};
  }
  // What a stranger writes: nobody here has checked it. Null: deletes.
  void put(const std::string& key, Bytes stored) {
    auto at = state_.find(key);
    Change c;
    c.key = std::make_shared<const std::string>(key);
    c.stored = std::move(stored);
    c.revision = ++revision_;
    c.create_revision = at == state_.end() ? revision_ : at->second.create_revision;
    c.version = at == state_.end() ? 1 : at->second.version + 1;
    if (c.stored) {
      state_[key] = c;
    } else {
      state_.erase(key);
    }
    for (auto* stream : streams_) stream->tell({c});
  }
  Contents contents() const {
    Contents out;
    for (const auto& [key, change] : state_) out.records.push_back(change);
    out.revision = revision_;
    return out;
  }
  int64_t revision() const { return revision_; }
  Duration way() { return Duration(loop_.random().between(10'000, 2'000'000)); }
  Loop& loop() { return loop_; }

  // One follower's stream: in order, each message after some time.
  class Stream {
   public:
    explicit Stream(SharedServer& server) : server_(server) {}
    ~Stream() {
      std::erase(server_.streams_, this);
      if (timer_ != 0) server_.loop_.cancel(timer_);
    }
    Stream(const Stream&) = delete;
    void open(Follower& follower) {
      follower_ = &follower;
      follower.restart(server_.contents());
      server_.streams_.push_back(this);
    }
    void tell(std::vector<Change> changes) {
      waiting_.push_back(std::move(changes));
      if (!held_ && timer_ == 0) arm();
    }
    void hold(bool held) {
      held_ = held;
      if (!held_ && timer_ == 0 && !waiting_.empty()) arm();
    }
    void cut() {
      waiting_.clear();
      follower_->restart(server_.contents());
    }

   private:
    void arm() {
      timer_ = server_.loop_.schedule(server_.loop_.now() + server_.way(), [this] {
        timer_ = 0;
        if (held_ || waiting_.empty()) return;
        std::vector<Change> next = std::move(waiting_.front());
        waiting_.pop_front();
        const int64_t revision = next.back().revision;
        follower_->apply(std::move(next), revision);
        if (!waiting_.empty()) arm();
      });
    }
    SharedServer& server_;
    Follower* follower_ = nullptr;
    std::deque<std::vector<Change>> waiting_;
    TimerId timer_ = 0;
    bool held_ = false;
  };

 private:
  friend class Stream;
  Loop& loop_;
  std::map<std::string, Change> state_;
  std::vector<Stream*> streams_;
  int64_t revision_ = 1;
};

class SharedBackend final : public Backend {
 public:
  explicit SharedBackend(SharedServer& server) : server_(server), stream_(server) {}
  SharedServer::Stream& stream() { return stream_; }

  void watch(Follower& follower) override { stream_.open(follower); }

  Task<Result<Committed>> commit(Context ctx, Transaction t) override {
    if (closed_) co_return Status::unavailable("store is closed");
    if (ctx.done()) co_return ctx.status();
    Status there = co_await ctx.sleep(server_.way());
    if (!there.ok()) co_return there;
    Committed done = server_.carry_out(t);
    Status back = co_await ctx.sleep(server_.way());
    if (!back.ok()) co_return Status(Reason::kOutcomeUnknown, "the answer is lost");
    co_return done;
  }
  Task<Result<int64_t>> read(Context ctx) override {
    Status there = co_await ctx.sleep(server_.way());
    if (!there.ok()) co_return there;
    co_return server_.revision();
  }
  bool shared() const override { return true; }
  Status writable() const override { return Status(); }
  Task<Status> close(Context) override {
    closed_ = true;
    co_return Status();
  }

 private:
  SharedServer& server_;
  SharedServer::Stream stream_;
  bool closed_ = false;
};

}  // namespace keles::store_test
