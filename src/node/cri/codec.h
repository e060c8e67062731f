// Decoders of single CRI messages, shared by the client and the tests. Each answers false on
// malformed bytes.
#pragma once

#include <string_view>

#include "node/cri/runtime.h"
#include "node/cri/wire.h"

namespace keles::node::cri {

// `full`: PodSandboxStatus; otherwise the shorter PodSandbox of a list.
bool read_sandbox(std::string_view in, bool full, Sandbox& s);
bool read_container(std::string_view in, Container& c);
bool read_image(std::string_view in, Image& i);
bool read_filesystem(std::string_view in, FilesystemUsage& f);
bool read_stats(std::string_view in, ContainerStats& s);

}  // namespace keles::node::cri
