// The audit log: a file that is put aside when it has grown (NAME-2006-01-02T15-04-05.000.EXT, as
// upstream's are named), the old ones removed by age and number and, if wanted, compressed.
// Thread-safe: lines of several loops are written one after the other, each in one piece.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/status.h"
#include "server/audit/options.h"

namespace keles::audit {

class LogFile {
 public:
  // Makes the file (0600) and its directory (0700). Blocking.
  static Result<std::unique_ptr<LogFile>> open(const LogOptions& options);
  ~LogFile();
  LogFile(const LogFile&) = delete;

  // `line` ends in a newline. Blocking, for a short time: a write to a local file. An error says
  // that the line is not, or not wholly, in the log.
  Status write(std::string_view line, WallTime now);

  // Removes and compresses old files; write() has it done on the pool when one was put aside.
  static Status tidy(const LogOptions& options, WallTime now);

 private:
  explicit LogFile(LogOptions options) : options_(std::move(options)) {}
  Status reopen();
  Status put_aside(WallTime now);
  LogOptions options_;
  std::mutex mutex_;
  int fd_ = -1;
  int64_t size_ = 0;
  bool own_ = true;  // standard output is not
};

}  // namespace keles::audit
