// Of the same key one thing is done at a time. One loop; every wait takes a Context.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/sync.h"

namespace keles {

class KeyedLocks {
  struct Lock {
    Lock() : semaphore(1) {}
    Semaphore semaphore;
    int users = 0;
  };
  using Locks = std::map<std::string, std::shared_ptr<Lock>>;

 public:
  // Held as long as it lives; the KeyedLocks outlive it.
  class Hold {
   public:
    Hold(Locks& locks, std::string key)
        : locks_(locks), key_(std::move(key)), lock_(locks_[key_]) {}
    ~Hold() {
      lock_->semaphore.release();
      if (--lock_->users == 0) locks_.erase(key_);
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Locks& locks_;
    std::string key_;
    std::shared_ptr<Lock> lock_;
  };

  Task<Status> acquire(Context ctx, std::string key, std::unique_ptr<Hold>* out) {
    std::shared_ptr<Lock>& place = locks_[key];
    if (!place) place = std::make_shared<Lock>();
    const std::shared_ptr<Lock> lock = place;
    ++lock->users;
    Status s = co_await lock->semaphore.acquire(ctx);
    if (!s.ok()) {
      if (--lock->users == 0) locks_.erase(key);
      co_return s;
    }
    *out = std::make_unique<Hold>(locks_, key);
    co_return Status();
  }

 private:
  Locks locks_;
};

}  // namespace keles
