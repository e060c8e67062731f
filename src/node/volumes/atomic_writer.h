// Writes a set of files so that a reader sees all of the old or all of the new ones: they live in a
// directory of their own ("..1", "..2", ...) that the link "..data" points to, and only the link
// changes; "a" is a link to "..data/a".
//
// What it finds in the directory is trusted only where its name and form are those that it makes
// itself, and is reached by descriptor: whoever can write there can spoil the volume's content,
// never lead the writer elsewhere.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/beneath.h"
#include "base/status.h"

namespace keles::node {

struct ProjectedFile {
  std::string data;
  int mode = 0644;
  int64_t uid = -1;  // -1: the agent's own, root
  bool operator==(const ProjectedFile&) const = default;
};
// Path below the volume ("a", "dir/b") -> file.
using Payload = std::map<std::string, ProjectedFile>;

// Makes `directory` hold exactly `payload`. With `group` (a pod's fsGroup) everything belongs to it
// and can be read by it. False when nothing had to be written. Directories that others have put
// beside the links (mount points) stay.
Result<bool> write_payload(const Fd& directory, const Payload& payload,
                           std::optional<gid_t> group = std::nullopt);

// A path of a projection: relative, no "..", not beginning with "..".
bool valid_projected_path(std::string_view path);

}  // namespace keles::node
