// Devices of the Container Device Interface (https://github.com/cncf-tags/
// container-device-interface, SPEC.md 0.8), looked up for a runtime that does not do it itself
// (containerd before 2.0): what its specifications add to a container is added by the agent. What
// only a runtime could do (hooks, Intel RDT, network devices, additional groups, device nodes that
// are not as the host's, mounts other than bind mounts) is an error; of a mount's options "nosuid",
// "nodev" and "noexec" are left out.
//
// Blocking: small local files.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "node/managers/container_managers.h"

namespace keles::node {

// Later ones count more.
inline const std::vector<std::string> kCdiDirectories = {"/etc/cdi", "/var/run/cdi"};

// Whether a runtime of this name and version ("1.6.20~ds1") adds CDI devices unasked.
bool runtime_does_cdi(const std::string& name, const std::string& version);
// Adds what `names` ("vendor.com/class=device") stand for to `out`.
Status inject_cdi(const std::vector<std::string>& directories,
                  const std::vector<std::string>& names, ContainerExtras* out);
// The same by the texts of specification files (JSON or YAML), later ones counting more.
Status inject_cdi_specs(const std::vector<std::string>& specs,
                        const std::vector<std::string>& names, ContainerExtras* out);

}  // namespace keles::node
