#include "machines/live_certificates.h"

#include <sys/stat.h>

#include "base/log.h"
#include "base/loop.h"

namespace keles::machines {
namespace {

constexpr Duration kLook = 2s, kRenew = 1h;

}  // namespace

std::string file_stamp(const std::vector<std::string>& files) {
  std::string out;
  for (const std::string& f : files) {
    struct stat s {};
    if (::stat(f.c_str(), &s) == 0)
      out += std::to_string(s.st_ino) + "-" + std::to_string(s.st_size) + "-" +
             std::to_string(s.st_mtim.tv_sec) + "." + std::to_string(s.st_mtim.tv_nsec);
    out += "/";
  }
  return out;
}

Task<void> keep_certificates(Context ctx, std::vector<std::string> files,
                             std::function<Status()> take) {
  std::string taken = file_stamp(files), failed;
  TimePoint next = ctx.loop().now() + kRenew;
  const Duration every = files.empty() ? kRenew : kLook;
  for (;;) {
    Status s = co_await ctx.sleep(every);
    if (!s.ok()) co_return;
    // Before they are read: what is written meanwhile is seen at the next look.
    std::string stamp = file_stamp(files);
    if (stamp == taken && ctx.loop().now() < next) continue;
    Status got = take();
    next = ctx.loop().now() + kRenew;
    if (got.ok()) {
      taken = file_stamp(files) == stamp ? stamp : std::string();
      failed.clear();
    } else if (failed != got.message()) {  // once
      failed = got.message();
      log::error("Certificates stay as they were", {{"error", got}});
    }
  }
}

}  // namespace keles::machines
