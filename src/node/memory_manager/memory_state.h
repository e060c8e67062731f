// What memory of which NUMA nodes was promised to which container; kept in the file
// memory_manager_state as upstream keeps it (pkg/kubelet/cm/memorymanager/state, format 1).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace keles::node {

struct MemoryBlock {
  std::vector<int> nodes;  // NUMA nodes, ascending
  std::string type;        // "memory", "hugepages-2Mi"
  uint64_t bytes = 0;
  bool operator==(const MemoryBlock&) const = default;
};

struct MemoryTable {
  uint64_t total = 0, system = 0, allocatable = 0, reserved = 0, free = 0;
  bool operator==(const MemoryTable&) const = default;
};
struct MemoryNode {
  int64_t assignments = 0;
  std::map<std::string, MemoryTable> tables;  // by type
  std::vector<int> group;  // the nodes that are used together with this one, itself among them
  bool operator==(const MemoryNode&) const = default;
};
using MemoryNodes = std::map<int, MemoryNode>;

class MemoryState {
 public:
  using Containers = std::map<std::string, std::vector<MemoryBlock>>;  // by name
  using Assignments = std::map<std::string, Containers>;               // by the pod's uid

  // What the file says, or a new one. kInvalid: it cannot be gone on from; says what to do.
  static Result<MemoryState> open(const std::string& directory, const std::string& policy);
  static Result<MemoryState> parse(const std::string& text, const std::string& policy);
  std::string text() const;

  const MemoryNodes& nodes() const { return nodes_; }
  const Assignments& all() const { return assigned_; }
  const std::vector<MemoryBlock>* of(const std::string& pod, const std::string& container) const;

  // One change of the file; when it cannot be written, nothing has changed.
  Status change(MemoryNodes nodes, Assignments assigned);

 private:
  uint32_t checksum() const;
  std::string path_, policy_;
  MemoryNodes nodes_;
  Assignments assigned_;
};

}  // namespace keles::node
