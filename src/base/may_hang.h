// Blocking calls that may never return: into a file system whose server is gone. They get threads
// of their own, so that the pool (base/task.h) stays for everybody else, and whoever waits for one
// waits no longer than his Context. What is called goes on then, and until it has come back another
// call of the same key is refused at once: a dead server holds one thread for each volume of it,
// and no more than `most` in all.
//
// Any loop's thread. What `fn` uses it owns: it may outlive whoever called.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/context.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"

namespace keles {

class MayHang {
 public:
  explicit MayHang(size_t most = 128) : shared_(std::make_shared<Shared>()) {
    shared_->most = most;
  }

  // The result of `fn`, which is a Result or a Status; ctx's status, or kUnavailable while an
  // earlier call of `key` hangs or too many do.
  template <class T>
  Task<T> run(Context ctx, std::string key, std::function<T()> fn) {
    auto call = std::make_shared<Call<T>>();
    call->fn = std::move(fn);
    Status s = begin(ctx, key, call);
    if (!s.ok()) co_return s;
    s = co_await call->done.wait(ctx);
    std::optional<T> result = call->take();  // it may have come just now
    if (!result) co_return s;
    co_return std::move(*result);
  }
  // Under way, or hanging.
  size_t running() const;

 private:
  struct Shared {
    std::mutex mutex;
    size_t most = 0;
    std::set<std::string> keys;
  };
  struct Work {
    virtual ~Work() = default;
    virtual void carry_out() = 0;
    // Calls `tell` unless nobody waits any more.
    virtual void finish(const std::function<void()>& tell) = 0;
    Event done;
  };
  template <class T>
  struct Call final : Work {
    std::function<T()> fn;
    std::optional<T> fresh, result;
    std::mutex mutex;
    bool given_up = false;
    void carry_out() override {
      fresh.emplace(fn());
      fn = nullptr;
    }
    void finish(const std::function<void()>& tell) override {
      std::lock_guard lock(mutex);
      if (given_up) return;
      result = std::move(fresh);
      tell();
    }
    std::optional<T> take() {
      std::lock_guard lock(mutex);
      given_up = true;
      return std::move(result);
    }
  };
  Status begin(const Context& ctx, const std::string& key, std::shared_ptr<Work> work);

  std::shared_ptr<Shared> shared_;
};

}  // namespace keles
