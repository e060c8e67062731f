// What the local driver asks of its host: programs, mounts, copies that take their time. Blocking.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "base/beneath.h"
#include "base/status.h"

namespace keles::csi {

// Runs a program of the host, which has two minutes, and says how it ended. An error when it could
// not be run at all.
Result<int> run_for_exit(std::vector<std::string> argv);
// kInternalError unless it ends with 0.
Status run(std::vector<std::string> argv);

bool is_mounted(const std::string& path);
Status unmount(const std::string& path);

// Where `directory` or something below it is bind-mounted in this thread's mount namespace.
struct BoundAt {
  std::string path;
  bool read_only = false;
};
Result<std::vector<BoundAt>> bound_at(const std::string& directory);

// The options of mount(8): those that are flags, and the rest, which the file system reads.
struct MountOptions {
  unsigned long flags = 0;
  std::string data;
};
MountOptions mount_options(const std::vector<std::string>& options);

// A place that nobody else copies to or from, for as long as it lives (flock). The lock is its
// descriptor's: a program that inherits it holds it too, whatever becomes of this process.
// kUnavailable while somebody does.
Result<Fd> hold_place(const std::string& directory);

// Copies that go on while nobody waits for them.
class Copies {
 public:
  // Copies `from`/`what` to `to`/`what`, as hold_place(from) and hold_place(to). Waits a second;
  // kUnavailable when it is still going on: asked again, it says how that ended. Both hold until
  // the copy has ended, and nothing of it is found when it failed.
  Status copy(const std::string& from, const std::string& to, const std::string& what);
  // Whether a copy to `to` was begun and nobody has been told yet how it ended.
  bool begun(const std::string& to) const { return running_.contains(to); }
  // `to` is wanted no more (and holds nothing that is still being copied).
  void forget(const std::string& to);

 private:
  struct Job {
    pid_t pid = 0;
    std::string from;
  };
  std::map<std::string, Job> running_;  // by `to`
};

}  // namespace keles::csi
