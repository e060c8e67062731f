#include "base/may_hang.h"

#include <system_error>
#include <thread>

namespace keles {

size_t MayHang::running() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->keys.size();
}

Status MayHang::begin(const Context& ctx, const std::string& key, std::shared_ptr<Work> work) {
  if (ctx.done()) return ctx.status();
  {
    std::lock_guard lock(shared_->mutex);
    if (shared_->keys.contains(key))
      return Status::unavailable("an earlier call has not come back: " + key);
    if (shared_->keys.size() >= shared_->most)
      return Status::unavailable(std::to_string(shared_->most) + " calls have not come back");
    shared_->keys.insert(key);
  }
  Loop* loop = &ctx.loop();
  try {
    std::thread([shared = shared_, key, work, loop]() mutable {
      work->carry_out();
      {
        std::lock_guard lock(shared->mutex);
        shared->keys.erase(key);
      }
      work->finish([&] { loop->post([work] { work->done.set(); }); });
    }).detach();
  } catch (const std::system_error& e) {
    std::lock_guard lock(shared_->mutex);
    shared_->keys.erase(key);
    return Status::unavailable(std::string("no thread can be made: ") + e.what());
  }
  return {};
}

}  // namespace keles
