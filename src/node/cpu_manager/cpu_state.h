// Which CPUs belong to which container, and which to all others; kept in the file
// cpu_manager_state as upstream keeps it (pkg/kubelet/cm/cpumanager/state, format 2).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/status.h"
#include "node/topology/cpu_set.h"

namespace keles::node {

class CpuState {
 public:
  using Containers = std::map<std::string, CpuSet>;       // by name
  using Assignments = std::map<std::string, Containers>;  // by the pod's uid

  // What the file says, or a new one. kInvalid: it cannot be gone on from; says what to do.
  static Result<CpuState> open(const std::string& directory, const std::string& policy);

  const CpuSet& shared() const { return shared_; }
  const Assignments& all() const { return assigned_; }
  const CpuSet* of(const std::string& pod, const std::string& container) const;
  CpuSet exclusive() const;  // all that are some container's

  // Each is one change of the file; when it cannot be written, nothing has changed.
  Status share(CpuSet cpus);
  // Those of `cpus` that were shared are so no longer.
  Status give(const std::string& pod, const std::string& container, CpuSet cpus);
  // `cpus` are shared again.
  Status take_back(const std::string& pod, const std::string& container, const CpuSet& cpus);

  // The file's text.
  std::string text() const;
  // kInvalid with upstream's words.
  static Result<CpuState> parse(const std::string& text, const std::string& policy);

 private:
  Status change(CpuSet shared, Assignments assigned);
  uint32_t checksum() const;
  std::string path_, policy_;
  CpuSet shared_;
  Assignments assigned_;
};

}  // namespace keles::node
