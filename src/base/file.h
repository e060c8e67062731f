// Small files and directories. Blocking: on a loop only for local files of modest size.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles {

// kNotFound when it is not there; kRequestEntityTooLarge above `max_bytes`.
Result<std::string> read_file(const std::string& path, size_t max_bytes = 64u << 20);
// Replaces the file in one step (temporary file, fsync when `durable`, rename).
Status write_file(const std::string& path, std::string_view content, int mode = 0644,
                  bool durable = false);
// Writes to a file that is there as it is, in one write: those of /proc and /sys.
Status write_in_place(const std::string& path, std::string_view content);
Status make_directories(const std::string& path, int mode = 0755);
// Removes a name that is no directory; absent is fine.
Status remove_file(const std::string& path);
// Removes a tree, following no link but those to its parent; refuses to cross a mount point (see
// remove_tree_beneath). Absent is fine.
Status remove_tree(const std::string& path);
// Names in a directory, sorted, without "." and "..".
Result<std::vector<std::string>> list_directory(const std::string& path);
bool path_exists(const std::string& path);

}  // namespace keles
