// Where an etcd member keeps its data: RocksDB in DIR/db, one writer thread, one fsync for all that
// was given together. What is written is in order and whole after a crash.
//
// DIR/lock is held meanwhile (store/rocks_directory.h).
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/status.h"
#include "store/rocks_directory.h"

namespace keles::etcdserver {

struct DiskWrite {
  std::string key;
  std::optional<std::string> value;  // none: the key goes
};

class Disk {
 public:
  struct Options {
    Options() = default;
    bool sync = true;  // false: a crash of the machine may lose what was acknowledged
  };
  // Made when absent. Blocking.
  static Result<std::unique_ptr<Disk>> open(const std::string& directory, Options options);
  ~Disk();
  Disk(const Disk&) = delete;

  // Any thread. Keys that start with `prefix`, from `from` on, until `fn` returns false.
  using Fn = std::function<bool(std::string_view key, std::string_view value)>;
  Status scan(std::string_view prefix, std::string_view from, const Fn& fn) const;
  // kNotFound.
  Result<std::string> get(std::string_view key) const;
  // The state of now, for a reader that takes its time; scans see it as long as it is held.
  using State = std::shared_ptr<const void>;
  State hold() const;
  Status scan_held(const State& state, std::string_view prefix, std::string_view from,
                   const Fn& fn) const;

  // `done` is called on the writer's thread, in the order of the calls.
  void write(std::vector<DiskWrite> batch, std::function<void(Status)> done);
  // Merges what is there, so that what was deleted gives its room back. Blocking.
  Status compact();
  // Bytes of the files, and of what is not deleted in them, as far as RocksDB knows.
  int64_t size() const;
  int64_t size_in_use() const;
  // Waits for the writes given so far.
  Status close();

 private:
  Disk(std::unique_ptr<DirectoryLock> lock, DatabasePtr db, Options options);
  void run();

  const Options options_;
  std::unique_ptr<DirectoryLock> lock_;
  DatabasePtr db_;
  std::mutex mutex_;
  std::condition_variable wake_;
  struct Job {
    std::vector<DiskWrite> batch;
    std::function<void(Status)> done;
  };
  std::vector<Job> jobs_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace keles::etcdserver
