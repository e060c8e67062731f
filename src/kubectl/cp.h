// How cp reads "[[NAMESPACE/]POD:]PATH" and what it does to paths.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::kubectl {

struct FileSpec {
  std::string ns, pod, file;  // pod "": a file of this machine
};
Result<FileSpec> parse_file_spec(std::string_view word);

// Go's path.Clean, path.Join (of cleaned parts), path.Dir and path.Base.
std::string clean_path(std::string_view path);
std::string join_path(std::string_view a, std::string_view b);
std::string path_directory(std::string_view path);
std::string path_base(std::string_view path);

// A path in a container, which may have been written in Windows' way.
std::string remote_path(std::string_view path);
// The path as a container's tar names it: without what leads above the root.
std::string archive_prefix(std::string_view remote);
// Where an entry lies below the target of a copy ("" is the target itself); an error (which says
// what it would have been) when it would lie outside.
Result<std::string> below_target(std::string_view target, std::string_view rest_of_name);

}  // namespace keles::kubectl
