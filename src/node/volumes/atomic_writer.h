// Writes a set of files so that a reader sees all of the old or all of the new ones: they live in a
// directory of their own that the link "..data" points to, and only the link changes.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/status.h"

namespace keles::node {

struct ProjectedFile {
  std::string data;
  int mode = 0644;
  int64_t uid = -1;  // -1: root
  bool operator==(const ProjectedFile&) const = default;
};
// Path below the volume ("a", "dir/b") -> file.
using Payload = std::map<std::string, ProjectedFile>;

// Makes `directory` hold exactly `payload`. False when it already did.
Result<bool> write_payload(const std::string& directory, const Payload& payload);

// A path of a projection: relative, no "..", not beginning with "..".
bool valid_projected_path(std::string_view path);

}  // namespace keles::node
