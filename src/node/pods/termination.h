// A container's last words: what it wrote to its termination message path, or the end of its log.
// The file lies in the pod's directory and is mounted into the container, which may fill it with
// anything; with a hostPath a container may even put something else in its place. So: a regular
// file, reached without following links, and no more of it than upstream reads.
#pragma once

#include <string>

#include "base/status.h"
#include "node/cri/runtime.h"

namespace keles::node {

constexpr size_t kMaxTerminationMessage = 4096;
constexpr int64_t kMaxTerminationLogLines = 80;
constexpr size_t kMaxTerminationLogBytes = 2048;

// Makes <pod directory>/<below> ("containers/a/0") anew: empty, and any user's to write.
Status make_termination_file(const std::string& pod_directory, const std::string& below);

// What an exited container has left to say; "" for nothing.
std::string termination_message(const std::string& pod_directory, const cri::Container& c);

}  // namespace keles::node
