// Which versions of Kubernetes work together (upstream's version skew policy): a node's parts may
// be up to three minors older than the server and never newer, a client one minor older or newer.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace keles::machines {

struct MinorVersion {
  MinorVersion() = default;
  int major = 0, minor = 0;
};
// Of "v1.36.2+keles"; none of what is no version.
std::optional<MinorVersion> parse_minor(std::string_view text);

struct VersionOf {
  VersionOf() = default;
  std::string component, name, version;  // "kubelet", "node-1", "v1.35.0"
};

// What is wrong with it beside that server; "": nothing. What is no node's part is a client.
std::string skew_problem(const VersionOf& what, std::string_view server_version);
// Those of a table, each with its problem or "ok".
std::string skew_table(const std::vector<VersionOf>& all, std::string_view server_version);

}  // namespace keles::machines
