// Container logs in the CRI format: `<RFC 3339 nanoseconds> <stdout|stderr> <P|F> <text>`, one
// entry a line; P is a part of a line, F its end
// (https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md).
//
// A log is <logs>/<pod>/<container>/<n>.log. Containers can be given <logs> to write in (whoever
// ships logs is): its last three names are reached by descriptor and are never links, and only a
// regular file is read, so that `kubectl logs` shows logs and nothing else of the node.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles::node {

struct LogEntry {
  std::string_view timestamp;
  bool is_stderr = false;
  bool partial = false;
  std::string_view text;  // without the newline
};
// `line` without its newline.
std::optional<LogEntry> parse_log_entry(std::string_view line);

struct LogOptions {
  bool follow = false, timestamps = false;
  std::optional<int64_t> tail_lines;
  int64_t limit_bytes = -1;  // -1: all
  std::string since;         // RFC 3339 with nanoseconds, UTC; "" = from the start
  std::string stream;        // "Stdout", "Stderr"; "" or "All" = both
};

// Turns CRI entries into what `kubectl logs` shows. Feed whole lines; stops taking once the limit
// is reached.
class LogFilter {
 public:
  explicit LogFilter(LogOptions options)
      : options_(std::move(options)), left_(options_.limit_bytes) {}
  // Appends to `out`. False once the byte limit is reached.
  bool line(std::string_view line, std::string& out);

 private:
  LogOptions options_;
  int64_t left_;
  bool in_line_[2] = {false, false};
};

// The offset in `path` at which the last `lines` lines begin. Reads backwards.
Result<int64_t> tail_offset(const std::string& path, int64_t lines);

// Reads the log and, when following, what comes until `running` answers false and all is read, or
// ctx ends. `sink` takes the pieces. Survives rotation of the file.
Task<Status> read_log(Context ctx, std::string path, LogOptions options,
                      std::function<Task<Status>(std::string)> sink, std::function<bool()> running);

// Rotates path -> path.<time>, keeping `keep` files in all, when it is larger than `max_bytes`.
// True when it did: the runtime must then reopen the log.
Result<bool> rotate_log(const std::string& path, int64_t max_bytes, int keep,
                        const std::string& time);
// What the last `lines` lines say, at most the last `max_bytes`; "" when there are none.
std::string last_log_lines(const std::string& path, int64_t lines, size_t max_bytes);
// Absent is fine.
Status remove_log(const std::string& path);
// <logs>/<below>, "<pod>/<container>".
Status make_log_directory(const std::string& logs, const std::string& below);

}  // namespace keles::node
